/** A rollout told as a story: what is done to a small cluster, and what the API server's history and the machines say afterwards. */
import { test } from '@jest/globals'
import type { ApiObject, Write } from '../../../src/sandbox/server/types.ts'
import { CONTROLLER, createWorld, NEW, OLD, type World } from '../harness.ts'
import type { StandardClusterOptions } from '../../../src/sandbox/standard-cluster.ts'
import type { SandboxOptions } from '../../../src/sandbox/cluster.ts'
import type { Outside } from '../../../src/base/process.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const PLANS = '/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans'

export interface Event {
  readonly on: string
  readonly type: string
  readonly reason: string
  readonly message: string
  readonly count: number
}

export interface NodeRecordRead {
  readonly work?: {
    readonly startedAt?: string
    readonly jobUID?: string
    readonly attempt: number
    readonly hash: string
    readonly adopted?: boolean
  }
  readonly cordon?: { readonly plan: string; readonly adopted?: string }
  readonly past?: Readonly<
    Record<string, { readonly reason: string; readonly message: string; readonly attempts: number; readonly log?: string }>
  >
}

export interface Story extends World {
  /** Starts a controller and waits until the CRDs are there and it leads. */
  begin(name?: string, env?: Record<string, string>): Promise<ReturnType<World['controller']>>
  /** The controllers that were begun die at once. */
  crash(): void
  /** Lets time pass until it holds; fails the test with what the Plans and nodes say when that takes longer than `limitMs` (default 30 min). */
  until(what: string, holds: () => boolean, limitMs?: number): Promise<void>
  wait(ms: number): Promise<void>
  /** `status reason: message` of a condition, or an empty text. */
  condition(plan: string, type: string): string
  nodeStatus(plan: string, node: string): { phase: string; message?: string } | undefined
  record(node: string): NodeRecordRead
  cordoned(node: string): boolean
  label(node: string, plan?: string): string | undefined
  applying(plan?: string): readonly string[]
  hash(plan?: string): string
  jobs(): readonly (ApiObject & {
    spec: { suspend?: boolean; parallelism?: number }
    status?: { conditions?: { type: string; status: string }[]; active?: number }
  })[]
  events(reason?: string): readonly Event[]
  /** Accepted writes of the controllers, Leases, Events and dry runs aside. */
  writes(match?: { resource?: string; verb?: string; name?: string; since?: number }): readonly Write[]
  /** How often an upgrade program was started on the machine. */
  runs(node: string): number
  /** How often the node turned from schedulable to cordoned, by anybody. */
  cordons(node: string): number
  annotatePlan(plan: string, annotations: Record<string, string | null>): Promise<void>
  patchPlan(plan: string, spec: object): Promise<void>
  annotateNode(node: string, annotations: Record<string, string | null>): Promise<void>
  setCordon(node: string, unschedulable: boolean): Promise<void>
  remove(path: string): Promise<void>
}

export interface StoryOptions {
  readonly cluster?: StandardClusterOptions
  readonly sandbox?: SandboxOptions
  readonly outside?: Outside
}

/** One server that already is at the target and three agents that are not, unless the options say otherwise. */
export const agentsOnly: StandardClusterOptions = {
  servers: 1,
  agents: 3,
  machine: (spec) => (spec.role === 'server' ? { ...spec, version: NEW } : spec),
}

/** Fewer heartbeats, for stories that last for days. */
export const calm: SandboxOptions = { heartbeatMs: 35_000, nodeLifecycle: { graceMs: 120_000, periodMs: 30_000 } }

/** As `agentsOnly`, with three pods, one on each agent, of which a PodDisruptionBudget lets none go. */
export const blocked: StandardClusterOptions = {
  servers: 1,
  agents: 3,
  machine: (spec) => (spec.role === 'server' ? { ...spec, version: NEW, taints: [{ key: 'cp', effect: 'NoSchedule' }] } : spec),
  workloads: [{ name: 'web', replicas: 3, minAvailable: 3, spread: true }],
}

/** In a `blocked` cluster. Returns the node that the Plan `agents` cannot drain. */
export async function hangInDrain(s: Story): Promise<string> {
  await s.begin()
  await s.apply(agents({ drain: { force: true } }))
  const cordoned = (): string | undefined => ['agent-1', 'agent-2', 'agent-3'].find((node) => s.cordoned(node))
  await s.until('a node is cordoned', () => cordoned() !== undefined, 10 * MINUTE)
  await s.wait(MINUTE)
  return cordoned()!
}

/** Hours pass in a story within seconds, but not on a machine that has much else to do. */
const STORY_MS = 90_000

export function story(name: string, options: StoryOptions, tell: (story: Story) => Promise<void>): void {
  test(
    name,
    async () => {
      const world = await createWorld({
        cluster: options.cluster ?? agentsOnly,
        ...(options.sandbox === undefined ? {} : { sandbox: options.sandbox }),
        ...(options.outside === undefined ? {} : { outside: options.outside }),
      })
      try {
        await tell(storyOf(world))
      } finally {
        await world.stop()
      }
    },
    STORY_MS,
  )
}

