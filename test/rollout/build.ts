/** Small worlds for tests of the decision: everything has a default, a test names only what it is about. */
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import { parseMemory, type RolloutMemory } from '../../src/api/memory.ts'
import type { Plan, PlanSpec, PlanStatus } from '../../src/api/plan.ts'
import type { PolicyView } from '../../src/api/policy.ts'
import type { Blocked, NodeRecord, Outcome, Work } from '../../src/api/record.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { latestHash } from '../../src/rollout/latest-hash.ts'
import { pullPodName } from '../../src/rollout/pull-pod.ts'
import type { Decision, JobView, NodeView, PlanView, PodView, World } from '../../src/rollout/world.ts'

export const NOW = { wall: Date.parse('2026-03-02T12:00:00Z'), mono: 1_000_000 }
export const settings = parseSettings(
  { SYSTEM_UPGRADE_CONTROLLER_NAME: 'system-upgrade-controller', SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: 'system-upgrade' },
  [],
).settings

export const OLD = 'v1.33.3+rke2r1'
export const NEW = 'v1.33.4+rke2r1'

export function aNode(name: string, more: Partial<NodeView> = {}): NodeView {
  const server = more.controlPlane === true
  return {
    name,
    uid: `uid-${name}`,
    resourceVersion: '1',
    labels: { 'kubernetes.io/hostname': name, ...(server ? { 'node-role.kubernetes.io/control-plane': 'true' } : {}), ...more.labels },
    hostname: name,
    windows: false,
    controlPlane: false,
    etcd: server,
    createdAt: 0,
    kubeletVersion: OLD,
    bootID: 'boot-1',
    ready: 'True',
    heartbeat: '2026-03-02T11:59:00Z',
    unschedulable: false,
    cordonOwner: undefined,
    taints: [],
    caretaker: undefined,
    deleting: false,
    hold: undefined,
    record: undefined,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== 'labels')),
  }
}

export const aServer = (name: string, more: Partial<NodeView> = {}) => aNode(name, { controlPlane: true, etcd: true, ...more })

export function aPlan(
  name: string,
  spec: Partial<PlanSpec> = {},
  more: { status?: Partial<PlanStatus>; annotations?: Record<string, string>; generation?: number; noted?: boolean } = {},
): PlanView & { plan: Plan } {
  const annotations = { ...(more.noted === false ? {} : { 'drover.io/rollout': '{"v":1,"adopt":[]}' }), ...more.annotations }
  const plan: Plan = {
    metadata: {
      name,
      namespace: 'system-upgrade',
      uid: `uid-${name}`,
      resourceVersion: '1',
      generation: more.generation ?? 1,
      labels: {},
      annotations,
    },
    spec: { concurrency: 1, cordon: true, nodeSelector: {}, version: NEW, upgrade: { image: 'rancher/rke2-upgrade' }, ...spec },
    status: { conditions: [], latestVersion: '', latestHash: '', applying: [], ...more.status },
  }
  return {
    key: `system-upgrade/${name}`,
    namespace: 'system-upgrade',
    name,
    uid: `uid-${name}`,
    resourceVersion: '1',
    plan,
    memory: parseMemory(annotations['drover.io/rollout']),
  }
}

export type KnownPlan = ReturnType<typeof aPlan>

export function hashOf(view: KnownPlan): string {
  const found = latestHash({ plan: view.plan, latestVersion: (view.plan.spec.version ?? '').replaceAll('+', '-'), secrets: new Map() })
  if (!found.ok) throw new Error(found.error)
  return found.hash
}

/** With the policy in force remembered, and what else is given: a Plan whose memory is to be written writes nothing else. */
export function remembering(view: KnownPlan, memory: Partial<RolloutMemory> = {}, name = 'default'): KnownPlan {
  const kept = { v: 1 as const, adopt: [], policy: { name, uid: `uid-${name}`, hash: hashOf(view) }, ...memory }
  return { ...view, memory: { ok: true, memory: kept } }
}

export function aPolicy(spec: object, name = 'default'): PolicyView {
  const view = decodePolicy({ metadata: { name, namespace: 'system-upgrade', uid: `uid-${name}`, generation: 1 }, spec } as never)
  if (view === undefined) throw new Error('no policy')
  return view
}

export function aWork(view: KnownPlan, more: Partial<Work> = {}): Work {
  return {
    plan: view.key,
    planUID: view.uid,
    hash: hashOf(view),
    from: OLD,
    target: NEW.replaceAll('+', '-'),
    attempt: 1,
    retry: '',
    generation: 1,
    kubernetes: true,
    disruptive: true,
    claimedAt: '2026-03-02T11:59:00Z',
    labels: { [`plan.upgrade.cattle.io/${view.name}`]: hashOf(view) },
    ...more,
  }
}

export const aRecord = (node: string, record: Partial<NodeRecord>) =>
  ({ ok: true, record: { v: 1, nodeUID: `uid-${node}`, ...record } }) as const

