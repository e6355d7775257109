import { describe, expect, test } from '@jest/globals'
import type { RolloutMemory } from '../../../src/api/memory.ts'
import { NOTIFY_EVENTS } from '../../../src/api/notify.ts'
import type { PolicyView } from '../../../src/api/policy.ts'
import { decide } from '../../../src/rollout/decide.ts'
import type { Decision, Moment, NodeView, World } from '../../../src/rollout/world.ts'
import { actions, aFailed, aNode, aPlan, aPolicy, aRecord, aServer, aWork, aWorld, hashOf, NEW, NOW } from '../build.ts'

const PLAN = 'system-upgrade/p'
const HASH = hashOf(aPlan('p'))
const SHORT = HASH.slice(0, 8)
const WEBHOOK = { url: 'https://hooks.example.com/x' }
const done = (name: string): NodeView => aNode(name, { kubeletVersion: NEW, labels: { 'plan.upgrade.cattle.io/p': HASH } })

const failed = (name: string, more: Parameters<typeof aFailed>[2] = {}): NodeView =>
  aFailed(aPlan('p'), name, { message: 'Job failed on node <a> & more', at: '2026-03-02T11:00:00Z', ...more })
const working = (name: string): NodeView => aNode(name, { unschedulable: true, record: aRecord(name, { work: aWork(aPlan('p')) }) })

interface Given {
  readonly nodes: readonly NodeView[]
  readonly notify?: readonly object[]
  /** Undefined: the rollout is not followed yet. */
  readonly told?: RolloutMemory['told']
  readonly notified?: readonly string[]
  readonly spec?: object
  readonly applying?: readonly string[]
  readonly waves?: RolloutMemory['waves']
  readonly annotations?: Record<string, string>
  readonly since?: ReadonlyMap<string, Moment>
}

const FOLLOWED = { hash: HASH, keys: [], stalls: 0 }

function world({ nodes, notify = [WEBHOOK], told, notified = [], spec = {}, applying = [], waves, annotations = {}, since }: Given): World {
  const policy = aPolicy({ planNames: ['p'], notify, ...spec }, 'careful')
  if (!policy.ok) throw new Error(policy.error)
  const memory: RolloutMemory = {
    v: 1,
    adopt: [],
    policy: { name: 'careful', uid: 'uid-careful', hash: HASH },
    ...(told && { told }),
    ...(waves && { waves }),
  }
  return aWorld({
    plans: [{ ...aPlan('p', {}, { status: { applying: [...applying] }, annotations }), memory: { ok: true, memory } }],
    policies: [policy],
    nodes: [...nodes],
    observed: { notified: new Set(notified) },
    ...(since === undefined ? {} : { since }),
  })
}

/** Decides twice, the second time after so long, so that what has to last has lasted. */
function later(given: Given, ms: number): Decision {
  const first = world(given)
  const since = new Map([...decide(first).facts].map((fact) => [fact, first.now]))
  return decide({ ...world(given), since, now: { wall: NOW.wall + ms, mono: NOW.mono + ms } })
}

const seen = new Set<string>()
const messages = (decision: Decision) =>
  decision.notices.map(({ message }) => {
    seen.add(message.event)
    return message
  })
const events = (decision: Decision) => messages(decision).map(({ event }) => event)
const remembered = (decision: Decision) => actions(decision, 'annotatePlan').map(({ memory }) => memory.told)

describe('a rollout is followed', () => {
  test('from when there is something to do, which is noted before anything is told', () => {
    const decision = decide(world({ nodes: [working('a'), aNode('b')], applying: ['a'] }))
    expect(remembered(decision)).toEqual([FOLLOWED])
    expect(decision.notices).toEqual([])
  })

  test('but not of a Plan that is found complete, that matches nothing, or without a webhook', () => {
    for (const given of [
      { nodes: [done('a'), done('b')] },
      { nodes: [] },
      { nodes: [working('a')], applying: ['a'], notify: [] },
    ] satisfies Given[]) {
      const decision = decide(world(given))
      expect(remembered(decision)).toEqual([])
      expect(decision.notices).toEqual([])
    }
  })

  test('anew for another hash', () => {
    const told = { hash: 'old', keys: ['RolloutStarted', 'RolloutComplete'], stalls: 3, stall: 'Paused' }
    expect(remembered(decide(world({ nodes: [working('a')], applying: ['a'], told })))).toEqual([FOLLOWED])
  })

  test('and an unreadable memory stops the telling only', () => {
    const given = world({ nodes: [working('a')], applying: ['a'] })
    const [view] = given.plans
    const decision = decide({ ...given, plans: [{ ...view, memory: { ok: false, error: 'not JSON' } } as never] })
    expect(decision.notices).toEqual([])
    expect(decision.reports.get(PLAN)?.holds.map(({ reason }) => reason)).toEqual(['MemoryUnreadable'])
  })
})

