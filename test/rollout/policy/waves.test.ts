import { describe, expect, test } from '@jest/globals'
import type { RolloutMemory } from '../../../src/api/memory.ts'
import { decide } from '../../../src/rollout/decide.ts'
import type { NodeView, World } from '../../../src/rollout/world.ts'
import { actions, aNode, aPlan, aPolicy, aRecord, aWork, aWorld, hashOf, holdsOn, NEW, NOW, pulledAndTried, remembering } from '../build.ts'

const PLAN = 'system-upgrade/p'
const HASH = hashOf(aPlan('p'))
const NAMES = Array.from({ length: 8 }, (_, index) => `n${index}`)
const labels = { 'plan.upgrade.cattle.io/p': HASH }
const done = (name: string): NodeView => aNode(name, { kubeletVersion: NEW, labels })
const open = (name: string): NodeView => aNode(name)

interface Given {
  readonly waves: readonly object[]
  readonly nodes: readonly NodeView[]
  readonly memory?: RolloutMemory['waves']
  readonly annotations?: Record<string, string>
  readonly concurrency?: number
}

function world({ waves, nodes, memory, annotations = {}, concurrency = 20 }: Given): World {
  const policy = aPolicy({ waves })
  if (!policy.ok) throw new Error(policy.error)
  const view = remembering(aPlan('p', { concurrency }, { annotations }), memory && { waves: memory })
  const { pods, dryRuns } = pulledAndTried([view], nodes)
  return aWorld({ plans: [view], policies: [policy], nodes: [...nodes], pods, observed: { dryRuns } })
}

const claimed = (given: Given) => actions(decide(world(given)), 'writeStatus').flatMap((action) => action.confirm)
const laidOut = (given: Given) => actions(decide(world(given)), 'annotatePlan').flatMap(({ memory }) => memory.waves ?? [])
const canary = { name: 'canary', size: 1 }
const later = '2026-03-02T12:00:00Z'

describe('waves are laid out once for a hash', () => {
  test("the first so many of the Plan's order, before anything is claimed", () => {
    const given = { waves: [canary, { name: 'more', size: '50%' }], nodes: NAMES.map(open) }
    expect(claimed(given)).toEqual([])
    const [waves] = laidOut(given)
    expect(waves).toMatchObject({ hash: HASH, of: [{ name: 'canary' }, { name: 'more' }] })
    expect(waves?.of.map(({ members }) => members.length)).toEqual([1, 4])
    // In the order in which the Plan would have taken them.
    const order = claimed({ waves: [], nodes: NAMES.map(open) })
    expect(waves?.of.flatMap(({ members }) => members)).toEqual(order.slice(0, 5))
  })

  test('by label, each node in the first wave that takes it; 0 and 0% mean one', () => {
    const nodes = NAMES.map((name, index) => aNode(name, { labels: { zone: index < 3 ? 'a' : 'b' } }))
    const zone = { name: 'zone-a', nodeSelector: { matchLabels: { zone: 'a' } } }
    const [waves] = laidOut({ waves: [{ ...zone, name: 'first', size: 1 }, zone, { name: 'none', size: '0%' }], nodes })
    const [first, rest, one] = waves?.of ?? []
    expect(first?.members).toHaveLength(1)
    expect([...(first?.members ?? []), ...(rest?.members ?? [])].toSorted()).toEqual(['n0', 'n1', 'n2'])
    expect(one?.members).toHaveLength(1)
  })

  test('and not again, whoever joins or leaves', () => {
    const memory = { hash: HASH, of: [{ name: 'canary', members: ['n3'] }] }
    expect(laidOut({ waves: [canary], nodes: [...NAMES, 'late'].map(open), memory })).toEqual([])
    // Another hash, another order.
    expect(laidOut({ waves: [canary], nodes: NAMES.map(open), memory: { ...memory, hash: 'old' } })).toMatchObject([{ hash: HASH }])
  })

  test('more named nodes than the memory can keep hold the Plan with a word about it', () => {
    const nodes = Array.from({ length: 2001 }, (_, index) => open(`node-${index}`))
    const decision = decide(world({ waves: [{ name: 'all', size: '100%' }], nodes }))
    expect(decision.reports.get(PLAN)?.holds[0]).toMatchObject({
      reason: 'PolicyUnreadable',
      message: 'RolloutPolicy default: spec.waves: 2001 nodes belong to named waves; at most 2000 can be kept',
    })
  })
})

