/** What `coordinate.kured` of a RolloutPolicy does to the decision. */
import { describe, expect, test } from '@jest/globals'
import { decide } from '../../../src/rollout/decide.ts'
import type { Decision, Fresh, KuredView, NodeView, World } from '../../../src/rollout/world.ts'
import {
  actions,
  aFailed,
  aNode,
  aPlan,
  aPolicy,
  aRecord,
  aWork,
  aWorld,
  hashOf,
  holdsOn,
  type KnownPlan,
  NOW,
  pulledAndTried,
  remembering,
} from '../build.ts'

const PLAN = 'system-upgrade/p'
const US = 'drover/system-upgrade/system-upgrade-controller'
const HOUR_NS = 3_600_000_000_000

const plan = (spec: Parameters<typeof aPlan>[1] = {}, more: Parameters<typeof aPlan>[2] = {}) => remembering(aPlan('p', spec, more))

const minutesAgo = (minutes: number) => new Date(NOW.wall - minutes * 60_000).toISOString()
const entry = (nodeID: string, minutes = 1, TTL = 0) => ({ nodeID, metadata: { unschedulable: false }, created: minutesAgo(minutes), TTL })
const locked = (value: unknown, owners = 1): Fresh<KuredView | null> => ({
  at: NOW.mono,
  ok: true,
  value: {
    uid: 'uid-kured',
    resourceVersion: '7',
    lock: value === undefined ? undefined : typeof value === 'string' ? value : JSON.stringify(value),
    owners,
  },
})

interface Scene {
  readonly view?: KnownPlan
  readonly nodes?: readonly NodeView[]
  readonly spec?: object
  readonly more?: Parameters<typeof aWorld>[0]
}

/** Nothing but kured stands before the claim of node `a`. */
function world(lock: Fresh<KuredView | null> | undefined, scene: Scene = {}): World {
  const view = scene.view ?? plan()
  const nodes = scene.nodes ?? [aNode('a')]
  const { pods, dryRuns } = pulledAndTried([view], nodes)
  return aWorld({
    plans: [view],
    policies: [aPolicy(scene.spec ?? { coordinate: { kured: true } })],
    nodes: [...nodes],
    pods,
    ...scene.more,
    observed: {
      dryRuns,
      kured: new Map(lock === undefined ? [] : [['lock', lock]]),
      ...scene.more?.observed,
    },
  })
}

const claimed = (decision: Decision) => actions(decision, 'writeStatus').flatMap((action) => action.confirm)
const writes = (decision: Decision) => actions(decision, 'lockKured')
const taken = (decision: Decision) => writes(decision).map(({ value }) => (value === null ? null : (JSON.parse(value) as object)))
const asks = (decision: Decision) => decision.needs.flatMap((need) => (need.kind === 'kured' ? [need.maxAgeMs] : []))
const message = (decision: Decision) => decision.reports.get(PLAN)?.nodes.get('a')?.holds[0]

/** Node `a` was taken, and is not started yet. */
const inFlight = (): Scene => {
  const view = plan({}, { status: { applying: ['a'] } })
  const record = aRecord('a', { work: aWork(view), cordon: { at: '2026-03-02T11:59:00Z', plan: view.key } })
  return { view, nodes: [aNode('a', { unschedulable: true, cordonOwner: 'drover', record })] }
}

