/**
 * From the confirmed claim to the point of no return (design §4.3–4.5). Until then a node can always be given back, and is when the Plan,
 * its hash, the selection or a hold changes.
 */
import { ANNOTATION_RETRY, LABEL_NODE } from '../api/names.ts'
import { type Hold, hold } from '../api/reasons.ts'
import type { Work } from '../api/record.ts'
import { formatTime } from '../base/clock.ts'
import { clearNode } from './drain/clear.ts'
import { foresee } from './drain/ahead.ts'
import { drainsByJob } from './drain/engine.ts'
import { nodeEvent, planWarning } from './events.ts'
import type { Context } from './gates/gate.ts'
import { checkNode } from './gates/node-gates.ts'
import { checkPlan, paused } from './gates/plan-gates.ts'
import { attemptMark } from './attempt.ts'
import { isServer } from './is-server.ts'
import { applyJob, applyJobName } from './job.ts'
import { jobInputOf } from './job-input.ts'
import { jobDeadlineSeconds } from './job-limits.ts'
import { finalRefusal, refusalText, snapshotOf } from './payload-word.ts'
import { hasNodeEnd } from './policy/gates.ts'
import { hookedAttempt, hookHolds, hookToken, requestHooks } from './policy/hooks.ts'
import { outOfTurn } from './policy/waves.ts'
import { prepareJob, prepareJobName } from './prepare-job.ts'
import type { Pass } from './pass.ts'
import type { PlanState } from './plan-state.ts'
import { doneLabels } from './post-complete-labels.ts'
import { parseDuration } from '../kube/objects/duration.ts'
import { slotName } from './slot-name.ts'
import { backOut, fail, jobRef, patchNode, recordOf } from './verdict.ts'
import type { JobView, NodeView, Phase } from './world.ts'

const DAY_MS = 24 * 3600 * 1000
const BEAT_POLL_MS = 5000
/** Longest time between making the apply Job and starting it. */
const PAUSED_MAX_MS = 60_000

export interface Taken {
  readonly state: PlanState
  readonly node: NodeView
  readonly context: Context
}

/** A work entry for the next attempt on the node. */
export function newWork({ state, node }: Pick<Taken, 'state' | 'node'>, pass: Pass): Work {
  const { plan, key, ref, hash, version } = state
  const before = recordOf(node).past?.[key]
  const delaySeconds = soakSeconds(state)
  return {
    plan: key,
    planUID: ref.uid,
    hash,
    from: node.kubeletVersion,
    target: version,
    attempt: before?.hash === hash ? before.attempts + 1 : 1,
    retry: plan.metadata.annotations[ANNOTATION_RETRY] ?? '',
    generation: plan.metadata.generation,
    kubernetes: state.kubernetes,
    disruptive: state.disruptive,
    claimedAt: formatTime(pass.now.wall),
    labels: doneLabels(plan, version, hash),
    ...(state.cordons && (!state.conduct.clearsNodes || drainsByJob(state))
      ? { kubectl: { cordonedBefore: node.unschedulable && recordOf(node).cordon === undefined } }
      : {}),
    ...(delaySeconds > 0 ? { delaySeconds } : {}),
    ...(state.rules.reboot === 'Required' ? { bootID: node.bootID } : {}),
    ...(hasNodeEnd(state.rules) ? { gated: true } : {}),
  }
}

/** The policy's soak, else the Plan's postCompleteDelay. */
function soakSeconds({ rules, plan }: Pick<PlanState, 'rules' | 'plan'>): number {
  if (rules.soakMs !== undefined) return rules.soakMs / 1000
  const delay = plan.spec.postCompleteDelay === undefined ? undefined : parseDuration(plan.spec.postCompleteDelay)
  return delay?.ok === true ? Number(delay.ns) / 1e9 : 0
}

/**
 * The claim is confirmed and nothing has been touched yet: write the record, with the cordon unless `prepare` comes before it. False = the
 * node must not be drained, so the claim is given back.
 */
export function enter(taken: Taken, pass: Pass): boolean {
  const { state, node } = taken
  const { spec } = state.plan
  const { clearsNodes } = state.conduct
  const foreseen = clearsNodes && spec.drain !== undefined ? foresee(taken, 'Pending', pass) : undefined
  if (foreseen !== undefined && foreseen.drains !== 'yes') return foreseen.drains === 'unknown'
  const work = newWork(taken, pass)
  const record = { ...recordOf(node), work }
  if (state.rules.hooks.before.length > 0) {
    pass.step(node.name, [{ ...patchNode(node, record), hook: hookToken('before', hookedAttempt(work)) }])
    say(taken, pass, 'Preflight')
  } else if (clearsNodes && work.kubectl === undefined && spec.prepare === undefined && state.cordons && !node.unschedulable)
    cordon(taken, pass, work)
  else pass.step(node.name, [patchNode(node, record)])
  say(taken, pass, 'Preflight', ...(foreseen?.warning === undefined ? [] : [foreseen.warning]))
  return true
}