describe('a wave waits for the one before', () => {
  const memory = {
    hash: HASH,
    of: [
      { name: 'canary', members: ['n0'] },
      { name: 'more', members: ['n1', 'n2'] },
    ],
  }
  const waves = [
    { ...canary, soak: '30m', approval: 'Manual' },
    { name: 'more', size: 2, maxUnavailable: 1 },
  ]
  const rest = NAMES.slice(1).map(open)
  const ended = (doneAt: string) => ({
    ...memory,
    of: [{ ...memory.of[0], name: 'canary', members: ['n0'], doneAt }, ...memory.of.slice(1)],
  })

  test('to be done', () => {
    expect(claimed({ waves, nodes: [open('n0'), ...rest], memory })).toEqual(['n0'])
    const report = decide(world({ waves, nodes: [open('n0'), ...rest], memory }))
    expect(holdsOn(report, PLAN, 'n1')).toEqual(['WavePending'])
    expect(report.reports.get(PLAN)?.nodes.get('n5')?.holds[0]?.message).toBe('wave canary: 1 of 1 nodes to go, next n0')
  })

  test('whose end is remembered when it is seen', () => {
    const given = { waves, nodes: [done('n0'), ...rest], memory }
    expect(laidOut(given)).toMatchObject([{ of: [{ name: 'canary', doneAt: later }, { name: 'more' }] }])
    expect(laidOut(given)[0]?.of[1]?.doneAt).toBeUndefined()
    expect(claimed(given)).toEqual([])
  })

  test('to soak, and looks again when that is over', () => {
    const decision = decide(world({ waves, nodes: [done('n0'), ...rest], memory: ended('2026-03-02T11:45:00Z') }))
    expect(decision.reports.get(PLAN)?.nodes.get('n1')?.holds[0]).toMatchObject({
      reason: 'WaveSoaking',
      retryAt: Date.parse('2026-03-02T12:15:00Z'),
    })
    expect(decision.lookAt).toBe(NOW.mono + 15 * 60_000)
  })

  test('to be approved, for this hash and wave', () => {
    const given = (approve?: string) => ({
      waves,
      nodes: [done('n0'), ...rest],
      memory: ended('2026-03-02T11:00:00Z'),
      ...(approve === undefined ? {} : { annotations: { 'drover.io/approve': approve } }),
    })
    expect(claimed(given())).toEqual([])
    expect(decide(world(given())).reports.get(PLAN)?.nodes.get('n1')?.holds[0]).toMatchObject({
      reason: 'AwaitingApproval',
      endedBy: 'person',
      message: `wave canary is done; set annotation drover.io/approve: ${HASH.slice(0, 8)}/canary on the Plan to go on`,
    })
    expect(claimed(given(`00000000/canary`))).toEqual([])
    expect(claimed(given(`${HASH.slice(0, 8)}/other`))).toEqual([])
    // maxUnavailable of the second wave lets one of its two nodes go.
    expect(claimed(given(`00000000/canary, ${HASH.slice(0, 8)}/canary`))).toHaveLength(1)
    expect(claimed(given(HASH.slice(0, 8)))).toHaveLength(1)
  })

  test('nodes of no wave, and those that join later, come last', () => {
    const both = {
      ...ended('2026-03-02T11:00:00Z'),
      of: [...ended('2026-03-02T11:00:00Z').of.slice(0, 1), { name: 'more', members: ['n1', 'n2'], doneAt: '2026-03-02T11:30:00Z' }],
    }
    const annotations = { 'drover.io/approve': HASH.slice(0, 8) }
    const nodes = [done('n0'), done('n1'), done('n2'), ...NAMES.slice(3).map(open), open('late')]
    expect(claimed({ waves, nodes, memory: both, annotations }).toSorted()).toEqual([...NAMES.slice(3), 'late'].toSorted())
  })

  test('a member that is gone, disabled or no longer selected is not waited for', () => {
    const approved = { 'drover.io/approve': HASH.slice(0, 8) }
    expect(claimed({ waves, nodes: rest, memory: ended('2026-03-02T11:00:00Z'), annotations: approved })).toHaveLength(1)
    const disabled = aNode('n0', { labels: { 'plan.upgrade.cattle.io/p': 'disabled' } })
    expect(laidOut({ waves, nodes: [disabled, ...rest], memory })).toMatchObject([{ of: [{ doneAt: later }, {}] }])
  })
})

