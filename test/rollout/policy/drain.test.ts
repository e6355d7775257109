/** What each field below `drain` of a RolloutPolicy does to the decision; each test is named after its field. */
import { describe, expect, test } from '@jest/globals'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { PolicyView } from '../../../src/api/policy.ts'
import type { Blocked, NodeRecord } from '../../../src/api/record.ts'
import { decide, recheck } from '../../../src/rollout/decide.ts'
import type { Decision, Evicted, NodeView, World } from '../../../src/rollout/world.ts'
import {
  aBlocked,
  aBudget,
  actions,
  aNode,
  aPlan,
  aPod,
  aPolicy,
  aRecord,
  aWork,
  aWorld,
  hashOf,
  holdsOn,
  type KnownPlan,
  NOW,
  planHolds,
  pulledAndTried,
  remembering,
} from '../build.ts'

const PLAN = 'system-upgrade/p'
/** When the node was cordoned: a minute ago. */
const CORDONED = '2026-03-02T11:59:00Z'

/** Without a word about drains the group is left out. */
const policy = (drain: object, more: object = {}): PolicyView => {
  const says = Object.values(drain).some((value) => value !== undefined)
  return aPolicy({ ...(says ? { drain } : {}), ...more })
}

function error(drain: object): string | undefined {
  const view = policy(drain)
  return view.ok ? undefined : view.error
}

const plan = (spec: Parameters<typeof aPlan>[1] = {}, more: Parameters<typeof aPlan>[2] = {}): KnownPlan =>
  remembering(aPlan('p', { drain: { force: true }, ...spec }, more))

const draining = (view: KnownPlan, name: string, record: Partial<NodeRecord> = {}): NodeView =>
  aNode(name, {
    unschedulable: true,
    cordonOwner: 'drover',
    record: aRecord(name, { work: aWork(view), cordon: { at: CORDONED, plan: view.key }, ...record }),
  })

interface Scene {
  readonly view?: KnownPlan
  readonly nodes?: readonly NodeView[]
  readonly pods?: readonly Pod[]
  readonly budgets?: readonly PodDisruptionBudget[]
  readonly evictions?: Readonly<Record<string, Partial<Evicted>>>
  readonly more?: Parameters<typeof aWorld>[0]
  readonly policy?: object
}

/** Node `a` is being drained, unless the scene says otherwise; all nodes have pulled, and their pods are known. */
function world(drain: object, scene: Scene = {}): World {
  const view = scene.view ?? plan({}, { status: { applying: ['a'] } })
  const nodes = scene.nodes ?? [draining(view, 'a')]
  const pods = (node: string) => (scene.pods ?? []).filter(({ spec }) => spec?.nodeName === node)
  const { pods: pulled, dryRuns } = pulledAndTried([view], nodes)
  return aWorld({
    plans: [view],
    policies: [policy(drain, scene.policy)],
    nodes: [...nodes],
    pods: pulled,
    since: new Map([[`cordoned uid-a ${CORDONED} 1`, { wall: NOW.wall - 60_000, mono: NOW.mono - 60_000 }]]),
    ...scene.more,
    observed: {
      dryRuns,
      drains: new Map(
        nodes.map((node) => [
          node.name,
          { at: NOW.mono, ok: true, value: { pods: pods(node.name), budgets: scene.budgets ?? [], daemonSets: new Set<string>() } },
        ]),
      ),
      evictions: new Map(
        Object.entries(scene.evictions ?? {}).map(([pod, answer]) => [
          `uid-${pod}`,
          { at: NOW.mono, sent: false, message: 'no', ...answer },
        ]),
      ),
      ...scene.more?.observed,
    },
  })
}

const claimed = (decision: Decision) => actions(decision, 'writeStatus').flatMap((action) => action.confirm)
const evicted = (decision: Decision) => actions(decision, 'evict').map(({ pod }) => pod.name)
const written = (decision: Decision) => actions(decision, 'patchNode').map(({ record }) => record)
const starts = (decision: Decision) => actions(decision, 'createJob').length > 0
const blockedBy = (view: KnownPlan, more: Partial<Blocked> = {}): Blocked => aBlocked(view, { at: CORDONED, ...more })
const blocked = (view: KnownPlan, name: string, more: Partial<Blocked> = {}): NodeView =>
  aNode(name, {
    ...(more.how === 'Quarantine' ? { unschedulable: true, cordonOwner: 'drover' } : {}),
    record: aRecord(name, {
      blocked: { [view.key]: blockedBy(view, more) },
      ...(more.how === 'Quarantine' ? { cordon: { at: CORDONED, plan: view.key } } : {}),
    }),
  })

