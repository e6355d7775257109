import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { decide, recheck } from '../../src/rollout/decide.ts'
import { applyJobName } from '../../src/rollout/job.ts'
import { prepareJobName } from '../../src/rollout/prepare-job.ts'
import { pullPodName } from '../../src/rollout/pull-pod.ts'
import type { NodeView, PlanView } from '../../src/rollout/world.ts'
import {
  actions,
  aFailure,
  aJob,
  aNode,
  aPlan,
  aPulled,
  aRecord,
  aServer,
  aWork,
  aWorld,
  hashOf,
  holdsOn,
  type KnownPlan,
  NEW,
  NOW,
  planHolds,
  pulledAndTried,
} from './build.ts'

const PLAN = 'system-upgrade/p'

/** A world in which every node has pulled and the dry run has passed: nothing but gates stands before a claim. */
function ready(view: KnownPlan, more: Parameters<typeof aWorld>[0] = {}) {
  const { pods, dryRuns } = pulledAndTried([view], more.nodes ?? [])
  return aWorld({
    plans: [view],
    ...more,
    pods: [...pods, ...(more.pods ?? [])],
    observed: { dryRuns, ...more.observed },
  })
}

const claimed = (world: ReturnType<typeof aWorld>) => actions(decide(world), 'writeStatus').flatMap((action) => action.confirm)

describe('before the first claim', () => {
  test('notes whom it found in applying, and claims nobody in that pass', () => {
    const view = aPlan('p', {}, { noted: false, status: { applying: ['a'] } })
    const decision = decide(ready(view, { nodes: [aNode('a'), aNode('b')] }))
    expect(actions(decision, 'annotatePlan').map((action) => action.memory.adopt)).toEqual([['a']])
    expect(actions(decision, 'writeStatus')).toEqual([])
  })

  test('pulls the image ahead, cordons nothing', () => {
    const decision = decide(aWorld({ plans: [aPlan('p')], nodes: [aNode('a'), aNode('b'), aNode('c')] }))
    expect(actions(decision, 'createPod').length).toBe(2)
    expect(actions(decision, 'patchNode')).toEqual([])
    expect(actions(decision, 'writeStatus').flatMap((action) => action.confirm)).toEqual([])
  })

  test('does not claim before the dry run of the apply pod has passed', () => {
    const view = aPlan('p')
    const world = ready(view, { nodes: [aNode('a')], observed: { dryRuns: new Map() } })
    const decision = decide(world)
    expect(claimed(world)).toEqual([])
    expect(decision.needs.map((need) => need.kind)).toContain('dryRun')
  })

  test('a refused dry run holds the Plan and says what the API server said', () => {
    const view = aPlan('p')
    const dryRuns = new Map([
      [`${view.key}/${hashOf(view)}`, { at: NOW.mono, ok: false, error: 'violates PodSecurity "restricted"', refused: true } as const],
    ])
    const decision = decide(ready(view, { nodes: [aNode('a')], observed: { dryRuns } }))
    expect(planHolds(decision, PLAN)).toEqual(['PodRejected'])
    expect(decision.reports.get(PLAN)?.holds[0]?.message).toContain('violates PodSecurity')
  })
})

