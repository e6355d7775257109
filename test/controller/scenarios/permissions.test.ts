/** A permission that is missing in the middle of a rollout is told where people look, within half a minute (design §2, promise 8). */
import { describe, expect, test } from '@jest/globals'
import type { Fields, Log } from '../../../src/base/log.ts'
import type { Outside } from '../../../src/base/process.ts'
import { neededPermissions, type Permission } from '../../../src/controller/permissions.ts'
import { type Access, permits } from '../access.ts'
import { runController } from '../../../src/controller/run.ts'
import type { Spawned } from '../../../src/sandbox/spawn.ts'
import { agentPlan, CONTROLLER, createWorld, NEW, serverPlan, settingsFor, type World } from '../harness.ts'
import { snapshotDefinition } from '../../../src/simulation/etcd-snapshot-kind.ts'
import { etcdSnapshot } from '../../etcd-snapshots.ts'
import { nowhere } from '../../../src/base/nowhere.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const NAMESPACE = 'system-upgrade'
const LEASE = 'system-upgrade-controller'
const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io'
const BROKEN = 'registry.example.com/broken'

const PERMISSIONS = neededPermissions(NAMESPACE, LEASE)

/** Each verb of each row, with a name for the test. */
const EACH = PERMISSIONS.flatMap((row) =>
  row.verbs.map((verb) => [`${verb} ${row.resource}${row.namespace === undefined ? '' : ` in ${row.namespace}`}`, row, verb] as const),
)

/** Without these nothing can be written to a Plan's status, or nothing is wrong with any Plan: the log has it. */
const LOG_ONLY = new Set([
  'list plans',
  `patch plans/status in ${NAMESPACE}`,
  `create leases in ${NAMESPACE}`,
  `get leases in ${NAMESPACE}`,
  `update leases in ${NAMESPACE}`,
  `patch rolloutpolicies/status in ${NAMESPACE}`,
  'create events',
  'patch events',
  'create customresourcedefinitions',
  'get customresourcedefinitions',
  'patch customresourcedefinitions',
])

const channel: Outside = {
  ...nowhere,
  get: () =>
    Promise.resolve({
      status: 302,
      statusLine: 'HTTP/1.1 302 Found',
      headers: { location: `https://releases.example.com/${NEW}` },
      body: '',
    }),
}

const without = (missing: Permission, verb: string): readonly Permission[] =>
  PERMISSIONS.map((row) => (row === missing ? { ...row, verbs: row.verbs.filter((other) => other !== verb) } : row))

interface Refusals {
  /** What was refused, as `verb resource`. */
  readonly lines: Set<string>
  /** Virtual time of the first; undefined = none. */
  at: number | undefined
}

interface Scene {
  readonly world: World
  readonly controller: Spawned
  readonly refusals: Refusals
  /** Warnings and errors of the controller. */
  readonly logged: readonly string[]
}

