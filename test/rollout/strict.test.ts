/** The parts of strict compatibility that the vectors do not reach: retries, races, and what native mode left. */
import { describe, expect, test } from '@jest/globals'
import type { Plan } from '../../src/api/plan.ts'
import { decide } from '../../src/rollout/decide.ts'
import { isInTurn } from '../../src/rollout/strict/turn.ts'
import type { PlanView, World } from '../../src/rollout/world.ts'
import { actions, aJob, aNode, aPlan, aRecord, aWork, aWorld, hashOf, NEW, NOW, OLD, settings } from './build.ts'

const strict = { ...settings, compatibility: 'strict' } as const
const world = (more: Parameters<typeof aWorld>[0]): World => aWorld({ settings: strict, ...more })
const VERSION = NEW.replaceAll('+', '-')
const applyJob = (plan: PlanView & { plan: Plan }, node: string, more: Parameters<typeof aJob>[2] = {}) =>
  aJob(`apply-${plan.name}-on-${node}`, node, {
    labels: {
      'upgrade.cattle.io/controller': 'system-upgrade-controller',
      'upgrade.cattle.io/node': node,
      'upgrade.cattle.io/plan': plan.name,
      'upgrade.cattle.io/version': VERSION,
      [`plan.upgrade.cattle.io/${plan.name}`]: hashOf(plan),
      'objectset.rio.cattle.io/hash': 'x',
    },
    attempt: `${plan.uid}/1/`,
    owned: true,
    ...more,
  })
const started = (plan: PlanView & { plan: Plan }, node: string, more: object = {}) =>
  aRecord(node, {
    work: aWork(plan, {
      startedAt: '2026-03-02T11:59:30Z',
      jobUID: `uid-apply-${plan.name}-on-${node}`,
      kubectl: { cordonedBefore: false },
      ...more,
    }),
  })
const inFlight = (spec: object = {}, more: object = {}) => aPlan('p', spec, { status: { applying: ['a'], ...more } })

describe("SUC's test of a node's turn", () => {
  test.each([
    [['a', 'b', 'c'], 'b', true],
    [['a', 'b', 'c'], 'c', true],
    [['a', 'c'], 'b', false],
    [[], 'a', false],
    // Hostnames in the order of their nodes' names: the search goes the wrong way.
    [['z-host', 'b'], 'b', false],
  ])('in %j, %s: %s', (applying, name, found) => {
    expect(isInTurn(applying, name)).toBe(found)
  })
})

