/**
 * Past the point of no return: the node is driven to a verdict whatever happens to the Plan, and the node is the witness, never a Job's
 * word alone (design §4.6). Measured behaviour behind the rules: the first pod of a good upgrade dies with containerd; a Complete Job may
 * hide an old kubelet; a bad release leaves a silent node whose pod reads Running for ever.
 */
import { type FailureReason, type Hold, hold } from '../api/reasons.ts'
import type { Work } from '../api/record.ts'
import { formatTime } from '../base/clock.ts'
import type { Pass } from './pass.ts'
import { finalRefusal, refusalText } from './payload-word.ts'
import { nodeEndAnswer } from './policy/gates.ts'
import { hookedAttempt, hookHolds, hookToken, requestHooks } from './policy/hooks.ts'
import type { Rules } from './policy/rules.ts'
import type { PlanState } from './plan-state.ts'
import { beginSoak, fail, finish, jobRef, patchNode, recordOf } from './verdict.ts'
import { compareToTarget } from './version.ts'
import type { JobView, NodeView, Phase, PodView, Ref } from './world.ts'

/** A Job without a deadline of its own is given this long from startedAt (design §4.6). */
const DEFAULT_DEADLINE_SECONDS = 3600
const BEAT_POLL_MS = 5000
/** A pod that succeeded makes its Job complete; the Job controller says so a moment later. */
const COMPLETES_MS = 5000
/** A Job deleted so often under way fails its node. */
const MAX_DELETIONS = 3

export interface Started {
  readonly node: NodeView
  readonly work: Work & { readonly startedAt: string; readonly jobUID: string }
  readonly job: JobView | undefined
  /** Pods of the recorded Job. */
  readonly pods: readonly PodView[]
  readonly plan: Ref | undefined
  /** Missing when the Plan is gone or cannot be read. */
  readonly state: PlanState | undefined
}

export function isStarted(work: Work): work is Started['work'] {
  return work.startedAt !== undefined && work.jobUID !== undefined
}

export function driveStarted(started: Started, pass: Pass): void {
  const { node, work } = started
  const key = `started ${node.uid} ${work.jobUID}`
  const watchedSince = pass.fact(key)
  if (work.provenAt !== undefined) return soak(started, pass)
  if (proves(started)) return verify(started, pass, key, watchedSince.mono)
  const { job } = started
  if (job !== undefined && job.parallelism === 0 && !job.suspend && !job.complete && job.failed === undefined) {
    // A crash between the record and the start: the record says go.
    pass.step(node.name, [{ do: 'startJob', job: jobRef(job) }])
    return report(started, pass, 'Upgrading', hold('Upgrading', 'the apply Job is being started'))
  }
  unproven(started, pass, key)
}

/** What promise 4 asks of the node and the Job, apart from readiness, heartbeat and pods. */
function proves({ node, work, job }: Started): boolean {
  if (!hasBooted(node, work)) return false
  if (!work.kubernetes) return job?.complete === true
  if (compareToTarget(node.kubeletVersion, work.target) !== 0) return false
  return changedVersion(work) || work.adopted === true || job?.complete === true
}

/** Where the policy requires a reboot, the boot ID must have changed since the claim. */
function hasBooted(node: NodeView, work: Work): boolean {
  return work.bootID === undefined || (node.bootID !== '' && node.bootID !== work.bootID)
}

/** A kubelet that reports another version than at the claim has posted its status since: a heartbeat of its own. */
function changedVersion(work: Work): boolean {
  return work.kubernetes && work.adopted !== true && compareToTarget(work.from, work.target) !== 0
}

