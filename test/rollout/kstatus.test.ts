/** Ready, Reconciling, Stalled and observedGeneration in every state: one tale for whoever waits (design §5). */
import { describe, expect, test } from '@jest/globals'
import type { PlanStatus } from '../../src/api/plan.ts'
import { HOLD_REASONS, type HoldReason } from '../../src/api/reasons.ts'
import { decide } from '../../src/rollout/decide.ts'
import type { NodeView, World } from '../../src/rollout/world.ts'
import { actions, aFailed, aNode, aPlan, aRecord, aWork, aWorld, hashOf, NEW, settings } from './build.ts'
import { fleetOf, kstatusOf, type Waited } from './kstatus.ts'
import { OF_NODES } from './reasons/of-nodes.ts'
import { OF_PLANS } from './reasons/of-plans.ts'
import { type Cases, watch } from './reasons/run.ts'

const CASES: Cases = { ...OF_PLANS, ...OF_NODES }
const KSTATUS = ['Ready', 'Reconciling', 'Stalled'] as const

const conditionOf = (status: PlanStatus | undefined, type: string) => status?.conditions.find((condition) => condition.type === type)

/** Which of the three is true, and what is wrong with the status whatever it says. */
function tale(status: PlanStatus | undefined, generation: number): { readonly says: string; readonly faults: readonly string[] } {
  const faults: string[] = []
  const three = KSTATUS.map((type) => conditionOf(status, type))
  for (const [index, condition] of three.entries()) {
    if (condition === undefined) faults.push(`no ${KSTATUS[index]}`)
    else if (!['True', 'False'].includes(condition.status)) faults.push(`${condition.type} is ${condition.status}`)
    if (!/^[A-Z][A-Za-z]+$/.test(condition?.reason ?? '')) faults.push(`${KSTATUS[index]} has reason ${condition?.reason}`)
    if (condition?.reason === 'Error') faults.push(`${condition.type} has SUC's reason`)
  }
  const [ready, , stalled] = three
  const says = three.filter((condition) => condition?.status === 'True').map((condition) => condition?.type)
  if (says.length !== 1) faults.push(`true at once: ${says.join(', ')}`)
  if (ready?.status !== conditionOf(status, 'Complete')?.status) faults.push('Ready differs from Complete')
  if (stalled?.status === 'True' && (stalled.message ?? '') === '') faults.push('Stalled says nothing')
  if (status?.observedGeneration !== generation) faults.push(`observedGeneration is ${status?.observedGeneration}`)
  return { says: says.join(), faults }
}

const waited = (status: PlanStatus | undefined, generation = 1): Waited => ({ generation, status: (status ?? {}) as Waited['status'] })

/** SUC's own conditions say `Error`, and Fleet takes them at their word whatever ours say. */
const isErrorOfSUC = (status: PlanStatus | undefined): boolean =>
  ['Validated', 'LatestResolved'].some((type) => conditionOf(status, type)?.reason === 'Error')

describe.each(Object.entries(CASES) as [HoldReason, NonNullable<Cases[HoldReason]>][])('held by %s', (reason, found) => {
  const { status } = watch(found)
  const { says, faults } = tale(status, 1)

  test('the three conditions and observedGeneration tell one tale', () => {
    expect(faults).toEqual([])
    expect(says).toMatch(/^(Reconciling|Stalled)$/)
  })

  test('it is stuck where a person has to act, and under way where it ends by itself', () => {
    const leading = status?.leadingHold
    const person = (leading?.endedBy ?? found.endedBy ?? HOLD_REASONS[reason].endedBy) === 'person'
    if (leading?.node === undefined) expect([reason, says]).toEqual([reason, person ? 'Stalled' : 'Reconciling'])
  })

  test('kstatus, Flux, Argo CD and Fleet agree', () => {
    const seen = kstatusOf(waited(status))
    expect(seen).toBe(says === 'Stalled' ? 'Failed' : 'InProgress')
    expect(fleetOf(waited(status))).toBe(says === 'Stalled' || isErrorOfSUC(status) ? 'error' : 'transitioning')
  })
})

const DONE = { 'plan.upgrade.cattle.io/p': hashOf(aPlan('p')) }

/** What is written of a Plan in such a world. */
function statusOf(nodes: NodeView[], view = aPlan('p'), more: Partial<World> = {}): PlanStatus | undefined {
  const told = actions(decide(aWorld({ plans: [view], nodes, ...more })), 'writeStatus').at(-1)?.status
  return told as PlanStatus | undefined
}

