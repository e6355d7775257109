/** What each field of a RolloutPolicy does to the decision; each test is named after its field. */
import { describe, expect, test } from '@jest/globals'
import { decide, recheck } from '../../../src/rollout/decide.ts'
import type { NodeView, World } from '../../../src/rollout/world.ts'
import {
  actions,
  aFailed,
  aJob,
  aNode,
  aPlan,
  aPolicy,
  aRecord,
  aServer,
  aWork,
  aWorld,
  hashOf,
  holdsOn,
  type KnownPlan,
  NEW,
  NOW,
  OLD,
  planHolds,
  pulledAndTried,
  remembering,
} from '../build.ts'

const PLAN = 'system-upgrade/p'

/** A world in which every node has pulled and the dry run has passed: nothing but gates stands before a claim. */
function ready(view: KnownPlan, spec: object | undefined, nodes: readonly NodeView[], more: Parameters<typeof aWorld>[0] = {}): World {
  const plans = [view, ...(more.plans ?? [])]
  const { pods, dryRuns } = pulledAndTried(plans, nodes)
  return aWorld({
    ...more,
    plans,
    policies: spec === undefined ? [] : [aPolicy(spec)],
    nodes: [...nodes],
    pods: [...pods, ...(more.pods ?? [])],
    observed: { dryRuns, ...more.observed },
  })
}