describe('what is told', () => {
  test('that it began, with all that somebody needs to know', () => {
    const [notice, ...more] = decide(world({ nodes: [working('a'), done('b'), aNode('c')], applying: ['a'], told: FOLLOWED })).notices
    expect(more).toEqual([])
    expect(notice).toEqual({
      message: {
        id: `uid-p/${SHORT}/RolloutStarted`,
        event: 'RolloutStarted',
        text: `Plan ${PLAN}: the rollout of v1.33.4-rke2r1 has begun, 1 of 3 nodes done`,
        at: '2026-03-02T12:00:00Z',
        plan: { namespace: 'system-upgrade', name: 'p', uid: 'uid-p' },
        policy: 'careful',
        version: 'v1.33.4-rke2r1',
        hash: HASH,
        nodes: { selected: 3, done: 1, inFlight: 1, failed: 0, held: expect.any(Number) },
      },
      policy: { namespace: 'system-upgrade', name: 'careful', uid: 'uid-careful' },
      to: [{ kind: 'url', url: 'https://hooks.example.com/x', field: 'spec.notify[0]' }],
    })
  })

  test('each failed attempt, in a text that nobody can smuggle a link into', () => {
    const decision = decide(world({ nodes: [failed('a')], applying: ['a'], told: { ...FOLLOWED, keys: ['RolloutStarted'] } }))
    expect(messages(decision)).toMatchObject([
      {
        id: `uid-p/${SHORT}/NodeFailed/a/2026-03-02T11:00:00Z`,
        text: `Plan ${PLAN}: node a failed in attempt 1: JobFailed: Job failed on node &lt;a&gt; &amp; more`,
        node: 'a',
        reason: 'JobFailed',
        message: 'Job failed on node <a> & more',
      },
    ])
  })

  test('no failure of another hash, and at most a hundred of one', () => {
    const nodes = Array.from({ length: 120 }, (_, index) => failed(`n${index}`))
    const old = failed('old', { hash: 'other' })
    const decision = decide(world({ nodes: [old, ...nodes], told: { ...FOLLOWED, keys: ['RolloutStarted'] } }))
    const failures = messages(decision).filter(({ event }) => event === 'NodeFailed')
    expect(failures).toHaveLength(100)
    expect(failures.some(({ node }) => node === 'old')).toBe(false)
  })

  test('that it is complete, also when its begin was not told yet', () => {
    const decision = decide(world({ nodes: [done('a'), done('b')], told: FOLLOWED }))
    expect(events(decision)).toEqual(['RolloutStarted', 'RolloutComplete'])
    expect(messages(decision)[1]).toMatchObject({ text: `Plan ${PLAN}: complete at v1.33.4-rke2r1, 2 of 2 nodes done` })
  })

  test('no end at a step on the way to another minor', () => {
    const goal = 'v1.35.0+rke2r1'
    const spec = { versionPath: { stepThroughMinors: true } }
    const server = aServer('a', { kubeletVersion: NEW, labels: { 'plan.upgrade.cattle.io/p': HASH } })
    const first = world({ nodes: [server], spec })
    const [view] = first.plans
    if (view?.plan === undefined) throw new Error('no Plan')
    const plan = { ...view.plan, spec: { ...view.plan.spec, version: goal } }
    const policy = { name: 'careful', uid: 'uid-careful', hash: HASH }
    const memory = { v: 1, adopt: [], policy, step: { version: 'v1.33.4-rke2r1' }, told: FOLLOWED }
    const decision = decide({ ...first, plans: [{ ...view, plan, memory: { ok: true, memory } } as never] })
    expect(messages(decision).map(({ event, version, text }) => [event, version, text])).toEqual([
      [
        'RolloutStarted',
        'v1.33.4-rke2r1',
        `Plan ${PLAN}: the rollout of v1.33.4-rke2r1, a step on the way to v1.35.0-rke2r1, has begun, 1 of 1 nodes done`,
      ],
    ])
  })

  test('waves that are done, and one that waits for approval, until it is given', () => {
    const given: Given = {
      nodes: [done('a'), aNode('b')],
      spec: { waves: [{ name: 'canary', size: 1, approval: 'Manual' }] },
      waves: { hash: HASH, of: [{ name: 'canary', members: ['a'], doneAt: '2026-03-02T11:00:00Z' }] },
      told: { ...FOLLOWED, keys: ['RolloutStarted'] },
    }
    const wave = `set annotation drover.io/approve: ${SHORT}/canary on the Plan to go on`
    expect(messages(decide(world(given)))).toMatchObject([
      { event: 'WaveDone', wave: 'canary', text: `Plan ${PLAN}: wave canary is done, 1 of 2 nodes` },
      { event: 'ApprovalNeeded', wave: 'canary', message: expect.stringContaining(wave) },
    ])
    // It is no stall as well.
    expect(events(later(given, 120_000))).toEqual(['WaveDone', 'ApprovalNeeded'])
    expect(events(decide(world({ ...given, annotations: { 'drover.io/approve': `${SHORT}/canary` } })))).toEqual(['WaveDone'])
  })

  test('no wave without nodes', () => {
    const waves = { hash: HASH, of: [{ name: 'nobody', members: [], doneAt: '2026-03-02T11:00:00Z' }] }
    const given = { nodes: [aNode('a')], spec: { waves: [{ name: 'nobody', size: 1 }] }, waves, told: FOLLOWED }
    expect(events(decide(world(given)))).toEqual([])
  })
})

