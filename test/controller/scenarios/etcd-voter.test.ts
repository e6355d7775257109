/** etcd's own word on its members: a learner does not count for the majority. */
import { expect } from '@jest/globals'
import type { Machine } from '../../../src/sandbox/machines/machine.ts'
import { serverPlan } from '../harness.ts'
import { HOUR, MINUTE, story } from './story.ts'

story('while one of three members does not vote no other server is taken', { cluster: { servers: 3, agents: 0 } }, async (s) => {
  const { trouble } = s.sandbox.machines.get('server-2') as Machine
  trouble.notVoter = true
  await s.wait(MINUTE)
  await s.begin()
  await s.apply(serverPlan())
  await s.until('held', () => s.condition('server-plan', 'Complete').includes('EtcdQuorum'))
  expect(s.condition('server-plan', 'Complete')).toContain('not healthy: server-2 (EtcdIsVoter is not True)')
  await s.wait(HOUR)
  expect([s.cordons('server-1'), s.cordons('server-3')]).toEqual([0, 0])
  trouble.notVoter = false
  await s.until('complete', () => s.complete('server-plan'))
})