function verify(started: Started, pass: Pass, key: string, watchedSince: number): void {
  const { node, work, job, pods } = started
  const { now } = pass.world
  const unfinished = job !== undefined && !job.complete && job.failed === undefined
  const running = pods.filter((pod) => pod.phase === 'Pending' || pod.phase === 'Running')
  const ending = pass.world.since.has(endingKey(started))
  if (ending) pass.fact(endingKey(started))
  if (node.ready !== 'True') {
    if (ending ? lostAgain(started, pass) : givenUp(started, pass, `${key} unproven`)) return
    return report(started, pass, 'Verifying', hold('Verifying', `node is at ${node.kubeletVersion} but not Ready (${node.ready})`))
  }
  if (!changedVersion(work) && !beatSince(node, pass, watchedSince)) {
    if (givenUp(started, pass, `${key} unproven`)) return
    return report(started, pass, 'Verifying', hold('Verifying', 'waiting for a fresh heartbeat of the node'))
  }
  // minReady counts from when it was first proven, with no pod running; a later pod of the Job, which finds nothing to do, does not begin it anew.
  const { minReadyMs, reboot } = pass.rules(work.plan)
  // A machine may boot so quickly that nobody sees it NotReady.
  const provenKey = reboot === 'Off' ? `${key} proven` : `${key} proven ${node.bootID}`
  if (running.length > 0 && !pass.world.since.has(provenKey)) {
    if (stopOverdue(started, pass, unfinished) || givenUp(started, pass, `${key} unproven`)) return
    return report(started, pass, 'Verifying', hold('Verifying', `pod ${running[0]?.name} of the apply Job still runs`))
  }
  const ready = pass.fact(provenKey).mono + minReadyMs
  if (now.mono < ready) {
    pass.lookAt(ready)
    const message = `Ready at ${node.kubeletVersion}; it must stay so for ${minReadyMs / 1000} s`
    return report(started, pass, 'Verifying', hold('Verifying', message, { retryAt: now.wall + ready - now.mono }))
  }
  if (running.some((pod) => pod.phase === 'Running' && !pod.deleting) && unfinished) {
    if (stopOverdue(started, pass, unfinished)) return
    return report(started, pass, 'Verifying', hold('Verifying', `pod ${running[0]?.name} of the apply Job still runs`))
  }
  if (unfinished && !job.suspend && pods.some((pod) => pod.phase === 'Succeeded')) {
    const until = pass.fact(`${key} completes`).mono + COMPLETES_MS
    if (now.mono < until) {
      pass.lookAt(until)
      return report(started, pass, 'Verifying', hold('Verifying', 'the apply Job is about to be complete'))
    }
  }
  if (unfinished && !job.suspend) {
    // Proven already: the pod that the Job would start next has nothing to do.
    pass.step(node.name, [{ do: 'suspendJob', job: jobRef(job), unshield: true }])
    return report(started, pass, 'Verifying', hold('Verifying', 'stopping what is left of the apply Job'))
  }
  if (running.length > 0 || (unfinished && !job.suspended)) {
    if (givenUp(started, pass, `${key} unproven`)) return
    return report(started, pass, 'Verifying', hold('Verifying', 'waiting for the last pod of the apply Job to end'))
  }
  if (!mayEnd(started, pass)) {
    pass.fact(endingKey(started))
    return
  }
  if (work.delaySeconds !== undefined && work.delaySeconds > 0) {
    beginSoak(pass, node, work)
    return report(started, pass, 'Soaking')
  }
  finish(pass, node, work)
  report(started, pass, 'Done')
}

/** What the policy asks for between the proof and the end: its gates at NodeEnd, then its hooks. */
function mayEnd(started: Started, pass: Pass): boolean {
  const { node, work } = started
  // It asked for nothing at the claim: an edit counts from the next node on.
  if (work.gated !== true) return true
  const rules = pass.rules(work.plan)
  // What it asked for cannot be read any more: nobody knows whether that is met.
  if (rules.problem !== undefined) {
    report(started, pass, 'Verifying', rules.problem)
    return false
  }
  const { holds, failed } = nodeEndAnswer(work.plan, node, work.jobUID, pass)
  const [first] = failed
  if (first !== undefined) {
    fail(pass, node, work, { reason: 'GateFailed', message: first.message }, failing(started, pass, false))
    report(started, pass, 'Failed')
    return false
  }
  for (const { retryAt } of holds) if (retryAt !== undefined) pass.lookAtWall(retryAt)
  if (holds.length > 0) report(started, pass, 'Verifying', ...holds)
  return holds.length === 0 && afterHooks(started, rules, pass)
}

const endingKey = ({ node, work }: Started): string => `ending ${node.uid} ${work.jobUID}`

