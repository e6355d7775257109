/** A node is tried again while the apply Job of the attempt before is still there, under the same name: that Job says nothing of this attempt. */
import { expect, test } from '@jest/globals'
import { decide } from '../../../src/rollout/decide.ts'
import { applyJobName } from '../../../src/rollout/job.ts'
import type { JobView } from '../../../src/rollout/world.ts'
import { actions, aJob, aNode, aPlan, aPolicy, aRecord, aWork, aWorld, hashOf, holdsOn, type KnownPlan, remembering } from '../build.ts'

const PLAN = 'system-upgrade/p'
const ACK = 'example.com/ready'
const hooks = { before: [{ name: 'cmdb', ackAnnotation: ACK }] }
const status = { applying: ['a'] }

function again(view: KnownPlan, job: Partial<JobView>) {
  const record = aRecord('a', { work: aWork(view, { attempt: 2 }) })
  const hook = { request: `before/${hashOf(view).slice(0, 8)}/2/20260302T115900Z`, acks: [] }
  const left = aJob('apply', 'a', { name: applyJobName('p', 'a', hashOf(view)), ...job })
  return { record, hook, left }
}

test.each([
  ['of the attempt before', 'uid-p/1/', ['HookPending']],
  ['of this attempt', 'uid-p/2/', []],
])('hooks before the cordon, with a Job %s', (_, attempt, holds) => {
  const view = remembering(aPlan('p', {}, { status }))
  const { record, hook, left } = again(view, { attempt, parallelism: 0 })
  const decision = decide(aWorld({ plans: [view], policies: [aPolicy({ hooks })], nodes: [aNode('a', { record, hook })], jobs: [left] }))
  expect(holdsOn(decision, PLAN, 'a')).toEqual(holds)
  expect(actions(decision, 'patchNode').some(({ unschedulable }) => unschedulable === true)).toBe(holds.length === 0)
})

test('prepare comes before the cordon, with a Job of the attempt before', () => {
  const view = aPlan('p', { prepare: { image: 'rancher/rke2-upgrade', args: ['check'] } as never }, { status })
  const { record, left } = again(view, { attempt: 'uid-p/1/', suspend: true })
  const decision = decide(aWorld({ plans: [view], nodes: [aNode('a', { record })], jobs: [left] }))
  expect(actions(decision, 'patchNode')).toEqual([])
  expect(actions(decision, 'createJob').map(({ job }) => job.metadata?.name)).toEqual([expect.stringMatching(/^prepare-p-on-a-/)])
})
