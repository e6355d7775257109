/** Upgrades by Drover's own payload, in the image that payload/Dockerfile describes. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { CRASHING, FOREIGN, HANGING, NEW, OLD, PAYLOAD_IMAGE, type Release, TOUCHING, TRUNCATED } from './layout.ts'
import type { Machine } from './machine.ts'
import { type Scenario, sideBySide } from './side-by-side.ts'
import { sha256 } from './sum.ts'
import { isReady, startWorld, type World } from './world.ts'

const LIMIT_MS = 420_000
const LANES = 3
const AGENT = { role: 'agent', release: OLD, images: ['payload'] } as const
/** Quicker than its defaults, for tests. */
const ARGS = ['upgrade', '--stable=2s', '--down=6s']
let world: World

beforeAll(async () => {
  world = await startWorld()
}, LIMIT_MS)
afterAll(() => world?.stop(), LIMIT_MS)

const plan = (group: string, release: Release, more: object = {}): Promise<void> =>
  world.plan(group, release, { upgrade: { image: PAYLOAD_IMAGE, args: ARGS }, ...more })

/** As in docs/payload.md. */
const PREPARE = { prepare: { image: PAYLOAD_IMAGE, args: ['prepare'], securityContext: { privileged: true } } }
const DATASTORE = '/var/lib/rancher/rke2/server/db'
const snapshots = (machine: Machine): readonly string[] => readdirSync(machine.path(`${DATASTORE}/snapshots`))