/** Proven, and not Ready any more while gates or hooks are waited for: the Job's time is long over, so the node has its own to come back. */
function lostAgain(started: Started, pass: Pass): boolean {
  const { node, work } = started
  const { timeoutMs } = pass.rules(work.plan)
  const limit = pass.fact(`${endingKey(started)} lost`).mono + timeoutMs
  if (pass.now.mono < limit) {
    pass.lookAt(limit)
    return false
  }
  const message = `node ${node.name} was proven, and then not Ready (${node.ready}) for ${timeoutMs / 1000} s`
  fail(pass, node, work, { reason: node.ready === 'Unknown' ? 'NodeLost' : 'NodeNotReady', message }, failing(started, pass, false))
  report(started, pass, 'Failed')
  return true
}

function afterHooks(started: Started, { hooks }: Rules, pass: Pass): boolean {
  const { node, work } = started
  if (hooks.after.length === 0) return true
  const token = hookToken('after', hookedAttempt(work))
  const holds = hookHolds(hooks.after, node, token, pass)
  if (holds.length === 0) return true
  requestHooks(node, recordOf(node), token, pass)
  report(started, pass, 'Verifying', ...holds)
  return false
}

/** A pod that runs beyond the Job's deadline on a node that is at the target is stopped with its Job. */
function stopOverdue(started: Started, pass: Pass, unfinished: boolean): boolean {
  const { node, job } = started
  const deadline = deadlineOf(started)
  if (pass.now.wall < deadline) pass.lookAtWall(deadline)
  if (pass.now.wall < deadline || !unfinished || job === undefined || job.suspend) return false
  pass.step(node.name, [{ do: 'suspendJob', job: jobRef(job), unshield: true }])
  report(started, pass, 'Verifying', hold('Verifying', 'the apply Job has run beyond its deadline; it is stopped'))
  return true
}

/** Wall-clock time at which the Job must be over. */
const deadlineOf = ({ work, job }: Started): number =>
  Date.parse(work.startedAt) + (job?.deadlineSeconds ?? DEFAULT_DEADLINE_SECONDS) * 1000

function soak(started: Started, pass: Pass): void {
  const { node, work } = started
  const end = Date.parse(work.provenAt ?? '') + (work.delaySeconds ?? 0) * 1000
  const left = end - pass.now.wall
  if (node.ready !== 'True' || (work.kubernetes && compareToTarget(node.kubeletVersion, work.target) !== 0)) {
    const since = pass.fact(`soak lost ${node.uid} ${work.jobUID}`).mono
    const limit = Math.max(since + pass.rules(work.plan).timeoutMs, pass.now.mono + left)
    if (pass.now.mono >= limit) {
      const message = `node ${node.name} is at ${node.kubeletVersion}, Ready ${node.ready}, after the postCompleteDelay`
      fail(
        pass,
        node,
        work,
        { reason: node.ready === 'Unknown' ? 'NodeLost' : node.ready === 'False' ? 'NodeNotReady' : 'VersionMismatch', message },
        failing(started, pass, false),
      )
      return report(started, pass, 'Failed')
    }
    pass.lookAt(limit)
    return report(
      started,
      pass,
      'Soaking',
      hold('Verifying', `node ${node.name} was proven, and is now at ${node.kubeletVersion}, Ready ${node.ready}`),
    )
  }
  if (left <= 0) {
    finish(pass, node, work)
    return report(started, pass, 'Done')
  }
  pass.lookAtWall(end)
  report(started, pass, 'Soaking', hold('Soaking', `postCompleteDelay ends at ${formatTime(end)}`, { retryAt: end }))
}

