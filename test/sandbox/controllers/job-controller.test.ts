import { describe, expect, test } from '@jest/globals'
import { JOBS, PODS } from '../../../src/sandbox/kinds.ts'
import { pause } from '../../../src/sandbox/timers.ts'
import { type Bench, bench, conditionOf, createJob, jobOf, newJob, podsOf } from '../cluster/helpers.ts'

async function withPrograms(): Promise<Bench> {
  const made = await bench({ servers: 1, agents: 2 })
  made.sandbox.programs.set('test/ok', async () => 0)
  made.sandbox.programs.set('test/bad', async () => 3)
  made.sandbox.programs.set('test/long', async (_pod, _machine, io) => ((await pause(io.clock, 3_600_000, io.killed)) ? 0 : 143))
  return made
}

const starts = ({ sandbox }: Bench): readonly number[] =>
  sandbox.history
    .filter(({ verb, ref, status }) => verb === 'create' && ref.resource === 'pods' && ref.subresource === undefined && status < 300)
    .map(({ mono }) => mono)

describe('Job controller', () => {
  test('a Job runs to completion, and its pod carries old and new labels and its owner', async () => {
    const it = await withPrograms()
    const job = await createJob(it, newJob('one', { image: 'test/ok' }, {}))
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'one'), 'Complete') !== '', 60_000)).toBe(true)
    const done = jobOf(it.sandbox, 'one')
    expect(done.status).toMatchObject({ succeeded: 1, failed: 0, active: 0 })
    expect(done.status?.completionTime).toBeDefined()
    expect(conditionOf(done, 'Complete')).toBe('True/CompletionsReached')
    expect(conditionOf(done, 'SuccessCriteriaMet')).toBe('True/CompletionsReached')
    const [pod] = podsOf(it.sandbox)
    const { uid } = job.metadata
    expect(pod?.metadata.labels).toMatchObject({
      'controller-uid': uid,
      'job-name': 'one',
      'batch.kubernetes.io/controller-uid': uid,
      'batch.kubernetes.io/job-name': 'one',
    })
    expect(pod?.metadata.ownerReferences).toMatchObject([{ kind: 'Job', uid, controller: true }])
    expect(pod?.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' })
    await it.sandbox.stop()
  })

  test('parallelism 0 starts nothing, yet its deadline runs; raised, it works', async () => {
    const it = await withPrograms()
    await createJob(it, newJob('held', { image: 'test/ok' }, { parallelism: 0 }))
    await it.sandbox.run(() => false, 120_000)
    expect(podsOf(it.sandbox)).toHaveLength(0)
    expect(jobOf(it.sandbox, 'held').status?.startTime).toBeDefined()
    await it.sandbox.finish(it.client.patch(JOBS, 'default', 'held', { spec: { parallelism: 1 } }))
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'held'), 'Complete') !== '', 60_000)).toBe(true)
    expect(podsOf(it.sandbox)).toHaveLength(1)
    await it.sandbox.stop()
  })

  test('failed pods are replaced after 10 s, then 20 s, until the limit', async () => {
    const it = await withPrograms()
    await createJob(it, newJob('bad', { image: 'test/bad' }, { backoffLimit: 2 }))
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'bad'), 'Failed') !== '', 300_000)).toBe(true)
    expect(conditionOf(jobOf(it.sandbox, 'bad'), 'Failed')).toBe('True/BackoffLimitExceeded')
    expect(conditionOf(jobOf(it.sandbox, 'bad'), 'FailureTarget')).toBe('True/BackoffLimitExceeded')
    expect(jobOf(it.sandbox, 'bad').status).toMatchObject({ failed: 3, active: 0 })
    const [a = 0, b = 0, c = 0, ...more] = starts(it)
    expect(more).toEqual([])
    expect((b - a) / 1000).toBeGreaterThan(10)
    expect((b - a) / 1000).toBeLessThan(14)
    expect((c - b) / 1000).toBeGreaterThan(20)
    expect((c - b) / 1000).toBeLessThan(22)
    expect(podsOf(it.sandbox).every((pod) => pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode === 3)).toBe(true)
    await it.sandbox.stop()
  })

  test('the deadline ends it; Failed comes when its pod is gone', async () => {
    const it = await withPrograms()
    await createJob(it, newJob('late', { image: 'test/long' }, { activeDeadlineSeconds: 60 }))
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'late'), 'FailureTarget') !== '', 120_000)).toBe(true)
    expect(conditionOf(jobOf(it.sandbox, 'late'), 'Failed')).toBe('')
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'late'), 'Failed') !== '', 60_000)).toBe(true)
    expect(conditionOf(jobOf(it.sandbox, 'late'), 'Failed')).toBe('True/DeadlineExceeded')
    expect(jobOf(it.sandbox, 'late').status).toMatchObject({ failed: 1, active: 0 })
    await it.sandbox.stop()
  })

  test('on a silent node a deadline leaves the Job failing, not Failed', async () => {
    const it = await withPrograms()
    await createJob(
      it,
      newJob('stuck', { image: 'test/long' }, { activeDeadlineSeconds: 60 }, { nodeSelector: { 'kubernetes.io/hostname': 'agent-1' } }),
    )
    await it.sandbox.run(() => podsOf(it.sandbox)[0]?.status?.phase === 'Running', 30_000)
    it.sandbox.machines.get('agent-1')?.powerOff()
    await it.sandbox.run(() => false, 300_000)
    expect(conditionOf(jobOf(it.sandbox, 'stuck'), 'FailureTarget')).toBe('True/DeadlineExceeded')
    expect(conditionOf(jobOf(it.sandbox, 'stuck'), 'Failed')).toBe('')
    expect(podsOf(it.sandbox)[0]?.metadata.deletionTimestamp).toBeDefined()
    await it.sandbox.stop()
  })

  test('suspending removes pods without counting them and takes startTime away; resuming starts anew', async () => {
    const it = await withPrograms()
    await createJob(it, newJob('rest', { image: 'test/long' }, {}))
    await it.sandbox.run(() => jobOf(it.sandbox, 'rest').status?.ready === 1, 30_000)
    const started = jobOf(it.sandbox, 'rest').status?.startTime
    await it.sandbox.finish(it.client.patch(JOBS, 'default', 'rest', { spec: { suspend: true } }))
    expect(await it.sandbox.run(() => podsOf(it.sandbox).length === 0, 60_000)).toBe(true)
    await it.sandbox.run(() => false, 5000)
    const suspended = jobOf(it.sandbox, 'rest')
    expect(suspended.status).toMatchObject({ failed: 0, active: 0 })
    expect(suspended.status?.startTime).toBeUndefined()
    expect(conditionOf(suspended, 'Suspended')).toBe('True/JobSuspended')
    await it.sandbox.finish(it.client.patch(JOBS, 'default', 'rest', { spec: { suspend: false } }))
    expect(await it.sandbox.run(() => jobOf(it.sandbox, 'rest').status?.ready === 1, 60_000)).toBe(true)
    expect(conditionOf(jobOf(it.sandbox, 'rest'), 'Suspended')).toBe('False/JobResumed')
    expect(jobOf(it.sandbox, 'rest').status?.startTime).not.toBe(started)
    await it.sandbox.stop()
  })

  test.each([
    ['TerminatingOrFailed', 2],
    ['Failed', 1],
  ] as const)('podReplacementPolicy %s: %i pods while the first one terminates', async (podReplacementPolicy, expected) => {
    const it = await withPrograms()
    it.sandbox.programs.set('test/deaf', async (_pod, _machine, io) =>
      (await pause(io.clock, 3_600_000, new AbortController().signal)) ? 0 : 1,
    )
    await createJob(it, newJob('swap', { image: 'test/deaf' }, { podReplacementPolicy, backoffLimit: 6 }))
    await it.sandbox.run(() => jobOf(it.sandbox, 'swap').status?.ready === 1, 30_000)
    await it.sandbox.finish(it.client.delete(PODS, 'default', podsOf(it.sandbox)[0]?.metadata.name ?? '', {}))
    await it.sandbox.run(() => false, 20_000)
    expect(podsOf(it.sandbox)).toHaveLength(expected)
    expect(jobOf(it.sandbox, 'swap').status).toMatchObject({ terminating: 1, active: expected - 1, failed: expected - 1 })
    await it.sandbox.run(() => false, 30_000)
    // Killed after its grace period of 30 s, it is replaced in any case.
    expect(podsOf(it.sandbox)).toHaveLength(1)
    expect(jobOf(it.sandbox, 'swap').status).toMatchObject({ failed: 1, active: 1, terminating: 0 })
    await it.sandbox.stop()
  })

  test('a finished Job and its pods go after its time to live, also one set later', async () => {
    const it = await withPrograms()
    await createJob(it, newJob('ttl', { image: 'test/ok' }, { ttlSecondsAfterFinished: 30 }))
    await createJob(it, newJob('stays', { image: 'test/ok' }, {}))
    await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'ttl'), 'Complete') !== '', 60_000)
    await it.sandbox.run(() => false, 25_000)
    expect(it.sandbox.server.peek('jobs.batch', 'ttl', 'default')).toBeDefined()
    await it.sandbox.run(() => false, 10_000)
    expect(it.sandbox.server.peek('jobs.batch', 'ttl', 'default')).toBeUndefined()
    expect(podsOf(it.sandbox).map((pod) => pod.metadata.labels?.['job-name'])).toEqual(['stays'])
    await it.sandbox.finish(it.client.patch(JOBS, 'default', 'stays', { spec: { ttlSecondsAfterFinished: 0 } }))
    await it.sandbox.run(() => false, 5000)
    expect(podsOf(it.sandbox)).toHaveLength(0)
    await it.sandbox.stop()
  })
})