describe('drain.timeout', () => {
  const web = { pods: [aPod('web', 'a')] }
  const failed = (drain: object, spec?: Parameters<typeof aPlan>[1]) => {
    const scene = spec === undefined ? web : { ...web, view: plan(spec, { status: { applying: ['a'] } }) }
    return written(decide(world(drain, scene))).some(({ past }) => past?.[PLAN]?.reason === 'DrainTimeout')
  }

  test("stands in for the Plan's, from the cordon on", () => {
    expect(failed({ timeout: '61s' })).toBe(false)
    expect(failed({ timeout: '60s' })).toBe(true)
    expect(failed({ timeout: '10m' }, { drain: { force: true, timeout: 30_000_000_000 } })).toBe(false)
    expect(failed({ timeout: '10s' }, { drain: { force: true, timeout: 3_600_000_000_000 } })).toBe(true)
  })

  test("missing: the Plan's; 0: none, whatever the Plan says", () => {
    expect(failed({}, { drain: { force: true, timeout: 30_000_000_000 } })).toBe(true)
    expect(failed({ timeout: '0s' }, { drain: { force: true, timeout: 30_000_000_000 } })).toBe(false)
    expect(failed({})).toBe(false)
  })

  test('asks to be looked at again when it ends', () => {
    expect(decide(world({ timeout: '90s' }, web)).lookAt).toBeLessThanOrEqual(NOW.mono + 30_000)
  })

  test('ends a drain that a pod forbids, too', () => {
    const bare = aPod('bare', 'a', { metadata: { ownerReferences: [] } })
    const view = plan({ drain: { force: false } }, { status: { applying: ['a'] } })
    const decision = decide(world({ timeout: '30s' }, { view, pods: [bare] }))
    expect(written(decision)[0]?.past?.[PLAN]?.message).toMatch(/^drain\.timeout is over; cannot delete Pods that declare no controller/)
    expect(holdsOn(decide(world({}, { view, pods: [bare] })), PLAN, 'a')).toEqual(['DrainImpossible'])
  })

  test('that is no duration makes the policy unreadable', () => {
    expect(error({ timeout: 'soon' })).toMatch(/^spec\.drain\.timeout: /)
    expect(error({ timeout: '-1s' })).toMatch(/^spec\.drain\.timeout: /)
    expect(error({ timeouts: '1s' })).toMatch(/^spec\.drain: .*timeouts/)
  })
})