describe('a stall', () => {
  const paused: Given = { nodes: [done('a'), aNode('b')], spec: { paused: true }, told: { ...FOLLOWED, keys: ['RolloutStarted'] } }

  test('is told when it has lasted for a minute', () => {
    expect(events(decide(world(paused)))).toEqual([])
    expect(decide(world(paused)).lookAt).toBeLessThanOrEqual(NOW.mono + 60_000)
    expect(events(later(paused, 59_999))).toEqual([])
    expect(messages(later(paused, 60_000))).toMatchObject([
      { id: `uid-p/${SHORT}/RolloutStalled/1`, reason: 'Paused', text: expect.stringContaining('stalled at 1 of 2 nodes: Paused: ') },
    ])
  })

  test('is not told again while it stands, and gets another id when it comes back', () => {
    const id = `uid-p/${SHORT}/RolloutStalled/1`
    const after = { ...FOLLOWED, keys: ['RolloutStarted'], stalls: 1 }
    expect(remembered(later({ ...paused, notified: [id] }, 60_000))).toEqual([{ ...after, stall: 'Paused' }])
    expect(events(later({ ...paused, told: { ...after, stall: 'Paused' } }, 60_000))).toEqual([])
    const goesOn = { ...paused, spec: {}, told: { ...after, stall: 'Paused' } }
    expect(remembered(later(goesOn, 59_999))).toEqual([])
    expect(remembered(later(goesOn, 60_000))).toEqual([after])
    expect(messages(later({ ...paused, told: after }, 60_000))).toMatchObject([{ id: `uid-p/${SHORT}/RolloutStalled/2` }])
  })

  test('for another reason is another', () => {
    const told = { ...FOLLOWED, keys: ['RolloutStarted'], stalls: 1, stall: 'NodeHeld' }
    expect(messages(later({ ...paused, told }, 60_000))).toMatchObject([{ id: `uid-p/${SHORT}/RolloutStalled/2`, reason: 'Paused' }])
  })

  test('of a Plan that has nothing left to do is none', () => {
    expect(events(later({ ...paused, nodes: [done('a'), done('b')] }, 120_000))).toEqual(['RolloutComplete'])
    expect(remembered(later({ nodes: [done('a')], spec: { paused: true } }, 120_000))).toEqual([])
    expect(remembered(later({ nodes: [], spec: { paused: true } }, 120_000))).toEqual([])
  })

  test('before there is a hash is told, too', () => {
    const given = world({ nodes: [aNode('a')] })
    const [view] = given.plans
    const { plan } = aPlan('p', { secrets: [{ name: 'gone' }] as never })
    const observed = { ...given.observed, secrets: new Map([['gone', { at: NOW.mono, ok: true, value: null } as const]]) }
    const invalid = { ...given, observed, plans: [{ ...view, plan } as never] }
    const first = decide(invalid)
    expect(remembered(first).filter((told) => told !== undefined)).toEqual([])
    const since = new Map([...first.facts].map((fact) => [fact, NOW]))
    const then = decide({ ...invalid, since, now: { wall: NOW.wall + 60_000, mono: NOW.mono + 60_000 } })
    expect(remembered(then)).toEqual([{ hash: '', keys: [], stalls: 0 }])
  })
})

