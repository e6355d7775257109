/** What gates do to the decision: where they are asked, what their answers mean, and how long they may hold. */
import { describe, expect, test } from '@jest/globals'
import type { NodeRecord } from '../../../src/api/record.ts'
import { decide } from '../../../src/rollout/decide.ts'
import type { Decision, Fresh, GateSeen, JobView, Moment, NodeView, World } from '../../../src/rollout/world.ts'
import {
  actions,
  aFailure,
  aJob,
  aNode,
  aPlan,
  aPolicy,
  aRecord,
  aWork,
  aWorld,
  hashOf,
  holdsOn,
  type KnownPlan,
  NEW,
  NOW,
  planHolds,
  pulledAndTried,
  remembering,
} from '../build.ts'

const PLAN = 'system-upgrade/p'
const MINUTE = 60_000

const object = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: 'x',
  name: 'y',
  expect: [{ path: '.data.ok', operator: 'eq', value: 'yes' }],
}
const gate = (at: readonly string[], more: object = {}) => ({ name: 'g', at, object, ...more })

function ready(view: KnownPlan, spec: object, nodes: readonly NodeView[], more: Partial<Omit<World, 'observed'>> = {}): World {
  const { pods, dryRuns } = pulledAndTried([view], nodes)
  return aWorld({ plans: [view], policies: [aPolicy(spec)], nodes: [...nodes], pods, ...more, observed: { dryRuns } })
}

const met: GateSeen = { kind: 'verdict', met: true, message: '' }
const unmet: GateSeen = { kind: 'verdict', met: false, message: 'ConfigMap x/y: .data.ok is no, not yes' }

/** The needs of gates that the decision names, without their keys. */
const asked = (decision: Decision) => decision.needs.flatMap((need) => (need.kind === 'gate' ? [need] : []))

/** Passes over time: what is asserted is remembered, as the controller does, and every gate is answered with `seen`. */
function run(world: World, steps: readonly { readonly after: number; readonly seen?: GateSeen | { error: string } }[]): Decision {
  let now: Moment = NOW
  let since = new Map<string, Moment>()
  let gates = new Map<string, Fresh<GateSeen>>()
  let decision = decide({ ...world, now, since })
  for (const { after, seen } of steps) {
    since = new Map([...decision.facts].map((fact) => [fact, since.get(fact) ?? now]))
    now = { wall: now.wall + after, mono: now.mono + after }
    for (const need of asked(decision)) {
      if (seen === undefined) continue
      const answer: Fresh<GateSeen> = 'error' in seen ? { at: now.mono, ok: false, ...seen } : { at: now.mono, ok: true, value: seen }
      gates = new Map([...gates, [need.key, answer]])
    }
    decision = decide({ ...world, now, since, observed: { ...world.observed, gates } })
  }
  return decision
}

const claims = (decision: Decision) => actions(decision, 'writeStatus').flatMap(({ confirm }) => confirm)
const first = (decision: Decision, node = 'a') => decision.reports.get(PLAN)?.nodes.get(node)?.holds[0]

test('a policy without gates asks for none', () => {
  const decision = decide(ready(remembering(aPlan('p')), {}, [aNode('a')]))
  expect([asked(decision), claims(decision)]).toEqual([[], ['a']])
})

test('a Plan that is complete asks for none, whatever the policy says', () => {
  const view = remembering(aPlan('p'))
  const done = aNode('a', { labels: { 'plan.upgrade.cattle.io/p': hashOf(view) } })
  const spec = { gates: [gate(['PlanStart', 'NodeStart', 'NodeEnd', 'WaveEnd'])], waves: [{ name: 'w', size: 1 }] }
  expect(asked(decide(ready(view, spec, [done])))).toEqual([])
})