describe('a node at work', () => {
  test('is claimed at once: no pull, no dry run, no forecast, whatever the node is like', () => {
    const node = aNode('a', { ready: 'Unknown', kubeletVersion: 'v1.34.1+rke2r1', taints: [{ key: 'x', effect: 'NoSchedule' }] })
    const decision = decide(world({ plans: [aPlan('p', { drain: {} })], nodes: [node] }))
    expect(actions(decision, 'writeStatus')).toMatchObject([{ status: { applying: ['a'] }, confirm: ['a'] }])
    expect([decision.needs, actions(decision, 'createPod')]).toEqual([[], []])
  })

  test("the Job's cordon is written down as adopted, once; somebody else's never", () => {
    const plan = inFlight()
    const cordoned = aNode('a', { unschedulable: true, cordonOwner: 'kubectl-cordon', record: started(plan, 'a') })
    const seen = (node: typeof cordoned) =>
      actions(decide(world({ plans: [plan], nodes: [node], jobs: [applyJob(plan, 'a')] })), 'patchNode')
    expect(seen(cordoned)).toMatchObject([
      { record: { cordon: { plan: plan.key, adopted: 'kubectl-cordon' }, work: { hash: hashOf(plan) } } },
    ])
    expect(seen(cordoned)[0]?.unschedulable).toBeUndefined()
    expect(seen(aNode('a', { ...cordoned, record: started(plan, 'a', { kubectl: { cordonedBefore: true } }) }))).toEqual([])
  })

  test("is done with the Job's word: label and uncordon in one PATCH, though the kubelet is old and the node silent", () => {
    const plan = inFlight()
    const node = aNode('a', {
      ready: 'Unknown',
      kubeletVersion: OLD,
      unschedulable: true,
      cordonOwner: 'somebody',
      record: started(plan, 'a', { kubectl: { cordonedBefore: true } }),
    })
    const decision = decide(
      world({ plans: [plan], nodes: [node], jobs: [applyJob(plan, 'a', { complete: true, finishedAt: NOW.wall - 5000 })] }),
    )
    expect(actions(decision, 'patchNode')).toMatchObject([
      { unschedulable: false, labels: { 'plan.upgrade.cattle.io/p': hashOf(plan) }, record: { v: 1 } },
    ])
    expect(actions(decision, 'event')[0]).toMatchObject({ on: { kind: 'Plan' }, reason: 'JobComplete', message: 'Job completed on Node a' })
  })

  test('the delay counts from the completion of the Job, and the node is uncordoned at once', () => {
    const plan = inFlight({ postCompleteDelay: '1m0s' })
    const at = (secondsAgo: number, more: object = {}) =>
      decide(
        world({
          plans: [plan],
          nodes: [aNode('a', { unschedulable: true, record: started(plan, 'a', { delaySeconds: 60, ...more }) })],
          jobs: [applyJob(plan, 'a', { complete: true, finishedAt: NOW.wall - secondsAgo * 1000 })],
        }),
      )
    // The cordon is written down first.
    expect(actions(at(10), 'patchNode')).toMatchObject([{ record: { cordon: { plan: plan.key } } }])
    const soaking = decide(
      world({
        plans: [plan],
        nodes: [aNode('a', { unschedulable: true, record: started(plan, 'a', { delaySeconds: 60, kubectl: { cordonedBefore: true } }) })],
        jobs: [applyJob(plan, 'a', { complete: true, finishedAt: NOW.wall - 10_000 })],
      }),
    )
    expect(actions(soaking, 'patchNode')).toMatchObject([{ unschedulable: false, record: { work: { provenAt: '2026-03-02T11:59:50Z' } } }])
    expect(actions(soaking, 'event')[0]).toMatchObject({ message: 'Job completed on Node a, waiting 1m0s PostCompleteDelay' })
    expect(soaking.lookAt).toBe(NOW.mono + 50_000)
    const over = at(61, { provenAt: '2026-03-02T11:58:59Z', kubectl: { cordonedBefore: true } })
    expect(actions(over, 'patchNode')[0]?.labels).toEqual({ 'plan.upgrade.cattle.io/p': hashOf(plan) })
  })

  test('whose Job has gone for a newer version keeps slot and cordon, and begins anew', () => {
    const plan = inFlight({ version: 'v1.33.5+rke2r1' })
    const record = started(plan, 'a', { hash: 'old', target: VERSION, jobUID: 'gone' })
    const decision = decide(world({ plans: [plan], nodes: [aNode('a', { record })] }))
    expect(actions(decision, 'patchNode')).toMatchObject([
      { record: { work: { hash: hashOf(plan), target: 'v1.33.5-rke2r1', attempt: 1 } } },
    ])
    expect(actions(decision, 'patchNode')[0]?.record.work?.startedAt).toBeUndefined()
  })

  test('whose Plan is gone is given back when its Job and pods are', () => {
    const plan = inFlight()
    const record = aRecord('a', {
      cordon: { at: '2026-03-02T11:59:40Z', plan: plan.key, adopted: 'kubectl-cordon' },
      work: started(plan, 'a').record.work,
    })
    const node = aNode('a', { unschedulable: true, cordonOwner: 'kubectl-cordon', record })
    const running = decide(world({ nodes: [node], jobs: [applyJob(plan, 'a')] }))
    expect(actions(running, 'deleteJob')).toMatchObject([{ job: { uid: 'uid-apply-p-on-a' } }])
    expect(actions(running, 'patchNode')).toEqual([])
    const gone = decide(world({ nodes: [node] }))
    expect(actions(gone, 'patchNode')).toMatchObject([{ unschedulable: false, record: { v: 1, nodeUID: 'uid-a' } }])
    expect(actions(gone, 'patchNode')[0]?.record.work).toBeUndefined()
  })

  test('whose Job vanished unjudged is done if the kubelet shows it, and tried again if not', () => {
    const plan = inFlight()
    const at = (kubeletVersion: string) =>
      decide(
        world({
          plans: [plan],
          nodes: [aNode('a', { kubeletVersion, record: started(plan, 'a') })],
          observed: { beats: new Map([['a', { advancedAt: NOW.mono, after: NOW.mono }]]) },
        }),
      )
    expect(actions(at(NEW), 'patchNode')[0]?.labels).toEqual({ 'plan.upgrade.cattle.io/p': hashOf(plan) })
    expect(actions(at(OLD), 'patchNode')).toMatchObject([{ record: { work: { attempt: 2, deletions: 1 } } }])
  })
})