describe('what has been told', () => {
  const started = `uid-p/${SHORT}/RolloutStarted`
  const given: Given = { nodes: [working('a')], applying: ['a'], told: FOLLOWED }

  test('is offered until its matter is closed, then noted, then offered no more', () => {
    expect(events(decide(world(given)))).toEqual(['RolloutStarted'])
    const closed = decide(world({ ...given, notified: [started] }))
    // Until the note shows, another would take its absence for the end of it.
    expect(events(closed)).toEqual(['RolloutStarted'])
    expect(remembered(closed)).toEqual([{ ...FOLLOWED, keys: ['RolloutStarted'] }])
    const noted = decide(world({ ...given, told: { ...FOLLOWED, keys: ['RolloutStarted'] }, notified: [started] }))
    expect(noted.notices).toEqual([])
    expect(remembered(noted)).toEqual([])
  })

  test('of failures that are gone is forgotten', () => {
    const keys = ['RolloutStarted', 'NodeFailed/a/2026-03-02T11:00:00Z', 'NodeFailed/b/2026-03-02T11:00:00Z']
    const nodes = [failed('a'), done('b'), done('c')]
    const complete = { ...given, nodes: [done('a'), done('b')], told: { ...FOLLOWED, keys }, notified: [`uid-p/${SHORT}/RolloutComplete`] }
    expect(remembered(decide(world(complete)))).toEqual([{ ...FOLLOWED, keys: ['RolloutStarted', 'RolloutComplete'] }])
    const stalled = { ...complete, nodes, notified: [`uid-p/${SHORT}/RolloutStalled/1`], applying: ['a'] }
    expect(remembered(later(stalled, 60_000))).toMatchObject([{ keys: keys.slice(0, 2), stalls: 1 }])
  })

  test('does not keep the status waiting for longer than a moment', () => {
    const wants = { ...given, notified: [started] }
    expect(actions(decide(world(wants)), 'writeStatus')).toEqual([])
    expect(actions(later(wants, 2_000), 'writeStatus')).toHaveLength(1)
    // Without anything to note the status is written at once.
    expect(actions(decide(world(given)), 'writeStatus')).toHaveLength(1)
  })
})

describe('who is told', () => {
  const given: Given = { nodes: [done('a')], told: FOLLOWED }
  const targets = (notify: readonly object[]) =>
    decide(world({ ...given, notify })).notices.map(({ message, to }) => [message.event, to.map(({ field }) => field)])

  test('of what: the events that the webhook names; none or an empty list mean all', () => {
    const secret = { secretRef: { name: 's', key: 'k' } }
    expect(targets([{ ...WEBHOOK, events: ['RolloutComplete'] }])).toEqual([['RolloutComplete', ['spec.notify[0]']]])
    expect(
      targets([
        { ...WEBHOOK, events: [] },
        { ...secret, events: ['RolloutComplete', 'NodeFailed'] },
      ]),
    ).toEqual([
      ['RolloutStarted', ['spec.notify[0]']],
      ['RolloutComplete', ['spec.notify[0]', 'spec.notify[1]']],
    ])
    expect(targets([{ ...WEBHOOK, events: ['NodeFailed'] }])).toEqual([])
  })

  test('where: the Secret is named, its value is not in the decision', () => {
    const [notice] = decide(world({ ...given, notify: [{ secretRef: { name: 's', key: 'k' } }] })).notices
    expect(notice?.to).toEqual([{ kind: 'secret', name: 's', key: 'k', field: 'spec.notify[0]' }])
  })
})