function cordon(taken: Taken, pass: Pass, begun: Work): void {
  const { state, node } = taken
  // Whatever was drained before, pods may have come since.
  const { drainedAt: _before, ...work } = begun
  const record = recordOf(node)
  const again = record.cordon !== undefined
  pass.step(node.name, [
    { ...patchNode(node, { ...record, work, cordon: { at: formatTime(pass.now.wall), plan: state.key } }), unschedulable: true },
    ...(again ? [nodeEvent(node, state.key, 'Warning', 'CordonedAgain', 'somebody uncordoned the node before the upgrade began')] : []),
  ])
  say(taken, pass, 'Preflight')
}

function reasonToBackOut({ state, node, context }: Taken, work: Work): string | undefined {
  if (work.planUID !== state.ref.uid) return 'the Plan was deleted and made again'
  if (!state.selected.has(node.name)) return 'the Plan no longer selects the node'
  if (state.invalid !== undefined) return `the Plan is not valid any more: ${state.invalid}`
  if (state.hash !== '' && work.hash !== state.hash) return 'the Plan has changed'
  if (!state.plan.status.applying.includes(slotName(node))) return 'the node no longer stands in status.applying'
  if (node.hold !== undefined && node.hold !== 'false') return 'the node carries drover.io/hold'
  return outOfTurn(state, node) ?? checkPlan(state.conduct.keepPlanGates, state, context)[0]?.message
}

/** Work under way before the point of no return. */
export function driveTaken(taken: Taken, work: Work, pass: Pass): void {
  const { state, node, context } = taken
  const { spec } = state.plan
  const seenSince = pass.fact(`taken ${node.uid} ${work.claimedAt} ${work.attempt}`)
  const why = reasonToBackOut(taken, work)
  if (why !== undefined) {
    backOut(pass, node, work, why)
    return say(taken, pass, 'Pending')
  }
  const stop = paused(state, context)
  if (stop !== undefined) return say(taken, pass, 'Preflight', stop)
  if (seenSince.wall - Date.parse(work.claimedAt) > DAY_MS && (state.plan.metadata.annotations[ANNOTATION_RETRY] ?? '') === work.retry)
    return say(
      taken,
      pass,
      'Preflight',
      hold(
        'RestoredState',
        `the claim of ${work.claimedAt} is over a day old: a restored snapshot, or a long outage; set drover.io/retry on the Plan to go on`,
      ),
    )
  // Asked for from the claim on, so that they are known when the start comes.
  if (node.etcd) for (const member of context.cluster.etcdMembers) pass.need({ kind: 'beat', node: member.name, maxAgeMs: BEAT_POLL_MS })
  const mark = attemptMark(work)
  const name = applyJobName(state.plan.metadata.name, node.name, work.hash)
  const job = pass.jobNamed(state.ref.namespace, name)
  if (!state.conduct.clearsNodes) return startJob(taken, pass, work, name, mark, job)
  // One of an earlier attempt has the same name, and says nothing of this one.
  const own = job?.attempt === mark ? job : undefined
  if (!isUnderWay(node, work, own) && !acknowledged(taken, pass, work)) return
  const preparing = spec.prepare !== undefined && work.preparedAt === undefined && own === undefined
  const ready = preparing ? prepared(taken, pass, work, mark) : work
  if (ready === undefined) return
  if (work.kubectl !== undefined) {
    if (preparing) pass.step(node.name, [patchNode(node, { ...recordOf(node), work: ready })])
    else if (own !== undefined || mayCordon(taken, pass)) return startJob(taken, pass, work, name, mark, job)
    return
  }
  if (state.cordons && !node.unschedulable) {
    if (mayCordon(taken, pass)) return cordon(taken, pass, ready)
    if (preparing) pass.step(node.name, [patchNode(node, { ...recordOf(node), work: ready })])
    return
  }
  if (preparing && spec.drain !== undefined) {
    // Remembered before what may take long: the prepare Job has a TTL.
    pass.step(node.name, [patchNode(node, { ...recordOf(node), work: ready })])
    return say(taken, pass, 'Preflight')
  }
  if (spec.drain !== undefined && !clearNode(taken, work, job, pass)) return
  startJob(taken, pass, work, name, mark, job)
}

