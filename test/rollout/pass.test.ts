import { describe, expect, test } from '@jest/globals'
import { hold } from '../../src/api/reasons.ts'
import { decide } from '../../src/rollout/decide.ts'
import { createPass } from '../../src/rollout/pass.ts'
import type { Setback } from '../../src/rollout/world.ts'
import { actions, aNode, aPlan, aWorld, hashOf, planHolds } from './build.ts'

const PLAN = 'system-upgrade/p'
const withdrawn: Setback = {
  plan: PLAN,
  node: 'a',
  hold: hold('ClaimWithdrawn', 'the claim was withdrawn: server s1 is in flight', { retryAt: 5 }),
}
const passWith = (...setbacks: Setback[]) =>
  createPass(aWorld({ plans: [aPlan('p'), aPlan('q')], observed: { setbacks: new Map(setbacks.map((entry, n) => [String(n), entry])) } }))
const said = (pass: ReturnType<typeof passWith>, plan: string, node: string) => {
  const report = pass.report(plan).nodes.get(node)
  return report === undefined ? undefined : [report.phase, ...report.holds.map(({ reason }) => reason)]
}

describe('a claim that was withdrawn', () => {
  test('is told of a node of which nothing else is said, and before whatever else holds it', () => {
    const pass = passWith(withdrawn)
    expect(said(pass, PLAN, 'a')).toEqual(['Pending', 'ClaimWithdrawn'])
    pass.node(PLAN, 'a', 'Pending', hold('Pulling', 'is being pulled'))
    expect(said(pass, PLAN, 'a')).toEqual(['Pending', 'ClaimWithdrawn', 'Pulling'])
  })

  test('is told of no other Plan, of no Plan that is gone, and no more once the node is taken', () => {
    const pass = passWith(withdrawn, { ...withdrawn, plan: 'system-upgrade/gone' })
    pass.node('system-upgrade/q', 'a', 'Pending')
    pass.node(PLAN, 'a', 'Draining')
    expect(said(pass, 'system-upgrade/q', 'a')).toEqual(['Pending'])
    expect(said(pass, PLAN, 'a')).toEqual(['Draining'])
    expect([...pass.decision().reports.keys()].sort()).toEqual([PLAN, 'system-upgrade/q'])
  })

  test('reaches the status', () => {
    const view = aPlan('p')
    const world = aWorld({ plans: [view], nodes: [aNode('a')], observed: { setbacks: new Map([['claim', withdrawn]]) } })
    const status = actions(decide(world), 'writeStatus')[0]?.status
    expect(hashOf(view)).not.toBe('')
    expect(status?.nodeStatuses).toEqual([expect.objectContaining({ name: 'a', phase: 'Pending' })])
    expect(status?.nodeStatuses?.[0]?.message).toContain('the claim was withdrawn')
  })
})

describe('what the API server refuses', () => {
  const refused: Setback = { plan: undefined, node: 'a', hold: hold('Refused', 'the API server refuses') }

  test('of a node is told under each Plan that speaks of it; the node is not done yet', () => {
    const pass = passWith(refused)
    expect(said(pass, PLAN, 'a')).toBeUndefined()
    pass.node(PLAN, 'a', 'Done')
    pass.node('system-upgrade/q', 'a', 'Draining', hold('Draining', 'pods'))
    pass.node(PLAN, 'b', 'Done')
    expect([said(pass, PLAN, 'a'), said(pass, 'system-upgrade/q', 'a'), said(pass, PLAN, 'b')]).toEqual([
      ['Verifying', 'Refused'],
      ['Draining', 'Refused', 'Draining'],
      ['Done'],
    ])
  })

  test('of a Plan holds it in what is told', () => {
    const setbacks = new Map([['plan', { ...refused, plan: PLAN, node: undefined }]])
    expect(planHolds(decide(aWorld({ plans: [aPlan('p')], nodes: [aNode('a')], observed: { setbacks } })), PLAN)).toContain('Refused')
  })
})

describe('a fact', () => {
  test('is new in the pass that first asserts it, though another follows in the same moment', () => {
    const first = createPass(aWorld())
    expect(first.isNew('told')).toBe(true)
    const { now } = first
    const next = createPass(aWorld({ now, since: new Map([...first.decision().facts].map((key) => [key, now])) }))
    expect([next.isNew('told'), next.isNew('another')]).toEqual([false, true])
    expect([...next.decision().facts].sort()).toEqual(['another', 'told'])
  })
})