describe('drain.onTimeout', () => {
  const over = { timeout: '30s' }
  const web = { pods: [aPod('web', 'a')] }

  test('Fail, the default: the node failed and is given back uncordoned, as without a policy', () => {
    for (const drain of [over, { ...over, onTimeout: 'Fail' }]) {
      const [record] = written(decide(world(drain, web)))
      expect(record?.past?.[PLAN]).toMatchObject({ reason: 'DrainTimeout', message: 'drain.timeout is over; left: default/web' })
      expect([record?.cordon, record?.blocked]).toEqual([undefined, {}])
    }
  })

  test('Release: uncordoned, no failure, remembered, told on node and Plan', () => {
    const decision = decide(world({ ...over, onTimeout: 'Release' }, web))
    expect(actions(decision, 'patchNode')).toMatchObject([{ node: 'a', unschedulable: false }])
    const [record] = written(decision)
    expect([record?.work, record?.cordon, record?.past]).toEqual([undefined, undefined, undefined])
    expect(record?.blocked?.[PLAN]).toMatchObject({ how: 'Release', attempts: 1, message: 'drain.timeout is over; left: default/web' })
    expect(actions(decision, 'event').flatMap(({ on, reason }) => (reason === 'DrainTimeout' ? [on.kind] : []))).toEqual(['Node', 'Plan'])
  })

  test('Release counts its tries, of this hash', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const again = (entry: Blocked) =>
      written(
        decide(world({ ...over, onTimeout: 'Release' }, { ...web, view, nodes: [draining(view, 'a', { blocked: { [PLAN]: entry } })] })),
      )[0]?.blocked?.[PLAN]?.attempts
    expect(again(blockedBy(view, { attempts: 2 }))).toBe(3)
    expect(again(blockedBy(view, { attempts: 2, hash: 'older' }))).toBe(1)
  })

  test('Release: the slot goes to another at once, and the node waits as long as failure.backoff says', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const at = (attempts: number, minutesAgo: number) => {
      const entry = blockedBy(view, { attempts, at: new Date(NOW.wall - minutesAgo * 60_000).toISOString() })
      const nodes = [aNode('a', { record: aRecord('a', { blocked: { [PLAN]: entry } }) })]
      return decide(world({ onTimeout: 'Release' }, { view: plan(), nodes, policy: { failure: { backoff: { base: '10m', cap: '30m' } } } }))
    }
    expect(
      actions(decide(world({ onTimeout: 'Release' }, { view, nodes: [blocked(view, 'a')] })), 'writeStatus')[0]?.status.applying,
    ).toEqual([])
    expect([holdsOn(at(1, 9), PLAN, 'a'), claimed(at(1, 9))]).toEqual([['DrainPutOff'], []])
    expect(claimed(at(1, 10))).toEqual(['a'])
    expect(claimed(at(2, 19))).toEqual([])
    expect(claimed(at(2, 20))).toEqual(['a'])
    expect(claimed(at(9, 30))).toEqual(['a'])
  })

  test('Release: tried again after all others, at once with another drover.io/retry or another spec', () => {
    const view = plan()
    const others = [aNode('b'), aNode('c'), aNode('d')]
    const due = blocked(view, 'a', { at: '2026-03-02T10:00:00Z' })
    expect(claimed(decide(world({}, { view, nodes: [due, ...others] })))).not.toContain('a')
    expect(claimed(decide(world({}, { view, nodes: [blocked(view, 'a')] })))).toEqual([])
    const asked = plan({}, { annotations: { 'drover.io/retry': '1' } })
    expect(claimed(decide(world({}, { view: asked, nodes: [blocked(asked, 'a')] })))).toEqual(['a'])
    const edited = plan({}, { generation: 2 })
    expect(claimed(decide(world({}, { view: edited, nodes: [blocked(edited, 'a')] })))).toEqual(['a'])
  })

  test('Quarantine: stays cordoned, its slot goes to another, and a person ends it', () => {
    const decision = decide(world({ ...over, onTimeout: 'Quarantine' }, web))
    expect(actions(decision, 'patchNode')[0]?.unschedulable).toBeUndefined()
    expect(written(decision)[0]).toMatchObject({ cordon: { plan: PLAN }, blocked: { [PLAN]: { how: 'Quarantine' } } })
    const view = plan({}, { status: { applying: ['a'] } })
    const later = decide(world({}, { view, nodes: [blocked(view, 'a', { how: 'Quarantine', at: '2026-03-01T00:00:00Z' }), aNode('b')] }))
    expect(holdsOn(later, PLAN, 'a')).toEqual(['Quarantined'])
    expect(later.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.endedBy).toBe('person')
    expect(actions(later, 'patchNode')).toEqual([])
    expect(actions(later, 'writeStatus')[0]?.status.applying).toEqual(['b'])
    const asked = plan({}, { annotations: { 'drover.io/retry': '1' } })
    expect(claimed(decide(world({}, { view: asked, nodes: [blocked(asked, 'a', { how: 'Quarantine' })] })))).toEqual(['a'])
  })

  test('Quarantine counts as unavailable, and keeps other Plans away', () => {
    const view = plan()
    const scene = { view, nodes: [blocked(view, 'a', { how: 'Quarantine' }), aNode('b')], policy: { budget: { maxUnavailable: 1 } } }
    expect(holdsOn(decide(world({}, scene)), PLAN, 'b')).toEqual(['BudgetReached'])
    const other = aPlan('q', {}, { noted: true })
    const worldOfTwo = world({}, { view, nodes: [blocked(view, 'a', { how: 'Quarantine' })] })
    const two = decide({ ...worldOfTwo, plans: [view, other], policies: [] })
    expect(two.reports.get(other.key)?.nodes.get('a')?.holds[0]).toMatchObject({ reason: 'Quarantined', blockedBy: `Plan/${PLAN}` })
  })

  test('a wave does not wait for a quarantined member, but for a released one', () => {
    const doneAt = (how: Blocked['how']) => {
      const view = plan()
      const memory = view.memory.ok ? view.memory.memory : undefined
      const waves = { hash: hashOf(view), of: [{ name: 'first', members: ['a'] }] }
      const known: KnownPlan = { ...view, memory: { ok: true, memory: { v: 1, ...memory, waves } } }
      const scene = { view: known, nodes: [blocked(known, 'a', { how }), aNode('b')], policy: { waves: [{ name: 'first', size: 1 }] } }
      return actions(decide(world({}, scene)), 'annotatePlan')[0]?.memory.waves?.of[0]?.doneAt
    }
    expect([doneAt('Quarantine'), doneAt('Release')]).toEqual(['2026-03-02T12:00:00Z', undefined])
  })

  test('Quarantine ends, with its cordon, when the Plan is gone, aborted, of another hash, or selects the node no longer', () => {
    const view = plan()
    const node = blocked(view, 'a', { how: 'Quarantine' })
    const lifted = (decision: Decision) =>
      actions(decision, 'patchNode').map(({ unschedulable, record }) => [unschedulable, record.blocked])
    expect(lifted(decide({ ...world({}, { view, nodes: [node] }), plans: [] }))).toEqual([[false, {}]])
    const aborted = plan({}, { annotations: { 'drover.io/abort': hashOf(view).slice(0, 8) } })
    expect(lifted(decide(world({}, { view: aborted, nodes: [node] })))).toEqual([[false, {}]])
    expect(
      lifted(decide(world({}, { view: plan({ version: 'v1.33.5+rke2r1' }, { annotations: { 'drover.io/paused': '' } }), nodes: [node] }))),
    ).toEqual([[false, {}]])
    const narrow = plan({ nodeSelector: { matchLabels: { role: 'db' } } })
    const there = blocked(narrow, 'a', { how: 'Quarantine' })
    expect(lifted(decide(world({}, { view: narrow, nodes: [there] })))).toEqual([[false, {}]])
    expect(lifted(decide(world({}, { view, nodes: [node] })))).toEqual([])
  })

  test('Proceed: goes on once every pod that is left was refused, and says which', () => {
    const pods = [aPod('web', 'a'), aPod('db', 'a')]
    const proceeds = (evictions: Scene['evictions'] & object) => decide(world({ ...over, onTimeout: 'Proceed' }, { pods, evictions }))
    const refused = proceeds({ web: {}, db: {} })
    expect(starts(refused)).toBe(true)
    expect(actions(refused, 'event').map(({ reason, message }) => [reason, message])).toContainEqual([
      'DrainIncomplete',
      'Node a: drain.timeout is over; the upgrade goes on with pods whose eviction was refused: default/web, default/db',
    ])
    // Nobody has asked db to go, it is on its way, or it is the permission that is missing.
    for (const evictions of [{ web: {} }, { web: {}, db: { sent: true } }, { web: {}, db: { forbidden: true } }])
      expect(starts(proceeds(evictions))).toBe(false)
  })

  test('Proceed: before the time is over nothing goes on, and what forbids a drain forbids it for ever', () => {
    const scene = { ...web, evictions: { web: {} } }
    expect(starts(decide(world({ timeout: '2m', onTimeout: 'Proceed' }, scene)))).toBe(false)
    const bare = aPod('bare', 'a', { metadata: { ownerReferences: [] } })
    const view = plan({ drain: { force: false } }, { status: { applying: ['a'] } })
    const decision = decide(world({ ...over, onTimeout: 'Proceed' }, { view, pods: [bare], evictions: { bare: {} } }))
    expect([starts(decision), holdsOn(decision, PLAN, 'a')]).toEqual([false, ['DrainImpossible']])
  })

  test('that is not known makes the policy unreadable', () => {
    expect(error({ onTimeout: 'Ignore' })).toMatch(/^spec\.drain\.onTimeout: /)
  })
})

