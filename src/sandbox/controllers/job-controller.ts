import type { Job, JobCondition, JobStatus } from 'kubernetes-types/batch/v1.d.ts'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import { controllerOf, JOBS, keyOf, PODS, type Stored } from '../kinds.ts'
import { backoffMs, deadlineOf, finished, type JobPods, sortPods, verdictOf, wantedPods, withCondition } from './job-status.ts'
import { createPod, suffix, type World } from './world.ts'

/** On a Job's pods until they are counted, so that none goes unseen. */
const TRACKING = 'batch.kubernetes.io/job-tracking'

/** What is remembered of a Job's pods, by UID, so that each counts once though its object goes. */
interface Tally {
  readonly succeeded: Set<string>
  readonly failed: Set<string>
  /** Removed by this controller without fault of theirs (suspended, too many): never counted. */
  readonly dismissed: Set<string>
  failuresInARow: number
  lastFailureAt: number
}

/** batch/v1 Jobs → pods, as kube-controller-manager of 1.31 and later does it: Failed and Complete come only when no pod is left running. */
export function startJobController(world: World): void {
  const { client, pods, jobs } = world
  const { clock } = client
  const tallies = new Map<string, Tally>()
  const queue = world.queue('job', reconcile)
  /** Pods whose Job is gone, going or finished: nobody counts them any more. */
  const orphans = world.queue('job-orphans', async (key) => {
    const pod = pods.get(key)
    const owner = pod === undefined ? undefined : controllerOf(pod)
    if (pod === undefined || pod.metadata.finalizers?.includes(TRACKING) !== true) return undefined
    const job = owner?.kind === 'Job' ? await client.get<Job>(JOBS, pod.metadata.namespace, owner.name) : undefined
    const counts = job !== undefined && job.metadata.uid === owner?.uid && job.metadata.deletionTimestamp === undefined
    if (!counts || finished(job) !== undefined) await release(pod)
    return undefined
  })

  async function release(pod: Stored<Pod>): Promise<void> {
    const { finalizers = [] } = pod.metadata
    if (!finalizers.includes(TRACKING)) return
    const left = finalizers.filter((finalizer) => finalizer !== TRACKING)
    await client.update(PODS, pod, { metadata: { finalizers: left.length === 0 ? null : left } })
  }

  jobs.onChange(({ before, after }) => {
    const job = after ?? before
    if (job === undefined) return
    if (after === undefined) tallies.delete(job.metadata.uid)
    if (after === undefined || after.metadata.deletionTimestamp !== undefined)
      for (const pod of pods.by('owner', job.metadata.uid)) orphans.add(keyOf(pod))
    queue.add(keyOf(job))
  })
  pods.onChange(({ before, after }) => {
    const pod = after ?? before
    const owner = pod === undefined ? undefined : controllerOf(pod)
    if (after?.metadata.finalizers?.includes(TRACKING) === true && tallies.get(owner?.uid ?? '') === undefined) orphans.add(keyOf(after))
    if (pod === undefined || owner?.kind !== 'Job') return
    const tally = tallies.get(owner.uid)
    if (tally !== undefined) count(tally, pod, after === undefined)
    queue.add(`${pod.metadata.namespace ?? ''}/${owner.name}`)
  })

  function count(tally: Tally, pod: Stored<Pod>, gone: boolean): void {
    const { uid } = pod.metadata
    if (tally.dismissed.has(uid) || tally.failed.has(uid) || tally.succeeded.has(uid)) return
    if (pod.status?.phase === 'Succeeded') {
      tally.succeeded.add(uid)
      tally.failuresInARow = 0
    } else if (pod.status?.phase === 'Failed' || gone) {
      tally.failed.add(uid)
      tally.failuresInARow++
      tally.lastFailureAt = clock.mono()
    }
  }

  function tallyOf(job: Stored<Job>): Tally {
    let tally = tallies.get(job.metadata.uid)
    if (tally === undefined) {
      tally = { succeeded: new Set(), failed: new Set(), dismissed: new Set(), failuresInARow: 0, lastFailureAt: 0 }
      for (const pod of pods.by('owner', job.metadata.uid)) count(tally, pod, false)
      tallies.set(job.metadata.uid, tally)
    }
    return tally
  }

  async function reconcile(key: string): Promise<number | undefined> {
    const job = jobs.get(key)
    if (job === undefined || job.metadata.deletionTimestamp !== undefined) return undefined
    const tally = tallyOf(job)
    const all = pods.by('owner', job.metadata.uid)
    if (finished(job) !== undefined) {
      for (const pod of all) await release(pod)
      return undefined
    }
    const own = sortPods(all)
    // With TerminatingOrFailed a pod that is being deleted counts as failed at once, and is replaced at once. Without grace left, it is as good as gone.
    for (const pod of own.terminating)
      if (job.spec?.podReplacementPolicy !== 'Failed' || pod.metadata.deletionGracePeriodSeconds === 0) count(tally, pod, true)
    for (const pod of all) if (isCounted(tally, pod)) await release(pod)
    const now = formatTime(clock.wall())
    const counts = { succeeded: tally.succeeded.size, failed: tally.failed.size }
    const verdict = verdictOf(job, counts, own, clock.wall())
    let conditions: readonly JobCondition[] = job.status?.conditions ?? []
    let startTime: string | null = job.status?.startTime ?? null
    let completionTime: string | undefined
    let waitMs: number | undefined
    let after = own

    if (verdict !== undefined) {
      conditions = withCondition(
        conditions,
        { ...verdict, type: verdict.type === 'Failed' ? 'FailureTarget' : 'SuccessCriteriaMet', status: 'True' },
        now,
      )
      startTime ??= now
      // Those still running when the Job fails count as failed; after a success they are merely not needed.
      await remove(own.active, verdict.type === 'Failed' ? tally.failed : tally.dismissed)
      after = sortPods(pods.by('owner', job.metadata.uid))
      if (after.active.length + after.terminating.length === 0) {
        conditions = withCondition(conditions, { ...verdict, status: 'True' }, now)
        if (verdict.type === 'Complete') completionTime = now
      }
    } else if (job.spec?.suspend === true) {
      await remove(own.active, tally.dismissed)
      after = sortPods(pods.by('owner', job.metadata.uid))
      startTime = null
      conditions = withCondition(conditions, { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' }, now)
    } else {
      const resumed = conditions.some(({ type, status }) => type === 'Suspended' && status === 'True')
      if (resumed)
        conditions = withCondition(conditions, { type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' }, now)
      if (resumed || startTime === null) startTime = now
      waitMs = await scale(job, tally, own)
      after = sortPods(pods.by('owner', job.metadata.uid))
      const deadline = deadlineOf({ ...job, status: { ...job.status, startTime } })
      if (deadline !== undefined) waitMs = Math.min(waitMs ?? Number.POSITIVE_INFINITY, deadline - clock.wall())
    }
    await writeStatus(job, { tally, pods: after, conditions, startTime, completionTime })
    return waitMs
  }

  /** Makes or removes pods; returns when to look again, if the backoff is in the way. */
  async function scale(job: Stored<Job>, tally: Tally, own: JobPods): Promise<number | undefined> {
    // With `Failed` no replacement is made before the old pod is really over.
    const standing = job.spec?.podReplacementPolicy === 'Failed' ? own.active.length + own.terminating.length : own.active.length
    const wanted = wantedPods(job, tally.succeeded.size, standing)
    if (standing > wanted) {
      await remove(own.active.slice(0, standing - wanted), tally.dismissed)
      return undefined
    }
    if (standing === wanted) return undefined
    const left = tally.lastFailureAt + backoffMs(tally.failuresInARow) - clock.mono()
    if (tally.failuresInARow > 0 && left > 0) return left
    for (let i = standing; i < wanted; i++) {
      await createPod(world, podOf(job, `${job.metadata.name.slice(0, 57)}-${suffix(client.random)}`))
    }
    return undefined
  }

  async function remove(active: readonly Stored<Pod>[], into: Set<string>): Promise<void> {
    for (const pod of active) {
      into.add(pod.metadata.uid)
      await release(pod)
      await client.remove(PODS, pod)
    }
  }

  async function writeStatus(
    job: Stored<Job>,
    next: {
      tally: Tally
      pods: JobPods
      conditions: readonly JobCondition[]
      startTime: string | null
      completionTime: string | undefined
    },
  ): Promise<void> {
    const status = {
      active: next.pods.active.length,
      terminating: next.pods.terminating.length,
      ready: next.pods.ready,
      succeeded: next.tally.succeeded.size,
      failed: next.tally.failed.size,
      startTime: next.startTime,
      conditions: next.conditions,
      ...(next.completionTime === undefined ? {} : { completionTime: next.completionTime }),
    }
    if (sameStatus(job.status, status)) return
    const written = await client.update(JOBS, job, { status }, { subresource: 'status' })
    if (written !== undefined) jobs.learn(written)
  }
}

function isCounted(tally: Tally, { metadata: { uid, deletionTimestamp }, status }: Stored<Pod>): boolean {
  if (!tally.succeeded.has(uid) && !tally.failed.has(uid) && !tally.dismissed.has(uid)) return false
  return deletionTimestamp !== undefined || status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

function sameStatus(
  before: JobStatus | undefined,
  next: {
    active: number
    terminating: number
    ready: number
    succeeded: number
    failed: number
    startTime: string | null
    conditions: readonly JobCondition[]
  },
): boolean {
  return (
    before !== undefined &&
    (before.active ?? 0) === next.active &&
    (before.terminating ?? 0) === next.terminating &&
    (before.ready ?? 0) === next.ready &&
    (before.succeeded ?? 0) === next.succeeded &&
    (before.failed ?? 0) === next.failed &&
    (before.startTime ?? null) === next.startTime &&
    (before.conditions ?? []).length === next.conditions.length &&
    next.conditions.every((condition) => before.conditions?.includes(condition))
  )
}

/** A pod from the Job's template, with the labels that the API server generates into it (old and new). */
function podOf(job: Stored<Job>, name: string): Pod {
  const { template } = job.spec ?? { template: {} }
  const { uid, namespace } = job.metadata
  return {
    metadata: {
      ...template.metadata,
      name,
      generateName: `${job.metadata.name}-`,
      finalizers: [TRACKING],
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        ...template.metadata?.labels,
        'batch.kubernetes.io/controller-uid': uid,
        'batch.kubernetes.io/job-name': job.metadata.name,
        'controller-uid': uid,
        'job-name': job.metadata.name,
      },
      ownerReferences: [
        { apiVersion: JOBS.apiVersion, kind: JOBS.kind, name: job.metadata.name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: template.spec ?? { containers: [] },
  }
}

/** Finished Jobs go ttlSecondsAfterFinished after their end, their pods with them. */
export function startTtlController(world: World): void {
  const { client, jobs } = world
  const queue = world.queue('ttl-after-finished', async (key) => {
    const job = jobs.get(key)
    const end = job === undefined ? undefined : finished(job)
    const ttl = job?.spec?.ttlSecondsAfterFinished
    if (job === undefined || end === undefined || ttl === undefined || job.metadata.deletionTimestamp !== undefined) return undefined
    const left = Date.parse(end.lastTransitionTime ?? '') + ttl * 1000 - client.clock.wall()
    if (left > 0) return left
    await client.remove(JOBS, job, { propagation: 'Foreground' })
    return undefined
  })
  jobs.onChange(({ after }) => {
    if (after !== undefined && finished(after) !== undefined) queue.add(keyOf(after))
  })
}
