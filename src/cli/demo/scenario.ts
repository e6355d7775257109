/** What the demo upgrades: the Plans of the RKE2 documentation, workloads, and the times it shortens. */
import type { JsonObject } from '../../base/json.ts'

export const NAMESPACE = 'system-upgrade'
export const SERVERS = 3
export const AGENTS = 5
export const FROM = 'v1.33.4+rke2r1'
export const TARGET = 'v1.33.5+rke2r1'
export const PLANS = { server: 'server-plan', agent: 'agent-plan' } as const

/** Name of the workload whose budget blocks a drain until it has a second healthy replica. */
export const BLOCKER = 'ledger'
const WORKER_LABEL = 'node-role.kubernetes.io/worker'

/**
 * The documentation's two Plans (examples/rke2/by-channel.yaml), with the demo's channel. The agents go two at a time and are drained,
 * so that there is something to see.
 */
export function plans(channel: string): readonly JsonObject[] {
  const image = 'rancher/rke2-upgrade'
  const common = { serviceAccountName: 'system-upgrade', upgrade: { image }, channel }
  return [
    plan(PLANS.server, {
      concurrency: 1,
      cordon: true,
      nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'In', values: ['true'] }] },
      ...common,
    }),
    plan(PLANS.agent, {
      concurrency: 2,
      cordon: true,
      drain: { force: true },
      nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] },
      prepare: { image, args: ['prepare', PLANS.server] },
      ...common,
    }),
  ]
}

function plan(name: string, spec: JsonObject): JsonObject {
  return { apiVersion: 'upgrade.cattle.io/v1', kind: 'Plan', metadata: { name, namespace: NAMESPACE }, spec }
}

/** Labels by which workloads find the agents. */
export const AGENT_LABELS = { [WORKER_LABEL]: 'true' } as const

/** All on agents. `ledger` has one replica and a budget that wants one: its node cannot be drained until somebody adds another. */
export const WORKLOADS = [
  { name: 'shop', replicas: 6, minAvailable: 4, readyAfterMs: 1000, graceSeconds: 1, template: { nodeSelector: AGENT_LABELS } },
  { name: 'search', replicas: 3, maxUnavailable: 2, readyAfterMs: 1000, graceSeconds: 1, template: { nodeSelector: AGENT_LABELS } },
  { name: BLOCKER, replicas: 1, minAvailable: 1, readyAfterMs: 1000, graceSeconds: 1, template: { nodeSelector: AGENT_LABELS } },
  { name: 'node-exporter', kind: 'DaemonSet', replicas: 1 },
] as const

/** With it the blocked drain falls into the middle of the rollout, where others go on beside it. */
export const SEED = 3

/** How long the drain is seen waiting before somebody helps it. */
export const BLOCKED_FOR_MS = 3000

/** The simulated machines' times, in milliseconds; much shorter than real ones. */
export const HEARTBEAT_MS = 1000
export const MACHINE = { pullMs: 500, restartMs: [500, 1500] } as const

/** The controller's environment. Everything that differs from a default is in SHORTENED. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: NAMESPACE,
  DROVER_VERIFY_MIN_READY: '1s',
  DROVER_STATUS_DELAY: '500ms',
  DROVER_METRICS_ADDRESS: '',
}

/** Said at the start, so that nobody takes these times for real ones. */
export const SHORTENED: readonly string[] = [
  'a node has to be Ready for 1 s after its upgrade instead of 10 s (DROVER_VERIFY_MIN_READY)',
  "phases and messages in a Plan's status lag by 0.5 s at most instead of 25 s (DROVER_STATUS_DELAY)",
  'simulated machines send heartbeats every 1 s instead of 10 s, pull an image in 0.5 s and restart in 0.5 to 1.5 s',
]