describe('drain.maxBlockedNodes', () => {
  const scene = (count: number, more: Partial<Blocked> = {}): Scene => {
    const view = plan()
    const nodes = Array.from({ length: count }, (_, index) => blocked(view, `a${index}`, more))
    return { view, nodes: [...nodes, aNode('b')] }
  }
  const takes = (drain: object, count: number) => claimed(decide(world(drain, scene(count)))).includes('b')

  test('more nodes than that: no other is taken; 1 by default, 0 allows none', () => {
    expect([takes({}, 1), takes({}, 2)]).toEqual([true, false])
    expect([takes({ maxBlockedNodes: 0 }, 0), takes({ maxBlockedNodes: 0 }, 1)]).toEqual([true, false])
    expect([takes({ maxBlockedNodes: 3 }, 3), takes({ maxBlockedNodes: 3 }, 4)]).toEqual([true, false])
  })

  test('a percentage of the Plan’s nodes, rounded down and at least one; 0% allows none, 100% all', () => {
    expect([takes({ maxBlockedNodes: '50%' }, 2), takes({ maxBlockedNodes: '50%' }, 4)]).toEqual([false, false])
    expect(takes({ maxBlockedNodes: '70%' }, 2)).toBe(true)
    expect([takes({ maxBlockedNodes: '0%' }, 1), takes({ maxBlockedNodes: '1%' }, 1)]).toEqual([false, true])
    expect(takes({ maxBlockedNodes: '100%' }, 9)).toBe(true)
  })

  test('says so on the Plan; a person ends it where one is quarantined', () => {
    const released = decide(world({}, scene(2)))
    expect(released.reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'TooManyBlockedNodes',
        endedBy: 'cluster',
        message: '2 nodes could not be drained in time (a0, a1); RolloutPolicy default allows 1',
      },
    ])
    expect(holdsOn(released, PLAN, 'b')).toEqual(['TooManyBlockedNodes'])
    const quarantined = decide(world({}, scene(2, { how: 'Quarantine' })))
    expect(quarantined.reports.get(PLAN)?.holds).toMatchObject([{ reason: 'TooManyBlockedNodes', endedBy: 'person' }])
  })

  test('the released ones are tried again all the same', () => {
    expect(claimed(decide(world({}, scene(2, { at: '2026-03-02T10:00:00Z' }))))).toHaveLength(1)
    expect(claimed(decide(world({}, scene(2, { at: '2026-03-02T10:00:00Z' }))))).not.toContain('b')
  })

  test('counts when a claim is confirmed, too', () => {
    const view = plan({ concurrency: 5 }, { status: { applying: ['b', 'a0'] } })
    const nodes = [blocked(view, 'a0', { at: '2026-03-02T10:00:00Z' }), blocked(view, 'a1'), aNode('b')]
    const found = recheck(world({}, { view, nodes }), PLAN, ['b', 'a0'], hashOf(view))
    expect([...found].map(([name, { reason }]) => [name, reason])).toEqual([['b', 'TooManyBlockedNodes']])
  })

  test('counts nobody who is done, worked on, or of another hash', () => {
    const view = plan()
    const done = { ...blocked(view, 'a0'), labels: { 'kubernetes.io/hostname': 'a0', 'plan.upgrade.cattle.io/p': hashOf(view) } }
    const nodes = [done, blocked(view, 'a1', { hash: 'older' }), blocked(view, 'a2'), aNode('b')]
    expect(planHolds(decide(world({ maxBlockedNodes: 1 }, { view, nodes })), PLAN)).toEqual([])
  })

  test('that is no share makes the policy unreadable', () => {
    expect(error({ maxBlockedNodes: '101%' })).toMatch(/^spec\.drain\.maxBlockedNodes: /)
    expect(error({ maxBlockedNodes: -1 })).toMatch(/^spec\.drain\.maxBlockedNodes: /)
  })
})