/** A Plan for the agents that only cordons, one node at a time. */
export const agents = (spec: object = {}, annotations: Record<string, string> = {}, name = 'agents') => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata: { name, namespace: 'system-upgrade', annotations },
  spec: {
    concurrency: 1,
    cordon: true,
    nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: 'rancher/rke2-upgrade' },
    version: NEW,
    ...spec,
  },
})

export { NEW, OLD }

export function storyOf(world: World): Story {
  const { sandbox } = world
  const admin = sandbox.as('admin')
  const begun: ReturnType<World['controller']>[] = []
  const state = () =>
    JSON.stringify(
      {
        plans: sandbox.server.peekAll('plans.upgrade.cattle.io').map((plan) => [plan.metadata.name, plan['status']]),
        nodes: world
          .nodes()
          .map((node) => [(node as unknown as ApiObject).metadata.name, node.spec, node.metadata.annotations?.['drover.io/node-upgrade']]),
      },
      null,
      1,
    )
  const self: Story = {
    ...world,
    async begin(name, env) {
      const spawned = world.controller(name, env)
      begun.push(spawned)
      await self.until('the controller leads', () => {
        const lease = sandbox.server.peek('leases', 'system-upgrade-controller', 'system-upgrade') as
          | (ApiObject & { spec: { holderIdentity?: string } })
          | undefined
        return (
          lease?.spec.holderIdentity === (name ?? 'drover-1') &&
          sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined
        )
      })
      await self.wait(2 * SECOND)
      return spawned
    },
    crash() {
      for (const spawned of begun.splice(0)) spawned.crash()
    },
    async until(what, holds, limitMs = 30 * MINUTE) {
      if (!(await sandbox.run(holds, limitMs))) throw new Error(`not within ${limitMs / MINUTE} minutes: ${what}\n${state()}`)
    },
    wait: async (ms) => void (await sandbox.run(() => false, ms)),
    condition(plan, type) {
      const found = world.plan(plan)?.status?.conditions?.find((condition) => condition.type === type)
      return found === undefined ? '' : `${found.status} ${found.reason}: ${found.message ?? ''}`
    },
    nodeStatus: (plan, node) => world.plan(plan)?.status?.nodeStatuses?.find((entry) => entry.name === node),
    record(node) {
      const text = world.node(node).metadata.annotations?.['drover.io/node-upgrade']
      return text === undefined ? {} : (JSON.parse(text) as NodeRecordRead)
    },
    cordoned: (node) => world.node(node).spec.unschedulable === true,
    label: (node, plan = 'agents') => world.node(node).metadata.labels[`plan.upgrade.cattle.io/${plan}`],
    applying: (plan = 'agents') => world.plan(plan)?.status?.applying ?? [],
    hash: (plan = 'agents') => world.plan(plan)?.status?.latestHash ?? '',
    jobs: () => sandbox.server.peekAll('jobs') as never,
    events: (reason) =>
      (
        sandbox.server.peekAll('events') as unknown as {
          involvedObject: { kind: string; name: string }
          type: string
          reason: string
          message: string
          count?: number
        }[]
      )
        .filter((event) => reason === undefined || event.reason === reason)
        .map((event) => ({
          on: `${event.involvedObject.kind}/${event.involvedObject.name}`,
          type: event.type,
          reason: event.reason,
          message: event.message,
          count: event.count ?? 1,
        })),
    writes: (match = {}) =>
      sandbox.history.filter(
        (write) =>
          write.user === CONTROLLER &&
          write.status < 300 &&
          !write.dryRun &&
          write.ref.resource !== 'leases' &&
          write.ref.resource !== 'events' &&
          (match.resource === undefined || write.ref.resource === match.resource) &&
          (match.verb === undefined || write.verb === match.verb) &&
          (match.name === undefined || write.ref.name === match.name) &&
          (match.since === undefined || write.mono >= match.since),
      ),
    runs: (node) =>
      (sandbox.machines.get(node)?.timeline ?? []).filter(
        (event) => event.what === 'programStart' && /^rancher\/(rke2|k3s)-upgrade (?!prepare)|^os-patch /.test(event.detail),
      ).length,
    cordons: (node) =>
      sandbox.history.filter(
        (write) =>
          write.ref.resource === 'nodes' &&
          write.ref.name === node &&
          write.status < 300 &&
          !isUnschedulable(write.before) &&
          isUnschedulable(write.after),
      ).length,
    annotatePlan: (plan, annotations) => world.patch(`${PLANS}/${plan}`, { metadata: { annotations } }),
    patchPlan: (plan, spec) => world.patch(`${PLANS}/${plan}`, { spec }),
    annotateNode: (node, annotations) => world.patch(`/api/v1/nodes/${node}`, { metadata: { annotations } }),
    setCordon: (node, unschedulable) => world.patch(`/api/v1/nodes/${node}`, { spec: { unschedulable: unschedulable ? true : null } }),
    async remove(path) {
      const response = await sandbox.finish(
        admin.send({ method: 'DELETE', path, query: { propagationPolicy: 'Background' } }, new AbortController().signal),
      )
      if (response.status >= 300) throw new Error(`DELETE ${path}: ${response.status}`)
    },
  }
  return self
}

function isUnschedulable(object: ApiObject | undefined): boolean {
  return (object?.['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable === true
}
