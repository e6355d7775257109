/** Hooks: what a node is asked for, whose word counts, and that nothing of it is left behind. */
import { describe, expect, test } from '@jest/globals'
import type { NodeRecord, Work } from '../../../src/api/record.ts'
import { nodeView, sameNode } from '../../../src/controller/views.ts'
import { decide } from '../../../src/rollout/decide.ts'
import { applyJobName } from '../../../src/rollout/job.ts'
import type { Decision, JobView, Moment, NodeView, World } from '../../../src/rollout/world.ts'
import { actions, aFailure, aJob, aNode, aPlan, aPolicy, aRecord, aWork, aWorld, hashOf, holdsOn, NEW, NOW, remembering } from '../build.ts'

const PLAN = 'system-upgrade/p'
const ACK = 'example.com/ready'
const hooks = { before: [{ name: 'cmdb', ackAnnotation: ACK, timeout: '1h' }], after: [{ name: 'smoke', ackAnnotation: 'example.com/ok' }] }

const base = aPlan('p', {}, { status: { applying: ['a'] } })
const view = remembering(base)
const short = hashOf(base).slice(0, 8)
const BEFORE = `before/${short}/1/20260302T115900Z`
const AFTER = `after/${short}/1/20260302T115900Z`

const world = (spec: object, node: NodeView, more: Partial<Omit<World, 'observed'>> = {}): World =>
  aWorld({ plans: [view], policies: [aPolicy(spec)], nodes: [node], ...more })

const taken = (work: Partial<Work> = {}, more: Partial<NodeView> = {}, record: Partial<NodeRecord> = {}) =>
  aNode('a', { record: aRecord('a', { work: aWork(view, work), ...record }), ...more })

const asking = (request: string, ...acks: string[]) => ({ hook: { request, acks } })

/** The same world again and again, as time goes by. */
function later(start: World, ...after: number[]): Decision {
  let since = new Map<string, Moment>()
  let now: Moment = NOW
  let decision = decide({ ...start, now, since })
  for (const ms of after) {
    since = new Map([...decision.facts].map((fact) => [fact, since.get(fact) ?? now]))
    now = { wall: now.wall + ms, mono: now.mono + ms }
    decision = decide({ ...start, now, since })
  }
  return decision
}