describe('drain.forecast', () => {
  const view = plan()
  const before = (drain: object, more: Scene = {}) => decide(world(drain, { view, nodes: [aNode('a')], pods: [aPod('web', 'a')], ...more }))
  const told = (decision: Decision) =>
    actions(decision, 'event').flatMap(({ reason, message }) => (reason === 'DrainForecast' ? [message] : []))
  const needed = (decision: Decision) => decision.needs.filter(({ kind }) => kind === 'tries')
  /** The dry runs have been answered. */
  const tried = (refused: Readonly<Record<string, string>>, asked: readonly string[] = ['web']): Scene['more'] => ({
    observed: {
      tries: new Map([
        [
          'a',
          {
            at: NOW.mono,
            ok: true,
            value: {
              asked: new Set(asked.map((pod) => `uid-${pod}`)),
              refused: new Map(Object.entries(refused).map(([pod, why]) => [`uid-${pod}`, why])),
            },
          },
        ],
      ]),
    },
  })
  const zero = { budgets: [aBudget('web')] }
  const several = { budgets: [aBudget('web', 1), aBudget('web', 1, 'other')] }

  test('Warn, the default: told by event, taken all the same, and no eviction is tried', () => {
    for (const drain of [{}, { forecast: 'Warn' }]) {
      const decision = before(drain, zero)
      expect([claimed(decision), needed(decision)]).toEqual([['a'], []])
      expect(told(decision)).toEqual([
        'Node a: pod default/web cannot be evicted now: PodDisruptionBudget default/web allows no disruption (1 healthy, 1 required)',
      ])
      expect(told(before(drain, several))[0]).toMatch(/under several PodDisruptionBudgets \(default\/web, default\/other\)/)
    }
  })

  test('Warn: told once, and in the status when the node is taken', () => {
    const message = 'pod default/web cannot be evicted now: PodDisruptionBudget default/web allows no disruption (1 healthy, 1 required)'
    const since = new Map([[`forecast ${PLAN} a ${message}`, NOW]])
    expect(told(before({}, { ...zero, more: { since } }))).toEqual([])
    const taken = plan({}, { status: { applying: ['a'] } })
    const confirmed = new Set([`${taken.uid}/${hashOf(taken)}/uid-a`])
    const decision = before({}, { ...zero, view: taken, more: { confirmed } })
    expect(actions(decision, 'patchNode')).toMatchObject([{ unschedulable: true }])
    expect(decision.reports.get(PLAN)?.nodes.get('a')).toMatchObject({
      phase: 'Preflight',
      holds: [{ reason: 'DrainBlocked', message: `node a: ${message}` }],
    })
  })

  test('Enforce: a budget without room, or several on a pod, keep the node from being taken; others go on', () => {
    for (const scene of [zero, several]) {
      const decision = before({ forecast: 'Enforce' }, scene)
      expect([claimed(decision), holdsOn(decision, PLAN, 'a')]).toEqual([[], ['DrainForecastBlocked']])
      expect(decision.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.blockedBy).toBe('PodDisruptionBudget/default/web')
      expect(told(decision)).toHaveLength(1)
      const two = { ...scene, nodes: [aNode('a'), aNode('b')] }
      expect(claimed(before({ forecast: 'Enforce' }, two))).toEqual(['b'])
    }
  })

  test('Enforce: many nodes that wait so keep nobody from being pulled and taken', () => {
    const nodes = [...Array.from({ length: 15 }, (_, index) => `n${index}`), 'free'].map((name) => aNode(name))
    const pods = nodes.flatMap(({ name }) =>
      name === 'free' ? [] : [aPod('web', name, { metadata: { labels: { app: 'web' }, uid: `uid-${name}` } })],
    )
    expect(claimed(before({ forecast: 'Enforce' }, { nodes, pods, ...zero }))).toEqual(['free'])
  })

  test('Enforce: each eviction is tried as a dry run first, and what is refused holds', () => {
    const asking = before({ forecast: 'Enforce' })
    expect([claimed(asking), holdsOn(asking, PLAN, 'a')]).toEqual([[], ['DrainForecastBlocked']])
    expect(needed(asking)).toEqual([
      { kind: 'tries', node: 'a', pods: [{ namespace: 'default', name: 'web', uid: 'uid-web' }], maxAgeMs: 0 },
    ])
    expect(claimed(before({ forecast: 'Enforce' }, { more: tried({}) }))).toEqual(['a'])
    const refused = before({ forecast: 'Enforce' }, { more: tried({ web: 'admission webhook "db" denied the request' }) })
    expect([claimed(refused), told(refused)]).toEqual([
      [],
      ['Node a: pod default/web could not be evicted: admission webhook "db" denied the request'],
    ])
    // One that has come since then was not tried.
    const more = { pods: [aPod('web', 'a'), aPod('new', 'a')], more: tried({}) }
    expect([claimed(before({ forecast: 'Enforce' }, more)), needed(before({ forecast: 'Enforce' }, more))]).toMatchObject([
      [],
      [{ maxAgeMs: 0 }],
    ])
  })

  test('Enforce: what cannot be tried holds, an empty node needs no try, and deletions ask nobody', () => {
    const failing = { observed: { tries: new Map([['a', { at: NOW.mono, ok: false, error: 'timeout' } as const]]) } }
    const decision = before({ forecast: 'Enforce' }, { more: failing })
    expect([claimed(decision), decision.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message]).toEqual([
      [],
      'the evictions on node a could not be tried: timeout',
    ])
    expect(claimed(before({ forecast: 'Enforce' }, { pods: [] }))).toEqual(['a'])
    const deleting = plan({ drain: { force: true, disableEviction: true } })
    expect(claimed(before({ forecast: 'Enforce' }, { ...zero, view: deleting }))).toEqual(['a'])
  })

  test('Enforce is asked again before the cordon, when prepare has come between', () => {
    const taken = plan({ prepare: { image: 'busybox' } }, { status: { applying: ['a'] } })
    const work = aWork(taken, { preparedAt: CORDONED })
    const cordons = (record: Partial<NodeRecord>, drain: object) => {
      const node = aNode('a', { record: aRecord('a', { work, ...record }) })
      return actions(before(drain, { ...zero, view: taken, nodes: [node] }), 'patchNode').some(
        ({ unschedulable }) => unschedulable === true,
      )
    }
    expect([cordons({}, { forecast: 'Enforce' }), cordons({}, {})]).toEqual([false, true])
    // Cordoned before, and uncordoned by somebody: it is cordoned again.
    expect(cordons({ cordon: { at: CORDONED, plan: PLAN } }, { forecast: 'Enforce' })).toBe(true)
  })

  test('Off: nothing is told; what may not be drained at all still holds', () => {
    expect([claimed(before({ forecast: 'Off' }, zero)), told(before({ forecast: 'Off' }, zero))]).toEqual([['a'], []])
    const bare = [aPod('bare', 'a', { metadata: { ownerReferences: [] } })]
    const decision = before({ forecast: 'Off' }, { view: plan({ drain: { force: false } }), pods: bare })
    expect([claimed(decision), holdsOn(decision, PLAN, 'a')]).toEqual([[], ['DrainImpossible']])
  })

  test('that is not known makes the policy unreadable', () => {
    expect(error({ forecast: 'Strict' })).toMatch(/^spec\.drain\.forecast: /)
  })
})