const plan = (spec: Parameters<typeof aPlan>[1] = {}, more: Parameters<typeof aPlan>[2] = {}) => remembering(aPlan('p', spec, more))
const claimed = (world: World) => actions(decide(world), 'writeStatus').flatMap((action) => action.confirm)
const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`)
const zoned = (zone: string | undefined, name: string, more: Partial<NodeView> = {}) =>
  aNode(name, { ...more, labels: zone === undefined ? {} : { zone } })
const inFlight = (view: KnownPlan, name: string, more: Partial<NodeView> = {}) =>
  aNode(name, {
    unschedulable: true,
    cordonOwner: 'drover',
    ...more,
    record: aRecord(name, { work: aWork(view), cordon: { at: '2026-03-02T11:00:00Z', plan: view.key } }),
  })

describe('the policy in force', () => {
  test('is remembered for the hash, before anything is claimed', () => {
    const world = ready(aPlan('p'), {}, [aNode('a')])
    const decision = decide(world)
    expect(actions(decision, 'annotatePlan').map(({ memory }) => memory.policy)).toEqual([
      { name: 'default', uid: 'uid-default', hash: hashOf(aPlan('p')) },
    ])
    expect(claimed(world)).toEqual([])
    expect(claimed(ready(plan(), {}, [aNode('a')]))).toEqual(['a'])
  })

  test('holds the Plan once it is gone, until another applies or drover.io/policy: none', () => {
    const gone = decide(ready(plan(), undefined, [aNode('a')]))
    expect(planHolds(gone, PLAN)).toEqual(['PolicyGone'])
    expect(claimed(ready(plan({}, { annotations: { 'drover.io/policy': 'none' } }), undefined, [aNode('a')]))).toEqual(['a'])
    expect(planHolds(decide(ready(remembering(aPlan('p'), {}, 'other'), {}, [aNode('a')])), PLAN)).toEqual([])
    // Of another hash nobody has said anything.
    const another = aPlan('p', { version: 'v1.33.5+rke2r1' })
    const memory = { v: 1 as const, adopt: [], policy: { name: 'default', uid: 'uid-default', hash: hashOf(aPlan('p')) } }
    expect(claimed(ready({ ...another, memory: { ok: true, memory } }, undefined, [aNode('a')]))).toEqual(['a'])
  })

  test('does not hold a Plan that is complete', () => {
    const conditions = [{ type: 'Complete', status: 'True' as const }]
    expect(planHolds(decide(ready(plan({}, { status: { conditions } }), undefined, [aNode('a')])), PLAN)).toEqual([])
  })

  test('that cannot be read holds the Plan, and lets work past the point of no return go on', () => {
    const view = plan()
    const node = aNode('a', { record: aRecord('a', { work: aWork(view, { startedAt: '2026-03-02T11:59:00Z', jobUID: 'j' }) }) })
    const decision = decide(ready(view, { soak: 'long' }, [node, aNode('b')]))
    expect(planHolds(decision, PLAN)).toEqual(['PolicyUnreadable'])
    expect(decision.reports.get(PLAN)?.nodes.get('a')?.phase).not.toBe('Pending')
    expect(claimed(ready(view, { soak: 'long' }, [aNode('b')]))).toEqual([])
  })

  test('holds nobody else', () => {
    const world = ready(plan(), undefined, [aNode('a')])
    const conflicting = [aPolicy({ planNames: ['q'] }, 'x'), aPolicy({ planNames: ['q'] }, 'y')]
    expect(claimed({ ...world, policies: [aPolicy({}), ...conflicting] })).toEqual(['a'])
  })
})

describe('paused', () => {
  test('true: no node is taken', () => {
    const decision = decide(ready(plan(), { paused: true }, [aNode('a')]))
    expect(decision.reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'Paused',
        message: 'RolloutPolicy default has spec.paused: true',
        blockedBy: 'RolloutPolicy/system-upgrade/default',
        endedBy: 'person',
      },
    ])
    expect(claimed(ready(plan(), { paused: true }, [aNode('a')]))).toEqual([])
  })

  test('false: nothing is held', () => {
    expect(claimed(ready(plan(), { paused: false }, [aNode('a')]))).toEqual(['a'])
  })
})

describe('budget.maxUnavailable', () => {
  const nodes = names(10).map((name) => aNode(name))

  test.each([
    [3, 3],
    ['30%', 3],
    ['35%', 3],
    ['1%', 1],
    ['100%', 10],
    [0, 0],
    ['0%', 0],
  ])('%s of ten nodes lets %s be taken', (maxUnavailable, expected) => {
    expect(claimed(ready(plan({ concurrency: 20 }), { budget: { maxUnavailable } }, nodes)).length).toBe(expected)
  })

  test('0 takes a node that is unavailable anyway', () => {
    const cordoned = aNode('c', { unschedulable: true, cordonOwner: 'kubectl' })
    expect(claimed(ready(plan({ concurrency: 20 }), { budget: { maxUnavailable: 0 } }, [...nodes, cordoned]))).toEqual(['c'])
  })

  test('counts what is unavailable from any cause, once', () => {
    const down = [aNode('d', { ready: 'False' }), aNode('e', { ready: 'Unknown', unschedulable: true, cordonOwner: 'kubectl' })]
    const world = ready(plan({ concurrency: 20 }), { budget: { maxUnavailable: 3 } }, [...nodes, ...down])
    expect(claimed(world).filter((name) => name.startsWith('n')).length).toBe(1)
    const held = decide(world).reports.get(PLAN)?.nodes
    expect([...(held ?? [])].flatMap(([, { holds }]) => holds).find(({ reason }) => reason === 'BudgetReached')?.message).toBe(
      '3 nodes are unavailable or in flight; RolloutPolicy default allows 3',
    )
  })

  test('is of the nodes of all Plans under the policy, and of no other', () => {
    const other = remembering(aPlan('q', { nodeSelector: { matchLabels: { role: 'b' } } }))
    const view = plan({ concurrency: 20, nodeSelector: { matchLabels: { role: 'a' } } })
    const mine = names(4).map((name) => aNode(name, { labels: { role: 'a' } }))
    const theirs = inFlight(other, 'x', { labels: { role: 'b' } })
    const strange = aNode('y', { ready: 'False', labels: { role: 'c' } })
    const world = ready(view, { budget: { maxUnavailable: 2 } }, [...mine, theirs, strange], { plans: [other] })
    expect(claimed(world).length).toBe(1)
  })

  test('does not hold Plans that disrupt nothing', () => {
    const quiet = plan({ concurrency: 20, cordon: false, upgrade: { image: 'script' }, version: 'v2' })
    expect(claimed(ready(quiet, { budget: { maxUnavailable: 1 } }, nodes)).length).toBe(10)
  })

  test('is looked at again when a claim is confirmed', () => {
    const view = plan({ concurrency: 20 }, { status: { applying: ['n0', 'n1'] } })
    const world = ready(view, { budget: { maxUnavailable: 1 } }, nodes)
    expect(recheck(world, PLAN, ['n0', 'n1'], hashOf(view)).get('n0')?.reason).toBe('BudgetReached')
  })
})

describe('budget.spread', () => {
  const nodes = [
    ...names(3).map((name) => zoned('a', `a-${name}`)),
    ...names(3).map((name) => zoned('b', `b-${name}`)),
    zoned(undefined, 'c'),
  ]

  test('maxUnavailable: within each domain; nodes without the label are one of their own', () => {
    const world = ready(plan({ concurrency: 20 }), { budget: { spread: [{ topologyKey: 'zone', maxUnavailable: 1 }] } }, nodes)
    expect(new Set(claimed(world).map((name) => name[0]))).toEqual(new Set(['a', 'b', 'c']))
    expect(claimed(world)).toHaveLength(3)
  })

  test('domains: Sequential takes nodes of one domain only', () => {
    const world = ready(plan({ concurrency: 20 }), { budget: { spread: [{ topologyKey: 'zone', domains: 'Sequential' }] } }, nodes)
    const zones = new Set(claimed(world).map((name) => name[0]))
    expect(zones.size).toBe(1)
    expect(claimed(world).length).toBeGreaterThanOrEqual(zones.has('c') ? 1 : 3)
    const view = plan({ concurrency: 20 })
    const busy = [inFlight(view, 'b-busy', { labels: { zone: 'b' } }), ...nodes]
    const then = ready(view, { budget: { spread: [{ topologyKey: 'zone', domains: 'Sequential' }] } }, busy)
    expect(new Set(claimed(then).map((name) => name[0]))).toEqual(new Set(['b']))
  })

  test('an empty list limits nothing', () => {
    expect(claimed(ready(plan({ concurrency: 20 }), { budget: { spread: [] } }, nodes)).length).toBe(7)
  })
})

describe('budget.alreadyUnavailable', () => {
  const cordoned = (name: string) => aNode(name, { unschedulable: true, cordonOwner: 'kubectl' })
  const nodes = [cordoned('x'), aNode('y')]

  test('by default a node that others cordoned goes last, a server waits', () => {
    expect(claimed(ready(plan({ concurrency: 2 }), {}, nodes))).toEqual(['y', 'x'])
    const server = aServer('s', { unschedulable: true, cordonOwner: 'kubectl' })
    expect(holdsOn(decide(ready(plan(), {}, [server])), PLAN, 's')).toEqual(['CordonedByOthers'])
  })

  test('Skip: it waits', () => {
    const world = ready(plan({ concurrency: 2 }), { budget: { alreadyUnavailable: 'Skip' } }, nodes)
    expect(claimed(world)).toEqual(['y'])
    expect(holdsOn(decide(world), PLAN, 'x')).toEqual(['CordonedByOthers'])
  })

  test('Include: in its turn; Last: a server, too, goes last', () => {
    const many = [...names(6).map((name) => aNode(name)), cordoned('x')]
    const plain = claimed(
      ready(
        plan({ concurrency: 7 }),
        {},
        many.map((node) => ({ ...node, unschedulable: false })),
      ),
    )
    expect(claimed(ready(plan({ concurrency: 7 }), { budget: { alreadyUnavailable: 'Include' } }, many))).toEqual(plain)
    const server = aServer('s', { unschedulable: true, cordonOwner: 'kubectl' })
    expect(claimed(ready(plan(), { budget: { alreadyUnavailable: 'Last' } }, [server]))).toEqual(['s'])
  })

  test('a node that is not Ready always waits', () => {
    const world = ready(plan(), { budget: { alreadyUnavailable: 'Include' } }, [aNode('x', { ready: 'False' })])
    expect(holdsOn(decide(world), PLAN, 'x')).toEqual(['NodeNotReady'])
  })
})

describe('after', () => {
  test('names Plans that must be complete for the same version', () => {
    const first = remembering(aPlan('first', { nodeSelector: { matchLabels: { role: 'a' } } }))
    const view = plan({ nodeSelector: { matchLabels: { role: 'b' } } })
    const open = [aNode('x', { labels: { role: 'a' } }), aNode('y', { labels: { role: 'b' } })]
    const world = ready(view, { after: ['first'] }, open, { plans: [first] })
    expect(decide(world).reports.get(PLAN)?.holds).toMatchObject([{ reason: 'WaitingForPlan', blockedBy: 'Plan/system-upgrade/first' }])
    // A Plan does not wait for itself.
    expect(planHolds(decide(world), first.key)).toEqual([])
    const done = [
      aNode('x', { kubeletVersion: NEW, labels: { role: 'a', 'plan.upgrade.cattle.io/first': hashOf(first) } }),
      ...open.slice(1),
    ]
    expect(claimed(ready(view, { after: ['first'] }, done, { plans: [first] }))).toEqual(['y'])
  })

  test('an unknown name holds, an empty list does not', () => {
    const decision = decide(ready(plan(), { after: ['nobody'] }, [aNode('a')]))
    expect(decision.reports.get(PLAN)?.holds[0]?.message).toBe(
      'spec.after of the RolloutPolicy names Plan nobody, which does not exist or cannot be read',
    )
    expect(claimed(ready(plan(), { after: [] }, [aNode('a')]))).toEqual(['a'])
  })
})

describe('windows and exclusions', () => {
  // It is Monday, 2 March 2026, 12:00 UTC.
  test('windows: closed, the Plan says when the next opens; open, it goes on', () => {
    const decision = decide(ready(plan(), { windows: [{ start: '0 22 * * *', duration: '6h' }] }, [aNode('a')]))
    expect(decision.reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'OutsideWindow',
        message: 'no window of RolloutPolicy default is open; the next opening is at 2026-03-02T22:00:00.000Z',
        retryAt: Date.parse('2026-03-02T22:00:00Z'),
        endedBy: 'time',
      },
    ])
    expect(decision.lookAt).toBe(NOW.mono + 10 * 3_600_000)
    expect(claimed(ready(plan(), { windows: [{ start: '0 11 * * *', duration: '6h' }] }, [aNode('a')]))).toEqual(['a'])
  })

  test("windows: the Plan's own window holds as well", () => {
    const window = { days: ['mo'], startTime: '01:00', endTime: '02:00' }
    const world = ready(plan({ window }), { windows: [{ start: '0 11 * * *', duration: '6h' }] }, [aNode('a')])
    expect(planHolds(decide(world), PLAN)).toEqual(['OutsideWindow'])
  })

  test('windows: a node that has not been started is given back when they close', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const decision = decide(ready(view, { windows: [{ start: '0 22 * * *', duration: '6h' }] }, [inFlight(view, 'a')]))
    expect(actions(decision, 'patchNode')).toMatchObject([{ node: 'a', unschedulable: false }])
  })

  test('exclusions: beat the windows and give their reason', () => {
    const exclusions = [{ from: '2026-03-01T00:00:00Z', to: '2026-03-03T00:00:00Z', reason: 'fair' }]
    const decision = decide(ready(plan(), { windows: [{ start: '0 11 * * *', duration: '6h' }], exclusions }, [aNode('a')]))
    expect(decision.reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'Excluded',
        message:
          'RolloutPolicy default excludes work until 2026-03-03T00:00:00.000Z (fair); the next opening is at 2026-03-03T11:00:00.000Z',
        retryAt: Date.parse('2026-03-03T11:00:00Z'),
      },
    ])
  })
})

describe('versionPath.allow', () => {
  const down = aNode('a', { kubeletVersion: 'v1.34.1+rke2r1' })

  test('lets exactly the named step pass', () => {
    expect(holdsOn(decide(ready(plan(), {}, [down])), PLAN, 'a')).toEqual(['Downgrade'])
    expect(claimed(ready(plan(), { versionPath: { allow: [`v1.34.1+rke2r1>${NEW}`] } }, [down]))).toEqual(['a'])
    expect(claimed(ready(plan(), { versionPath: { allow: [`v1.34.2+rke2r1>${NEW}`] } }, [down]))).toEqual([])
    expect(claimed(ready(plan(), { versionPath: { allow: [`${NEW}>v1.34.1+rke2r1`] } }, [down]))).toEqual([])
  })

  test('also over a skipped minor of a server, and ahead of the servers', () => {
    const server = aServer('s', { kubeletVersion: 'v1.31.1+rke2r1' })
    expect(holdsOn(decide(ready(plan(), {}, [server])), PLAN, 's')).toEqual(['SkippedMinor'])
    expect(claimed(ready(plan(), { versionPath: { allow: [`v1.31.1+rke2r1>${NEW}`] } }, [server]))).toEqual(['s'])
    const agent = plan({ nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] } })
    const nodes = [aServer('s'), aNode('a')]
    expect(holdsOn(decide(ready(agent, {}, nodes)), PLAN, 'a')).toEqual(['AheadOfServers'])
    expect(claimed(ready(agent, { versionPath: { allow: [`${OLD}>${NEW}`] } }, nodes))).toEqual(['a'])
  })
})

describe('verify', () => {
  const proven = (view: KnownPlan, work: Parameters<typeof aWork>[1] = {}, node: Partial<NodeView> = {}) =>
    aNode('a', {
      kubeletVersion: NEW,
      ...node,
      record: aRecord('a', { work: aWork(view, { startedAt: '2026-03-02T11:59:00Z', jobUID: 'uid-job', ...work }) }),
    })
  const done = (view: KnownPlan) => aJob('job', 'a', { uid: 'uid-job', complete: true, attempt: `${view.uid}/1/` })

  test('version: Kubelet asks for the version whatever the image, Off never', () => {
    const custom = plan({ upgrade: { image: 'registry.example/mine' } })
    const higher = aNode('a', { kubeletVersion: 'v1.34.1+rke2r1' })
    expect(claimed(ready(custom, {}, [higher]))).toEqual(['a'])
    expect(holdsOn(decide(ready(custom, { verify: { version: 'Kubelet' } }, [higher])), PLAN, 'a')).toEqual(['Downgrade'])
    expect(claimed(ready(plan(), { verify: { version: 'Off' } }, [higher]))).toEqual(['a'])
  })

  test('minReadySeconds: how long the node must stay Ready; 0 = not at all', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const at = (spec: object) => decide(ready(view, { verify: spec }, [proven(view)], { jobs: [done(view)] }))
    expect(at({ minReadySeconds: 30 }).reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message).toContain('must stay so for 30 s')
    expect(at({ minReadySeconds: 0 }).reports.get(PLAN)?.nodes.get('a')?.phase).toBe('Done')
  })

  test('timeout: when a silent node is given up', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const silent = proven(view, {}, { kubeletVersion: OLD, ready: 'Unknown' })
    const job = aJob('job', 'a', { uid: 'uid-job', suspend: true, suspended: true, attempt: `${view.uid}/1/` })
    const since = new Map([
      ['started uid-a uid-job unproven silent', { mono: NOW.mono - 61_000, wall: NOW.wall - 61_000 }],
      ['started uid-a uid-job', { mono: NOW.mono - 100_000, wall: NOW.wall - 100_000 }],
    ])
    const phase = (timeout: string) =>
      decide(ready(view, { verify: { timeout } }, [silent], { jobs: [job], since }))
        .reports.get(PLAN)
        ?.nodes.get('a')?.phase
    expect(phase('1m')).toBe('Failed')
    expect(phase('2m')).toBe('Verifying')
  })

  test('reboot: Required notes the boot ID at the claim and asks for another', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const confirmed = new Set([`${view.uid}/${hashOf(view)}/uid-a`])
    const taken = decide(ready(view, { verify: { reboot: 'Required' } }, [aNode('a')], { confirmed }))
    expect(actions(taken, 'patchNode')[0]?.record.work?.bootID).toBe('boot-1')
    const after = (bootID: string) =>
      decide(
        ready(view, { verify: { reboot: 'Required', minReadySeconds: 0 } }, [proven(view, { bootID: 'boot-1' }, { bootID })], {
          jobs: [done(view)],
        }),
      )
        .reports.get(PLAN)
        ?.nodes.get('a')?.phase
    expect(after('boot-1')).toBe('Verifying')
    expect(after('boot-2')).toBe('Done')
    const plain = decide(ready(view, { verify: { reboot: 'Off' } }, [aNode('a')], { confirmed }))
    expect(actions(plain, 'patchNode')[0]?.record.work?.bootID).toBeUndefined()
  })

  test('reboot: Auto, which is the default, counts minReadySeconds from a boot that is seen; Off does not look', () => {
    const view = plan({}, { status: { applying: ['a'] } })
    const look = (verify: object, bootID: string, since?: ReadonlyMap<string, { mono: number; wall: number }>) =>
      decide(
        ready(view, { verify: { minReadySeconds: 30, ...verify } }, [proven(view, {}, { bootID })], {
          jobs: [done(view)],
          since: since ?? new Map(),
        }),
      )
    const phases = (verify: object) => {
      const first = look(verify, 'boot-1')
      // All that stands has stood for half a minute.
      const since = new Map([...first.facts].map((fact) => [fact, { mono: NOW.mono - 30_000, wall: NOW.wall - 30_000 }]))
      return ['boot-1', 'boot-2'].map((boot) => look(verify, boot, since).reports.get(PLAN)?.nodes.get('a')?.phase)
    }
    expect(phases({})).toEqual(['Done', 'Verifying'])
    expect(phases({ reboot: 'Auto' })).toEqual(['Done', 'Verifying'])
    expect(phases({ reboot: 'Off' })).toEqual(['Done', 'Done'])
  })
})

describe('soak', () => {
  const taken = (view: KnownPlan, spec: object) =>
    actions(decide(ready(view, spec, [aNode('a')], { confirmed: new Set([`${view.uid}/${hashOf(view)}/uid-a`]) })), 'patchNode')[0]?.record
      .work

  test("goes before the Plan's postCompleteDelay; 0s = none", () => {
    const view = plan({ postCompleteDelay: '1m0s' }, { status: { applying: ['a'] } })
    expect(taken(view, {})?.delaySeconds).toBe(60)
    expect(taken(view, { soak: '5m' })?.delaySeconds).toBe(300)
    expect(taken(view, { soak: '0s' })?.delaySeconds).toBeUndefined()
  })
})

describe('failure', () => {
  const applying = ['f']

  test('maxFailures: 1 stops the Plan at the first failure, and says what to do', () => {
    const view = plan({ concurrency: 5 }, { status: { applying } })
    const world = ready(view, {}, [aFailed(view, 'f'), aNode('a')])
    expect(claimed(world)).toEqual([])
    expect(decide(world).reports.get(PLAN)?.holds).toMatchObject([
      { reason: 'MaxFailuresExceeded', endedBy: 'person', blockedBy: 'Node//f' },
    ])
    expect(
      recheck(
        { ...world, plans: [{ ...view, plan: { ...view.plan, status: { ...view.plan.status, applying: ['f', 'a'] } } }] },
        PLAN,
        ['a'],
        hashOf(view),
      ).get('a')?.reason,
    ).toBe('MaxFailuresExceeded')
  })

  test('maxFailures: fewer failures free their slots', () => {
    const view = plan({ concurrency: 1 }, { status: { applying } })
    expect(claimed(ready(view, { failure: { maxFailures: 2 } }, [aFailed(view, 'f'), aNode('a'), aNode('b')])).length).toBe(1)
    // Without a policy the failure keeps its slot.
    const plain = aPlan('p', { concurrency: 1 }, { status: { applying } })
    expect(claimed(ready(plain, undefined, [aFailed(plain, 'f'), aNode('a')]))).toEqual([])
  })

  test('maxFailures: a tolerated failure neither fails nor stalls the Plan while something goes on', () => {
    const view = plan({ concurrency: 1 }, { status: { applying } })
    const conditions = (nodes: readonly NodeView[]) =>
      actions(decide(ready(view, { failure: { maxFailures: 2 } }, nodes)), 'writeStatus')[0]?.status.conditions?.map(
        ({ type, status, reason }) => `${type} ${status} ${reason}`,
      )
    expect(conditions([aFailed(view, 'f'), aNode('a')])).toEqual(
      expect.arrayContaining(['Complete False SyncJob', 'Reconciling True Progressing', 'Stalled False Progressing']),
    )
    const label = { 'plan.upgrade.cattle.io/p': hashOf(view) }
    // All others are done: now it takes a person.
    expect(conditions([aFailed(view, 'f'), aNode('a', { kubeletVersion: NEW, labels: label })])).toEqual(
      expect.arrayContaining(['Complete False JobFailed', 'Reconciling False NodeFailed', 'Stalled True NodeFailed']),
    )
    const other = aFailed(view, 'g')
    const two = plan({ concurrency: 3 }, { status: { applying: ['f', 'g'] } })
    const stopped = actions(decide(ready(two, { failure: { maxFailures: 2 } }, [aFailed(two, 'f'), other, aNode('a')])), 'writeStatus')[0]
      ?.status.conditions
    expect(stopped?.find(({ type }) => type === 'Stalled')).toMatchObject({ status: 'True', reason: 'MaxFailuresExceeded' })
  })

  test('maxFailures: a percentage is of the selected nodes, rounded down and at least 1', () => {
    const view = plan({ concurrency: 20 }, { status: { applying } })
    const nodes = [aFailed(view, 'f'), ...names(19).map((name) => aNode(name))]
    expect(claimed(ready(view, { failure: { maxFailures: '4%' } }, nodes))).toEqual([])
    expect(claimed(ready(view, { failure: { maxFailures: '10%' } }, nodes)).length).toBe(19)
  })

  test('retries: after the backoff, and after all other nodes', () => {
    const view = plan({ concurrency: 5 }, { status: { applying } })
    const spec = (base: string) => ({ failure: { retries: 1, backoff: { base }, maxFailures: 2 } })
    const waiting = decide(ready(view, spec('5m'), [aFailed(view, 'f'), aNode('a')]))
    expect(waiting.reports.get(PLAN)?.nodes.get('f')).toMatchObject({
      phase: 'Failed',
      holds: [{ reason: 'BackingOff', retryAt: Date.parse('2026-03-02T12:03:00Z'), endedBy: 'time' }],
    })
    expect(claimed(ready(view, spec('1m'), [aFailed(view, 'f'), aNode('a')]))).toEqual(['a', 'f'])
  })

  test('retries: also when maxFailures keeps other nodes', () => {
    const view = plan({ concurrency: 5 }, { status: { applying } })
    expect(claimed(ready(view, { failure: { retries: 1, backoff: { base: '1m' } } }, [aFailed(view, 'f'), aNode('a')]))).toEqual(['f'])
  })

  test('retries: 0 and attempts that are used up take a person', () => {
    const view = plan({ concurrency: 5 }, { status: { applying } })
    expect(holdsOn(decide(ready(view, {}, [aFailed(view, 'f')])), PLAN, 'f')).toEqual(['PreviousFailure'])
    expect(holdsOn(decide(ready(view, { failure: { retries: 2 } }, [aFailed(view, 'f', { attempts: 3 })])), PLAN, 'f')).toEqual([
      'PreviousFailure',
    ])
  })

  test('backoff: doubles for each attempt up to its cap', () => {
    const view = plan({ concurrency: 5 }, { status: { applying } })
    const retryAt = (attempts: number) =>
      decide(ready(view, { failure: { retries: 9, backoff: { base: '5m', cap: '15m' } } }, [aFailed(view, 'f', { attempts })]))
        .reports.get(PLAN)
        ?.nodes.get('f')?.holds[0]?.retryAt
    expect([1, 2, 3, 9].map(retryAt)).toEqual([5, 10, 15, 15].map((minutes) => Date.parse('2026-03-02T11:58:00Z') + minutes * 60_000))
  })

  test.each([
    ['IfUnchanged', undefined, true],
    ['Never', undefined, false],
    ['Always', true, true],
  ] as const)('uncordonOnFailure: %s', (uncordonOnFailure, afterRun, beforeRun) => {
    const view = plan({ drain: {} }, { status: { applying: ['a'] } })
    const started = { startedAt: '2026-03-02T11:59:00Z', jobUID: 'uid-job' }
    const fail = (failedPods: number) => {
      const node = aNode('a', {
        unschedulable: true,
        cordonOwner: 'drover',
        record: aRecord('a', {
          work: aWork(view, { ...started, kubernetes: false }),
          cordon: { at: '2026-03-02T11:00:00Z', plan: view.key },
        }),
      })
      const job = aJob('job', 'a', {
        uid: 'uid-job',
        failed: { reason: 'BackoffLimitExceeded', message: '' },
        failedPods,
        attempt: `${view.uid}/1/`,
      })
      const decision = decide(ready(view, { failure: { uncordonOnFailure } }, [node], { jobs: [job] }))
      expect(decision.reports.get(PLAN)?.nodes.get('a')?.phase).toBe('Failed')
      return actions(decision, 'patchNode')[0]?.unschedulable === false
    }
    expect(fail(0)).toBe(beforeRun)
    expect(fail(1)).toBe(afterRun ?? false)
  })
})

describe('managedElsewhere', () => {
  const provisioned = aNode('a', { caretaker: 'Rancher' })

  test('Hold, the default: nodes that others provisioned wait; Ignore: they are taken', () => {
    expect(holdsOn(decide(ready(aPlan('p'), undefined, [provisioned])), PLAN, 'a')).toEqual(['ManagedElsewhere'])
    expect(holdsOn(decide(ready(plan(), {}, [provisioned])), PLAN, 'a')).toEqual(['ManagedElsewhere'])
    expect(claimed(ready(plan(), { managedElsewhere: 'Ignore' }, [provisioned]))).toEqual(['a'])
  })

  test('only Plans that upgrade Kubernetes are held', () => {
    const agentUpgrader = plan({ upgrade: { image: 'rancher/system-agent' }, version: 'v0.3.13-suc' })
    expect(claimed(ready(agentUpgrader, {}, [provisioned]))).toEqual(['a'])
  })

  test('RKE1 is never upgraded', () => {
    const world = ready(plan(), { managedElsewhere: 'Ignore' }, [aNode('a', { caretaker: 'RKE1' })])
    expect(holdsOn(decide(world), PLAN, 'a')).toEqual(['UnsupportedDistribution'])
  })
})