describe('NodeStart', () => {
  const world = (more: object = {}) => ready(remembering(aPlan('p')), { gates: [gate(['NodeStart'], more)] }, [aNode('a'), aNode('b')])

  test('is asked for once, for the candidates that nothing else holds', () => {
    const decision = decide(world())
    expect(new Set(asked(decision).map(({ key }) => key)).size).toBe(1)
    expect(asked(decision)[0]).toMatchObject({ namespace: 'system-upgrade', maxAgeMs: 10_000, check: { of: 'ConfigMap', name: 'y' } })
    expect(first(decision)).toMatchObject({
      reason: 'GatePending',
      message: 'gate g of RolloutPolicy default: it has not been evaluated yet',
    })
    expect(claims(decision)).toEqual([])
    const held = decide(ready(remembering(aPlan('p')), { gates: [gate(['NodeStart'])] }, [aNode('a', { hold: '' })]))
    expect([holdsOn(held, PLAN, 'a'), asked(held)]).toEqual([['NodeHeld'], []])
  })

  test('holds while it is not met, and says what stands in the way', () => {
    const decision = run(world(), [{ after: 1000, seen: unmet }])
    expect(first(decision)).toMatchObject({
      reason: 'GatePending',
      endedBy: 'cluster',
      message: 'gate g of RolloutPolicy default: ConfigMap x/y: .data.ok is no, not yes',
      blockedBy: 'ConfigMap/x/y',
    })
    expect(claims(decision)).toEqual([])
  })

  test('holds with the cause while it cannot be evaluated', () => {
    const decision = run(world(), [
      { after: 1000, seen: met },
      { after: 1000, seen: { error: 'GET /x: 403 forbidden' } },
    ])
    expect(first(decision)?.message).toBe('gate g of RolloutPolicy default: it cannot be evaluated: GET /x: 403 forbidden')
    expect(claims(decision)).toEqual([])
  })

  test('takes the node when it is met', () => {
    expect(claims(run(world(), [{ after: 1000, seen: met }]))).toEqual(['b'])
  })

  test('does not go by what was found half a minute ago', () => {
    const decision = run(world(), [{ after: 1000, seen: unmet }, { after: 30_000 }, { after: 1 }])
    expect(first(decision)?.message).toBe('gate g of RolloutPolicy default: it was last evaluated 30 s ago')
    const stale = run(world({ stableFor: '31s' }), [{ after: 1000, seen: met }, { after: 31_000 }])
    expect(claims(stale)).toEqual([])
  })

  test('stableFor counts from when it is seen met, without a break', () => {
    const steady = [0, 1, 2, 3, 4, 5].map(() => ({ after: 20_000, seen: met }))
    const before = run(world({ stableFor: '2m' }), steady)
    expect(first(before)).toMatchObject({ reason: 'GatePending', retryAt: NOW.wall + 20_000 + 2 * MINUTE })
    expect(before.lookAt).toBe(NOW.mono + 20_000 + 2 * MINUTE)
    expect(claims(before)).toEqual([])
    expect(claims(run(world({ stableFor: '2m' }), [...steady, { after: 20_000, seen: met }]))).toEqual(['b'])
    expect(claims(run(world({ stableFor: '2m' }), [...steady.slice(1), { after: 1, seen: unmet }, { after: 20_000, seen: met }]))).toEqual(
      [],
    )
  })

  test('timeout with Pause goes on holding as something for a person, and lets go when it is met', () => {
    const wait = [
      { after: 1000, seen: unmet },
      { after: 5 * MINUTE - 1001, seen: unmet },
    ]
    expect(holdsOn(run(world({ timeout: '5m' }), wait), PLAN, 'a')).toEqual(['GatePending'])
    const late = run(world({ timeout: '5m' }), [...wait, { after: 1, seen: unmet }])
    expect(first(late)).toMatchObject({
      reason: 'GateFailed',
      endedBy: 'person',
      message: 'gate g of RolloutPolicy default was not met within 5m0s: ConfigMap x/y: .data.ok is no, not yes',
    })
    const status = actions(late, 'writeStatus')[0]?.status.conditions?.find(({ type }) => type === 'Stalled')
    expect(status).toMatchObject({ status: 'True', reason: 'GateFailed' })
    expect(claims(run(world({ timeout: '5m' }), [...wait, { after: 1, seen: unmet }, { after: 1000, seen: met }]))).toEqual(['b'])
  })

  test('timeout counts anew when the gate was met in between', () => {
    const steps = [
      { after: 1000, seen: unmet },
      { after: 4 * MINUTE, seen: unmet },
      { after: 1000, seen: met },
      { after: 1000, seen: unmet },
    ]
    expect(holdsOn(run(world({ timeout: '5m' }), [...steps, { after: 4 * MINUTE, seen: unmet }]), PLAN, 'a')).toEqual(['GatePending'])
  })

  test('timeout with Continue passes it over, and says so once', () => {
    const late = run(world({ timeout: '5m', onTimeout: 'Continue' }), [
      { after: 1000, seen: unmet },
      { after: 5 * MINUTE, seen: unmet },
    ])
    expect(claims(late)).toEqual(['b'])
    expect(
      actions(late, 'event')
        .filter(({ reason }) => reason === 'GatePassedOver')
        .map(({ message }) => message),
    ).toEqual([
      'Node b: gate g of RolloutPolicy default was not met within 5m0s: ConfigMap x/y: .data.ok is no, not yes; the policy says to go on',
    ])
    const again = run(world({ timeout: '5m', onTimeout: 'Continue' }), [
      { after: 1000, seen: unmet },
      { after: 5 * MINUTE, seen: unmet },
      { after: 1000, seen: unmet },
    ])
    expect(actions(again, 'event').filter(({ reason }) => reason === 'GatePassedOver')).toEqual([])
  })

  test('timeout 0s with Continue still waits for the first answer', () => {
    expect(claims(run(world({ timeout: '0s', onTimeout: 'Continue' }), [{ after: MINUTE }]))).toEqual([])
    expect(claims(run(world({ timeout: '0s', onTimeout: 'Continue' }), [{ after: 1, seen: unmet }]))).toEqual(['b'])
  })

  test('timeout with Fail stops the Plan for this hash, until somebody re-arms it', () => {
    const late = run(world({ timeout: '5m', onTimeout: 'Fail' }), [
      { after: 1000, seen: unmet },
      { after: 5 * MINUTE, seen: unmet },
    ])
    expect(claims(late)).toEqual([])
    const memory = actions(late, 'annotatePlan')[0]?.memory
    expect(memory?.gate).toMatchObject({ name: 'g', hash: hashOf(aPlan('p')), retrySeen: '', generation: 1 })
    const spec = { gates: [gate(['NodeStart'], { timeout: '5m', onTimeout: 'Fail' })] }
    const stopped = (view: KnownPlan, policy: object = spec) =>
      decide(ready(remembering(view, { gate: memory?.gate }), policy, [aNode('a')]))
    expect(planHolds(stopped(aPlan('p')), PLAN)).toEqual(['GateFailed'])
    expect(asked(stopped(aPlan('p')))).toEqual([])
    // Another value of retry, another hash, an edit of the Plan, or a policy without the gate: it is asked again, or not at all.
    expect(planHolds(stopped(aPlan('p', {}, { annotations: { 'drover.io/retry': '1' } })), PLAN)).toEqual([])
    expect(planHolds(stopped(aPlan('p', { version: 'v1.33.5+rke2r1' })), PLAN)).toEqual([])
    expect(planHolds(stopped(aPlan('p', {}, { generation: 2 })), PLAN)).toEqual([])
    expect(claims(stopped(aPlan('p'), {}))).toEqual(['a'])
  })

  test('is not asked of a node that has been taken', () => {
    const view = remembering(aPlan('p', {}, { status: { applying: ['a'] } }))
    const taken = aNode('a', {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('a', { work: aWork(view), cordon: { at: '2026-03-02T11:59:00Z', plan: PLAN } }),
    })
    const decision = decide(ready(view, { gates: [gate(['NodeStart'])] }, [taken]))
    expect([asked(decision), actions(decision, 'createJob').length]).toEqual([[], 1])
  })
})