/** Everything that needs a permission, in one cluster. */
async function stage(granted: readonly Permission[], crd: boolean): Promise<Scene> {
  const refusals: Refusals = { lines: new Set(), at: undefined }
  const logged: string[] = []
  const world = await createWorld({
    outside: channel,
    cluster: {
      agents: 4,
      workloads: [
        { name: 'web', replicas: 12, minAvailable: 10 },
        { name: 'exporter', kind: 'DaemonSet', replicas: 1 },
        { name: 'kured', namespace: 'kube-system', kind: 'DaemonSet', replicas: 1 },
      ],
    },
    sandbox: {
      allow(user, asked) {
        if (user !== CONTROLLER) return true
        const access = {
          verb: asked.verb,
          group: asked.group,
          resource: asked.subresource === '' ? asked.resource : `${asked.resource}/${asked.subresource}`,
          ...(asked.namespace === '' ? {} : { namespace: asked.namespace }),
          ...(asked.name === '' ? {} : { name: asked.name }),
        } as Access
        if (permits(granted, access)) return true
        refusals.lines.add(`${access.verb} ${access.resource}`)
        refusals.at ??= world?.sandbox.clock.mono()
        return false
      },
    },
  })
  const { sandbox } = world
  sandbox.programs.set(BROKEN, async (_pod, _machine, io) => {
    io.log('it does not work')
    return 1
  })
  if (crd) {
    const own = sandbox.spawn((process, signal) => runController(process, settingsFor(), signal), { name: 'earlier', user: 'admin' })
    await sandbox.run(() => sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined, MINUTE)
    own.crash()
    // Somebody else's: it is to be patched.
    await world.patch(CRD, { spec: { names: { singular: 'old' } } })
    const select = (name: string) => ({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': name } }, prepare: undefined })
    const plan = (name: string, spec: object) => ({ ...agentPlan(spec), metadata: { name, namespace: NAMESPACE } })
    await world.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'script', namespace: NAMESPACE }, data: { run: 'ZWNobwo=' } })
    const policy = (name: string, spec: object) => ({
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name, namespace: NAMESPACE },
      spec,
    })
    await world.apply(policy('servers', { planNames: ['server-plan'], etcdSnapshot: { policy: 'Require' } }))
    await world.apply(policy('drains', { planNames: ['deleting'], drain: { volumeDetachTimeout: '1m' }, coordinate: { kured: true } }))
    await world.apply(snapshotDefinition)
    await world.apply(etcdSnapshot('scheduled', new Date(sandbox.clock.wall()).toISOString()))
    await world.apply(serverPlan({ version: undefined, channel: 'https://releases.example.com/stable' }))
    await world.apply(
      plan('agents', { ...select('agent-1'), prepare: { image: 'rancher/rke2-upgrade', args: ['prepare', 'server-plan'] } }),
    )
    await world.apply(
      plan('deleting', {
        ...select('agent-2'),
        version: 'v1',
        drain: { disableEviction: true, force: true },
        upgrade: { image: 'busybox' },
      }),
    )
    await world.apply(
      plan('broken', {
        ...select('agent-3'),
        version: 'v1',
        drain: undefined,
        upgrade: { image: BROKEN },
        secrets: [{ name: 'script', path: '' }],
      }),
    )
  }
  const note = (message: string, fields?: Fields): void => void logged.push(`${message} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { debug() {}, info() {}, warn: note, error: note, with: () => log }
  const settings = settingsFor({ SYSTEM_UPGRADE_CONTROLLER_NODE_NAME: 'server-1' })
  const controller = sandbox.spawn((process, signal) => runController(process, settings, signal), {
    name: 'drover',
    user: CONTROLLER,
    log,
    outside: channel,
  })
  return { world, controller, refusals, logged }
}

const statusText = ({ sandbox }: World): string =>
  (sandbox.server.peekAll('plans.upgrade.cattle.io') as unknown as { status?: unknown }[])
    .map(({ status }) => JSON.stringify(status))
    .join('\n')

/** What comes only late: the retry of what failed, then a leader that is away for so long that its events count as new. Ends when `over` says so. */
async function play({ world, controller }: Scene, over: () => boolean): Promise<void> {
  const { sandbox } = world
  if (await sandbox.run(over, 10 * MINUTE)) return
  const retry = { metadata: { annotations: { 'drover.io/retry': '1' } } }
  await world.patch(`/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/broken`, retry)
  if (await sandbox.run(over, 10 * MINUTE)) return
  controller.stall(11 * MINUTE)
  await sandbox.run(over, 40 * MINUTE)
}

test('with all that is granted nothing is refused', async () => {
  const scene = await stage(PERMISSIONS, true)
  try {
    await play(scene, () => false)
    for (const plan of ['server-plan', 'agents', 'deleting']) expect([plan, scene.world.complete(plan)]).toEqual([plan, true])
    expect([...scene.refusals.lines]).toEqual([])
  } finally {
    await scene.world.stop()
  }
}, 60_000)

describe('without the permission to', () => {
  test.each(EACH)('%s', async (name, row, verb) => {
    const scene = await stage(without(row, verb), name !== 'create customresourcedefinitions')
    const { world, refusals, logged } = scene
    try {
      if (name === 'create customresourcedefinitions') await world.sandbox.run(() => refusals.at !== undefined, MINUTE)
      else await play(scene, () => refusals.at !== undefined)
      expect([...refusals.lines]).toEqual([`${verb} ${row.resource}`])

      const words = `cannot ${verb} resource \\"${row.resource}\\"`
      const told = () => (LOG_ONLY.has(name) ? logged.join('\n') : statusText(world)).includes(words)
      await world.sandbox.run(told, 30 * SECOND)
      expect(told() ? words : [statusText(world), ...logged]).toBe(words)
    } finally {
      await world.stop()
    }
  })
})