describe('claims', () => {
  test('never exceed concurrency, whatever is in flight', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 1, max: 12 }),
        (concurrency, taken, size) => {
          const names = Array.from({ length: size }, (_, index) => `n${index}`)
          const applying = names.slice(0, taken)
          const view = aPlan('p', { concurrency }, { status: { applying } })
          const nodes = names.map((name) =>
            aNode(name, applying.includes(name) ? { record: aRecord(name, { work: aWork(view, { startedAt: 'x', jobUID: 'y' }) }) } : {}),
          )
          const taking = claimed(ready(view, { nodes }))
          expect(taking.length).toBeLessThanOrEqual(Math.max(0, concurrency - applying.length))
          expect(taking.filter((name) => applying.includes(name))).toEqual([])
          if (concurrency > applying.length && size > applying.length) expect(taking.length).toBeGreaterThan(0)
        },
      ),
    )
  })

  test('two Plans never claim the same node in one pass', () => {
    const one = aPlan('p', { concurrency: 3 })
    const two = aPlan('q', { concurrency: 3 })
    const nodes = [aNode('a'), aNode('b'), aNode('c')]
    const world = ready(one, { nodes })
    const both = {
      ...world,
      plans: [one, two],
      pods: [...world.pods, ...nodes.map((node) => aPulled(pullPodName('q', node.name, hashOf(two)), node.name))],
      observed: {
        ...world.observed,
        dryRuns: new Map([...world.observed.dryRuns, [`${two.key}/${hashOf(two)}`, { at: 0, ok: true, value: true } as const]]),
      },
    }
    const all = claimed(both)
    expect(new Set(all).size).toBe(all.length)
    expect(all.length).toBe(3)
  })

  test('servers go one at a time, whatever the concurrency', () => {
    const nodes = ['a', 'b', 'c'].map((name) => aServer(name))
    expect(claimed(ready(aPlan('p', { concurrency: 3 }), { nodes })).length).toBe(1)
  })

  test('no etcd member is taken while another of three is down', () => {
    const nodes = [aServer('a'), aServer('b'), aServer('c', { ready: 'Unknown' })]
    const world = ready(aPlan('p'), { nodes })
    expect(claimed(world)).toEqual([])
    expect(holdsOn(decide(world), PLAN, 'a')).toEqual(['EtcdQuorum'])
  })

  test('an etcd member that does not vote counts as down; one of which nothing is said does not', () => {
    const with3 = (etcdVoter: boolean | undefined) => {
      const nodes = [aServer('a'), aServer('b', { etcdVoter: true }), aServer('c', { etcdVoter })]
      const world = ready(aPlan('p', { concurrency: 3 }), { nodes })
      const [taken = ''] = claimed(world)
      const others = ['a', 'b', 'c'].filter((name) => name !== taken)
      return { taken, holds: others.map((name) => holdsOn(decide(world), PLAN, name)) }
    }
    for (const votes of [true, undefined]) expect(with3(votes).holds).toEqual([['ControlPlaneBusy'], ['ControlPlaneBusy']])
    // The one that does not vote may be put right by its upgrade, and nobody else goes.
    expect(with3(false).taken).toBe('c')
    const decision = decide(
      ready(aPlan('p'), { nodes: [aServer('a'), aServer('b', { etcdVoter: false }), aServer('c', { etcdVoter: false })] }),
    )
    expect(decision.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message).toContain(
      'not healthy: b (EtcdIsVoter is not True), c (EtcdIsVoter is not True)',
    )
  })

  test('a broken Plan stops only itself', () => {
    const broken = {
      key: 'system-upgrade/x',
      namespace: 'system-upgrade',
      name: 'x',
      uid: 'u',
      resourceVersion: '1',
      plan: undefined,
      error: 'spec.upgrade: required',
      generation: 1,
      applying: [],
      conditions: [],
    } satisfies PlanView
    const world = ready(aPlan('p'), { nodes: [aNode('a')] })
    const decision = decide({ ...world, plans: [broken, ...world.plans] })
    expect(planHolds(decision, 'system-upgrade/x')).toEqual(['PlanUnreadable'])
    expect(actions(decision, 'writeStatus').flatMap((action) => action.confirm)).toEqual(['a'])
  })

  test.each([
    ['a lower version', aNode('a', { kubeletVersion: 'v1.33.5+rke2r1' }), 'Downgrade'],
    ['a hold', aNode('a', { hold: 'disk' }), 'NodeHeld'],
    ['a taint', aNode('a', { taints: [{ key: 'x', effect: 'NoExecute' }] }), 'UntoleratedTaint'],
    ['NotReady', aNode('a', { ready: 'False' }), 'NodeNotReady'],
    ['no hostname', aNode('a', { hostname: undefined }), 'HostnameMissing'],
    ['a server over a minor', aServer('a', { kubeletVersion: 'v1.31.9+rke2r1' }), 'SkippedMinor'],
    ['a server cordoned by a person', aServer('a', { unschedulable: true, cordonOwner: 'kubectl' }), 'CordonedByOthers'],
    ['an unreadable record', aNode('a', { record: { ok: false, error: 'not JSON' } }), 'RecordUnreadable'],
  ])('%s is held with its reason', (_what, node, reason) => {
    const world = ready(aPlan('p'), { nodes: [node] })
    expect(claimed(world)).toEqual([])
    expect(holdsOn(decide(world), PLAN, 'a')).toEqual([reason])
  })

  test.each([
    ['node.kubernetes.io/unreachable', 'cluster'],
    ['node.kubernetes.io/not-ready', 'cluster'],
    ['node.kubernetes.io/out-of-service', 'person'],
    ['gpu', 'person'],
  ])('who can take taint %s away: %s', (key, endedBy) => {
    const world = ready(aPlan('p'), { nodes: [aNode('a', { taints: [{ key, effect: 'NoSchedule' }] })] })
    expect(decide(world).reports.get(PLAN)?.nodes.get('a')?.holds[0]).toMatchObject({ reason: 'UntoleratedTaint', endedBy })
  })

  test('an agent does not pass the oldest server', () => {
    const nodes = [aServer('s'), aNode('a')]
    const world = ready(
      aPlan('p', { nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] } }),
      { nodes },
    )
    expect(holdsOn(decide(world), PLAN, 'a')).toEqual(['AheadOfServers'])
  })
})