describe('podsAbsent', () => {
  const pods = (...where: readonly string[]): GateSeen => ({
    kind: 'pods',
    pods: where.map((node, index) => ({ namespace: 'batch', name: `long-${index}`, node })),
  })
  const world = (onNode: boolean, stableFor = '0s') =>
    ready(
      remembering(aPlan('p', { concurrency: 2 })),
      { gates: [{ name: 'g', at: ['NodeStart'], podsAbsent: { selector: { matchLabels: { a: 'b' } }, onNode }, stableFor }] },
      [aNode('a'), aNode('b')],
    )

  test('on the node holds just the nodes with such a pod', () => {
    const decision = run(world(true), [{ after: 1000, seen: pods('a', 'a') }])
    expect(claims(decision)).toEqual(['b'])
    expect(first(decision)?.message).toBe(
      'gate g of RolloutPolicy default: pod batch/long-0 and 1 more should be absent, and is there on node a',
    )
  })

  test('on the node is stable for each node by itself', () => {
    const start = world(true, '1m')
    const steps = [pods('a'), pods('a'), pods('a'), pods('a'), pods('a')].map((seen) => ({ after: 15_000, seen }))
    expect(claims(run(start, steps))).toEqual(['b'])
    expect(claims(run(start, [...steps, { after: 1000, seen: pods() }]))).toEqual(['b'])
  })

  test('anywhere holds all nodes, also by a pod that has no node yet', () => {
    const decision = run(world(false), [{ after: 1000, seen: pods('') }])
    expect(claims(decision)).toEqual([])
    expect(first(decision)?.message).toBe('gate g of RolloutPolicy default: pod batch/long-0 should be absent, and is there')
    expect(claims(run(world(false), [{ after: 1000, seen: pods() }])).toSorted()).toEqual(['a', 'b'])
  })
})