describe('drain.rules', () => {
  const view = plan({}, { status: { applying: ['a'] } })
  const app = (name: string, labels: Readonly<Record<string, string>> = {}, more: Partial<Pod> = {}) =>
    aPod(name, 'a', { ...more, metadata: { ...more.metadata, labels: { app: name, ...labels } } })
  const drain = (rules: readonly object[], pods: readonly Pod[], more: Scene = {}, fields: object = {}) =>
    decide(world({ rules, ...fields }, { view, pods, ...more }))
  const select = (name: string) => ({ podSelector: { matchLabels: { app: name } } })

  describe('podSelector', () => {
    test('the first rule that selects a pod counts; {} selects all, and no rules none', () => {
      const pods = [app('web'), app('db')]
      expect(evicted(drain([], pods))).toEqual(['web', 'db'])
      expect(evicted(drain([{ ...select('web'), behavior: 'Skip' }], pods))).toEqual(['db'])
      expect(evicted(drain([select('web'), { podSelector: {}, behavior: 'Skip' }], pods))).toEqual(['web'])
      expect(evicted(drain([{ podSelector: {}, behavior: 'Skip' }, select('web')], pods))).toEqual([])
    })

    test('is needed, and one that Kubernetes does not take makes the policy unreadable', () => {
      expect(error({ rules: [{ behavior: 'Skip' }] })).toMatch(/^spec\.drain\.rules\[0\]\.podSelector: /)
      const bad = { podSelector: { matchExpressions: [{ key: 'app', operator: 'Near' }] } }
      const decision = drain([bad], [app('web')])
      expect(decision.reports.get(PLAN)?.holds[0]).toMatchObject({
        reason: 'PolicyUnreadable',
        message: expect.stringContaining('spec.drain.rules[0].podSelector: '),
      })
    })
  })

  describe('behavior', () => {
    test('Skip: it stays, the upgrade begins, and it forbids nothing', () => {
      const bare = app('web', {}, { metadata: { ownerReferences: [] } })
      const strict = plan({ drain: { force: false } }, { status: { applying: ['a'] } })
      expect(starts(drain([{ ...select('web'), behavior: 'Skip' }], [bare], { view: strict }))).toBe(true)
      expect(holdsOn(drain([], [bare], { view: strict }), PLAN, 'a')).toEqual(['DrainImpossible'])
    })

    test('WaitCompleted: it is not evicted until it has ended, others are', () => {
      const rules = [{ ...select('batch'), behavior: 'WaitCompleted' }]
      const running = drain(rules, [app('batch'), app('web')])
      expect([evicted(running), holdsOn(running, PLAN, 'a')]).toEqual([['web'], ['WaitingForCompletion', 'Draining']])
      const ended = drain(rules, [app('batch', {}, { status: { phase: 'Succeeded' } })])
      expect(evicted(ended)).toEqual(['batch'])
      expect(starts(drain(rules, []))).toBe(true)
    })

    test('WaitCompleted: one that the options would not let go is waited for all the same', () => {
      const bare = app('batch', {}, { metadata: { ownerReferences: [] } })
      const strict = plan({ drain: { force: false } }, { status: { applying: ['a'] } })
      const rules = [{ ...select('batch'), behavior: 'WaitCompleted', timeout: '5m' }]
      expect(holdsOn(drain(rules, [bare], { view: strict }), PLAN, 'a')).toEqual(['WaitingForCompletion'])
      expect(holdsOn(drain([{ ...rules[0], timeout: '30s' }], [bare], { view: strict }), PLAN, 'a')).toEqual(['DrainImpossible'])
    })

    test('Evict, the default, evicts nothing that the drain leaves alone', () => {
      const mirror = app('web', {}, { metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } })
      expect(starts(drain([{ ...select('web'), behavior: 'Evict' }], [mirror]))).toBe(true)
      expect(starts(drain([{ ...select('web'), behavior: 'WaitCompleted' }], [mirror]))).toBe(true)
    })

    test('that is not known makes the policy unreadable', () => {
      expect(error({ rules: [{ ...select('web'), behavior: 'Delete' }] })).toMatch(/^spec\.drain\.rules\[0\]\.behavior: /)
    })
  })

  describe('order', () => {
    const rules = [
      { ...select('db'), order: 100 },
      { ...select('cache'), order: -1 },
    ]

    test('lower ones go first, and the next begin when those are gone; 0 without a rule', () => {
      const [cache, web, db] = [app('cache'), app('web'), app('db')]
      expect(evicted(drain(rules, [db, web, cache]))).toEqual(['cache'])
      const going = app('cache', {}, { metadata: { deletionTimestamp: '2026-03-02T12:00:30Z' } })
      expect(evicted(drain(rules, [db, web, going]))).toEqual([])
      expect(evicted(drain(rules, [db, web]))).toEqual(['web'])
      expect(evicted(drain(rules, [db]))).toEqual(['db'])
    })

    test('one that is skipped keeps no order waiting; one that runs to its end does', () => {
      expect(evicted(drain([{ ...select('cache'), order: -1, behavior: 'Skip' }, ...rules], [app('db'), app('cache')]))).toEqual(['db'])
      const waiting = drain([{ ...select('batch'), behavior: 'WaitCompleted', order: -5 }, ...rules], [app('batch'), app('web')])
      expect(evicted(waiting)).toEqual([])
    })

    test('with onTimeout Proceed the last orders are asked, too, before anything goes on without them', () => {
      const fields = { timeout: '30s', onTimeout: 'Proceed' }
      const pods = [app('cache'), app('db')]
      const decision = drain(rules, pods, { evictions: { cache: { at: NOW.mono } } }, fields)
      expect([starts(decision), evicted(decision)]).toEqual([false, ['db']])
      expect(starts(drain(rules, pods, { evictions: { cache: {}, db: {} } }, fields))).toBe(true)
    })

    test('out of bounds makes the policy unreadable', () => {
      expect(error({ rules: [{ ...select('web'), order: 1001 }] })).toMatch(/^spec\.drain\.rules\[0\]\.order: /)
      expect(error({ rules: [{ ...select('web'), order: 0.5 }] })).toMatch(/^spec\.drain\.rules\[0\]\.order: /)
    })
  })

  describe('timeout', () => {
    const waits = (timeout: string | undefined, fields: object = {}, more: Scene = {}) =>
      drain(
        [{ ...select('batch'), behavior: 'WaitCompleted', ...(timeout === undefined ? {} : { timeout }) }],
        [app('batch')],
        more,
        fields,
      )

    test('from the cordon on: then it is evicted after all', () => {
      expect([evicted(waits('61s')), evicted(waits('60s'))]).toEqual([[], ['batch']])
      expect(waits('61s').lookAt).toBeLessThanOrEqual(NOW.mono + 1000)
      expect(waits('61s').reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message).toBe(
        'node a: pod default/batch may come to its own end, until 2026-03-02T12:00:01Z at the latest',
      )
    })

    test('missing or 0: as long as the drain may take', () => {
      for (const timeout of [undefined, '0s']) {
        expect(evicted(waits(timeout))).toEqual([])
        expect(holdsOn(waits(timeout), PLAN, 'a')).toEqual(['WaitingForCompletion', 'Draining'])
        expect(written(waits(timeout, { timeout: '30s' }))[0]?.past?.[PLAN]?.reason).toBe('DrainTimeout')
        expect(evicted(waits(timeout, { timeout: '30s', onTimeout: 'Proceed' }))).toEqual(['batch'])
      }
    })

    test('only for WaitCompleted, and never longer than drain.timeout', () => {
      expect(error({ rules: [{ ...select('web'), timeout: '5m' }] })).toMatch(/^spec\.drain\.rules\[0\]: .*WaitCompleted/)
      const rules = [{ ...select('web'), behavior: 'WaitCompleted', timeout: '5m' }]
      expect(error({ timeout: '4m', rules })).toMatch(/^spec\.drain: .*longer than drain\.timeout/)
      expect([error({ timeout: '5m', rules }), error({ timeout: '0s', rules }), error({ rules })]).toEqual([
        undefined,
        undefined,
        undefined,
      ])
    })
  })
})