describe('before', () => {
  const spec = { hooks: { before: hooks.before } }

  test('a claimed node gets its record with the request, and no cordon', () => {
    const decision = decide({ ...world(spec, aNode('a')), confirmed: new Set([`uid-p/${hashOf(base)}/uid-a`]) })
    const [patch] = actions(decision, 'patchNode')
    expect(patch).toMatchObject({ hook: `before/${short}/1/20260302T120000Z`, record: { work: { attempt: 1 } } })
    expect(patch).not.toHaveProperty('unschedulable')
  })

  test('without hooks it is cordoned at once, and nothing is asked', () => {
    const decision = decide({ ...world({}, aNode('a')), confirmed: new Set([`uid-p/${hashOf(base)}/uid-a`]) })
    expect(actions(decision, 'patchNode')[0]).toMatchObject({ unschedulable: true })
    expect(actions(decision, 'patchNode')[0]).not.toHaveProperty('hook')
  })

  test('a node waits until the hook has written just this token', () => {
    for (const node of [taken({}, asking(BEFORE)), taken({}, asking(BEFORE, 'example.com/other'))]) {
      const decision = decide(world(spec, node))
      expect([holdsOn(decision, PLAN, 'a'), actions(decision, 'patchNode')]).toEqual([['HookPending'], []])
      expect(decision.reports.get(PLAN)?.nodes.get('a')?.holds[0]?.message).toBe(
        `hook cmdb has not set annotation ${ACK}: ${BEFORE} on node a yet`,
      )
    }
  })

  test('a request that is missing, or of an attempt before, is written anew; its acknowledgement does not count', () => {
    const old = `before/${short}/1/20260301T000000Z`
    for (const more of [{}, asking(old, ACK), asking(AFTER, ACK), asking(`before/${short}/2/20260302T115900Z`, ACK)]) {
      const decision = decide(world(spec, taken({}, more)))
      expect(actions(decision, 'patchNode').map(({ hook, unschedulable }) => [hook, unschedulable])).toEqual([[BEFORE, undefined]])
      expect(holdsOn(decision, PLAN, 'a')).toEqual(['HookPending'])
    }
  })

  test('an acknowledged node is remembered, then cordoned, and not asked again', () => {
    const acked = decide(world(spec, taken({}, asking(BEFORE, ACK))))
    expect(actions(acked, 'patchNode').map(({ record }) => record.work?.hookedAt)).toEqual(['2026-03-02T12:00:00Z'])
    const next = decide(world(spec, taken({ hookedAt: '2026-03-02T11:59:30Z' }, asking(BEFORE))))
    expect(actions(next, 'patchNode')[0]).toMatchObject({ unschedulable: true })
    expect(holdsOn(next, PLAN, 'a')).toEqual([])
  })

  test('all of several must have acknowledged; each that has not is named', () => {
    const both = { hooks: { before: [...hooks.before, { name: 'lb', ackAnnotation: 'example.com/lb' }] } }
    expect(holdsOn(decide(world(both, taken({}, asking(BEFORE)))), PLAN, 'a')).toEqual(['HookPending', 'HookPending'])
    const one = decide(world(both, taken({}, asking(BEFORE, ACK))))
    expect(
      one.reports
        .get(PLAN)
        ?.nodes.get('a')
        ?.holds.map(({ message }) => message),
    ).toEqual([`hook lb has not set annotation example.com/lb: ${BEFORE} on node a yet`])
  })

  test('timeout makes it a matter for a person, and the acknowledgement still ends it', () => {
    const waiting = world(spec, taken({}, asking(BEFORE)))
    expect(later(waiting, 3_599_999).lookAt).toBe(NOW.mono + 3_600_000)
    expect(holdsOn(later(waiting, 3_599_999), PLAN, 'a')).toEqual(['HookPending'])
    const late = later(waiting, 3_600_000)
    expect(late.reports.get(PLAN)?.nodes.get('a')?.holds[0]).toMatchObject({
      reason: 'HookOverdue',
      endedBy: 'person',
      message: `hook cmdb has not set annotation ${ACK}: ${BEFORE} on node a within 1h0m0s`,
    })
    expect(actions(late, 'writeStatus')[0]?.status.conditions?.find(({ type }) => type === 'Stalled')).toMatchObject({
      status: 'True',
      reason: 'HookOverdue',
    })
  })

  test('a node is not cordoned unasked because the policy cannot be read any more', () => {
    const broken = { hooks: { before: hooks.before }, windows: [{ start: 'never', duration: '1h' }] }
    const decision = decide(world(broken, taken({}, asking(BEFORE))))
    expect([holdsOn(decision, PLAN, 'a'), actions(decision, 'patchNode')]).toEqual([['PolicyUnreadable'], []])
  })

  test('of an edit are not asked of a node that has got further already', () => {
    const cordoned = (at: string, more: Partial<Work> = {}) =>
      taken(more, { unschedulable: true, cordonOwner: 'drover' }, { cordon: { at, plan: PLAN } })
    for (const node of [cordoned('2026-03-02T11:59:00Z'), taken({ preparedAt: '2026-03-02T11:59:30Z' })]) {
      expect(holdsOn(decide(world(spec, node)), PLAN, 'a')).not.toContain('HookPending')
    }
    const marked = aJob('apply', 'a', { name: applyJobName('p', 'a', hashOf(base)), attempt: 'uid-p/1/', parallelism: 0 })
    expect(holdsOn(decide(world(spec, cordoned('2026-03-02T11:00:00Z'), { jobs: [marked] })), PLAN, 'a')).toEqual([])
    // The cordon of an attempt before says nothing of this one.
    expect(holdsOn(decide(world(spec, cordoned('2026-03-02T11:00:00Z'))), PLAN, 'a')).toEqual(['HookPending'])
  })

  test('a node that is given back loses the request', () => {
    const held = decide(world(spec, taken({}, { ...asking(BEFORE), hold: '' })))
    expect(actions(held, 'patchNode')[0]).toMatchObject({ hook: null, record: expect.not.objectContaining({ work: expect.anything() }) })
  })
})

