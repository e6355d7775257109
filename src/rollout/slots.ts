/** Every node that holds a slot of a Plan, or works for it, one by one: what happens to it next, and whether it keeps the slot. */
import { LABEL_CONTROLLER, LABEL_NODE, LABEL_PLAN, LABEL_VERSION } from '../api/names.ts'
import { type Hold, hold } from '../api/reasons.ts'
import type { Outcome, Work } from '../api/record.ts'
import { formatTime } from '../base/clock.ts'
import { beatRefused, beatSince, isStarted } from './after-start.ts'
import { driveTaken, enter, newWork, ofSUC, startHolds } from './before-start.ts'
import { claimKey } from './claim.ts'
import { conductOf } from './conduct.ts'
import { notBlocked } from './drain/blocked.ts'
import { nodeEvent } from './events.ts'
import { isArmed, nextAttempt } from './failures.ts'
import type { Context } from './gates/gate.ts'
import { checkNode } from './gates/node-gates.ts'
import { checkPlan, isForeignAndActive } from './gates/plan-gates.ts'
import { firstAttempt } from './attempt.ts'
import { applyJob } from './job.ts'
import { jobInputOf } from './job-input.ts'
import { nodeEndAnswer } from './policy/gates.ts'
import { hookHolds, hookToken, requestHooks } from './policy/hooks.ts'
import { outOfTurn } from './policy/waves.ts'
import type { Pass } from './pass.ts'
import { isKnownImage, type PlanState } from './plan-state.ts'
import { doneLabels } from './post-complete-labels.ts'
import { slotName } from './slot-name.ts'
import { backOut, jobRef, patchNode, recordOf, withoutPast, workOn } from './verdict.ts'
import { isInTurn } from './strict/turn.ts'
import { compareToTarget, isKubernetesVersion } from './version.ts'
import type { JobView, NodeView } from './world.ts'

export interface Slots {
  /** Hostnames that stay in `applying`. */
  readonly kept: readonly string[]
  /** Nodes that hold a slot and wait to be admitted again: re-armed failures, and one that SUC left without a Job. */
  readonly again: readonly NodeView[]
  /** Nodes that the policy tries again after a failure; after all others. */
  readonly retry: readonly NodeView[]
  /** Nodes whose failure holds their slot. */
  readonly failed: readonly NodeView[]
}

/** How long another leader's claim may stand before its record shows. */
const OTHERS_CLAIM_MS = 15_000

/** Without a sign of life from a watch for so long what is seen may be stale, and nothing is decided at all (bookmarks come every minute). */
export const STALE_MS = 180_000

export function driveSlots(state: PlanState, context: Context, pass: Pass): Slots {
  const kept = new Set<string>()
  const again: NodeView[] = []
  const retry: NodeView[] = []
  const failed: NodeView[] = []
  // SUC's running Jobs count, whether or not it has stored their nodes in `applying` yet.
  const adopted = (state.memory.adopt ?? []).filter((hostname) => foreignOn(state, hostname, context, pass) !== undefined)
  for (const hostname of new Set([...state.plan.status.applying, ...adopted])) {
    const same = context.cluster.byHostname.get(hostname) ?? []
    const node = same.find((candidate) => workOn(candidate, state.key) !== undefined) ?? same[0]
    const verdict = node === undefined ? 'release' : driveSlot(state, node, context, pass)
    if (verdict === 'release') {
      context.ledger.release(state.key, hostname)
      continue
    }
    kept.add(hostname)
    if (node === undefined) continue
    if (verdict === 'again') again.push(node)
    if (verdict === 'retry') retry.push(node)
    if (verdict === 'failed') failed.push(node)
  }
  for (const node of pass.world.nodes) {
    const work = workOn(node, state.key)
    const hostname = slotName(node)
    if (work === undefined || kept.has(hostname)) continue
    driveWork(state, node, work, context, pass)
    // Rancher and `prepare` read `applying`: what is past the point of no return belongs there.
    if (isStarted(work) && work.planUID === state.ref.uid) kept.add(hostname)
  }
  return { kept: [...kept], again, retry, failed }
}

type Verdict = 'keep' | 'release' | 'again' | 'retry' | 'failed'