describe('drain.volumeDetachTimeout', () => {
  const DRAINED = '2026-03-02T11:59:30Z'
  const view = plan({}, { status: { applying: ['a'] } })
  const drained = draining(view, 'a', { work: aWork(view, { drainedAt: DRAINED }) })
  const about = `uid-a ${CORDONED} 1`
  const since = new Map([
    [`cordoned ${about}`, { wall: NOW.wall - 60_000, mono: NOW.mono - 60_000 }],
    [`drained ${about}`, { wall: NOW.wall - 30_000, mono: NOW.mono - 30_000 }],
  ])
  const wait = (volumeDetachTimeout: string | undefined, attached: readonly string[] | undefined, more: Scene = {}, at = NOW.mono) =>
    decide(
      world(volumeDetachTimeout === undefined ? {} : { volumeDetachTimeout }, {
        view,
        nodes: [drained],
        ...more,
        more: {
          since,
          observed: { attachments: new Map(attached === undefined ? [] : [['a', { at, ok: true, value: attached }]]) },
          ...more.more,
        },
      }),
    )
  const asks = (decision: Decision) => decision.needs.filter(({ kind }) => kind === 'attachments')

  test('0, the default: nobody asks, and nothing is written about it', () => {
    for (const timeout of [undefined, '0s']) {
      const decision = wait(timeout, ['pv-1'], { nodes: [draining(view, 'a')] })
      expect([starts(decision), asks(decision), written(decision)]).toEqual([true, [], []])
    }
  })

  test('counts from when the node was drained, which the record says first', () => {
    const first = wait('2m', undefined, { nodes: [draining(view, 'a')] })
    expect([starts(first), written(first)[0]?.work?.drainedAt]).toEqual([false, '2026-03-02T12:00:00Z'])
    expect(asks(first)).toEqual([{ kind: 'attachments', node: 'a', maxAgeMs: 0 }])
    const waiting = wait('2m', ['pv-1', 'pv-2'])
    expect([starts(waiting), holdsOn(waiting, PLAN, 'a')]).toEqual([false, ['VolumesAttached']])
    expect(waiting.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message).toBe(
      'node a is drained, and volumes are still attached to it: pv-1, pv-2; the upgrade goes on at 2026-03-02T12:01:30Z at the latest',
    )
    expect(waiting.lookAt).toBeLessThanOrEqual(NOW.mono + 90_000)
    expect(starts(wait('2m', []))).toBe(true)
  })

  test('then the upgrade goes on, with an event that names them, once', () => {
    const over = wait('30s', ['pv-1'])
    expect(starts(over)).toBe(true)
    expect(actions(over, 'event').flatMap(({ reason, message }) => (reason === 'VolumesAttached' ? [message] : []))).toEqual([
      `Plan ${PLAN}: volumes are still attached after drain.volumeDetachTimeout, and the upgrade goes on: pv-1`,
      'Node a: volumes are still attached after drain.volumeDetachTimeout, and the upgrade goes on: pv-1',
    ])
    const again = wait('30s', ['pv-1'], {
      more: {
        since: new Map([...since, [`attached ${about}`, NOW]]),
        observed: { attachments: new Map([['a', { at: NOW.mono, ok: true, value: ['pv-1'] }]]) },
      },
    })
    expect([starts(again), actions(again, 'event').filter(({ reason }) => reason === 'VolumesAttached')]).toEqual([true, []])
  })

  test('what was read before the drain ended does not count, and what cannot be read holds, however long', () => {
    expect([starts(wait('2m', [], {}, NOW.mono - 30_001)), starts(wait('2m', undefined))]).toEqual([false, false])
    for (const [refused, reason] of [
      [true, 'Refused'],
      [false, 'VolumesAttached'],
    ] as const) {
      const answer = { at: NOW.mono, ok: false, error: 'forbidden', refused } as const
      const decision = wait('1s', undefined, { more: { since, observed: { attachments: new Map([['a', answer]]) } } })
      expect([starts(decision), holdsOn(decision, PLAN, 'a')]).toEqual([false, [reason]])
    }
  })

  test('begins anew when somebody has uncordoned the node meanwhile', () => {
    const open = aNode('a', { record: drained.record })
    expect(written(wait('2m', [], { nodes: [open] }))[0]?.work).toMatchObject({ attempt: 1 })
    expect(written(wait('2m', [], { nodes: [open] }))[0]?.work?.drainedAt).toBeUndefined()
  })

  test('that is no duration makes the policy unreadable', () => {
    expect(error({ volumeDetachTimeout: '2 minutes' })).toMatch(/^spec\.drain\.volumeDetachTimeout: /)
  })
})

