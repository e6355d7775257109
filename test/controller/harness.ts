/** A sandbox cluster on virtual time with controllers in it, for tests of whole rollouts. */
import { parseSettings } from '../../src/controller/settings.ts'
import { runController } from '../../src/controller/run.ts'
import type { Settings } from '../../src/base/settings.ts'
import type { Outside } from '../../src/base/process.ts'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/cluster.ts'
import { apply, standardCluster, type StandardClusterOptions } from '../../src/sandbox/standard-cluster.ts'
import type { Spawned } from '../../src/sandbox/spawn.ts'

export const CONTROLLER = 'system:serviceaccount:system-upgrade:drover'
export const OLD = 'v1.33.3+rke2r1'
export const NEW = 'v1.33.4+rke2r1'

export interface World {
  readonly sandbox: Sandbox
  controller(name?: string, env?: Record<string, string>): Spawned
  apply(object: object): Promise<void>
  plan(name: string):
    | {
        spec: Record<string, unknown>
        status?: {
          applying?: string[]
          latestHash?: string
          conditions?: { type: string; status: string; reason: string; message: string }[]
          nodeStatuses?: { name: string; phase: string; message?: string }[]
        }
      }
    | undefined
  node(name: string): {
    metadata: { labels: Record<string, string>; annotations?: Record<string, string> }
    spec: { unschedulable?: boolean }
    status: { nodeInfo: { kubeletVersion: string }; conditions?: { type: string; status: string }[] }
  }
  nodes(): ReturnType<World['node']>[]
  complete(plan: string): boolean
  patch(path: string, body: object): Promise<void>
  stop(): Promise<void>
}

export function settingsFor(env: Record<string, string> = {}): Settings {
  return parseSettings(
    {
      SYSTEM_UPGRADE_CONTROLLER_NAME: 'system-upgrade-controller',
      SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: 'system-upgrade',
      DROVER_SELF_CHECK: 'false',
      ...env,
    },
    [],
  ).settings
}

export async function createWorld(
  options: { seed?: number; cluster?: StandardClusterOptions; sandbox?: SandboxOptions; outside?: Outside } = {},
): Promise<World> {
  const sandbox = createSandbox({
    seed: options.seed ?? 1,
    ...options.sandbox,
    ...(options.outside === undefined ? {} : { outside: options.outside }),
  })
  await standardCluster(sandbox, { servers: 3, agents: 3, version: OLD, ...options.cluster })
  const running: Spawned[] = []
  const admin = sandbox.as('admin')
  const world: World = {
    sandbox,
    controller(name = 'drover-1', env = {}) {
      const spawned = sandbox.spawn((process, signal) => runController(process, settingsFor(env), signal), { name, user: CONTROLLER })
      running.push(spawned)
      return spawned
    },
    apply: (object) => sandbox.finish(apply(sandbox, object as never)),
    plan: (name) => sandbox.server.peek('plans.upgrade.cattle.io', name, 'system-upgrade') as never,
    node: (name) => sandbox.server.peek('nodes', name) as never,
    nodes: () => sandbox.server.peekAll('nodes') as never,
    complete(name) {
      const plan = world.plan(name)
      return plan?.status?.conditions?.some((condition) => condition.type === 'Complete' && condition.status === 'True') === true
    },
    async patch(path, body) {
      const request = { method: 'PATCH', path, body: body as never, contentType: 'application/merge-patch+json' } as const
      const response = await sandbox.finish(admin.send(request, new AbortController().signal))
      if (response.status !== 200) throw new Error(`PATCH ${path}: ${response.status}`)
    },
    async stop() {
      for (const spawned of running) spawned.crash()
      await sandbox.stop()
    },
  }
  return world
}

export const serverPlan = (spec: object = {}, annotations: Record<string, string> = {}) => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata: { name: 'server-plan', namespace: 'system-upgrade', annotations },
  spec: {
    concurrency: 1,
    cordon: true,
    nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'In', values: ['true'] }] },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: 'rancher/rke2-upgrade' },
    version: NEW,
    ...spec,
  },
})

export const agentPlan = (spec: object = {}, annotations: Record<string, string> = {}) => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata: { name: 'agent-plan', namespace: 'system-upgrade', annotations },
  spec: {
    concurrency: 2,
    cordon: true,
    nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] },
    prepare: { image: 'rancher/rke2-upgrade', args: ['prepare', 'server-plan'] },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: 'rancher/rke2-upgrade' },
    drain: { force: true },
    version: NEW,
    ...spec,
  },
})