function driveSlot(state: PlanState, node: NodeView, context: Context, pass: Pass): Verdict {
  if (node.record?.ok === false) {
    pass.node(
      state.key,
      node.name,
      'Pending',
      hold('RecordUnreadable', `annotation drover.io/node-upgrade of node ${node.name} cannot be read: ${node.record.error}`),
    )
    return 'keep'
  }
  const work = workOn(node, state.key)
  if (work !== undefined) {
    driveWork(state, node, work, context, pass)
    return 'keep'
  }
  // SUC's list stands while it cannot tell what is to be done.
  if (state.conduct.mode === 'strict' && (state.pending || state.invalid !== undefined || state.version === '')) return 'keep'
  if (recordOf(node).work !== undefined) {
    // Another Plan's turn on this node; its record is not ours to write. What SUC left to us stays until then.
    if (state.memory.adopt?.includes(node.hostname ?? '') !== true) return 'release'
    pass.node(state.key, node.name, 'Pending', hold('NodeBusy', `Plan ${recordOf(node).work?.plan} works on node ${node.name}`))
    return 'keep'
  }
  if (state.hash !== '' && node.labels[state.label] === state.hash) return 'release'
  const past = recordOf(node).past?.[state.key]
  const selected = state.selected.has(node.name)
  if (past?.hash === state.hash && selected) {
    const verdict = driveFailed(state, node, past, pass)
    return (verdict === 'again' || verdict === 'retry') && admitted(state, node, context, pass) ? 'keep' : verdict
  }
  if (selected && past === undefined && notBlocked(state, node, context) !== undefined) return 'release'
  if (selected && pass.world.confirmed.has(claimKey(state, node)))
    return admitted(state, node, context, pass) || mayHaveEntered(state, node, pass) ? 'keep' : 'release'
  if (past !== undefined) {
    if (state.hash === '') return 'failed'
    // A new hash re-arms the failure; the node keeps its slot and its cordon, and goes first (design §4.8).
    return selected ? 'again' : 'release'
  }
  if (state.memory.adopt?.includes(node.hostname ?? '') === true) return adopt(state, node, context, pass)
  return selected && isFresh(state, node, pass) ? 'keep' : 'release'
}

/** A claim without a record may be another leader's, who writes the record just now; one that was cut short is withdrawn a little later. */
function isFresh(state: PlanState, node: NodeView, pass: Pass): boolean {
  const until = pass.fact(`claim of nobody ${claimKey(state, node)}`).mono + OTHERS_CLAIM_MS
  if (pass.now.mono >= until) return false
  pass.lookAt(until)
  return true
}

/** The claim is confirmed: take the node, unless a gate has closed meanwhile. */
function admitted(state: PlanState, node: NodeView, context: Context, pass: Pass): boolean {
  if (!pass.world.confirmed.has(claimKey(state, node)) || recordOf(node).work !== undefined) return false
  const holds = holdsOn(state, node, context)
  if (holds.length > 0) {
    pass.node(state.key, node.name, 'Pending', ...holds)
    return false
  }
  if (isWedged(state, node, pass)) return true
  pass.fact(entering(state, node))
  return enter({ state, node, context }, pass)
}

const entering = (state: PlanState, node: NodeView): string => `entering ${claimKey(state, node)}`

/** Its record was to be written a short while ago: the answer may have been lost, and the watch be late. The slot waits until it shows. */
function mayHaveEntered(state: PlanState, node: NodeView, pass: Pass): boolean {
  const since = pass.world.since.get(entering(state, node))?.mono
  if (since === undefined || pass.now.mono - since > STALE_MS) return false
  pass.fact(entering(state, node))
  pass.lookAt(since + STALE_MS + 1)
  return true
}

function holdsOn(state: PlanState, node: NodeView, context: Context): Hold[] {
  return [...checkPlan(state.conduct.startPlanGates, state, context), checkNode(state.conduct.nodeGates, state, node, context)].filter(
    (found) => found !== undefined,
  )
}