function unproven(started: Started, pass: Pass, key: string): void {
  const { node, work, job, pods } = started
  const refusal = finalRefusal(pods)
  // Only a kubelet that lives tells how a container ended. A node that is not Ready may still come back; its deadlines run.
  if (refusal !== undefined && node.ready === 'True') {
    const { log } = refusal
    const message = `node ${node.name}: ${refusalText(refusal)}`
    fail(pass, node, work, { reason: 'JobFailed', message, ...(log === undefined ? {} : { log }) }, failing(started, pass, false))
    return report(started, pass, 'Failed')
  }
  const ran = pods.some((pod) => pod.ranContainer) || (job !== undefined && job.failedPods > 0)
  if (
    work.kubernetes &&
    node.ready === 'Unknown' &&
    ran &&
    // Drover's own payload is at work on the silent node, perhaps rolling back; stopped, it could not say why.
    !pods.some(({ ownImage }) => ownImage === true) &&
    job !== undefined &&
    !job.suspend &&
    !job.complete &&
    job.failed === undefined
  ) {
    // Or its next pod would install the bad release again on a machine under repair.
    pass.step(node.name, [{ do: 'suspendJob', job: jobRef(job) }])
    return report(started, pass, 'Verifying', hold('Verifying', 'the node went silent after the apply pod ran; its Job is stopped'))
  }
  if (givenUp(started, pass, `${key} unproven`)) return
  if (job === undefined) return jobGone(started, pass, key)
  const active = !job.complete && job.failed === undefined && !job.suspend
  const waiting = pods.find((pod) => pod.waiting !== undefined)?.waiting
  if (active) {
    const detail = waiting === undefined ? '' : `: ${waiting.reason}${waiting.message === '' ? '' : `, ${waiting.message}`}`
    return report(started, pass, 'Upgrading', hold('Upgrading', `the apply Job ${job.name} runs${detail}`))
  }
  report(
    started,
    pass,
    'Verifying',
    hold('Verifying', `the apply Job has ended; node reports ${node.kubeletVersion}, Ready ${node.ready}, target ${work.target}`),
  )
}

/** Deleted by hand (SUC would hang): the node was not proven, so it is taken through the point of no return again, at most three times. */
export function jobGone(started: Started, pass: Pass, key: string): void {
  const { node, work, pods } = started
  if (pods.length > 0)
    return report(started, pass, 'Upgrading', hold('WaitingForPods', `the apply Job was deleted; pod ${pods[0]?.name} is still there`))
  const since = pass.fact(`${key} gone`).mono
  if (node.ready !== 'True' || !beatSince(node, pass, since)) {
    return report(started, pass, 'Verifying', hold('Verifying', 'the apply Job was deleted; waiting for a fresh heartbeat of the node'))
  }
  const deletions = (work.deletions ?? 0) + 1
  if (deletions >= MAX_DELETIONS) {
    fail(
      pass,
      node,
      work,
      { reason: 'JobDeleted', message: `the apply Job was deleted under way ${deletions} times` },
      failing(started, pass, false),
    )
    return report(started, pass, 'Failed')
  }
  const { startedAt: _s, jobUID: _j, ...rest } = work
  pass.step(node.name, [
    patchNode(node, { ...recordOf(node), work: { ...rest, attempt: work.attempt + 1, deletions, claimedAt: formatTime(pass.now.wall) } }),
  ])
  report(started, pass, 'Preflight')
}

/**
 * The failed verdicts (design §4.6). Silence is the API server's: Ready Unknown. Times are counted by this leader, anew after a change of
 * leader, yet never beyond startedAt + the Job's deadline + 2 × verify.timeout.
 */
