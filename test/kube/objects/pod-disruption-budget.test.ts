import { describe, expect, test } from '@jest/globals'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { allowsEviction, budgetsFor, disruptionsAllowed } from '../../../src/kube/objects/pod-disruption-budget.ts'

const pod = (phase = 'Running', ready = 'True', labels: Record<string, string> = { app: 'web' }): Pod => ({
  metadata: { name: 'p', namespace: 'ns', labels },
  status: { phase, conditions: [{ type: 'Ready', status: ready }] },
})
const budget = (
  spec: PodDisruptionBudget['spec'],
  status: Partial<PodDisruptionBudget['status']> = {},
  namespace = 'ns',
): PodDisruptionBudget => ({
  metadata: { name: 'b', namespace, generation: 2 },
  spec: spec ?? {},
  status: { currentHealthy: 3, desiredHealthy: 3, disruptionsAllowed: 0, expectedPods: 3, observedGeneration: 2, ...status },
})
const web = { selector: { matchLabels: { app: 'web' } } }

describe('budgets of a pod', () => {
  test.each([
    ['its labels match', budget(web), true],
    ['other labels', budget({ selector: { matchLabels: { app: 'db' } } }), false],
    ['another namespace', budget(web, {}, 'other'), false],
    ['an empty selector takes all', budget({ selector: {} }), true],
    ['a missing selector takes none', budget({}), false],
    ['an unreadable selector takes none', budget({ selector: { matchExpressions: [{ key: 'a', operator: 'Near' }] } }), false],
  ])('%s', (_, candidate, expected) => expect(budgetsFor(pod(), [candidate])).toEqual(expected ? [candidate] : []))
})

test('a budget whose status is out of date allows nothing', () => {
  expect(disruptionsAllowed(budget(web, { disruptionsAllowed: 2 }))).toBe(2)
  expect(disruptionsAllowed(budget(web, { disruptionsAllowed: 2, observedGeneration: 1 }))).toBe(0)
  expect(disruptionsAllowed({ metadata: { generation: 1 }, spec: web })).toBe(0)
  expect(disruptionsAllowed(budget(web, { disruptionsAllowed: -1 }))).toBe(0)
})

describe('eviction', () => {
  const unhealthy = { ...web, unhealthyPodEvictionPolicy: 'AlwaysAllow' }
  test.each([
    ['none left', pod(), budget(web), false],
    ['one left', pod(), budget(web, { disruptionsAllowed: 1 }), true],
    ['the pod is over', pod('Succeeded'), budget(web), true],
    ['the pod was never up', pod('Pending', 'False'), budget(web), true],
    ['the pod is going', { ...pod(), metadata: { ...pod().metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }, budget(web), true],
    ['not ready, the others are enough', pod('Running', 'False'), budget(web), true],
    ['not ready, the others are too few', pod('Running', 'False'), budget(web, { currentHealthy: 2 }), false],
    ['not ready, nobody is wanted', pod('Running', 'False'), budget(web, { currentHealthy: 0, desiredHealthy: 0 }), false],
    ['not ready, always allowed', pod('Running', 'False'), budget(unhealthy, { currentHealthy: 2 }), true],
    ['ready, always allowed does not help', pod(), budget(unhealthy), false],
  ])('%s', (_, candidate, against, expected) => expect(allowsEviction(candidate, against)).toBe(expected))
})