/** `prepare` may have taken long: a forecast that holds nodes is asked again before the first cordon, and tells of the node why it does. */
function mayCordon(taken: Taken, pass: Pass): boolean {
  const { state, node } = taken
  const { spec } = state.plan
  if (spec.prepare === undefined || spec.drain === undefined || state.rules.drain.forecast !== 'Enforce') return true
  return recordOf(node).cordon !== undefined || foresee(taken, 'Preflight', pass).drains === 'yes'
}

/** The hooks have acknowledged, or there were none when this attempt got further: an edit of the policy counts from the next node on. */
function isUnderWay(node: NodeView, work: Work, job: JobView | undefined): boolean {
  const { cordon } = recordOf(node)
  if (work.hookedAt !== undefined || work.preparedAt !== undefined || job !== undefined) return true
  return cordon !== undefined && Date.parse(cordon.at) >= Date.parse(work.claimedAt)
}

/** The policy's hooks before the cordon have acknowledged, or there are none. */
function acknowledged(taken: Taken, pass: Pass, work: Work): boolean {
  const { state, node } = taken
  const { problem, hooks } = state.rules
  const token = hookToken('before', hookedAttempt(work))
  // They were asked, and what the policy says now cannot be read.
  if (problem !== undefined && node.hook?.request === token) {
    say(taken, pass, 'Preflight', problem)
    return false
  }
  if (hooks.before.length === 0) return true
  const record = recordOf(node)
  const holds = hookHolds(hooks.before, node, token, pass)
  if (holds.length > 0) requestHooks(node, record, token, pass)
  // Remembered, so that nothing that is taken away later makes it wait again.
  else pass.step(node.name, [patchNode(node, { ...record, work: { ...work, hookedAt: formatTime(pass.now.wall) } })])
  say(taken, pass, 'Preflight', ...holds)
  return false
}

/** The Plan's `prepare` container, as a Job of its own before the cordon. Undefined until it has succeeded, then the work that says so. */
function prepared(taken: Taken, pass: Pass, work: Work, mark: string): Work | undefined {
  const { state, node } = taken
  const done: Work = { ...work, preparedAt: formatTime(pass.now.wall) }
  const name = prepareJobName(state.plan.metadata.name, node.name, work.hash)
  const job = pass.jobNamed(state.ref.namespace, name)
  if (job === undefined) {
    const made = prepareJob({ ...jobInputOf(state, node, pass, work), attempt: work })
    if (made === undefined) return done
    pass.step(node.name, [{ do: 'createJob', job: made }])
    say(taken, pass, 'Preflight', hold('Preparing', 'the prepare Job is being made'))
    return undefined
  }
  if (job.attempt !== mark || job.deleting) {
    if (!job.deleting) pass.step(node.name, [{ do: 'deleteJob', job: jobRef(job) }])
    say(taken, pass, 'Preflight', hold('WaitingForPods', `the prepare Job ${name} of an earlier attempt is being removed`))
    return undefined
  }
  if (job.complete) {
    const snapshot = snapshotOf(pass.podsOf(job.uid))
    return snapshot === undefined ? done : { ...done, snapshot }
  }
  const refusal = finalRefusal(pass.podsOf(job.uid))
  if (job.failed !== undefined || refusal !== undefined) {
    const why = refusal === undefined ? `${job.failed?.reason}: ${job.failed?.message}` : refusalText(refusal)
    const log = refusal?.log
    fail(
      pass,
      node,
      work,
      { reason: 'PrepareFailed', message: `Job ${job.namespace}/${job.name} failed: ${why}`, ...(log === undefined ? {} : { log }) },
      { intact: true, plan: state.ref, clock: formatTime(pass.now.wall), job },
    )
    say(taken, pass, 'Failed')
    return undefined
  }
  const waiting = pass.podsOf(job.uid).find((pod) => pod.waiting !== undefined)?.waiting
  say(
    taken,
    pass,
    'Preflight',
    hold('Preparing', `the prepare Job ${name} runs${waiting === undefined ? '' : `: ${waiting.reason} ${waiting.message}`}`),
  )
  return undefined
}

