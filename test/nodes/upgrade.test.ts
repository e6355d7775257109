/** Upgrades by images that behave as the published ones do: the binary copied in place, the service ended by signals, nobody waits. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { CRASHING, NEW, OLD, type Release } from './layout.ts'
import type { Machine } from './machine.ts'
import { sideBySide } from './side-by-side.ts'
import { sha256 } from './sum.ts'
import { isReady, MIN_READY_SECONDS, startWorld, type World } from './world.ts'

const LIMIT_MS = 420_000
const MARGIN_SECONDS = 3
/** Longer than the grace period of nodes: one that restarts so slowly is seen NotReady. */
const SLOW_SECONDS = 15
/** As long as a Job waits before its second pod, and more. */
const SECOND_POD_MS = 15_000
let world: World

beforeAll(async () => {
  world = await startWorld()
}, LIMIT_MS)
afterAll(() => world?.stop(), LIMIT_MS)

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** From when on the node was Ready at the version with no pod of its Job running, until it was labelled. */
function secondsToDone({ name }: Machine, { version }: Release): number {
  const running = new Map<string, boolean>()
  const sights = world.sights(name)
  const events = [
    ...sights.map((sight) => ({ at: sight.at, sight })),
    ...world.upgradePods(name).flatMap((pod) => pod.sights.map((at) => ({ at: at.at, pod: at }))),
  ].toSorted((a, b) => a.at - b.at)
  let there = false
  let since: number | undefined
  for (const event of events) {
    if ('sight' in event) there = event.sight.version === version && event.sight.ready === 'True'
    else running.set(event.pod.name, !event.pod.deleted && ['Pending', 'Running', 'Unknown'].includes(event.pod.phase))
    if (!there || [...running.values()].includes(true)) since = undefined
    else since ??= event.at
    if ('sight' in event && event.sight.label !== '' && since !== undefined) return (event.at - since) / 1000
  }
  throw new Error(`${name} was labelled before it was there: ${JSON.stringify(events)}`)
}

/** When a node was cordoned. */
function spans(node: string): readonly (readonly [number, number])[] {
  const found: [number, number][] = []
  let from: number | undefined
  for (const { at, unschedulable } of world.sights(node)) {
    if (unschedulable) from ??= at
    else if (from !== undefined) {
      found.push([from, at])
      from = undefined
    }
  }
  return from === undefined ? found : [...found, [from, Number.POSITIVE_INFINITY]]
}

async function upgraded(role: 'server' | 'agent'): Promise<void> {
  const group = `good-${role}`
  const [machine] = await world.machines(group, { role, release: OLD, images: ['upstream'] })
  const bystander = await world.bystander(machine)
  await world.plan(group, NEW)
  await world.done(group, machine)

  const states = world.sights(machine.name)
  expect(states.some(({ version, unschedulable }) => version === OLD.version && unschedulable)).toBe(true)
  expect(states.at(-1)).toMatchObject({ version: NEW.version, ready: 'True', unschedulable: false })
  expect(machine.installed()).toBe(sha256(world.paths.release(NEW)))
  const seconds = secondsToDone(machine, NEW)
  process.stdout.write(`${role}: done ${seconds.toFixed(1)} s after the node was Ready at ${NEW.version} with no pod running\n`)
  expect(seconds).toBeLessThan(MIN_READY_SECONDS + MARGIN_SECONDS)

  // The first pod dies with containerd, and the second one never comes, because the node has proven itself.
  await pause(SECOND_POD_MS)
  const pods = world.upgradePods(machine.name)
  expect(pods).toHaveLength(1)
  expect(pods[0]?.sights.map(({ phase }) => phase)).toContain('Failed')
  expect(await world.bystanderNow(machine)).toEqual({ id: bystander, restarts: 0 })
}

