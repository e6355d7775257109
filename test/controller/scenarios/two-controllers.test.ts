/** Controllers that die, stall and come back, and others beside them (design §2, promises 1, 2 and 9; §4 "one at a time"). */
import { describe, expect, test } from '@jest/globals'
import { runController } from '../../../src/controller/run.ts'
import type { Spawned } from '../../../src/sandbox/spawn.ts'
import { CONTROLLER, createWorld, settingsFor } from '../harness.ts'
import { sucJobOn, sucPlan } from './suc.ts'
import { agents, agentsOnly, HOUR, MINUTE, NEW, SECOND, story, storyOf, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const replaced = (s: Story, node: string) =>
  (s.sandbox.machines.get(node)?.timeline ?? []).filter((event) => event.what === 'replaced').length
const inUpgrade = (s: Story) => AGENTS.find((node) => s.record(node).work?.startedAt !== undefined && s.runs(node) > 0)

/** Lets the rollout end; at no time may more than one node be cordoned. */
async function toTheEnd(s: Story): Promise<void> {
  let most = 0
  await s.until(
    'all is done',
    () => {
      most = Math.max(most, AGENTS.filter((node) => s.cordoned(node)).length)
      return s.complete('agents')
    },
    2 * HOUR,
  )
  await s.wait(20 * MINUTE)
  expect(most).toBe(1)
  expect(AGENTS.map((node) => [node, replaced(s, node), s.cordons(node)])).toEqual(AGENTS.map((node) => [node, 1, 1]))
  expect(AGENTS.map((node) => [s.node(node).status.nodeInfo.kubeletVersion, s.cordoned(node), s.label(node), s.record(node)])).toEqual(
    AGENTS.map(() => [NEW, false, s.hash(), {}]),
  )
  expect(s.applying()).toEqual([])
  expect(s.jobs()).toEqual([])
  expect(s.sandbox.server.peekAll('pods', 'system-upgrade')).toEqual([])
}

/** A controller that dies at its n-th write (Leases and Events aside); returns whether it came so far. */
async function dyingAt(n: number, side: 'crashBefore' | 'crashAfter'): Promise<boolean> {
  const world = await createWorld({ cluster: agentsOnly, seed: n })
  const s = storyOf(world)
  let writes = 0
  const doomed: Spawned = s.sandbox.spawn((process, signal) => runController(process, settingsFor(), signal), {
    name: 'doomed',
    user: CONTROLLER,
    onWrite: (_, request) => (/\/(leases|events)/.test(request.path) || ++writes !== n ? 'go' : side),
  })
  try {
    await s.until(
      'the CRD is there, or it died before',
      () => s.sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined || !doomed.alive,
    )
    if (doomed.alive) {
      await s.wait(SECOND)
      await s.apply(agents())
      await s.until('it died, or all is done', () => !doomed.alive || s.complete('agents'))
    }
    const died = !doomed.alive
    doomed.crash()
    await s.begin('drover-2')
    await s.apply(agents())
    await toTheEnd(s)
    return died
  } finally {
    doomed.crash()
    await world.stop()
  }
}

describe('killed around a write', () => {
  for (const side of ['crashBefore', 'crashAfter'] as const) {
    test(`${side === 'crashBefore' ? 'before' : 'after'} each of the first writes: the next one ends it, and nothing is done twice`, async () => {
      let last = 0
      // Past the first node's end, every kind of write has had its turn.
      for (let n = 1; n <= 24; n++) if (await dyingAt(n, side)) last = n
      expect(last).toBe(24)
    }, 180_000)
  }
})

describe('stalled for longer than its Lease', () => {
  for (const [name, when] of [
    ['before the first claim', (s: Story) => s.sandbox.server.peekAll('pods', 'system-upgrade').length > 0],
    ['right after a claim', (s: Story) => s.applying().length > 0],
    ['between cordon and start', (s: Story) => AGENTS.some((node) => s.cordoned(node))],
    ['with a Job that is born', (s: Story) => s.jobs().length > 0],
    ['in the middle of an upgrade', (s: Story) => inUpgrade(s) !== undefined],
    ['at the end of one', (s: Story) => AGENTS.some((node) => s.label(node) !== undefined)],
  ] as const) {
    story(`${name}: the next takes over, and what the first still sends changes nothing`, {}, async (s) => {
      const first = await s.begin()
      s.controller('drover-2')
      await s.apply(agents())
      await s.until(name, () => when(s))
      first.stall(4 * MINUTE)
      await toTheEnd(s)
      const lease = s.sandbox.server.peek('leases', 'system-upgrade-controller', 'system-upgrade') as unknown as {
        spec: { holderIdentity: string }
      }
      expect(lease.spec.holderIdentity).toBe('drover-2')
      expect(first.alive).toBe(true)
    })
  }

  story('back and forth, four times', {}, async (s) => {
    const both = [await s.begin(), s.controller('drover-2')]
    await s.apply(agents())
    for (let i = 0; i < 4; i++) {
      await s.wait(7 * SECOND)
      both[i % 2]!.stall(3 * MINUTE)
      await s.wait(100 * SECOND)
    }
    await toTheEnd(s)
  })
})

describe('stopped cleanly', () => {
  story('it gives the Lease back and the next leads within seconds, in the middle of an upgrade', {}, async (s) => {
    const first = await s.begin()
    s.controller('drover-2')
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    first.stop()
    const holder = () =>
      (s.sandbox.server.peek('leases', 'system-upgrade-controller', 'system-upgrade') as unknown as { spec: { holderIdentity: string } })
        .spec.holderIdentity
    await s.until('the next leads', () => holder() === 'drover-2', 30 * SECOND)
    expect(await s.sandbox.finish(first.done)).toBe('finished')
    await toTheEnd(s)
  })
})

describe('without an API server', () => {
  story('for five minutes in the middle of an upgrade: it goes on afterwards, nothing is done twice', {}, async (s) => {
    const run = await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    s.sandbox.faults.outage(5 * MINUTE)
    await toTheEnd(s)
    expect(run.alive).toBe(true)
  })
})

describe('another controller at work', () => {
  story('a Job that it makes under way stops the taking of nodes and is named for as long as it is active', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    const plan = await sucPlan(s, agents(), [])
    await s.begin()
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    const other = AGENTS.find((name) => name !== node)!
    await sucJobOn(s, plan, other)
    await s.until('told', () => /AnotherController/.test(s.condition('agents', 'Stalled')), MINUTE)
    expect(s.condition('agents', 'Stalled')).toContain(`apply-agents-on-${other}`)
    await s.wait(4 * MINUTE)
    const third = AGENTS.find((name) => name !== node && name !== other)!
    expect([s.cordons(third), s.runs(third)]).toEqual([0, 0])
    const job = s.jobs().find((entry) => entry.metadata.name.startsWith(`apply-agents-on-${other}`))!
    await s.remove(`/apis/batch/v1/namespaces/system-upgrade/jobs/${job.metadata.name}`)
    await s.until('well again', () => s.condition('agents', 'Stalled').startsWith('False'), MINUTE)
  })

  story('a SUC under another name is seen as well', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    const plan = await sucPlan(s, agents(), [])
    await s.begin()
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const other = AGENTS.find((name) => name !== inUpgrade(s))!
    await sucJobOn(s, plan, other, 1, 'suc-two')
    await s.until('told', () => /AnotherController/.test(s.condition('agents', 'Stalled')), MINUTE)
    expect(s.condition('agents', 'Stalled')).toContain(`apply-agents-on-${other}`)
  })
})