describe('in phase', () => {
  const work = (more: Parameters<typeof aWork>[1] = {}) => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const started = { startedAt: '2026-03-02T11:59:00Z', jobUID: 'uid-job' }
    return {
      view,
      node: (given: Partial<NodeView>, ...[extra]: [typeof more?]) =>
        aNode('a', { ...given, record: aRecord('a', { work: aWork(view, { ...started, ...more, ...extra }) }) }),
    }
  }

  test.each([
    ['Pending', () => statusOf([aNode('a')])],
    ['Preflight', () => statusOf([aNode('a', { record: aRecord('a', { work: aWork(aPlan('p')) }) })], work().view)],
    ['Upgrading', () => statusOf([work().node({ ready: 'Unknown' })], work().view)],
    ['Verifying', () => statusOf([work().node({ kubeletVersion: NEW, ready: 'False' })], work().view)],
    ['Soaking', () => statusOf([work({ provenAt: '2026-03-02T11:59:30Z', delaySeconds: 600 }).node({ kubeletVersion: NEW })], work().view)],
  ] as const)('%s it is under way', (_phase, status) => {
    const told = status()
    expect(tale(told, 1)).toEqual({ says: 'Reconciling', faults: [] })
    expect([kstatusOf(waited(told)), fleetOf(waited(told))]).toEqual(['InProgress', 'transitioning'])
  })

  test('Done it is ready', () => {
    const told = statusOf([aNode('a', { labels: DONE, kubeletVersion: NEW })])
    expect(tale(told, 1)).toEqual({ says: 'Ready', faults: [] })
    expect([kstatusOf(waited(told)), fleetOf(waited(told))]).toEqual(['Current', 'ready'])
  })

  test('without matching nodes it is ready', () => {
    const told = statusOf([])
    expect(tale(told, 1)).toEqual({ says: 'Ready', faults: [] })
    expect(conditionOf(told, 'Ready')?.reason).toBe('NoMatchingNodes')
  })

  test('Failed it is stuck', () => {
    const view = aPlan('p', {}, { status: { applying: ['a'] } })
    const told = statusOf([aFailed(view, 'a', { target: NEW })], view)
    expect(tale(told, 1)).toEqual({ says: 'Stalled', faults: [] })
    expect([kstatusOf(waited(told)), fleetOf(waited(told))]).toEqual(['Failed', 'error'])
  })
})

describe('a change', () => {
  const done = (): PlanStatus => statusOf([aNode('a', { labels: DONE, kubeletVersion: NEW })]) as PlanStatus

  test('of the spec is under way before it has been looked at, and once it has', () => {
    expect(kstatusOf(waited(done(), 2))).toBe('InProgress')
    expect(fleetOf(waited(done(), 2))).toBe('transitioning')
    const edited = aPlan('p', { version: 'v1.33.5+rke2r1' }, { generation: 2, status: done() })
    const told = statusOf([aNode('a', { labels: DONE, kubeletVersion: NEW })], edited)
    expect(tale(told, 2)).toEqual({ says: 'Reconciling', faults: [] })
  })

  test('a Plan that nobody has looked at is under way', () => {
    expect(kstatusOf(waited({ observedGeneration: -1 } as PlanStatus))).toBe('InProgress')
  })

  test('that is refused is stuck at once, whether or not it was complete', () => {
    const edited = aPlan('p', { drain: { deleteLocalData: true, deleteEmptydirData: true } as never }, { generation: 2, status: done() })
    const told = statusOf([aNode('a')], edited)
    expect(tale(told, 2)).toEqual({ says: 'Stalled', faults: [] })
  })

  test('of a Plan that cannot be read, to another that cannot, has been looked at', () => {
    const { status } = watch(OF_PLANS.PlanUnreadable as NonNullable<Cases[HoldReason]>)
    const again = {
      ...(aPlan('p') as object),
      plan: undefined,
      error: status?.leadingHold?.message ?? '',
      generation: 2,
      observedGeneration: 1,
      applying: [],
      conditions: status?.conditions ?? [],
    } as never
    const told = actions(decide(aWorld({ plans: [again], nodes: [] })), 'writeStatus').at(-1)?.status as PlanStatus | undefined
    expect(tale({ ...(status as PlanStatus), ...told }, 2)).toEqual({ says: 'Stalled', faults: [] })
  })

  test('switching the conditions off takes them away: what nobody keeps up to date would be believed', () => {
    const view = aPlan('p', {}, { status: done() })
    const told = statusOf([aNode('a')], view, { settings: { ...settings, kstatus: false } })
    expect(told?.conditions.map(({ type }) => type)).toEqual(['Validated', 'LatestResolved', 'Complete'])
  })
})
