/** Plans that wait for each other in a circle: nobody but a person can end that. */
import { describe, expect, test } from '@jest/globals'
import { decide } from '../../../src/rollout/decide.ts'
import type { World } from '../../../src/rollout/world.ts'
import { aNode, aPlan, aPolicy, NOW, remembering } from '../build.ts'
import { ready } from '../reasons/run.ts'

const [p, two, three] = ['p', 'two', 'three'].map((name) => remembering(aPlan(name), {}, name)) as [
  ReturnType<typeof remembering>,
  ReturnType<typeof remembering>,
  ReturnType<typeof remembering>,
]

/** Each Plan with the one that goes before it. */
const waiting = (before: Readonly<Record<string, string>>): World => ({
  ...ready(p, [aNode('a')], { plans: [two, three] })(NOW),
  policies: Object.entries(before).map(([name, other]) => aPolicy({ planNames: [name], after: [other] }, name)),
})
const endedBy = (world: World, key = p.key) => {
  const [first] = decide(world).reports.get(key)?.holds ?? []
  return `${first?.reason} ${first?.endedBy}`
}

describe('after', () => {
  test('in a circle every Plan of it asks for a person, and says which other waits for it', () => {
    const circle = waiting({ p: 'two', two: 'three', three: 'p' })
    expect([p, two, three].map(({ key }) => endedBy(circle, key))).toEqual(Array(3).fill('WaitingForPlan person'))
    expect(decide(circle).reports.get(p.key)?.holds[0]?.message).toBe(
      'Plan two waits for this one, too, so neither begins; take one of the two out of spec.after of the RolloutPolicy',
    )
  })

  test('a Plan that waits in line, or for a circle that it is no part of, waits for the cluster', () => {
    expect(endedBy(waiting({ p: 'two', two: 'three' }))).toBe('WaitingForPlan cluster')
    expect(endedBy(waiting({ p: 'two', two: 'three', three: 'two' }))).toBe('WaitingForPlan cluster')
  })

  test('the Plan that prepare names counts as well', () => {
    const prepares = aPlan('p', { prepare: { image: 'x', args: ['prepare', 'two'] } })
    const world = {
      ...ready(prepares, [aNode('a')], { plans: [two] })(NOW),
      policies: [aPolicy({ planNames: ['two'], after: ['p'] }, 'two')],
    }
    expect(endedBy(world)).toBe('WaitingForPlan person')
  })
})