/** How the Plan's Jobs stand: `Complete`, `Failed`, `Suspended` or nothing of these. */
async function jobs(group: string): Promise<readonly string[]> {
  const all = (await world.cluster.jobs()).filter(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/plan'] === group)
  return all.map(({ spec, status }) => {
    const ended = status?.conditions?.find(({ type, status: is }) => is === 'True' && /^(?:Complete|Failed)$/.test(type))
    return ended?.type ?? (spec?.suspend === true ? 'Suspended' : '')
  })
}

const lastPhases = (machine: Machine): readonly (string | undefined)[] =>
  world.upgradePods(machine.name).map(({ sights }) => sights.findLast(({ deleted }) => !deleted)?.phase)

async function upgraded(): Promise<void> {
  const group = 'upgraded'
  const [machine] = await world.machines(group, AGENT)
  const bystander = await world.bystander(machine)
  await plan(group, NEW)
  await world.done(group, machine)
  expect(world.sights(machine.name).at(-1)).toMatchObject({ version: NEW.version, ready: 'True', unschedulable: false })
  expect(machine.installed()).toBe(sha256(world.paths.release(NEW)))
  expect(sha256(machine.path('/usr/local/bin/rke2.drover-previous'))).toBe(sha256(world.paths.release(OLD)))
  expect(lastPhases(machine)).toEqual(['Succeeded'])
  expect(await jobs(group)).toEqual(['Complete'])
  expect(await world.bystanderNow(machine)).toEqual({ id: bystander, restarts: 0 })
}

async function rolledBack(): Promise<void> {
  const machines = await world.machines('crash', AGENT, AGENT)
  const bystanders = await Promise.all(machines.map((machine) => world.bystander(machine)))
  await plan('crash', CRASHING)
  await world.cluster.until('a node is taken', async () => machines.some(({ name }) => world.upgradePods(name).length > 0))
  const [broken, next] = world.upgradePods(machines[0].name).length > 0 ? machines : [machines[1], machines[0]]
  const failure = await world.failure('crash', broken)
  process.stdout.write(`a rolled back node says: ${failure.reason}: ${failure.message}\n`)
  expect(`${failure.reason} ${failure.message}`).toContain('RolledBack')
  expect(`${failure.message} ${failure.log ?? ''}`).toContain('this release crashes at start')
  await world.cluster.until('the node is Ready again', async () => isReady(await world.cluster.node(broken.name), OLD.version))
  expect(broken.installed()).toBe(sha256(world.paths.release(OLD)))
  await world.cluster.until('the Plan says why', async () => (await world.cluster.condition('crash', 'Complete')).includes('RolledBack'))
  expect(world.upgradePods(next.name)).toEqual([])
  expect(world.sights(next.name).some(({ unschedulable }) => unschedulable)).toBe(false)
  for (const [index, machine] of machines.entries()) {
    expect(await world.bystanderNow(machine)).toEqual({ id: bystanders[index], restarts: 0 })
  }
}

async function restarted(): Promise<void> {
  const [machine] = await world.machines('restart', AGENT)
  machine.install(NEW)
  const before = await machine.services()
  await plan('restart', NEW)
  await world.done('restart', machine)
  expect(world.sights(machine.name).at(-1)).toMatchObject({ version: NEW.version, ready: 'True', unschedulable: false })
  expect(await machine.services()).not.toEqual(before)
  expect(lastPhases(machine)).toEqual(['Succeeded'])
}

const BINARIES = '/usr/local/bin'
const restart =
  'kill $(cat /sys/fs/cgroup/systemd/system.slice/rke2-agent.service/cgroup.procs | while read p; do [ "$(cat /proc/$p/comm)" = rke2 ] && echo $p; done)'
/** The binary on a filesystem of its own, and the service running from there. */
const remount = (mount: string): string =>
  `set -e; cp -p ${BINARIES}/rke2 /run/rke2.kept; ${mount}; [ -e ${BINARIES}/rke2 ] || cp -p /run/rke2.kept ${BINARIES}/rke2`

interface Refused {
  readonly what: string
  readonly release: Release
  readonly reason: string
  /** What makes it so, for the machine's shell. */
  readonly before?: string
  readonly restarts?: boolean
}

const REFUSED: readonly Refused[] = [
  { what: 'another architecture', release: FOREIGN, reason: 'WrongArchitecture' },
  { what: 'a truncated file', release: TRUNCATED, reason: 'BadPayload' },
  {
    what: 'a full disk',
    release: NEW,
    reason: 'NoSpace',
    before: remount(`mount -t tmpfs -o size=$(( ($(wc -c <${BINARIES}/rke2) / 1024) + 512 ))k,mode=755 small ${BINARIES}`),
    restarts: true,
  },
  {
    what: 'a read-only target',
    release: NEW,
    reason: 'ReadOnly',
    before: remount(`mount --bind ${BINARIES} ${BINARIES}; mount -o remount,bind,ro ${BINARIES}`),
  },
  {
    what: 'two matching processes',
    release: NEW,
    reason: 'Ambiguous',
    before: '/opt/rke2/bin/rke2 agent >/dev/null 2>&1 </dev/null & sleep 0.2; kill -0 $!',
  },
]

async function refused({ what, release, reason, before, restarts }: Refused): Promise<void> {
  const group = `refused-${reason.toLowerCase()}`
  const [machine] = await world.machines(group, AGENT)
  machine.put(HANGING, '/opt/rke2/bin/rke2')
  if (before !== undefined) await machine.on('/bin/sh', '-c', before)
  if (restarts === true) {
    const old = await machine.services()
    await machine.on('/bin/sh', '-c', restart)
    await world.cluster.until('rke2 runs from there', async () => {
      const now = await machine.services()
      return now.length === 1 && now[0] !== old[0]
    })
    await world.cluster.until('the node is Ready', async () => isReady(await world.cluster.node(machine.name), OLD.version))
  }
  const sum = async (): Promise<string> => await machine.on('/bin/sh', '-c', `sha256sum ${BINARIES}/rke2; ls -a ${BINARIES}`)
  const [file, processes] = [await sum(), await machine.services()]
  await plan(group, release)
  const failure = await world.failure(group, machine)
  process.stdout.write(`${what}: ${failure.reason}: ${failure.message}\n`)
  expect(`${failure.reason} ${failure.message}`).toContain(reason)
  expect(await sum()).toBe(file)
  expect(await machine.services()).toEqual(processes)
  expect(isReady(await world.cluster.node(machine.name), OLD.version)).toBe(true)
  // One pod was enough to find out, and there will be no other.
  expect(world.upgradePods(machine.name)).toHaveLength(1)
  expect(await jobs(group)).toEqual([expect.stringMatching(/^(?:Failed|Suspended)$/)])
}

describe('the payload on agents', () => {
  sideBySide(LANES, LIMIT_MS, [
    { what: 'takes a node from r1 to r2 with one pod, Complete on the first try', run: upgraded },
    {
      what: 'rolls back a release that crashes at start: Ready on the old version, the Plan says why, the next node is spared',
      run: rolledBack,
    },
    { what: 'restarts a service whose file is the new one already but whose process is old', run: restarted },
    ...REFUSED.map(
      (one): Scenario => ({ what: `refuses before anything is changed: ${one.what} (${one.reason})`, run: () => refused(one) }),
    ),
  ])
  afterAll(() => world?.clear(), LIMIT_MS)
})

describe('the payload on a server, prepared before its cordon', () => {
  const SERVER = { ...AGENT, role: 'server' } as const
  afterEach(() => world?.clear(), LIMIT_MS)

  test(
    'an etcd snapshot is taken and named, then the node goes from r1 to r2 with one pod, Complete on the first try',
    async () => {
      const [machine] = await world.machines('prepared', SERVER)
      const bystander = await world.bystander(machine)
      await plan('prepared', NEW, PREPARE)
      await world.done('prepared', machine)

      const [snapshot, ...others] = snapshots(machine)
      expect(snapshot).toMatch(new RegExp(`^drover-[0-9a-f]{8}-${machine.name}-\\d+$`))
      expect(others).toEqual([])
      const [pod, ...more] = world.preparePods(machine.name)
      expect(more).toEqual([])
      const last = pod?.sights.find(({ phase }) => phase === 'Succeeded')
      const said: unknown = JSON.parse(last?.said ?? '{}')
      expect(said).toMatchObject({ result: 'Prepared', from: OLD.version, to: NEW.version, snapshot })
      await world.cluster.until('an event names the snapshot', async () =>
        (await world.cluster.kubectl('get', 'events', '--all-namespaces')).includes(`etcd snapshot ${snapshot}`),
      )

      const cordoned = world.sights(machine.name).find(({ unschedulable }) => unschedulable)?.at
      expect(last?.at).toBeLessThan(cordoned ?? 0)
      expect(world.sights(machine.name).at(-1)).toMatchObject({ version: NEW.version, ready: 'True', unschedulable: false })
      expect(lastPhases(machine)).toEqual(['Succeeded'])
      expect(await jobs('prepared')).toEqual(['Complete'])
      expect(await world.bystanderNow(machine)).toEqual({ id: bystander, restarts: 0 })
    },
    LIMIT_MS,
  )

  test(
    'a snapshot that fails fails the preparation: the node is never cordoned, nothing is upgraded',
    async () => {
      const [machine] = await world.machines('unsaved', SERVER)
      // Where the folder of snapshots should be there is a file.
      writeFileSync(machine.path(`${DATASTORE}/snapshots`), '')
      const before = await machine.services()
      await plan('unsaved', NEW, PREPARE)
      const { reason, message } = await world.failure('unsaved', machine)
      process.stdout.write(`a failed snapshot says: ${reason}: ${message}\n`)
      expect(reason).toBe('PrepareFailed')
      expect(message).toContain('SnapshotFailed')
      await world.cluster.until('the Plan says why', async () =>
        (await world.cluster.condition('unsaved', 'Complete')).includes('SnapshotFailed'),
      )
      expect(world.preparePods(machine.name)).toHaveLength(1)
      expect(world.upgradePods(machine.name)).toEqual([])
      expect(world.sights(machine.name).some(({ unschedulable }) => unschedulable)).toBe(false)
      expect(machine.installed()).toBe(sha256(world.paths.release(OLD)))
      expect(await machine.services()).toEqual(before)
    },
    LIMIT_MS,
  )

  test(
    'a new minor version that crashes after it took over the datastore is not taken back; the machine says how a person does it',
    async () => {
      const [machine] = await world.machines('touched', SERVER)
      await plan('touched', TOUCHING, PREPARE)
      const { reason, message } = await world.failure('touched', machine)
      process.stdout.write(`a server with a touched datastore says: ${reason}: ${message}\n`)
      // Its kubelet is gone, so nobody hears what the payload says; it is on the machine.
      expect(reason).toBe('NodeLost')
      expect(machine.installed()).toBe(sha256(world.paths.release(TOUCHING)))
      const journal = JSON.parse(readFileSync(machine.path('/var/lib/drover/journal.json'), 'utf8')) as {
        readonly phase: string
        readonly wayBack?: string
        readonly tried: readonly { readonly reason: string }[]
      }
      expect(journal).toMatchObject({ phase: 'failed', tried: [{ reason: 'DatastoreTouched' }] })
      expect(journal.wayBack).toContain('/usr/local/bin/rke2-killall.sh && mv /usr/local/bin/rke2.drover-previous /usr/local/bin/rke2 &&')
      const restored = /--cluster-reset-restore-path=(\S+)/.exec(journal.wayBack ?? '')?.[1] ?? ''
      expect(restored).toBe(`${DATASTORE}/snapshots/${snapshots(machine)[0]}`)
      expect(existsSync(machine.path(restored))).toBe(true)

      // A person goes back; nothing of ours undoes it.
      await machine.on('/bin/mv', '/usr/local/bin/rke2.drover-previous', '/usr/local/bin/rke2')
      await world.cluster.until('the node is Ready again', async () => isReady(await world.cluster.node(machine.name), OLD.version))
      await world.cluster.until('the Job is put away', async () => /^(?:Failed|Suspended)$/.test((await jobs('touched')).join()))
      expect(machine.installed()).toBe(sha256(world.paths.release(OLD)))
      expect(world.upgradePods(machine.name)).toHaveLength(1)
    },
    LIMIT_MS,
  )
})