describe('PlanStart', () => {
  const spec = { gates: [gate(['PlanStart'])] }

  test('holds the Plan before anything is touched, a pull included', () => {
    const world = { ...ready(remembering(aPlan('p')), spec, [aNode('a')]), pods: [] }
    const decision = run(world, [{ after: 1000, seen: unmet }])
    expect([planHolds(decision, PLAN), actions(decision, 'createPod')]).toEqual([['GatePending'], []])
    expect(claims(run(ready(remembering(aPlan('p')), spec, [aNode('a')]), [{ after: 1000, seen: met }]))).toEqual(['a'])
  })

  test('is not asked when something else holds the Plan, and not once it has begun', () => {
    expect(asked(decide(ready(remembering(aPlan('p', {}, { annotations: { 'drover.io/paused': 'x' } })), spec, [aNode('a')])))).toEqual([])
    const view = remembering(aPlan('p'))
    const done = aNode('a', { labels: { 'plan.upgrade.cattle.io/p': hashOf(view) } })
    const begun = decide(ready(view, spec, [done, aNode('b')]))
    expect([asked(begun), claims(begun)]).toEqual([[], ['b']])
    const first = remembering(aPlan('p', { concurrency: 2 }, { status: { applying: ['a'] } }))
    const taken = aNode('a', { record: aRecord('a', { work: aWork(first) }) })
    const second = decide(ready(first, spec, [taken, aNode('b')]))
    expect([asked(second), claims(second)]).toEqual([[], ['b']])
  })

  test('is asked again for another hash', () => {
    const view = remembering(aPlan('p'))
    const old = aNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'old' } })
    expect(asked(decide(ready(view, spec, [old])))).toHaveLength(1)
  })
})