describe('policies in conflict', () => {
  const policy = (name: string, spec: object = {}): PolicyView => aPolicy({ planNames: ['p'], notify: [WEBHOOK], ...spec }, name)
  /** After the conflict has lasted for a minute. */
  function contested(given: Given, policies: readonly PolicyView[], change: Partial<World> = {}): Decision {
    const first = { ...world(given), policies, ...change }
    const since = new Map([...decide(first).facts].map((fact) => [fact, first.now]))
    return decide({ ...first, since, now: { wall: NOW.wall + 60_000, mono: NOW.mono + 60_000 } })
  }
  const both = [policy('careful'), policy('other')]
  const given: Given = { nodes: [done('a'), working('b')], applying: ['b'], told: { ...FOLLOWED, keys: ['NodeFailed/c/x'] } }
  const id = (name: string): string => `uid-p/${SHORT}/RolloutStalled/1/${name}`

  test('tell their webhooks that the Plan is stuck, each for itself, and nothing else', () => {
    const { notices } = contested(given, both)
    expect(notices.map(({ message, policy: of }) => [message.event, message.reason, message.policy, message.id, of.uid])).toEqual([
      ['RolloutStalled', 'PolicyConflict', 'careful', id('careful'), 'uid-careful'],
      ['RolloutStalled', 'PolicyConflict', 'other', id('other'), 'uid-other'],
    ])
    expect(decide({ ...world(given), policies: both }).notices).toEqual([])
  })

  test('once: noted when the matter is closed for all of them, and what was told before stays', () => {
    const one = contested({ ...given, notified: [id('careful')] }, both)
    expect([one.notices.length, remembered(one)]).toEqual([2, []])
    const all = contested({ ...given, notified: [id('careful'), id('other')] }, both)
    const told = { hash: HASH, keys: ['NodeFailed/c/x'], stalls: 1, stall: 'PolicyConflict' }
    expect(remembered(all)).toEqual([told])
    const after = contested({ ...given, told }, both)
    expect([after.notices, remembered(after)]).toEqual([[], []])
    // As without a policy the Plan may have another hash, which is none of its rollout's.
    const other = contested({ ...given, told: { ...told, hash: 'of a step', stall: 'Paused' }, notified: [] }, both)
    expect(other.notices.map(({ message }) => message.id)).toEqual([
      `uid-p/${SHORT}/RolloutStalled/2/careful`,
      `uid-p/${SHORT}/RolloutStalled/2/other`,
    ])
  })

  test('but one that asks for no such event, for none at all, or cannot be read tells nobody', () => {
    const who = (...policies: PolicyView[]) => contested(given, policies).notices.map(({ message }) => message.policy)
    const unreadable = policy('broken', { budget: { maxUnavailable: 'many' } })
    expect(unreadable.ok).toBe(false)
    const deaf = policy('deaf', { notify: [{ ...WEBHOOK, events: ['RolloutComplete'] }] })
    expect(who(policy('careful'), policy('silent', { notify: [] }))).toEqual(['careful'])
    expect(who(policy('careful'), unreadable)).toEqual(['careful'])
    expect(who(policy('careful'), deaf)).toEqual(['careful'])
    expect(who(deaf, policy('silent', { notify: [] }))).toEqual([])
    expect(who(unreadable)).toEqual([])
  })

  test('from the beginning are followed first', () => {
    const { told: _, ...fresh } = given
    expect(remembered(contested(fresh, both))).toEqual([FOLLOWED])
    expect(contested(fresh, both).notices).toEqual([])
  })

  test('say nothing of a Plan that is complete', () => {
    expect(contested({ ...given, nodes: [done('a'), done('b')], applying: [] }, both).notices).toEqual([])
  })
})

test('strict compatibility tells nobody', () => {
  const given = world({ nodes: [working('a')], applying: ['a'], told: FOLLOWED })
  expect(decide(given).notices).not.toEqual([])
  expect(decide({ ...given, settings: { ...given.settings, compatibility: 'strict' } }).notices).toEqual([])
})

test('each event of the list was told above', () => {
  expect([...seen].toSorted()).toEqual(Object.keys(NOTIFY_EVENTS).toSorted())
})