function startJob(taken: Taken, pass: Pass, work: Work, name: string, mark: string, job: JobView | undefined): void {
  const { state, node, context } = taken
  const refused = pass.world.observed.rechecks.get(node.name)
  if (job === undefined) {
    const remains = pass.world.pods.find((pod) => pod.labels['job-name'] === name && pod.namespace === state.ref.namespace)
    if (remains !== undefined)
      return say(taken, pass, 'Preflight', hold('WaitingForPods', `pod ${remains.name} of an earlier apply Job is still there`))
    const holds = startHolds(taken, pass)
    if (holds.length > 0) return say(taken, pass, 'Preflight', ...holds)
    const made = applyJob({
      ...jobInputOf(state, node, pass, work),
      mode: state.conduct.mode,
      attempt: work,
      kubectl: work.kubectl !== undefined,
    })
    if ('error' in made) return say(taken, pass, 'Preflight', hold('PodRejected', made.error))
    pass.step(node.name, [{ do: 'createJob', job: made.job }])
    return say(taken, pass, 'Preflight', ...(refused === undefined ? [] : [refused]))
  }
  if (job.labels[LABEL_NODE] !== node.name)
    return say(
      taken,
      pass,
      'Preflight',
      hold('JobNameConflict', `Job ${job.namespace}/${name} belongs to node ${job.labels[LABEL_NODE] ?? '(none)'}; remove it to go on`, {
        blockedBy: `Job/${job.namespace}/${name}`,
      }),
    )
  if (job.deleting) return say(taken, pass, 'Preflight', hold('WaitingForPods', `Job ${name} of an earlier attempt is being removed`))
  const finished = job.complete || job.failed !== undefined
  if (state.conduct.mode === 'strict' && job.attempt === undefined && work.attempt === 1) {
    // SUC's own, from before: its library would take it over as it is.
    pass.step(node.name, [patchNode(node, { ...recordOf(node), work: { ...work, ...ofSUC(job) } })])
    return say(taken, pass, 'Upgrading')
  }
  const fresh =
    job.attempt === mark &&
    job.owned === (state.conduct.mode === 'strict') &&
    job.parallelism === 0 &&
    !job.suspend &&
    !finished &&
    job.active === 0 &&
    job.failedPods === 0
  if (!fresh) {
    if (job.active > 0)
      return say(
        taken,
        pass,
        'Preflight',
        hold('WaitingForPods', `Job ${name} of an earlier attempt still has pods`, { blockedBy: `Job/${job.namespace}/${name}` }),
      )
    pass.step(node.name, [{ do: 'deleteJob', job: jobRef(job) }])
    return say(taken, pass, 'Preflight', hold('WaitingForPods', `Job ${name} of an earlier attempt is being removed`))
  }
  const holds = startHolds(taken, pass)
  // A paused Job's deadline runs all the same, so one that has waited is made anew, whatever holds now.
  if (holds.length > 0 || pass.now.mono - pass.fact(`paused ${job.uid}`).mono > PAUSED_MAX_MS) {
    pass.step(node.name, [{ do: 'deleteJob', job: jobRef(job), resourceVersion: job.resourceVersion }])
    return say(taken, pass, 'Preflight', ...holds)
  }
  const started: Work = { ...work, startedAt: formatTime(pass.now.wall), jobUID: job.uid }
  const frail = node.etcd && state.disruptive && state.conduct.clearsNodes && context.cluster.etcdMembers.length < 3
  pass.step(node.name, [
    { do: 'recheck', plan: state.key, node: node.name, job: jobRef(job), quorum: isServer(node) },
    patchNode(node, { ...recordOf(node), work: started }),
    { do: 'startJob', job: jobRef(job) },
    ...(frail
      ? [
          planWarning(
            state.ref,
            node,
            'EtcdNotRedundant',
            `with ${context.cluster.etcdMembers.length} etcd members the datastore is away while this one is upgraded`,
          ),
        ]
      : []),
    nodeEvent(
      node,
      state.key,
      'Normal',
      'UpgradeStarted',
      `Job ${name} starts, ${node.kubeletVersion} to ${work.target}, deadline ${jobDeadlineSeconds(state.plan, pass.world.settings.job) ?? 'none'} s${work.snapshot === undefined ? '' : `, etcd snapshot ${work.snapshot}`}`,
    ),
  ])
  say(taken, pass, 'Preflight', ...(refused === undefined ? [] : [refused]))
}

/** A Job of SUC's as the record of work shows it. */
export const ofSUC = (job: JobView): Pick<Work, 'adopted'> & { readonly startedAt: string; readonly jobUID: string } => ({
  adopted: true,
  startedAt: formatTime(job.createdAt),
  jobUID: job.uid,
})

/** Everything that is asked before the Job is made, and again before it is started. */
export function startHolds({ state, node, context }: Taken, pass: Pass): Hold[] {
  if (node.etcd) for (const member of context.cluster.etcdMembers) pass.need({ kind: 'beat', node: member.name, maxAgeMs: BEAT_POLL_MS })
  const found = [
    ...checkPlan(state.conduct.startPlanGates, state, context),
    checkNode(state.conduct.nodeGates, state, node, context),
    checkNode(state.conduct.startNodeGates, state, node, context),
  ]
  return found.filter((hold) => hold !== undefined)
}

function say({ state, node }: Taken, pass: Pass, phase: Phase, ...holds: Hold[]): void {
  pass.node(state.key, node.name, phase, ...holds)
}