describe('a claim cut short', () => {
  test('is withdrawn by a leader that did not confirm it, but not before another one has had time to write its record', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const seenFor = (ms: number) => new Map([[`claim of nobody uid-p/${hashOf(view)}/uid-a`, { wall: 0, mono: NOW.mono - ms }]])
    const after = (ms: number) => decide(ready(view, { nodes: [aNode('a', { hold: 'x' })], since: seenFor(ms) }))
    expect(actions(after(14_999), 'writeStatus').map((action) => action.status.applying)).toEqual([['a']])
    expect(actions(after(15_000), 'writeStatus').map((action) => action.status.applying)).toEqual([[]])
    expect(actions(after(15_000), 'patchNode')).toEqual([])
  })

  test('is taken further by the leader that confirmed it: record and cordon are one PATCH', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const world = { ...ready(view, { nodes: [aNode('a')] }), confirmed: new Set([`uid-p/${hashOf(view)}/uid-a`]) }
    const [patch] = actions(decide(world), 'patchNode')
    expect(patch?.unschedulable).toBe(true)
    expect(patch?.record.cordon?.plan).toBe(PLAN)
    expect(patch?.record.work?.hash).toBe(hashOf(view))
  })
})

describe('the node is the witness', () => {
  const view = aPlan('p', {}, { status: { applying: ['a'] } })
  const work = aWork(view, { startedAt: '2026-03-02T11:59:30Z', jobUID: 'uid-job' })
  const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
  const started = (more: Parameters<typeof aNode>[1], job: Parameters<typeof aJob>[2], mono = NOW.mono) => {
    const node = aNode('a', { unschedulable: true, cordonOwner: 'drover', record: aRecord('a', { work, cordon }), ...more })
    const key = 'started uid-a uid-job'
    const then = { wall: NOW.wall - 60_000, mono: NOW.mono - 60_000 }
    return aWorld({
      plans: [view],
      nodes: [node],
      jobs: [aJob('job', 'a', job)],
      now: { wall: NOW.wall, mono },
      since: new Map([
        [key, then],
        [`${key} proven boot-1`, then],
      ]),
      observed: { beats: new Map([['a', { advancedAt: NOW.mono - 1000, after: NOW.mono - 2000 }]]) },
    })
  }

  test('at the target, Ready, heartbeat seen, Job complete: done, uncordoned and labelled in one PATCH', () => {
    const [patch] = actions(decide(started({ kubeletVersion: NEW }, { complete: true })), 'patchNode')
    expect(patch?.unschedulable).toBe(false)
    expect(patch?.labels).toEqual({ 'plan.upgrade.cattle.io/p': hashOf(view) })
    expect(patch?.record.work).toBeUndefined()
  })

  test('a Complete Job over an old kubelet is not done', () => {
    expect(actions(decide(started({}, { complete: true })), 'patchNode')).toEqual([])
  })

  test('no change of version to see: a heartbeat since the start is asked for', () => {
    const same = aRecord('a', { work: { ...work, from: NEW }, cordon })
    const world = started({ kubeletVersion: NEW, record: same }, { complete: true })
    expect(
      actions(
        decide({ ...world, observed: { ...world.observed, beats: new Map([['a', { advancedAt: NOW.mono, after: NOW.mono - 61_000 }]]) } }),
        'patchNode',
      ),
    ).toEqual([])
    expect(actions(decide(world), 'patchNode').length).toBe(1)
  })

  test('a cordon that somebody changed is not lifted', () => {
    const [patch] = actions(decide(started({ kubeletVersion: NEW, cordonOwner: 'kubectl' }, { complete: true })), 'patchNode')
    expect(patch?.labels).toBeDefined()
    expect(patch?.unschedulable).toBeUndefined()
  })

  test('proven while the Job still has a retry to come: the Job is stopped first', () => {
    const decision = decide(started({ kubeletVersion: NEW }, { failedPods: 1 }))
    expect(actions(decision, 'suspendJob')).toMatchObject([{ unshield: true }])
    expect(actions(decision, 'patchNode')).toEqual([])
  })

  test('a pod that has succeeded completes its Job: it is stopped only when that does not come', () => {
    const pod = aPulled('apply', 'a', { jobUID: 'uid-job', phase: 'Succeeded', labels: {}, ranContainer: true })
    const world = { ...started({ kubeletVersion: NEW }, { failedPods: 1 }), pods: [pod] }
    const first = decide(world)
    expect([...actions(first, 'suspendJob'), ...actions(first, 'patchNode')]).toEqual([])
    expect(first.lookAt).toBeLessThanOrEqual(NOW.mono + 5000)
    const since = new Map([...world.since, ...[...first.facts].map((fact) => [fact, world.since.get(fact) ?? NOW] as const)])
    const later = decide({ ...world, since, now: { wall: NOW.wall + 5000, mono: NOW.mono + 5000 } })
    expect(actions(later, 'suspendJob').length).toBe(1)
  })

  test('a failed first pod is no failure', () => {
    const decision = decide(started({}, { failedPods: 1 }))
    expect(decision.reports.get(PLAN)?.nodes.get('a')?.phase).toBe('Upgrading')
  })

  describe("the payload's last word", () => {
    const said = (name: string, result: string, createdAt = NOW.wall, final = true) =>
      aPulled(name, 'a', {
        jobUID: 'uid-job',
        labels: {},
        ranContainer: true,
        createdAt,
        said: { drover: 1, result, message: `${name} says so`, final, log: 'last lines' },
      })
    const verdict = (pods: readonly ReturnType<typeof aPulled>[], node: Partial<NodeView> = {}) =>
      decide({ ...started(node, { failedPods: 1 }), pods })

    test('a roll back is a verdict at once, and what is left of the Job is stopped first', () => {
      const decision = verdict([said('one', 'RolledBack')])
      const step = decision.steps.find(({ actions }) => actions.some((action) => action.do === 'patchNode'))
      expect(step?.actions.map((action) => action.do)).toEqual(['suspendJob', 'patchNode', 'event', 'event'])
      const [patch] = actions(decision, 'patchNode')
      expect(patch?.record.past?.[PLAN]).toMatchObject({
        reason: 'JobFailed',
        message: 'node a: the payload ended with RolledBack: one says so',
        log: 'last lines',
      })
      expect(patch?.unschedulable).toBeUndefined()
    })

    test('the pod that only refuses to try again does not hide why', () => {
      const [patch] = actions(verdict([said('one', 'RolledBack', NOW.wall - 1000), said('two', 'AlreadyTried')]), 'patchNode')
      expect(patch?.record.past?.[PLAN]?.message).toContain('one says so')
    })

    test('a word that is not final, a success, and a node that is not Ready are no verdict', () => {
      expect(actions(verdict([said('one', 'NotRunning', NOW.wall, false)]), 'patchNode')).toEqual([])
      expect(actions(verdict([said('one', 'Upgraded')]), 'patchNode')).toEqual([])
      expect(actions(verdict([said('one', 'RolledBack')], { ready: 'False' }), 'patchNode')).toEqual([])
    })

    test('the node is the witness: at the target, a refusal changes nothing', () => {
      const [patch] = actions(verdict([said('one', 'NotProven')], { kubeletVersion: NEW }), 'patchNode')
      expect(patch?.record.past).toBeUndefined()
    })
  })

  test('a node that goes silent after the pod ran has its Job suspended at once', () => {
    const [stop, ...others] = actions(decide(started({ ready: 'Unknown' }, { failedPods: 1 })), 'suspendJob')
    // A returning SUC must not install the bad release once more, either.
    expect([stop?.unshield, others]).toEqual([undefined, []])
  })

  test("a silent node on which Drover's own payload works is left to it, until the deadline", () => {
    const pod = aPulled('apply', 'a', { jobUID: 'uid-job', phase: 'Running', labels: {}, ranContainer: true, ownImage: true })
    const silent = { ...started({ ready: 'Unknown' }, {}), pods: [pod] }
    expect(actions(decide(silent), 'suspendJob')).toEqual([])
    const long = { wall: 0, mono: NOW.mono - 16 * 60_000 }
    const later = decide({ ...silent, since: new Map([...silent.since, ['started uid-a uid-job unproven silent', long]]) })
    expect(actions(later, 'suspendJob').length).toBe(1)
    expect(actions(later, 'patchNode')[0]?.record.past?.[PLAN]?.reason).toBe('NodeLost')
  })

  test('silent beyond the timeout: NodeLost, and it stays in applying', () => {
    const key = 'started uid-a uid-job unproven'
    const world = started({ ready: 'Unknown' }, { suspend: true, suspended: true, failedPods: 1 })
    const long = { wall: 0, mono: NOW.mono - 16 * 60_000 }
    const decision = decide({ ...world, since: new Map([...world.since, [`${key} silent`, long], [`${key} ended`, long]]) })
    const [patch] = actions(decision, 'patchNode')
    expect(patch?.record.past?.[PLAN]?.reason).toBe('NodeLost')
    expect(patch?.unschedulable).toBeUndefined()
    expect(actions(decision, 'writeStatus').every((action) => action.status.applying?.includes('a'))).toBe(true)
  })
})