describe('coordinate.kured', () => {
  test('false, the default: nobody asks for the lock, and whatever it says counts for nothing', () => {
    for (const spec of [{}, { coordinate: { kured: false } }]) {
      const decision = decide(world(locked(entry('node-9')), { spec }))
      expect([claimed(decision), asks(decision), writes(decision)]).toEqual([['a'], [], []])
    }
  })

  test('while kured holds it for a node, none is taken, and the node is named', () => {
    const decision = decide(world(locked(entry('node-9'))))
    expect([claimed(decision), holdsOn(decision, PLAN, 'a'), writes(decision)]).toEqual([[], ['KuredLocked'], []])
    expect(message(decision)).toMatchObject({
      message: 'kured holds its lock for node node-9, which it is about to reboot',
      blockedBy: 'DaemonSet/kube-system/kured',
    })
  })

  test('kured with several locks: one that is held is enough', () => {
    const several = { maxOwners: 3, locks: [entry('node-8', 90, HOUR_NS), entry('node-9')] }
    expect(message(decide(world(locked(several, 3))))?.message).toContain('node-9')
    expect(taken(decide(world(locked({ maxOwners: 3, locks: [] }, 3))))).toHaveLength(1)
    expect(taken(decide(world(locked({ maxOwners: 3, locks: null }, 3))))).toHaveLength(1)
  })

  test('a lock without an end never ends; one whose time is over is none', () => {
    expect(claimed(decide(world(locked(entry('node-9', 100_000)))))).toEqual([])
    expect(taken(decide(world(locked(entry('node-9', 59, HOUR_NS)))))).toEqual([])
    expect(taken(decide(world(locked(entry('node-9', 60, HOUR_NS)))))).toHaveLength(1)
  })

  test('what is free is taken before the claim, under a name that no node has, and with an end', () => {
    const decision = decide(world(locked(undefined)))
    expect([claimed(decision), holdsOn(decision, PLAN, 'a')]).toEqual([[], ['KuredLocked']])
    expect(writes(decision)).toMatchObject([{ uid: 'uid-kured', resourceVersion: '7' }])
    expect(taken(decision)).toEqual([{ nodeID: US, metadata: { unschedulable: false }, created: '2026-03-02T12:00:00.000Z', TTL: HOUR_NS }])
    expect(claimed(decide(world(locked(entry(US, 1, HOUR_NS)))))).toEqual(['a'])
  })

  test('kured with several locks: all of them are taken', () => {
    const [value] = taken(decide(world(locked(undefined, 2))))
    expect(value).toMatchObject({ nodeID: US, maxOwners: 2, locks: [{ nodeID: `${US}/1` }, { nodeID: `${US}/2` }] })
    expect(claimed(decide(world(locked(value, 2))))).toEqual(['a'])
  })

  test('another Drover is somebody else', () => {
    expect(message(decide(world(locked(entry('drover/other/system-upgrade-controller')))))?.message).toContain('drover/other')
  })

  test('is not taken for a node that something else holds back, nor when all slots are taken', () => {
    const held = decide(world(locked(undefined), { nodes: [aNode('a', { hold: 'me' })] }))
    expect([holdsOn(held, PLAN, 'a'), writes(held)]).toEqual([['NodeHeld'], []])
    const full = inFlight()
    const two = decide(world(locked(entry(US, 1, HOUR_NS)), { ...full, nodes: [...(full.nodes ?? []), aNode('b')] }))
    expect([holdsOn(two, PLAN, 'b'), writes(two)]).toEqual([['ConcurrencyReached'], []])
  })

  test('what cannot be read holds: not asked yet, no answer, refused, no DaemonSet, no JSON', () => {
    const error = (refused: boolean) => ({ at: NOW.mono, ok: false, error: 'no', refused }) as const
    const found = [
      undefined,
      error(false),
      error(true),
      { at: NOW.mono, ok: true, value: null } as const,
      locked('{'),
      locked('7'),
      locked({ locks: 'x' }),
    ].map((lock) => {
      const decision = decide(world(lock))
      return [claimed(decision).length + writes(decision).length, holdsOn(decision, PLAN, 'a')[0], message(decision)?.endedBy]
    })
    expect(found).toEqual([
      [0, 'KuredLocked', 'cluster'],
      [0, 'KuredLocked', 'cluster'],
      [0, 'Refused', 'person'],
      [0, 'KuredLocked', 'person'],
      [0, 'KuredLocked', 'person'],
      [0, 'KuredLocked', 'person'],
      [0, 'KuredLocked', 'person'],
    ])
  })

  test('a node that was taken is not started without it: lost, it is taken again; somebody else’s is waited for', () => {
    const starts = (decision: Decision) => actions(decision, 'createJob').length
    const ours = decide(world(locked(entry(US, 1, HOUR_NS)), inFlight()))
    expect([starts(ours), writes(ours)]).toEqual([1, []])
    const lost = decide(world(locked(undefined), inFlight()))
    expect([starts(lost), taken(lost).length, holdsOn(lost, PLAN, 'a')]).toEqual([0, 1, ['KuredLocked']])
    const other = decide(world(locked(entry('node-9')), inFlight()))
    expect([starts(other), writes(other)]).toEqual([0, []])
  })

  test('is renewed in time while nodes are in flight, and asked for often', () => {
    expect(taken(decide(world(locked(entry(US, 19, HOUR_NS)), inFlight())))).toEqual([])
    expect(taken(decide(world(locked(entry(US, 20, HOUR_NS)), inFlight())))).toMatchObject([{ created: '2026-03-02T12:00:00.000Z' }])
    expect(asks(decide(world(locked(entry(US, 1, HOUR_NS)), inFlight())))).toEqual([10_000])
  })

  test('is given back when no node is in flight any more; a failed node keeps it from nobody', () => {
    const done = aPlan('p')
    const finished = aNode('a', { labels: { [`plan.upgrade.cattle.io/p`]: hashOf(done) } })
    expect(taken(decide(world(locked(entry(US, 1, HOUR_NS)), { nodes: [finished] })))).toEqual([null])
    // Another leader's claim, whose record does not show yet.
    const claim = plan({}, { status: { applying: ['a'] } })
    expect(writes(decide(world(locked(entry(US, 1, HOUR_NS)), { view: claim })))).toEqual([])
    const view = plan({}, { status: { applying: ['a'] } })
    const failed = aFailed(view, 'a')
    expect(taken(decide(world(locked(entry(US, 1, HOUR_NS)), { view, nodes: [failed] })))).toEqual([null])
    // It is claimed again in this very pass.
    const asked = plan({}, { status: { applying: ['a'] }, annotations: { 'drover.io/retry': '1' } })
    const again = decide(world(locked(entry(US, 1, HOUR_NS)), { view: asked, nodes: [failed] }))
    expect([claimed(again), writes(again)]).toEqual([['a'], []])
    // With nothing to do it is looked at seldom, and what is somebody else's is left alone.
    const idle = decide(world(locked(entry('node-9')), { nodes: [finished] }))
    expect([writes(idle), asks(idle)]).toEqual([[], [600_000]])
  })

  test('a Plan that disrupts nothing does not care', () => {
    const mild = plan({ cordon: false, upgrade: { image: 'busybox' } })
    const decision = decide(world(locked(entry('node-9')), { view: mild }))
    expect([claimed(decision), writes(decision)]).toEqual([['a'], []])
  })

  test('that is no flag, or a neighbour that is not known, makes the policy unreadable', () => {
    const error = (spec: object) => {
      const view = aPolicy(spec)
      return view.ok ? undefined : view.error
    }
    expect(error({ coordinate: { kured: 'yes' } })).toMatch(/^spec\.coordinate\.kured: /)
    expect(error({ coordinate: { karpenter: true } })).toMatch(/^spec\.coordinate: .*karpenter/)
  })
})
