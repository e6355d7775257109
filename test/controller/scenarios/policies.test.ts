/** RolloutPolicies told as stories: applied by a person, changed and removed while Plans roll out. */
import { expect } from '@jest/globals'
import type { Machine } from '../../../src/sandbox/machines/machine.ts'
import { agents, HOUR, MINUTE, PLANS, SECOND, story } from './story.ts'

const POLICIES = '/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies'
const NODES = ['agent-1', 'agent-2', 'agent-3']

const policy = (spec: object, name = 'careful') => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name, namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], ...spec },
})

story('a budget of one holds back a Plan that would take all, and the soak counts before a node is done', {}, async (s) => {
  await s.begin()
  await s.apply(policy({ budget: { maxUnavailable: 1 }, soak: '2m' }))
  await s.apply(agents({ concurrency: 3 }))
  const cordoned = () => NODES.filter((node) => s.cordoned(node)).length
  let most = 0
  await s.until('all done', () => {
    most = Math.max(most, cordoned())
    return s.condition('agents', 'Complete').startsWith('True')
  })
  expect(most).toBe(1)
  for (const node of NODES) expect(s.record(node).past).toBeUndefined()
  expect(s.sandbox.server.peek('rolloutpolicies.drover.io', 'careful', 'system-upgrade')).toMatchObject({
    status: { plans: ['agents'], conditions: [{ type: 'Ready', status: 'True', reason: 'InForce' }] },
  })
})

story('a policy that disappears holds the Plan until somebody says that it may go on without', {}, async (s) => {
  await s.begin()
  await s.apply(policy({ paused: true }))
  await s.apply(agents())
  await s.until('paused', () => s.condition('agents', 'Complete').includes('Paused'))
  expect(s.condition('agents', 'Complete')).toBe('False Paused: RolloutPolicy careful has spec.paused: true')
  await s.remove(`${POLICIES}/careful`)
  await s.until('held', () => s.condition('agents', 'Complete').includes('PolicyGone'), 30 * SECOND)
  await s.wait(HOUR)
  expect(NODES.map((node) => s.runs(node))).toEqual([0, 0, 0])
  await s.annotatePlan('agents', { 'drover.io/policy': 'none' })
  await s.until('complete', () => s.condition('agents', 'Complete').startsWith('True'))
})

story('a policy that cannot be read holds its Plan, says why on both, and a correction lets it go on', {}, async (s) => {
  await s.begin()
  await s.apply(policy({ windows: [{ start: '0 22 * * Saturdays', duration: '6h' }] }))
  await s.apply(agents())
  await s.until('told', () => s.condition('agents', 'Complete').includes('PolicyUnreadable'), 30 * SECOND)
  expect(s.condition('agents', 'Stalled')).toMatch(
    /^True PolicyUnreadable: RolloutPolicy careful cannot be read: spec\.windows\[0\]\.start: /,
  )
  expect(s.sandbox.server.peek('rolloutpolicies.drover.io', 'careful', 'system-upgrade')).toMatchObject({
    status: { conditions: [{ type: 'Ready', status: 'False', reason: 'PolicyUnreadable' }] },
  })
  await s.patch(`${POLICIES}/careful`, { spec: { windows: null } })
  await s.until('complete', () => s.condition('agents', 'Complete').startsWith('True'))
})

story('with maxFailures 2 one failure frees its slot, the second stops the Plan, and retries come last', {}, async (s) => {
  await s.begin()
  const broken = (times: number) => {
    for (const node of NODES) (s.sandbox.machines.get(node) as Machine).trouble.programFailures = times
  }
  broken(100)
  await s.apply(policy({ failure: { maxFailures: 2, retries: 1, backoff: { base: '2h' } } }))
  await s.apply(agents({ concurrency: 1 }))
  await s.until('stopped', () => s.condition('agents', 'Stalled').startsWith('True MaxFailuresExceeded: 2 nodes failed'), HOUR)
  await s.wait(30 * MINUTE)
  expect(NODES.filter((node) => s.runs(node) === 0)).toHaveLength(1)
  broken(0)
  await s.until('complete', () => s.condition('agents', 'Complete').startsWith('True'), 4 * HOUR)
  expect(s.applying()).toEqual([])
  expect(NODES.some((node) => s.cordoned(node))).toBe(false)
})

story('a policy edited in the middle of a rollout holds from the next node on', {}, async (s) => {
  await s.begin()
  await s.apply(policy({}))
  await s.apply(agents({ concurrency: 1 }))
  await s.until('one done', () => NODES.filter((node) => s.label(node) === s.hash()).length === 1)
  await s.patch(`${POLICIES}/careful`, {
    spec: { exclusions: [{ from: '2000-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z', reason: 'freeze' }] },
  })
  await s.until('excluded', () => s.condition('agents', 'Complete').includes('Excluded'), 10 * MINUTE)
  await s.wait(HOUR)
  const done = NODES.filter((node) => s.label(node) === s.hash()).length
  expect(done).toBeLessThan(3)
  expect(NODES.some((node) => s.cordoned(node))).toBe(false)
  await s.remove(`${PLANS}/agents`)
})