describe('failures are remembered', () => {
  const view = aPlan('p', {}, { status: { applying: ['a'] } })
  const outcome = aFailure(view, { message: 'm', at: 't', target: NEW })
  const node = aNode('a', {
    unschedulable: true,
    cordonOwner: 'drover',
    record: aRecord('a', { cordon: { at: 't', plan: PLAN }, past: { [PLAN]: outcome } }),
  })

  test('the same hash is not run again, the slot stays taken and the cordon stays', () => {
    const decision = decide(ready(view, { nodes: [node, aNode('b')] }))
    expect(holdsOn(decision, PLAN, 'a')).toEqual(['PreviousFailure'])
    expect(actions(decision, 'patchNode')).toEqual([])
    expect(actions(decision, 'writeStatus').flatMap((action) => action.confirm)).toEqual([])
  })

  test('a new value of drover.io/retry re-arms it; the value seen when it failed does not', () => {
    const again = aPlan('p', {}, { status: { applying: ['a'] }, annotations: { 'drover.io/retry': '1' } })
    expect(claimed(ready(again, { nodes: [node] }))).toEqual(['a'])
    const seen = aNode('a', { record: aRecord('a', { past: { [PLAN]: { ...outcome, retrySeen: '1' } } }) })
    expect(claimed(ready(again, { nodes: [seen] }))).toEqual([])
  })

  test("a failure of another hash stands in nobody's way once the claim is confirmed", () => {
    const old = aNode('a', { record: aRecord('a', { past: { [PLAN]: { ...outcome, hash: 'other' } } }) })
    const world = { ...ready(view, { nodes: [old] }), confirmed: new Set([`uid-p/${hashOf(view)}/uid-a`]) }
    expect(actions(decide(world), 'patchNode').map((patch) => patch.record.work?.attempt)).toEqual([1])
  })

  test('an edit of the spec re-arms it', () => {
    expect(claimed(ready(aPlan('p', {}, { status: { applying: ['a'] }, generation: 2 }), { nodes: [node] }))).toEqual(['a'])
  })
})