describe('drain.engine', () => {
  const byJob = { engine: 'Job' }
  const taken = (spec: Parameters<typeof aPlan>[1] = {}) => plan(spec, { status: { applying: ['a'] } })
  const confirmed = (view: KnownPlan) => ({ confirmed: new Set([`${view.uid}/${hashOf(view)}/uid-a`]) })
  const enters = (drain: object, view: KnownPlan, more: Scene = {}) =>
    actions(decide(world(drain, { view, nodes: [aNode('a')], more: confirmed(view), ...more })), 'patchNode')[0]
  const containers = (decision: Decision) =>
    actions(decision, 'createJob').map(({ job }) =>
      job.spec?.template.spec?.initContainers?.map(({ name, args }) => [name, args?.[0], args?.[1]]),
    )
  const work = { kubectl: { cordonedBefore: false } }

  test('Controller, the default: Drover cordons, and the Job has no kubectl', () => {
    for (const drain of [{}, { engine: 'Controller' }]) {
      expect(enters(drain, taken())).toMatchObject({ unschedulable: true })
      expect(enters(drain, taken())?.record.work?.kubectl).toBeUndefined()
    }
    expect(containers(decide(world({})))).toEqual([undefined])
  })

  test('Job: Drover cordons nothing and evicts nothing; kubectl in the Job does', () => {
    const entered = enters(byJob, taken(), { pods: [aPod('web', 'a')] })
    expect([entered?.unschedulable, entered?.record.cordon, entered?.record.work?.kubectl]).toEqual([
      undefined,
      undefined,
      { cordonedBefore: false },
    ])
    const view = taken()
    const node = aNode('a', { record: aRecord('a', { work: aWork(view, work) }) })
    const decision = decide(world(byJob, { view, nodes: [node], pods: [aPod('web', 'a')] }))
    expect([containers(decision), evicted(decision)]).toEqual([[[['drain', 'drain', 'a']]], []])
  })

  test('Job: what has begun goes on as it began, whatever the policy says now', () => {
    const view = taken()
    const node = aNode('a', { record: aRecord('a', { work: aWork(view, work) }) })
    expect(containers(decide(world({}, { view, nodes: [node] })))).toEqual([[['drain', 'drain', 'a']]])
    expect(containers(decide(world(byJob)))).toEqual([undefined])
  })

  test('Job: the forecast still counts, and prepare still comes first, as a Job of its own', () => {
    const zero = { pods: [aPod('web', 'a')], budgets: [aBudget('web')] }
    const view = plan()
    const held = decide(world({ ...byJob, forecast: 'Enforce' }, { view, nodes: [aNode('a')], ...zero }))
    expect([claimed(held), holdsOn(held, PLAN, 'a')]).toEqual([[], ['DrainForecastBlocked']])
    const prepares = taken({ prepare: { image: 'busybox' } })
    const node = aNode('a', { record: aRecord('a', { work: aWork(prepares, work) }) })
    const [job] = actions(decide(world(byJob, { view: prepares, nodes: [node] })), 'createJob')
    expect(job?.job.metadata?.name).toMatch(/^prepare-/)
    // prepare may have taken long.
    const prepared = aNode('a', { record: aRecord('a', { work: aWork(prepares, { ...work, preparedAt: CORDONED }) }) })
    const made = (drain: object) => actions(decide(world(drain, { view: prepares, nodes: [prepared], ...zero })), 'createJob').length
    expect([made({ ...byJob, forecast: 'Enforce' }), made(byJob)]).toEqual([0, 1])
  })

  test('Job: a Plan that does not drain is none of its business', () => {
    const { drain: _drain, ...spec } = taken().plan.spec
    const view = taken()
    const mild = { ...view, plan: { ...view.plan, spec } }
    expect(enters(byJob, mild)).toMatchObject({ unschedulable: true })
  })

  test('Job: the cordon that kubectl made becomes ours to lift', () => {
    const view = taken()
    const started = aWork(view, { ...work, startedAt: CORDONED, jobUID: 'uid-j' })
    const node = aNode('a', { unschedulable: true, cordonOwner: 'kubectl-cordon', record: aRecord('a', { work: started }) })
    expect(written(decide(world(byJob, { view, nodes: [node] })))[0]?.cordon).toMatchObject({ plan: PLAN, adopted: 'kubectl-cordon' })
  })

  test('Job: what kubectl does not know, and what is not known at all, makes the policy unreadable', () => {
    const rules = [{ podSelector: {} }]
    for (const more of [{ timeout: '1h' }, { onTimeout: 'Release' }, { rules }, { volumeDetachTimeout: '1m' }])
      expect(error({ ...byJob, ...more })).toMatch(/^spec\.drain: .*engine Job drains by kubectl/)
    expect([error(byJob), error({ ...byJob, onTimeout: 'Fail', rules: [], volumeDetachTimeout: '0s', forecast: 'Off' })]).toEqual([
      undefined,
      undefined,
    ])
    expect(error({ engine: 'Kubelet' })).toMatch(/^spec\.drain\.engine: /)
  })
})
