/** Small worlds for tests of the decision: everything has a default, a test names only what it is about. */
import { parseMemory } from '../../src/api/memory.ts'
import type { Plan, PlanSpec, PlanStatus } from '../../src/api/plan.ts'
import type { NodeRecord, Work } from '../../src/api/record.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { latestHash } from '../../src/rollout/latest-hash.ts'
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

export function hashOf(view: PlanView & { plan: Plan }): string {
  const found = latestHash({ plan: view.plan, latestVersion: (view.plan.spec.version ?? '').replaceAll('+', '-'), secrets: new Map() })
  if (!found.ok) throw new Error(found.error)
  return found.hash
}

export function aWork(view: PlanView & { plan: Plan }, more: Partial<Work> = {}): Work {
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
    startedAt: NOW.wall - 60_000,
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