async function slow(): Promise<void> {
  const slow = { role: 'agent', release: OLD, images: ['upstream'], restartSeconds: SLOW_SECONDS } as const
  const machines = await world.machines('slow', slow, { ...slow, restartSeconds: 1 })
  await world.plan('slow', NEW)
  await world.done('slow', ...machines)
  const [first] = machines
  const states = world.sights(first.name)
  const lost = states.findIndex(({ ready, unschedulable }) => ready !== 'True' && unschedulable)
  expect(lost).toBeGreaterThan(0)
  expect(states.slice(lost).some(({ version, ready }) => version === NEW.version && ready === 'True')).toBe(true)
  // One at a time: while a node was cordoned, the other one was not.
  for (const machine of machines) {
    const [other] = machines.filter((one) => one !== machine)
    const cordoned = spans(machine.name)
    expect(cordoned).toHaveLength(1)
    for (const [from, to] of spans(other?.name ?? '')) expect(cordoned.some(([begin, end]) => begin < to && from < end)).toBe(false)
    expect(world.sights(machine.name).at(-1)).toMatchObject({ version: NEW.version, ready: 'True', unschedulable: false })
  }
}

async function lost(): Promise<void> {
  const spec = { role: 'agent', release: OLD, images: ['upstream'] } as const
  const machines = await world.machines('lost', spec, spec)
  await world.plan('lost', CRASHING)
  await world.cluster.until('a node is lost', async () => machines.some(({ name }) => world.sights(name).at(-1)?.ready === 'Unknown'))
  const [broken, next] = world.sights(machines[0].name).at(-1)?.ready === 'Unknown' ? machines : [machines[1], machines[0]]
  const { reason, message } = await world.failure('lost', broken)
  expect(reason).toBe('NodeLost')
  expect(await world.cluster.condition('lost', 'Complete')).toMatch(/^False .*node-\d+/)
  process.stdout.write(`NodeLost says: ${message}\n`)
  expect(world.upgradePods(next.name)).toEqual([])
  expect(world.sights(next.name).some(({ unschedulable }) => unschedulable)).toBe(false)

  const before = world.upgradePods(broken.name).length
  broken.install(OLD)
  await world.cluster.until('the repaired node is Ready', async () => isReady(await world.cluster.node(broken.name), OLD.version))
  // Long enough for a Job that was not put away to start its next pod.
  await pause(2 * SECOND_POD_MS)
  expect(broken.installed()).toBe(sha256(world.paths.release(OLD)))
  expect(isReady(await world.cluster.node(broken.name), OLD.version)).toBe(true)
  expect(world.upgradePods(broken.name)).toHaveLength(before)
  expect(world.upgradePods(next.name)).toEqual([])

  await world.annotatePlan('lost', 'drover.io/retry=looked-at-it')
  await world.cluster.until('the node is tried again', async () => world.upgradePods(broken.name).length > before)
  await world.cluster.until('its record counts two attempts', async () => (await world.record(broken.name)).work?.attempt === 2)
}

async function stale(): Promise<void> {
  const [machine] = await world.machines('stale', { role: 'agent', release: OLD, images: ['upstream'] })
  // Somebody put the file there and did not restart the service: such an image has nothing to do.
  machine.install(NEW)
  const services = await machine.services()
  await world.plan('stale', NEW)
  const { reason, message } = await world.failure('stale', machine)
  expect(reason).toBe('VersionMismatch')
  process.stdout.write(`VersionMismatch says: ${message}\n`)
  expect(world.upgradePods(machine.name).map(({ sights }) => sights.findLast(({ deleted }) => !deleted)?.phase)).toEqual(['Succeeded'])
  expect(isReady(await world.cluster.node(machine.name), OLD.version)).toBe(true)
  expect(await machine.services()).toEqual(services)
  expect(world.sights(machine.name).at(-1)?.label).toBe('')
}

describe('an image like the published one', () => {
  // No agent of another Plan may be above it, so it has the cluster to itself.
  describe('alone', () => {
    afterAll(() => world?.clear(), LIMIT_MS)
    test('takes a server from r1 to r2 while a bystander runs on', () => upgraded('server'), LIMIT_MS)
  })

  describe('on agents', () => {
    sideBySide(2, LIMIT_MS, [
      {
        what: 'a release that does not come up ends in NodeLost, spares the next node, and leaves a repaired machine alone until somebody says retry',
        run: lost,
      },
      { what: 'takes an agent from r1 to r2 while a bystander runs on', run: () => upgraded('agent') },
      { what: 'a node that restarts slowly is seen NotReady, comes back and is done; then the next one is taken', run: slow },
      { what: 'a Job that is Complete over an old kubelet is a VersionMismatch', run: stale },
    ])
    afterAll(() => world?.clear(), LIMIT_MS)
  })
})