/** Strict: SUC deletes the Job of a node that its list seems not to hold, and waits for ever. */
function isWedged(state: PlanState, node: NodeView, pass: Pass): boolean {
  if (state.conduct.mode !== 'strict' || isInTurn(state.plan.status.applying, node.name)) return false
  const made = applyJob({ ...jobInputOf(state, node, pass), mode: 'strict', attempt: firstAttempt(state.ref.uid) })
  const first = pass.isNew(`wedged ${node.uid} ${state.hash}`)
  if (first && made.ok) pass.step(node.name, [{ do: 'createJob', job: made.job }])
  pass.node(
    state.key,
    node.name,
    'Pending',
    hold(
      'JobNameConflict',
      `node ${node.name} has another name than its label kubernetes.io/hostname, by which SUC takes its Job for one out of turn`,
    ),
  )
  return true
}

function driveWork(state: PlanState, node: NodeView, work: Work, context: Context, pass: Pass): void {
  if (!isStarted(work)) return driveTaken({ state, node, context }, work, pass)
  const job = pass.jobWithUID(work.jobUID)
  if (job !== undefined && work.planUID === state.ref.uid && hasNotRun(job, pass)) {
    const holds = startHolds({ state, node, context }, pass)
    if (holds.length > 0) return stepBack(state, node, work, job, holds, pass)
  }
  driveStartedWork(node, work, pass, state)
}

/** The leader that recorded the start died before it raised the Job: nothing has been disrupted yet. */
function hasNotRun(job: JobView, pass: Pass): boolean {
  const open = !job.suspend && !job.complete && job.failed === undefined && !job.deleting
  return open && job.parallelism === 0 && job.active === 0 && job.failedPods === 0 && pass.podsOf(job.uid).length === 0
}

/** Back before the point of no return: the Job goes, as it was seen, then the record of its start. */
function stepBack(state: PlanState, node: NodeView, work: Work, job: JobView, holds: readonly Hold[], pass: Pass): void {
  const { startedAt: _s, jobUID: _j, ...rest } = work
  pass.step(node.name, [
    { do: 'deleteJob', job: jobRef(job), resourceVersion: job.resourceVersion },
    patchNode(node, { ...recordOf(node), work: rest }),
  ])
  pass.node(state.key, node.name, 'Preflight', ...holds)
}

/** Work past the point of no return; `state` is missing when its Plan is gone. */
function driveStartedWork(node: NodeView, work: Work, pass: Pass, state?: PlanState): void {
  if (!isStarted(work)) return
  if (node.unschedulable && work.kubectl?.cordonedBefore === false && recordOf(node).cordon === undefined) {
    // The Job's own kubectl did it: written down like a cordon of SUC's that was adopted, so that whatever ends the work, in either mode, finds it.
    const cordon = { at: formatTime(pass.now.wall), plan: work.plan, adopted: node.cordonOwner ?? '' }
    pass.step(node.name, [patchNode(node, { ...recordOf(node), cordon })])
    return pass.node(work.plan, node.name, 'Upgrading')
  }
  const started = { node, work, job: pass.jobWithUID(work.jobUID), pods: pass.podsOf(work.jobUID), plan: state?.ref, state }
  conductOf(pass.world.settings).drive(started, pass)
}

/** The Plan is gone: past the point of no return the node is driven to its verdict, before it is given back. */
export function driveOrphan(node: NodeView, work: Work, pass: Pass): void {
  if (isStarted(work)) driveStartedWork(node, work, pass)
  else backOut(pass, node, work, 'the Plan is gone or cannot be read')
}

function driveFailed(state: PlanState, node: NodeView, past: Outcome, pass: Pass): Verdict {
  const atTarget = past.kubernetes && compareToTarget(node.kubeletVersion, past.target) === 0
  let gated: readonly Hold[] = []
  if (state.conduct.nodeIsWitness && atTarget && node.ready === 'True' && pass.podsOn(state.key, node.name).length === 0) {
    gated = endHolds(state, node, past, pass)
    if (gated.length === 0) {
      recover(state, node, pass)
      return 'keep'
    }
  }
  if (isArmed(state, past)) return 'again'
  const next = nextAttempt(state, past)
  if (next !== undefined) {
    if (pass.now.wall >= next) return 'retry'
    pass.lookAtWall(next)
    const message = `attempt ${past.attempts} failed at ${past.at}: ${past.reason}: ${past.message}; the next begins at ${formatTime(next)}`
    pass.node(state.key, node.name, 'Failed', hold('BackingOff', message, { retryAt: next }), ...gated)
    return 'failed'
  }
  pass.node(
    state.key,
    node.name,
    'Failed',
    hold(
      'PreviousFailure',
      `attempt ${past.attempts} failed at ${past.at}: ${past.reason}: ${past.message}; put the node right, then set drover.io/retry on the Plan to a new value`,
    ),
    ...gated,
  )
  return 'failed'
}