describe('a node that was taken while the policy had no waves', () => {
  const waves = [canary, { name: 'more', size: 2, soak: '30m' }]
  const members = (doneAt?: string) => ({
    hash: HASH,
    of: [
      { name: 'canary', members: ['n0'], ...(doneAt === undefined ? {} : { doneAt }) },
      { name: 'more', members: ['n1', 'n2'] },
    ],
  })
  const taken = (name: string): NodeView =>
    aNode(name, {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord(name, { work: aWork(aPlan('p')), cordon: { at: '2026-03-02T11:59:00Z', plan: PLAN } }),
    })
  const backedOut = (given: Given, applying: string) => {
    const [view] = world(given).plans
    if (view?.plan === undefined) throw new Error('no Plan')
    const plan = { ...view.plan, status: { ...view.plan.status, applying: [applying] } }
    const decision = decide({ ...world(given), plans: [{ ...view, plan }] })
    return actions(decision, 'event').flatMap(({ reason, message }) => (reason === 'BackedOut' ? [message] : []))
  }

  test.each([['n1'], ['n5']])('%s is given back for a wave before its own: the two would wait for each other', (name) => {
    const given = { waves, nodes: [open('n0'), taken(name)], memory: members() }
    expect(backedOut(given, name)).toEqual([
      expect.stringContaining('node given back untouched: wave canary comes before it, and n0 is not done'),
    ])
  })

  test('is kept in the wave that is open, behind one that is done or has no node left, and while waves are being laid out', () => {
    expect(backedOut({ waves, nodes: [taken('n0'), open('n1')], memory: members() }, 'n0')).toEqual([])
    expect(backedOut({ waves, nodes: [done('n0'), taken('n1')], memory: members() }, 'n1')).toEqual([])
    expect(backedOut({ waves, nodes: [done('n0'), taken('n1')], memory: members('2026-03-02T11:00:00Z') }, 'n1')).toEqual([])
    expect(backedOut({ waves, nodes: [taken('n1')], memory: members() }, 'n1')).toEqual([])
    expect(backedOut({ waves, nodes: [open('n0'), taken('n1')] }, 'n1')).toEqual([])
    expect(backedOut({ waves: [], nodes: [open('n0'), taken('n1')], memory: members() }, 'n1')).toEqual([])
  })
})

describe('a node that SUC left cordoned and without a Job', () => {
  /** Whom the Plan goes on counting as left by SUC, or its slots where that stays as it is: the memory is written before the status. */
  const keptOf = (name: string, other: NodeView) => {
    const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN, adopted: 'suc' }
    const left = aNode(name, { unschedulable: true, cordonOwner: 'suc', record: aRecord(name, { cordon }) })
    const memory = {
      hash: HASH,
      of: [
        { name: 'canary', members: ['n0'] },
        { name: 'more', members: ['n1'] },
      ],
    }
    const base = world({ waves: [canary, { name: 'more', size: 1 }], nodes: [left, other], memory })
    const [view] = base.plans
    if (view?.plan === undefined || !view.memory.ok || view.memory.memory === undefined) throw new Error('no Plan')
    const plan = { ...view.plan, status: { ...view.plan.status, applying: [name] } }
    const adopting = { ok: true as const, memory: { ...view.memory.memory, adopt: [name] } }
    const decision = decide({ ...base, plans: [{ ...view, plan, memory: adopting }] })
    const [adopt] = actions(decision, 'annotatePlan').map((action) => action.memory.adopt)
    return adopt === undefined ? { slots: actions(decision, 'writeStatus')[0]?.status.applying } : { adopt }
  }

  test('keeps its slot in the open wave', () => {
    expect(keptOf('n0', open('n1'))).toEqual({ slots: ['n0'] })
  })

  test('gives it back for a wave before its own: the two would wait for each other', () => {
    expect(keptOf('n1', open('n0'))).toEqual({ adopt: [] })
  })
})