describe('WaveEnd', () => {
  const spec = { waves: [{ name: 'canary', size: 1, soak: '1m' }], gates: [gate(['WaveEnd'])] }
  const base = aPlan('p')
  const done = (name: string) => aNode(name, { labels: { 'plan.upgrade.cattle.io/p': hashOf(base) } })
  const waves = (more: object = {}) => ({ hash: hashOf(base), of: [{ name: 'canary', members: ['a'], ...more }] })
  const soaked = { doneAt: '2026-03-02T11:00:00Z' }

  test('holds the next wave when the first has soaked, and is asked not before', () => {
    const soaking = decide(ready(remembering(base, { waves: waves({ doneAt: '2026-03-02T11:59:30Z' }) }), spec, [done('a'), aNode('b')]))
    expect([holdsOn(soaking, PLAN, 'b'), asked(soaking)]).toEqual([['WaveSoaking'], []])
    const decision = run(ready(remembering(base, { waves: waves(soaked) }), spec, [done('a'), aNode('b')]), [{ after: 1000, seen: unmet }])
    expect([holdsOn(decision, PLAN, 'b'), claims(decision)]).toEqual([['GatePending'], []])
  })

  test('once met is remembered and not asked again', () => {
    const world = ready(remembering(base, { waves: waves(soaked) }), spec, [done('a'), aNode('b')])
    const decision = run(world, [{ after: 1000, seen: met }])
    expect(actions(decision, 'annotatePlan')[0]?.memory.waves?.of[0]).toMatchObject({ name: 'canary', gatedAt: '2026-03-02T12:00:01Z' })
    const after = decide(
      ready(remembering(base, { waves: waves({ ...soaked, gatedAt: '2026-03-02T12:00:01Z' }) }), spec, [done('a'), aNode('b')]),
    )
    expect([asked(after), claims(after)]).toEqual([[], ['b']])
  })

  test('comes before somebody is asked to approve', () => {
    const manual = { ...spec, waves: [{ name: 'canary', size: 1, approval: 'Manual' }] }
    const world = ready(remembering(base, { waves: waves(soaked) }), manual, [done('a'), aNode('b')])
    expect(holdsOn(run(world, [{ after: 1000, seen: unmet }]), PLAN, 'b')).toEqual(['GatePending'])
    expect(holdsOn(run(world, [{ after: 1000, seen: met }]), PLAN, 'b')).toEqual(['AwaitingApproval'])
  })

  test('is not asked behind the last node, whoever wants to know what waits', () => {
    const told = { ...spec, waves: [{ name: 'canary', size: 1, approval: 'Manual' }], notify: [{ url: 'https://hooks.example.com/x' }] }
    const behind = decide(ready(remembering(base, { waves: waves(soaked) }), told, [done('a')]))
    expect(asked(behind)).toEqual([])
    expect(asked(decide(ready(remembering(base, { waves: waves(soaked) }), told, [done('a'), aNode('b')])))).toHaveLength(1)
  })

  test('without waves is a policy that cannot be read', () => {
    const decision = decide(ready(remembering(base), { gates: [gate(['WaveEnd'])] }, [aNode('a')]))
    expect(decision.reports.get(PLAN)?.holds[0]).toMatchObject({
      reason: 'PolicyUnreadable',
      message: 'RolloutPolicy default cannot be read: spec.gates[0].at: WaveEnd needs spec.waves',
    })
  })
})