/** A node that failed is at the target after all: what the policy asks for before a node is done still counts. */
function endHolds(state: PlanState, node: NodeView, past: Outcome, pass: Pass): readonly Hold[] {
  // Nobody knows what it asks for.
  if (state.rules.problem !== undefined) return [state.rules.problem]
  const { holds, failed } = nodeEndAnswer(state.key, node, `${past.hash}/${past.attempts}`, pass)
  const gates = [...failed.map(({ message }) => hold('GateFailed', message)), ...holds]
  const { after } = state.rules.hooks
  if (gates.length > 0 || after.length === 0) return gates
  const token = hookToken('after', { hash: past.hash, attempt: past.attempts, since: past.at })
  const missing = hookHolds(after, node, token, pass)
  if (missing.length > 0) requestHooks(node, recordOf(node), token, pass)
  return missing
}

/** Failed, and now proven at the target all the same: verified, and nothing is run (design §4.8). */
function recover(state: PlanState, node: NodeView, pass: Pass): void {
  const { now } = pass.world
  const { minReadyMs } = state.rules
  const key = `recovered ${node.uid} ${state.hash}`
  const since = pass.fact(key).mono
  if (!beatSince(node, pass, since)) {
    return pass.node(
      state.key,
      node.name,
      'Verifying',
      ...beatRefused(node, pass),
      hold('Verifying', 'the node is at the target after all; waiting for a fresh heartbeat'),
    )
  }
  const ready = since + minReadyMs
  if (now.mono < ready) {
    pass.lookAt(ready)
    return pass.node(
      state.key,
      node.name,
      'Verifying',
      hold('Verifying', `the node is at the target after all; it must stay Ready for ${minReadyMs / 1000} s`),
    )
  }
  pass.step(node.name, [
    patchNode(node, withoutPast(recordOf(node), state.key), { uncordon: true, labels: doneLabels(state.plan, state.version, state.hash) }),
    nodeEvent(node, state.key, 'Normal', 'UpgradeComplete', `found at ${node.kubeletVersion} after a failure`),
  ])
  pass.node(state.key, node.name, 'Done')
}

/** A node that SUC left in `applying`: its running Job is adopted, its cordon becomes ours, and the node is judged as any other (design §4.9). */
function adopt(state: PlanState, node: NodeView, context: Context, pass: Pass): Verdict {
  const { now } = pass
  if (!state.conduct.sortsLeftovers) return goesOn(state, node, context, pass)
  if (state.hash === '') {
    pass.node(state.key, node.name, 'Pending', hold('VersionUnresolved', state.versionProblem ?? 'the version is not resolved yet'))
    return 'keep'
  }
  const record = recordOf(node)
  const owed = state.cordons && node.unschedulable && record.cordon === undefined
  const cordoned = owed ? { ...record, cordon: { at: formatTime(now.wall), plan: state.key, adopted: node.cordonOwner ?? '' } } : record
  const job = foreignJob(state, node, pass)
  const idle = job !== undefined && job.parallelism === 0 && job.active === 0
  const found: Work | undefined =
    job !== undefined && !idle
      ? { ...newWork({ state, node }, pass), ...ofJob(state, job), ...ofSUC(job) }
      : state.kubernetes && compareToTarget(node.kubeletVersion, state.version) === 0
        ? { ...newWork({ state, node }, pass), adopted: true, startedAt: formatTime(now.wall), jobUID: 'none' }
        : undefined
  if (idle && !job.deleting) pass.step(`job ${job.uid}`, [{ do: 'deleteJob', job: jobRef(job) }])
  if (found !== undefined) {
    pass.step(node.name, [
      // By what we write on the Plan its own controller, back again, would take the Job for outdated and replace it.
      ...(job === undefined || job.complete || job.failed !== undefined ? [] : [{ do: 'shieldJob', job: jobRef(job) } as const]),
      patchNode(node, { ...cordoned, work: found }),
      nodeEvent(
        node,
        state.key,
        'Normal',
        'Adopted',
        `work of another controller is taken over${job === undefined ? '' : `, Job ${job.name}`}`,
      ),
    ])
    pass.node(state.key, node.name, 'Upgrading')
    return 'keep'
  }
  if (owed) {
    pass.step(node.name, [patchNode(node, cordoned)])
    return 'keep'
  }
  return goesFirst(state, node, context) ? 'again' : 'release'
}

