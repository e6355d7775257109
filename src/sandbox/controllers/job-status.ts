import type { Job, JobCondition } from 'kubernetes-types/batch/v1.d.ts'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { isTrue, type Stored } from '../kinds.ts'
import { isOver } from './world.ts'

/** Why a Job is about to end. */
export interface Verdict {
  readonly type: 'Failed' | 'Complete'
  readonly reason: string
  readonly message: string
}

/** What of a Job's pods counts, sorted once. */
export interface JobPods {
  /** Neither over nor being deleted. */
  readonly active: readonly Stored<Pod>[]
  /** Being deleted, and not over yet. */
  readonly terminating: readonly Stored<Pod>[]
  readonly ready: number
}

export function sortPods(pods: readonly Stored<Pod>[]): JobPods {
  const alive = pods.filter((pod) => !isOver(pod))
  const active = alive.filter((pod) => pod.metadata.deletionTimestamp === undefined)
  return {
    active,
    terminating: alive.filter((pod) => pod.metadata.deletionTimestamp !== undefined),
    ready: active.filter((pod) => isTrue(pod.status?.conditions, 'Ready')).length,
  }
}

/** The Job's end, once nothing more will happen to it. */
export function finished(job: Job): JobCondition | undefined {
  return job.status?.conditions?.find(({ type, status }) => status === 'True' && (type === 'Complete' || type === 'Failed'))
}

/** How many pods should be active now. */
export function wantedPods(job: Job, succeeded: number, active: number): number {
  const parallelism = job.spec?.parallelism ?? 1
  if (job.spec?.completions === undefined) return succeeded > 0 ? active : parallelism
  return Math.max(0, Math.min(job.spec.completions - succeeded, parallelism))
}

/** How long after the n-th failure in a row the next pod is made (source: kube job controller, 10 s doubling to 10 min). */
export function backoffMs(failuresInARow: number): number {
  return failuresInARow === 0 ? 0 : Math.min(10_000 * 2 ** (failuresInARow - 1), 600_000)
}

/** The verdict the API already tells of (FailureTarget, SuccessCriteriaMet), or the one that falls now. */
export function verdictOf(
  job: Job,
  counts: { readonly succeeded: number; readonly failed: number },
  pods: JobPods,
  nowMs: number,
): Verdict | undefined {
  const known = job.status?.conditions?.find(
    ({ type, status }) => status === 'True' && (type === 'FailureTarget' || type === 'SuccessCriteriaMet'),
  )
  if (known !== undefined)
    return { type: known.type === 'FailureTarget' ? 'Failed' : 'Complete', reason: known.reason ?? '', message: known.message ?? '' }
  if (counts.failed > (job.spec?.backoffLimit ?? 6))
    return { type: 'Failed', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }
  const deadlineMs = deadlineOf(job)
  if (deadlineMs !== undefined && nowMs >= deadlineMs)
    return { type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' }
  const { completions } = job.spec ?? {}
  const complete =
    completions === undefined
      ? counts.succeeded > 0 && pods.active.length === 0 && pods.terminating.length === 0
      : counts.succeeded >= completions
  return complete ? { type: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' } : undefined
}

/** When the Job's time is over; suspended Jobs and those without a deadline have none. */
export function deadlineOf(job: Job): number | undefined {
  const { activeDeadlineSeconds, suspend } = job.spec ?? {}
  const startTime = job.status?.startTime
  if (activeDeadlineSeconds === undefined || suspend === true || startTime === undefined) return undefined
  return Date.parse(startTime) + activeDeadlineSeconds * 1000
}

/** The conditions with this one set; its transition time moves only when its status does. */
export function withCondition(
  conditions: readonly JobCondition[],
  next: Pick<JobCondition, 'type' | 'status' | 'reason' | 'message'>,
  now: string,
): readonly JobCondition[] {
  const before = conditions.find((condition) => condition.type === next.type)
  if (before?.status === next.status && before.reason === next.reason && before.message === next.message) return conditions
  const made: JobCondition = {
    ...next,
    lastProbeTime: now,
    lastTransitionTime: before?.status === next.status ? (before.lastTransitionTime ?? now) : now,
  }
  return before === undefined ? [...conditions, made] : conditions.map((condition) => (condition === before ? made : condition))
}