describe('after', () => {
  const job: JobView = aJob('apply', 'a', { uid: 'job', complete: true })
  const spec = { hooks: { after: hooks.after }, verify: { minReadySeconds: 0 } }
  const cordon = { at: '2026-03-02T11:59:00Z', plan: PLAN }
  const proven = (more: Partial<NodeView> = {}) =>
    taken(
      { startedAt: '2026-03-02T11:59:10Z', jobUID: 'job', gated: true },
      { kubeletVersion: NEW, unschedulable: true, cordonOwner: 'drover', ...more },
      { cordon },
    )

  test('a proven node asks, and stays cordoned until it is acknowledged', () => {
    const asks = decide(world(spec, proven(), { jobs: [job] }))
    expect(actions(asks, 'patchNode').map(({ hook, unschedulable }) => [hook, unschedulable])).toEqual([[AFTER, undefined]])
    expect([holdsOn(asks, PLAN, 'a'), asks.reports.get(PLAN)?.nodes.get('a')?.phase]).toEqual([['HookPending'], 'Verifying'])
    const waits = decide(world(spec, proven(asking(AFTER)), { jobs: [job] }))
    expect(actions(waits, 'patchNode')).toEqual([])
  })

  test('an acknowledged node is done, and loses the request', () => {
    const done = decide(world(spec, proven(asking(AFTER, 'example.com/ok')), { jobs: [job] }))
    expect(actions(done, 'patchNode')[0]).toMatchObject({
      unschedulable: false,
      hook: null,
      labels: { 'plan.upgrade.cattle.io/p': hashOf(view) },
    })
  })

  test('the word of before does not count for after', () => {
    const same = { hooks: { after: [{ name: 'smoke', ackAnnotation: ACK }] }, verify: { minReadySeconds: 0 } }
    const decision = decide(world(same, proven(asking(BEFORE, ACK)), { jobs: [job] }))
    expect(actions(decision, 'patchNode').map(({ hook }) => hook)).toEqual([AFTER])
  })

  test('comes when the gates at NodeEnd are met', () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'x', name: 'y', expect: [{ path: '.a', operator: 'exists' }] }
    const gated = { ...spec, gates: [{ name: 'g', at: ['NodeEnd'], object }] }
    const decision = decide(world(gated, proven(), { jobs: [job] }))
    expect([holdsOn(decision, PLAN, 'a'), actions(decision, 'patchNode')]).toEqual([['GatePending'], []])
  })

  test('holds while the policy that asked for it cannot be read', () => {
    const decision = decide(world({ ...spec, windows: [{ start: 'never', duration: '1h' }] }, proven(asking(AFTER)), { jobs: [job] }))
    expect([holdsOn(decision, PLAN, 'a'), actions(decision, 'patchNode')]).toEqual([['PolicyUnreadable'], []])
  })

  test('of a node that failed and is at the target after all: its own token, and done by its word', () => {
    const past = aFailure(view, { attempts: 2, reason: 'NodeLost', message: 'm', at: '2026-03-02T11:30:00Z' })
    const failed = (more: Partial<NodeView>) =>
      aNode('a', {
        kubeletVersion: NEW,
        unschedulable: true,
        cordonOwner: 'drover',
        record: aRecord('a', { cordon, past: { [PLAN]: past } }),
        ...more,
      })
    const token = `after/${short}/2/20260302T113000Z`
    const asks = decide(world(spec, failed({})))
    expect(actions(asks, 'patchNode').map(({ hook, unschedulable }) => [hook, unschedulable])).toEqual([[token, undefined]])
    expect(holdsOn(asks, PLAN, 'a')).toEqual(['PreviousFailure', 'HookPending'])
    expect(actions(decide(world(spec, failed(asking(token)))), 'patchNode')).toEqual([])
    expect(holdsOn(decide(world(spec, failed(asking(token, 'example.com/ok')))), PLAN, 'a')).toEqual(['Verifying'])
  })
})

test('a request whose record somebody took away is removed', () => {
  const decision = decide({ ...world({}, aNode('a', asking(BEFORE))), plans: [] })
  expect(actions(decision, 'patchNode')).toMatchObject([{ node: 'a', hook: null }])
  expect(actions(decide({ ...world({}, aNode('a')), plans: [] }), 'patchNode')).toEqual([])
})

test('of a node only the request and what equals it is looked at, and a change of that is one', () => {
  const raw = (annotations: Record<string, string>) => nodeView({ metadata: { name: 'a', uid: 'u', annotations } }) as NodeView
  expect(raw({ [ACK]: 'x' }).hook).toBeUndefined()
  const asked = raw({ 'drover.io/hook-request': 'x', [ACK]: 'y', other: 'z' })
  expect(asked.hook).toEqual({ request: 'x', acks: [] })
  const acked = raw({ 'drover.io/hook-request': 'x', [ACK]: 'x', other: 'z' })
  expect(acked.hook).toEqual({ request: 'x', acks: [ACK] })
  expect([sameNode(asked, acked), sameNode(asked, raw({ 'drover.io/hook-request': 'x', [ACK]: 'q' }))]).toEqual([false, true])
})