/** A failed attempt at the Plan's hash. */
export const aFailure = (view: KnownPlan, more: Partial<Outcome> = {}): Outcome => ({
  hash: hashOf(view),
  result: 'Failed',
  attempts: 1,
  reason: 'JobFailed',
  message: 'exit 1',
  at: '2026-03-02T11:58:00Z',
  target: NEW.replaceAll('+', '-'),
  kubernetes: true,
  disruptive: true,
  retrySeen: '',
  generation: 1,
  ...more,
})

/** A node that failed. */
export const aFailed = (view: KnownPlan, name: string, more: Partial<Outcome> = {}): NodeView =>
  aNode(name, { record: aRecord(name, { past: { [view.key]: aFailure(view, more) } }) })

/** A drain for the Plan's hash that did not end in time. */
export const aBlocked = (view: KnownPlan, more: Partial<Blocked> = {}): Blocked => ({
  hash: hashOf(view),
  how: 'Release',
  attempts: 1,
  message: 'left: default/web',
  at: '2026-03-02T11:58:00Z',
  retrySeen: '',
  generation: 1,
  ...more,
})

/** A pod of a workload, Ready on that node. */
export const aPod = (name: string, node: string, more: Partial<Pod> = {}): Pod => ({
  ...more,
  metadata: {
    name,
    namespace: 'default',
    uid: `uid-${name}`,
    labels: { app: name },
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'rs', controller: true }],
    ...more.metadata,
  },
  spec: { nodeName: node, containers: [], ...more.spec },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], ...more.status },
})

/** Lets no pod of that app go. */
export const aBudget = (app: string, allowed = 0, name = app): PodDisruptionBudget => ({
  metadata: { name, namespace: 'default', generation: 1 },
  spec: { minAvailable: 1, selector: { matchLabels: { app } } },
  status: { observedGeneration: 1, currentHealthy: 1, desiredHealthy: 1, disruptionsAllowed: allowed, expectedPods: 1 },
})

export function aJob(name: string, node: string, more: Partial<JobView> = {}): JobView {
  return {
    name,
    namespace: 'system-upgrade',
    uid: `uid-${name}`,
    resourceVersion: '1',
    labels: { 'upgrade.cattle.io/controller': 'system-upgrade-controller', 'upgrade.cattle.io/node': node },
    attempt: undefined,
    parallelism: 1,
    suspend: false,
    suspended: false,
    createdAt: NOW.wall - 60_000,
    active: 0,
    failedPods: 0,
    complete: false,
    failed: undefined,
    ttlSeconds: undefined,
    ttlAnnotation: undefined,
    finishedAt: undefined,
    owned: false,
    deadlineSeconds: 600,
    deleting: false,
    ...more,
  }
}

/** A pull pod that has done its duty. */
export function aPulled(name: string, node: string, more: Partial<PodView> = {}): PodView {
  return {
    name,
    namespace: 'system-upgrade',
    uid: `uid-${name}`,
    labels: { 'drover.io/role': 'pull', 'drover.io/node': node },
    node,
    jobUID: undefined,
    phase: 'Failed',
    createdAt: NOW.wall,
    deleting: false,
    ranContainer: false,
    pulled: true,
    waiting: undefined,
    ...more,
  }
}

/** Every node has pulled, and the dry runs have passed: nothing but gates stands before a claim. Not for Plans without a version. */
export function pulledAndTried(plans: readonly PlanView[], nodes: readonly NodeView[], at = NOW.mono) {
  const known = plans.filter((view): view is KnownPlan => view.plan?.spec.version !== undefined)
  return {
    pods: known.flatMap((view) => nodes.map((node) => aPulled(pullPodName(view.name, node.name, hashOf(view)), node.name))),
    dryRuns: new Map(known.map((view) => [`${view.key}/${hashOf(view)}`, { at, ok: true, value: true } as const])),
  }
}

export function aWorld(more: Partial<Omit<World, 'observed'>> & { observed?: Partial<World['observed']> } = {}): World {
  return {
    settings,
    now: NOW,
    plans: [],
    policies: [],
    nodes: [],
    jobs: [],
    pods: [],
    namespaceHold: undefined,
    since: new Map(),
    confirmed: new Set(),
    ...more,
    observed: {
      drains: new Map(),
      kured: new Map(),
      attachments: new Map(),
      tries: new Map(),
      beats: new Map(),
      channels: new Map(),
      secrets: new Map(),
      logs: new Map(),
      snapshots: new Map(),
      dryRuns: new Map(),
      evictions: new Map(),
      setbacks: new Map(),
      rechecks: new Map(),
      notified: new Set(),
      gates: new Map(),
      ...more.observed,
    },
  }
}

/** All actions of a kind, whatever step they stand in. */
export function actions<K extends Decision['steps'][number]['actions'][number]['do']>(decision: Decision, kind: K) {
  return decision.steps.flatMap((step) => step.actions).filter((action): action is Extract<typeof action, { do: K }> => action.do === kind)
}

export const holdsOn = (decision: Decision, plan: string, node: string) =>
  decision.reports
    .get(plan)
    ?.nodes.get(node)
    ?.holds.map((hold) => hold.reason) ?? []
export const planHolds = (decision: Decision, plan: string) => decision.reports.get(plan)?.holds.map((hold) => hold.reason) ?? []