describe('NodeEnd', () => {
  const view = remembering(aPlan('p', {}, { status: { applying: ['a'] } }))
  const job: JobView = aJob('apply', 'a', { uid: 'job', complete: true })
  const work = aWork(view, { startedAt: '2026-03-02T11:59:10Z', jobUID: 'job', gated: true })
  const proven = (more: Partial<NodeView> = {}, record: Partial<NodeRecord> = {}) =>
    aNode('a', {
      kubeletVersion: NEW,
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('a', { work, cordon: { at: '2026-03-02T11:59:00Z', plan: PLAN }, ...record }),
      ...more,
    })
  const world = (more: object = {}, node = proven()) =>
    ready(view, { gates: [gate(['NodeEnd'], more)], verify: { minReadySeconds: 0 } }, [node], { jobs: [job] })

  test('keeps a proven node cordoned until it is met', () => {
    const held = run(world(), [{ after: 1000, seen: unmet }])
    expect([holdsOn(held, PLAN, 'a'), actions(held, 'patchNode')]).toEqual([['GatePending'], []])
    expect(held.reports.get(PLAN)?.nodes.get('a')?.phase).toBe('Verifying')
    const done = run(world(), [{ after: 1000, seen: met }])
    expect(actions(done, 'patchNode')[0]).toMatchObject({ unschedulable: false, labels: { 'plan.upgrade.cattle.io/p': hashOf(view) } })
  })

  test('is not asked before the node is proven', () => {
    expect(asked(decide(world({}, proven({ ready: 'False' }))))).toEqual([])
    expect(asked(decide(world({}, proven({ kubeletVersion: 'v1.33.3+rke2r1' }))))).toEqual([])
  })

  test('with Fail fails the node, which stays cordoned', () => {
    const late = run(world({ timeout: '5m', onTimeout: 'Fail' }), [
      { after: 1000, seen: unmet },
      { after: 5 * MINUTE, seen: unmet },
    ])
    const [patch] = actions(late, 'patchNode')
    expect(patch).not.toHaveProperty('unschedulable')
    expect(patch?.record).toMatchObject({ cordon: { plan: PLAN }, past: { [PLAN]: { reason: 'GateFailed', attempts: 1 } } })
  })

  test('of a node that failed by it is asked again, and the node is done without another run when it is met', () => {
    const past = aFailure(view, { reason: 'GateFailed', message: 'm', at: '2026-03-02T11:59:30Z', target: work.target })
    const failed = proven({}, { work: undefined, past: { [PLAN]: past } })
    const held = run(world({}, failed), [{ after: 1000, seen: unmet }])
    expect(holdsOn(held, PLAN, 'a')).toEqual(['PreviousFailure', 'GatePending'])
    expect(held.reports.get(PLAN)?.nodes.get('a')?.phase).toBe('Failed')
    const well = run(world({}, failed), [{ after: 1000, seen: met }])
    expect(holdsOn(well, PLAN, 'a')).toEqual(['Verifying'])
    const unread = run(ready(view, { gates: [gate(['WaveEnd'])] }, [failed]), [{ after: 1000 }])
    expect(holdsOn(unread, PLAN, 'a')).toEqual(['PreviousFailure', 'PolicyUnreadable'])
  })

  test('holds while the policy that asked for it cannot be read', () => {
    const broken = ready(view, { gates: [gate(['WaveEnd'])], verify: { minReadySeconds: 0 } }, [proven()], { jobs: [job] })
    const decision = run(broken, [{ after: 1000 }, { after: 20_000 }])
    expect([holdsOn(decision, PLAN, 'a'), actions(decision, 'patchNode')]).toEqual([['PolicyUnreadable'], []])
  })

  test('of a policy that asked for nothing when the node was claimed does not hold it when it cannot be read', () => {
    const { gated: _gated, ...plain } = work
    const broken = ready(view, { gates: [gate(['WaveEnd'])] }, [proven({}, { work: plain })], { jobs: [job] })
    expect(actions(run(broken, [{ after: 1000 }, { after: 20_000 }]), 'patchNode')[0]).toMatchObject({ unschedulable: false })
  })

  test('of an edit is not asked of a node that has been taken already', () => {
    const { gated: _gated, ...plain } = work
    const decision = decide(world({}, proven({}, { work: plain })))
    expect([asked(decision), actions(decision, 'patchNode')[0]?.unschedulable]).toEqual([[], false])
  })

  test('of a policy that is gone holds no node that has been started', () => {
    const gone = { ...world(), policies: [] }
    expect(actions(run(gone, [{ after: 1000 }, { after: 20_000 }]), 'patchNode')[0]).toMatchObject({ unschedulable: false })
  })

  test('does not fail the node when it is away for a moment while the gate holds', () => {
    const waited = [
      { after: 1000, seen: unmet },
      { after: 20_000, seen: unmet },
    ]
    const away = (ms: number) => {
      let decision = run(world(), waited)
      const mono = NOW.mono + 21_000
      let since = new Map([...decision.facts].map((fact) => [fact, { wall: NOW.wall, mono: NOW.mono }]))
      // Long after the Job's end and its deadline.
      for (const at of [mono + 3 * 3600_000, mono + 3 * 3600_000 + ms]) {
        const now = { wall: NOW.wall + at - NOW.mono, mono: at }
        decision = decide({ ...world({}, proven({ ready: 'False' })), now, since })
        since = new Map([...decision.facts].map((fact) => [fact, since.get(fact) ?? now]))
      }
      return decision
    }
    expect(actions(away(60_000), 'patchNode')).toEqual([])
    expect(actions(away(16 * MINUTE), 'patchNode')[0]?.record.past?.[PLAN]).toMatchObject({ reason: 'NodeNotReady' })
  })
})