describe('what native mode left', () => {
  test('is taken away: its conditions and fields go together, those of others stay', () => {
    const conditions = ['Ready', 'Reconciling', 'Stalled', 'Mine'].map((type) => ({ type, status: 'True' as const, reason: 'X' }))
    const nodeCounts = { selected: 1, done: 0, inFlight: 1, failed: 0, held: 0 }
    const told = (more: object) =>
      actions(decide(world({ plans: [aPlan('p', {}, { status: { conditions, ...more } })], nodes: [aNode('a')] })), 'writeStatus')[0]
        ?.status
    const types = (status: ReturnType<typeof told>) => status?.conditions?.map(({ type }) => type)
    expect(types(told({ nodeCounts, observedGeneration: 3 }))).toEqual(['Mine', 'Complete', 'Validated', 'LatestResolved'])
    expect(told({ nodeCounts, observedGeneration: 3 })).toMatchObject({ nodeCounts: null, observedGeneration: null })
    expect(types(told({}))).toEqual(['Ready', 'Reconciling', 'Stalled', 'Mine', 'Complete', 'Validated', 'LatestResolved'])
  })

  test('a paused Job of its is not started: it would neither cordon nor drain', () => {
    const plan = inFlight()
    const short = actions(
      decide(world({ plans: [plan], nodes: [aNode('a', { record: aRecord('a', { work: aWork(plan) }) })] })),
      'createJob',
    )[0]?.job.metadata?.name
    expect(short).toMatch(/^apply-p-on-a-with-/)
    const paused = { ...applyJob(plan, 'a', { parallelism: 0, owned: false }), name: short ?? '' }
    const decision = decide(world({ plans: [plan], nodes: [aNode('a', { record: aRecord('a', { work: aWork(plan) }) })], jobs: [paused] }))
    expect([actions(decision, 'deleteJob').length, actions(decision, 'startJob')]).toEqual([1, []])
  })

  test('RolloutPolicies hold nothing', () => {
    const decision = decide({ ...world({ plans: [aPlan('p')], nodes: [aNode('a')] }), policies: undefined } as unknown as World)
    expect(actions(decision, 'writeStatus')).toMatchObject([{ status: { applying: ['a'] } }])
  })
})

test('a Plan for which nothing can be decided gets conditions of SUC, and nothing beside them', () => {
  const plan = aPlan('p')
  const unreadable = { ...plan, plan: undefined, error: 'spec.concurrency: must be a number', generation: 1, applying: [], conditions: [] }
  const spec = {
    ...plan.plan.spec,
    get concurrency(): never {
      throw new Error('boom')
    },
  }
  const defect = { ...plan, plan: { ...plan.plan, spec } }
  for (const view of [unreadable, defect] as PlanView[]) {
    const [write] = actions(decide(world({ plans: [view], nodes: [aNode('a')] })), 'writeStatus')
    expect(Object.keys(write?.status ?? {})).toEqual(['conditions'])
    expect(write?.status.conditions?.map(({ type }) => type)).toEqual(expect.not.arrayContaining(['Ready', 'Stalled']))
    expect(write?.status.conditions?.some(({ type, status }) => type === 'Complete' && status === 'False')).toBe(true)
  }
})

describe('a claim whose record was written and not yet seen', () => {
  test('keeps its slot for as long as the watch may be late, though a gate has closed', () => {
    const plan = aPlan('p', {}, { status: { applying: ['a'] }, annotations: { 'drover.io/paused': 'true' } })
    const claim = `${plan.uid}/${hashOf(plan)}/uid-a`
    const at = (secondsAgo: number | undefined) => {
      const since = secondsAgo === undefined ? [] : [[`entering ${claim}`, { wall: 0, mono: NOW.mono - secondsAgo * 1000 }] as const]
      const decision = decide(world({ plans: [plan], nodes: [aNode('a')], confirmed: new Set([claim]), since: new Map(since) }))
      return actions(decision, 'writeStatus')[0]?.status.applying
    }
    expect([at(undefined), at(10), at(181)]).toEqual([[], ['a'], []])
  })
})
