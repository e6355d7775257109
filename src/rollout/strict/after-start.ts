/**
 * Past the point of no return in strict compatibility: the Job is the witness, as to SUC. Success lifts whatever cordon there is (contract, After
 * the Job).
 */
import { hold } from '../../api/reasons.ts'
import { formatTime } from '../../base/clock.ts'
import { LABEL_OBJECTSET } from '../../api/names.ts'
import { formatMs } from '../../kube/objects/duration.ts'
import { driveStarted, jobGone, type Started } from '../after-start.ts'
import { newWork } from '../before-start.ts'
import { nodeEvent, planEvent } from '../events.ts'
import { applyJob } from '../job.ts'
import { jobInputOf } from '../job-input.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { fail, jobRef, patchNode, recordOf, withoutPast, withoutWork } from '../verdict.ts'
import { compareToTarget } from '../version.ts'
import type { Action, JobView, Phase } from '../world.ts'

export function driveByJob(started: Started, pass: Pass): void {
  const { node, job, state } = started
  if (job === undefined) return withoutJob(started, pass)
  if (job.deleting) return say(started, pass, 'Upgrading', `Job ${job.name} is being removed`)
  // Left by native mode, which stops Jobs of nodes that it judges by themselves.
  if (job.suspend && !job.complete && job.failed === undefined) return driveStarted(started, pass)
  if (job.complete) return succeeded(started, job, pass)
  if (isUnmarked(job) && state !== undefined) return takeOver(started, job, state, pass)
  if (job.failed !== undefined) return failed(started, job.failed, pass)
  if (job.parallelism === 0) pass.step(node.name, [{ do: 'startJob', job: jobRef(job) }])
  say(started, pass, 'Upgrading', `the apply Job ${job.name} ${job.parallelism === 0 ? 'is being started' : 'runs'}`)
}

/** SUC's Job, and not yet as its apply library leaves it. */
const isUnmarked = (job: JobView): boolean => job.attempt === undefined && job.labels[LABEL_OBJECTSET] === undefined

function takeOver(started: Started, job: JobView, state: PlanState, pass: Pass): void {
  const { node, work } = started
  const made = applyJob({ ...jobInputOf(state, node, pass, work), mode: 'strict' })
  if (made.ok) pass.step(node.name, [{ do: 'markJob', job: jobRef(job), like: made.job }])
  say(started, pass, 'Upgrading', `Job ${job.name} is being taken over`)
}

function succeeded(started: Started, job: JobView, pass: Pass): void {
  const { node, work } = started
  const record = recordOf(node)
  const lifted = { uncordon: work.kubectl !== undefined, anyones: true }
  // From its completion, as SUC counts it, and not from when that was seen.
  const provenAt = work.provenAt ?? formatTime(job.finishedAt ?? pass.now.wall)
  const delayMs = (work.delaySeconds ?? 0) * 1000
  const end = Date.parse(provenAt) + delayMs
  if (pass.now.wall < end) {
    pass.lookAtWall(end)
    if (work.provenAt === undefined)
      pass.step(node.name, [
        patchNode(node, { ...record, work: { ...work, provenAt } }, lifted),
        ...onPlan(
          started,
          'Normal',
          'JobCompleteWaiting',
          `Job completed on Node ${node.name}, waiting ${formatMs(delayMs)} PostCompleteDelay`,
        ),
      ])
    else if (isUnmarked(job) && started.state !== undefined) takeOver(started, job, started.state, pass)
    return pass.node(work.plan, node.name, 'Soaking', hold('Soaking', `postCompleteDelay ends at ${formatTime(end)}`, { retryAt: end }))
  }
  pass.step(node.name, [
    patchNode(node, withoutPast(withoutWork(record), work.plan), { ...lifted, labels: work.labels ?? {} }),
    ...onPlan(started, 'Normal', 'JobComplete', `Job completed on Node ${node.name}`),
  ])
  pass.node(work.plan, node.name, 'Done')
}

function failed(started: Started, { reason, message }: NonNullable<JobView['failed']>, pass: Pass): void {
  const { node, work, job, plan } = started
  const text = `Job ${job?.namespace}/${job?.name} failed on Node ${node.name}: ${reason}: ${message}`
  fail(
    pass,
    node,
    work,
    { reason: 'JobFailed', message: text },
    {
      intact: false,
      clock: formatTime(pass.now.wall),
      ...(job === undefined ? {} : { job }),
      ...(plan === undefined ? {} : { plan }),
      verbatim: true,
    },
  )
  pass.node(work.plan, node.name, 'Failed')
}

/** Its Job is gone: with its Plan, for a newer version, or by hand. */
function withoutJob(started: Started, pass: Pass): void {
  const { node, work, pods, state } = started
  if (pods.length > 0) return say(started, pass, 'Upgrading', `the apply Job is gone; pod ${pods[0]?.name} is still there`)
  const standing = pass.world.plans.find((view) => view.key === work.plan && view.uid === work.planUID)
  if (standing === undefined || standing.plan?.metadata.deletionTimestamp !== undefined) return giveBack(started, 'the Plan is gone', pass)
  if (state === undefined) return say(started, pass, 'Upgrading', 'the apply Job is gone and the Plan cannot be read')
  if (!state.selected.has(node.name) || (state.hash !== '' && node.labels[state.label] === state.hash))
    return giveBack(started, 'the Plan no longer asks for the node', pass)
  if (state.version !== '' && state.hash !== '' && state.version !== work.target) {
    // The node keeps its slot and its cordon; the next Job begins where this one was stopped.
    pass.step(node.name, [patchNode(node, { ...recordOf(node), work: newWork({ state, node }, pass) })])
    return pass.node(work.plan, node.name, 'Preflight')
  }
  // What it came to is not known any more. The node is the only witness left, where it can be one.
  const changed = work.kubernetes && work.adopted !== true && compareToTarget(work.from, work.target) !== 0
  if (changed && compareToTarget(node.kubeletVersion, work.target) === 0) {
    pass.step(node.name, [
      patchNode(node, withoutPast(withoutWork(recordOf(node)), work.plan), {
        uncordon: work.kubectl !== undefined,
        anyones: true,
        labels: work.labels ?? {},
      }),
      ...onPlan(started, 'Normal', 'JobComplete', `Job completed on Node ${node.name}`),
    ])
    return pass.node(work.plan, node.name, 'Done')
  }
  jobGone(started, pass, `started ${node.uid} ${work.jobUID}`)
}

function giveBack({ node, work }: Started, why: string, pass: Pass): void {
  pass.step(node.name, [
    patchNode(node, withoutWork(recordOf(node)), { uncordon: true }),
    nodeEvent(node, work.plan, 'Normal', 'BackedOut', `node given back: ${why}`),
  ])
  pass.node(work.plan, node.name, 'Pending')
}

function onPlan({ plan }: Started, type: 'Normal' | 'Warning', reason: string, message: string): Action[] {
  return plan === undefined ? [] : [planEvent(plan, type, reason, message)]
}

function say({ node, work }: Started, pass: Pass, phase: Phase, message: string): void {
  pass.node(work.plan, node.name, phase, hold('Upgrading', message))
}