describe('left behind', () => {
  test('a cordon of a Plan that is gone is lifted once the node is Ready', () => {
    const record = aRecord('a', { cordon: { at: 't', plan: PLAN } })
    const held = aNode('a', { unschedulable: true, cordonOwner: 'drover', record })
    expect(actions(decide(aWorld({ nodes: [held] })), 'patchNode').map((patch) => patch.unschedulable)).toEqual([false])
    expect(actions(decide(aWorld({ nodes: [{ ...held, ready: 'Unknown' }] })), 'patchNode')).toEqual([])
    expect(
      actions(decide(aWorld({ nodes: [{ ...held, cordonOwner: 'kubectl' }] })), 'patchNode').map((patch) => patch.unschedulable),
    ).toEqual([undefined])
  })

  test('work before the point of no return is backed out when its Plan is gone', () => {
    const node = aNode('a', {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('a', { work: aWork(aPlan('p')), cordon: { at: 't', plan: PLAN } }),
    })
    const [patch] = actions(decide(aWorld({ nodes: [node] })), 'patchNode')
    expect(patch?.unschedulable).toBe(false)
    expect(patch?.record.work).toBeUndefined()
  })
})

describe('what a fresh pair of eyes found', () => {
  const armed = { 'drover.io/retry': '1' }
  const failed = (hash: string) => aFailure(aPlan('p'), { hash, message: 'm', at: '2026-03-02T11:00:00Z', target: NEW })

  test('a re-armed node that a gate holds does not lend its slot to another', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] }, annotations: armed })
    const node = aNode('a', { ready: 'False', record: aRecord('a', { past: { [PLAN]: failed(hashOf(view)) } }) })
    expect(claimed(ready(view, { nodes: [node, aNode('b')] }))).toEqual([])
  })

  test('a node that failed at an older hash keeps slot and cordon, and is the next to be taken', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const node = aNode('a', {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('a', { cordon: { at: '2026-03-02T11:00:00Z', plan: PLAN }, past: { [PLAN]: failed('older') } }),
    })
    const decision = decide(ready(view, { nodes: [node, aNode('b')] }))
    expect(actions(decision, 'writeStatus').flatMap((action) => action.confirm)).toEqual(['a'])
    expect(actions(decision, 'patchNode')).toEqual([])
  })

  test('live work of another Plan is never overwritten by an adoption', () => {
    const other = aPlan('q', {}, { status: { applying: ['a'] } })
    const view = aPlan('p', {}, { status: { applying: ['a'] }, annotations: { 'drover.io/rollout': '{"v":1,"adopt":["a"]}' } })
    const node = aNode('a', {
      kubeletVersion: NEW,
      record: aRecord('a', { work: aWork(other, { startedAt: '2026-03-02T11:59:30Z', jobUID: 'uid-job' }) }),
    })
    const patches = actions(
      decide(ready(view, { plans: [view, other], nodes: [node], jobs: [aJob('job', 'a', { active: 1 })] })),
      'patchNode',
    )
    expect(patches.filter((patch) => patch.record.work?.plan === PLAN)).toEqual([])
  })

  test('nodes that hang in their pull do not keep the others from being pulled', () => {
    const view = aPlan('p')
    const hash = hashOf(view)
    const nodes = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => aNode(name))
    const stuck = ['a', 'b', 'c'].map((name) =>
      aPulled(pullPodName('p', name, hash), name, {
        phase: 'Pending',
        pulled: false,
        waiting: { reason: 'Unschedulable', message: 'too many pods' },
      }),
    )
    expect(actions(decide(aWorld({ plans: [view], nodes, pods: stuck })), 'createPod').length).toBeGreaterThan(0)
  })

  test('with five members and one silent, the majority decides; with three, the silent one counts', () => {
    const start = (size: number) => {
      const names = ['s1', 's2', 's3', 's4', 's5'].slice(0, size)
      const view = aPlan('p', {}, { status: { applying: ['s1'] } })
      const job = applyJobName('p', 's1', hashOf(view))
      const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
      const nodes = names.map((name) =>
        name === 's1'
          ? aServer(name, { unschedulable: true, cordonOwner: 'drover', record: aRecord(name, { work: aWork(view), cordon }) })
          : aServer(name),
      )
      const beats = new Map(names.filter((name) => name !== names.at(-1)).map((name) => [name, { advancedAt: NOW.mono, after: NOW.mono }]))
      const mark = 'uid-p/1/'
      return decide(aWorld({ plans: [view], nodes, jobs: [aJob(job, 's1', { parallelism: 0, attempt: mark })], observed: { beats } }))
    }
    expect(actions(start(5), 'startJob').length).toBe(1)
    expect(actions(start(3), 'startJob').length).toBe(0)
    expect(holdsOn(start(3), PLAN, 's1')).toEqual(['HeartbeatMissing'])
  })

  test('a Job that waited paused is made anew: its deadline has been running', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const name = applyJobName('p', 'a', hashOf(view))
    const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
    const node = aNode('a', { unschedulable: true, cordonOwner: 'drover', record: aRecord('a', { work: aWork(view), cordon }) })
    const world = aWorld({ plans: [view], nodes: [node], jobs: [aJob(name, 'a', { parallelism: 0, attempt: 'uid-p/1/' })] })
    expect(actions(decide(world), 'startJob').length).toBe(1)
    const waited = { ...world, since: new Map([[`paused uid-${name}`, { wall: 0, mono: NOW.mono - 61_000 }]]) }
    expect(actions(decide(waited), 'startJob')).toEqual([])
    expect(actions(decide(waited), 'deleteJob').length).toBe(1)
  })

  test('the etcd snapshot that prepare took is remembered with the cordon, named at the start, and kept with a failure', () => {
    const snapshot = 'drover-1234abcd-a-1795258935'
    const view = aPlan('p', { prepare: { image: 'drover-rke2-upgrade', args: ['prepare'] } }, { status: { applying: ['a'] } })
    const node = (more: Partial<NodeView>, work = {}) => {
      const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
      return aNode('a', { record: aRecord('a', { work: aWork(view, work), ...(more.unschedulable === true ? { cordon } : {}) }), ...more })
    }
    const prepare = aJob(prepareJobName('p', 'a', hashOf(view)), 'a', { attempt: 'uid-p/1/', complete: true, uid: 'uid-prepare' })
    const said = { drover: 1, result: 'Prepared', message: 'ready', final: true, snapshot } as const
    const pod = aPulled('prepare', 'a', { jobUID: 'uid-prepare', labels: {}, phase: 'Succeeded', said })
    const [cordon] = actions(decide(ready(view, { nodes: [node({})], jobs: [prepare], pods: [pod] })), 'patchNode')
    expect(cordon).toMatchObject({ unschedulable: true, record: { work: { snapshot, preparedAt: expect.anything() } } })

    const prepared = { preparedAt: '2026-03-02T11:59:20Z', snapshot }
    const cordoned = { unschedulable: true, cordonOwner: 'drover' }
    const apply = aJob(applyJobName('p', 'a', hashOf(view)), 'a', { parallelism: 0, attempt: 'uid-p/1/' })
    const start = decide(ready(view, { nodes: [node(cordoned, prepared)], jobs: [apply] }))
    const told = actions(start, 'event').find(({ reason }) => reason === 'UpgradeStarted')
    expect(told?.message).toMatch(new RegExp(`, etcd snapshot ${snapshot}$`))

    const startedAt = '2026-03-02T11:59:30Z'
    const failed = aJob(apply.name, 'a', { attempt: 'uid-p/1/', failedPods: 1 })
    const refused = aPulled('apply', 'a', {
      jobUID: failed.uid,
      labels: {},
      ranContainer: true,
      said: { drover: 1, result: 'RolledBack', message: 'it crashed', final: true },
    })
    const over = decide(
      ready(view, { nodes: [node(cordoned, { ...prepared, startedAt, jobUID: failed.uid })], jobs: [failed], pods: [refused] }),
    )
    expect(actions(over, 'patchNode')[0]?.record.past?.[PLAN]).toMatchObject({ reason: 'JobFailed', snapshot })
  })

  test('a start that was recorded but never made is looked at again', () => {
    const view = aPlan('p', {}, { status: { applying: ['s1'] } })
    const work = aWork(view, { startedAt: '2026-03-02T11:59:30Z', jobUID: 'uid-job' })
    const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
    const one = aServer('s1', { unschedulable: true, cordonOwner: 'drover', record: aRecord('s1', { work, cordon }) })
    const world = (ready: 'True' | 'Unknown') => {
      const nodes = [one, aServer('s2'), aServer('s3', { ready })]
      const beats = new Map(['s2', 's3'].map((name) => [name, { advancedAt: NOW.mono, after: NOW.mono }]))
      return aWorld({ plans: [view], nodes, jobs: [aJob('job', 's1', { parallelism: 0, attempt: 'uid-p/1/' })], observed: { beats } })
    }
    expect(actions(decide(world('True')), 'startJob').length).toBe(1)
    expect(actions(decide(world('Unknown')), 'startJob')).toEqual([])
    expect(actions(decide(world('Unknown')), 'patchNode').map((patch) => patch.record.work?.startedAt)).toEqual([undefined])
    expect(actions(decide(world('Unknown')), 'deleteJob').map((action) => action.resourceVersion)).toEqual(['1'])
  })

  test('a failure that disrupts nothing stops no server of another Plan', () => {
    const os = aPlan(
      'os',
      { cordon: false, upgrade: { image: 'registry.example.org/patch:1' }, version: '2026-01' },
      { status: { applying: ['a'] } },
    )
    const view = aPlan('p')
    const nodes = [
      aServer('a', { record: aRecord('a', { past: { [os.key]: { ...failed(hashOf(os)), disruptive: false } } }) }),
      aServer('b'),
      aServer('c'),
    ]
    expect(claimed(ready(view, { plans: [view, os], nodes })).length).toBe(1)
  })
})

describe('found at the target', () => {
  test('a node without an older label is marked done without being taken', () => {
    const decision = decide(ready(aPlan('p'), { nodes: [aNode('a', { kubeletVersion: NEW })] }))
    expect(actions(decision, 'labelNode').map((action) => action.node)).toEqual(['a'])
    expect(actions(decision, 'writeStatus').flatMap((action) => action.confirm)).toEqual([])
  })
})

describe('the check against fresh reads', () => {
  test('finds a limit that the cache did not show', () => {
    const view = aPlan('p', {}, { status: { applying: ['a', 'b'] } })
    const holds = recheck(aWorld({ plans: [view], nodes: [aNode('a'), aNode('b')] }), PLAN, ['a'], hashOf(view))
    expect(holds.get('a')?.reason).toBe('ConcurrencyReached')
  })

  test('finds another Plan on the node', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const other = aPlan('q', {}, { status: { applying: ['a'] } })
    expect(recheck(aWorld({ plans: [view, other], nodes: [aNode('a')] }), PLAN, ['a'], hashOf(view)).get('a')?.reason).toBe('NodeBusy')
  })
})
