import { expect, test } from '@jest/globals'
import { decodePolicy } from '../../../src/api/decode-policy.ts'
import type { PolicyStatus } from '../../../src/api/policy.ts'
import { decide } from '../../../src/rollout/decide.ts'
import { actions, aNode, aPlan, aWorld } from '../build.ts'

function told(policies: readonly { name: string; spec: object; status?: PolicyStatus; namespace?: string }[]) {
  const views = policies.flatMap(
    ({ name, spec, status, namespace = 'system-upgrade' }) =>
      decodePolicy({
        metadata: { name, namespace, uid: `uid-${name}`, resourceVersion: '7', generation: 3 },
        spec,
        ...(status === undefined ? {} : { status }),
      } as never) ?? [],
  )
  const world = aWorld({ policies: views, plans: [aPlan('p'), aPlan('q')], nodes: [aNode('a')] })
  return actions(decide(world), 'writePolicyStatus')
}

const at = '2026-03-02T12:00:00Z'

test('names the Plans that a policy governs, once', () => {
  const [write, ...more] = told([{ name: 'default', spec: {} }])
  expect(more).toEqual([])
  const status = {
    observedGeneration: 3,
    plans: ['p', 'q'],
    conditions: [{ type: 'Ready', status: 'True', reason: 'InForce', message: '', lastTransitionTime: at }],
  }
  expect(write).toEqual({
    do: 'writePolicyStatus',
    policy: { namespace: 'system-upgrade', name: 'default', uid: 'uid-default' },
    resourceVersion: '7',
    status,
  })
  expect(told([{ name: 'default', spec: {}, status }])).toEqual([])
})

test('says that a policy governs none, cannot be read, or stands against another', () => {
  const conditions = (policies: Parameters<typeof told>[0]) =>
    told(policies).map(
      ({ policy, status }) =>
        `${policy.name} ${status.conditions[0]?.status} ${status.conditions[0]?.reason} ${status.conditions[0]?.message}`,
    )
  expect(conditions([{ name: 'x', spec: { planNames: ['z'] } }])).toEqual(['x True NoPlans '])
  expect(conditions([{ name: 'x', spec: { planNames: ['p'], soak: 'long' } }])[0]).toMatch(/^x False PolicyUnreadable spec\.soak: /)
  expect(conditions([{ name: 'x', spec: { planNames: ['p'], windows: [{ start: 'never', duration: '1h' }] } }])[0]).toMatch(
    /^x False PolicyUnreadable spec\.windows\[0\]\.start: /,
  )
  const both = conditions([
    { name: 'x', spec: { planNames: ['p'] } },
    { name: 'y', spec: { planNames: ['p', 'q'] } },
  ])
  expect(both).toEqual([
    'x False PolicyConflict another policy applies with equal right to p',
    'y False PolicyConflict another policy applies with equal right to p',
  ])
})

test('keeps the time at which the condition changed', () => {
  const before = '2026-01-01T00:00:00Z'
  const status = {
    observedGeneration: 2,
    plans: [],
    conditions: [{ type: 'Ready', status: 'True', reason: 'NoPlans', message: '', lastTransitionTime: before }],
  }
  expect(told([{ name: 'default', spec: {}, status }])[0]?.status.conditions[0]?.lastTransitionTime).toBe(before)
})

test('leaves policies of other namespaces alone', () => {
  expect(told([{ name: 'default', spec: {}, namespace: 'elsewhere' }])).toEqual([])
})