/** Strict: SUC keeps each node of its list that it still selects, whatever its concurrency, and its Job as it is. */
function goesOn(state: PlanState, node: NodeView, context: Context, pass: Pass): Verdict {
  if (!state.selected.has(node.name) || node.hostname === undefined) return 'release'
  const job = foreignJob(state, node, pass)
  const ended = job !== undefined && (job.complete || job.failed !== undefined)
  if (
    job !== undefined &&
    !job.deleting &&
    job.labels[LABEL_VERSION] === state.version &&
    (ended || isInTurn(state.plan.status.applying, node.name))
  ) {
    const work = { ...newWork({ state, node }, pass), ...ofJob(state, job), ...ofSUC(job) }
    const shield = ended ? [] : [{ do: 'shieldJob', job: jobRef(job) } as const]
    pass.step(node.name, [...shield, patchNode(node, { ...recordOf(node), work })])
    pass.node(state.key, node.name, 'Upgrading')
    return 'keep'
  }
  const holds = holdsOn(state, node, context)
  pass.node(state.key, node.name, 'Pending', ...holds)
  if (holds.length === 0 && !isWedged(state, node, pass)) enter({ state, node, context }, pass)
  return 'keep'
}

/**
 * Of the nodes that SUC left without a Job and not at the target, one keeps its slot and is finished first. The others, and one that could
 * not be taken anyway, or before its wave, are given back, uncordoned, and taken in their turn: servers would wait for each other for ever.
 */
function goesFirst(state: PlanState, node: NodeView, context: Context): boolean {
  const left = (state.memory.adopt ?? []).filter((hostname) => state.plan.status.applying.includes(hostname)).toSorted()
  if (!state.selected.has(node.name) || left[0] !== node.hostname || outOfTurn(state, node) !== undefined) return false
  const found = checkNode(state.conduct.nodeGates, state, node, context)
  return found === undefined || (found.endedBy !== 'person' && found.reason !== 'ControlPlaneBusy' && found.reason !== 'NodeBusy')
}

function foreignOn(state: PlanState, hostname: string, context: Context, pass: Pass): JobView | undefined {
  const node = context.cluster.byHostname.get(hostname)?.[0]
  return node === undefined || recordOf(node).work !== undefined ? undefined : foreignJob(state, node, pass)
}

/** A Job that SUC made for an older hash is judged by that hash and its version. */
function ofJob(state: PlanState, job: JobView): Partial<Work> {
  const hash = job.labels[state.label] ?? state.hash
  if (hash === state.hash) return {}
  const target = job.labels[LABEL_VERSION] ?? state.version
  return {
    hash,
    target,
    kubernetes: isKnownImage(state.plan.spec.upgrade.image) && isKubernetesVersion(target),
    labels: { [state.label]: hash },
  }
}

/** An apply Job of SUC on the node: of this hash, or of an older one that is still active. */
function foreignJob(state: PlanState, node: NodeView, pass: Pass): JobView | undefined {
  const theirs = pass.world.jobs.filter(
    (job) =>
      job.attempt === undefined &&
      job.namespace === state.ref.namespace &&
      job.labels[LABEL_CONTROLLER] === pass.world.settings.name &&
      job.labels[LABEL_PLAN] === state.plan.metadata.name &&
      job.labels[LABEL_NODE] === node.name,
  )
  return (
    theirs.find((job) => job.labels[state.label] === state.hash) ??
    theirs.find((job) => isForeignAndActive(job, state) && job.labels[state.label] !== undefined)
  )
}