function givenUp(started: Started, pass: Pass, key: string): boolean {
  const { node, work, job, pods } = started
  const { now } = pass.world
  const { timeoutMs: timeout, minReadyMs } = pass.rules(work.plan)
  const ran = pods.some((pod) => pod.ranContainer) || (job !== undefined && (job.failedPods > 0 || job.active > 0))
  const atTarget = work.kubernetes && compareToTarget(node.kubeletVersion, work.target) === 0
  const ended = job === undefined || job.complete || job.failed !== undefined || job.suspend
  const endedSince = ended ? pass.fact(`${key} ended`).mono : undefined
  const silentSince = node.ready === 'Unknown' ? pass.fact(`${key} silent`).mono : undefined
  const deadline = deadlineOf(started)
  const verdict = (reason: FailureReason, message: string): boolean => {
    if (!withLog(started, pass, reason, message, !ran)) return true
    report(started, pass, 'Failed')
    return true
  }
  if (job?.failed !== undefined && !atTarget) {
    const text = `Job ${job.namespace}/${job.name} failed on Node ${node.name}: ${job.failed.reason}: ${job.failed.message}`
    if (!work.kubernetes) return verdict('JobFailed', text)
    // The Job may have failed because the upgrade restarted the kubelet; the node gets to speak first.
    if (node.ready === 'True' && beatSince(node, pass, pass.fact(`${key} ended`).mono)) return verdict('JobFailed', text)
  }
  if (job === undefined && node.ready === 'True' && !atTarget) return false
  if (
    job?.suspend === true &&
    !atTarget &&
    node.ready === 'True' &&
    work.kubernetes &&
    job.suspended &&
    beatSince(node, pass, endedSince ?? now.mono)
  ) {
    const settled = pass.fact(`${key} back`).mono + minReadyMs
    if (now.mono >= settled) return verdict('VersionMismatch', `the node came back at ${node.kubeletVersion}, not at ${work.target}`)
    pass.lookAt(settled)
  }
  const limits = [
    ...(endedSince === undefined ? [] : [endedSince + timeout]),
    ...(silentSince === undefined ? [] : [silentSince + timeout]),
    now.mono + (deadline + 2 * timeout - now.wall),
  ]
  const limit = Math.min(...limits)
  if (now.mono < limit) {
    pass.lookAt(limit)
    return false
  }
  if (node.ready === 'Unknown')
    return verdict('NodeLost', `no heartbeat of node ${node.name} for ${timeout / 1000} s after the upgrade began`)
  if (node.ready === 'False') return verdict('NodeNotReady', `node ${node.name} did not become Ready in time`)
  if (work.kubernetes && !atTarget)
    return verdict(
      'VersionMismatch',
      `the apply Job has ended but node ${node.name} still reports ${node.kubeletVersion}, not ${work.target}`,
    )
  if (!hasBooted(node, work)) return verdict('NotRebooted', `node ${node.name} has not booted anew since it was taken`)
  return verdict('JobFailed', `node ${node.name} was not proven in time`)
}

/** A heartbeat certainly happened after that time; otherwise the node's Lease is asked for, twice at least. */
export function beatSince(node: NodeView, pass: Pass, since: number): boolean {
  const after = pass.world.observed.beats.get(node.name)?.after
  if (after !== undefined && after >= since) return true
  pass.need({ kind: 'beat', node: node.name, maxAgeMs: BEAT_POLL_MS })
  return false
}

/** Why no heartbeat will be seen, if somebody has to grant a permission first. */
export function beatRefused(node: NodeView, pass: Pass): Hold[] {
  const refused = pass.world.observed.beats.get(node.name)?.refused
  return refused === undefined ? [] : [hold('Refused', `the node's heartbeat cannot be read: ${refused}`)]
}

/** Fails the node with the tail of the last pod's log, which is asked for first. False = still being fetched. */
function withLog(started: Started, pass: Pass, reason: FailureReason, message: string, intact: boolean): boolean {
  const { node, work, pods } = started
  const last = [...pods].filter((pod) => pod.ranContainer).sort((a, b) => b.createdAt - a.createdAt)[0]
  // A silent node's kubelet cannot hand out logs.
  if (last !== undefined && node.ready === 'True') {
    pass.need({ kind: 'log', namespace: last.namespace, pod: last.name, podUID: last.uid, maxAgeMs: Number.POSITIVE_INFINITY })
    const log = pass.world.observed.logs.get(last.uid)
    if (log === undefined) {
      report(started, pass, 'Verifying', hold('Verifying', `reading the log of pod ${last.name}`))
      return false
    }
    const unread = !log.ok && log.refused === true ? `; its log cannot be read: ${log.error}` : ''
    fail(
      pass,
      node,
      work,
      { reason, message: `${message}${unread}`, ...(log.ok ? { log: log.value } : {}) },
      failing(started, pass, intact),
    )
    return true
  }
  fail(pass, node, work, { reason, message }, failing(started, pass, intact))
  return true
}

function failing({ job, plan }: Started, pass: Pass, intact: boolean) {
  return { intact, clock: formatTime(pass.now.wall), ...(job === undefined ? {} : { job }), ...(plan === undefined ? {} : { plan }) }
}

function report({ node, work }: Started, pass: Pass, phase: Phase, ...holds: Hold[]): void {
  pass.node(work.plan, node.name, phase, ...(holds.length === 0 ? [] : beatRefused(node, pass)), ...holds)
}
