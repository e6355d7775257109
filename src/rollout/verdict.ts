/** How work on a node ends: done, failed or backed out. Each is one PATCH of the node, with its record. */
import { FIELD_MANAGER } from '../api/names.ts'
import type { FailureReason } from '../api/reasons.ts'
import type { NodeRecord, Outcome, PlanKey, Work } from '../api/record.ts'
import { formatTime } from '../base/clock.ts'
import { nodeEvent, planEvent, planWarning } from './events.ts'
import type { Pass } from './pass.ts'
import type { Action, JobView, NodeView, Ref } from './world.ts'

/** The node's record, or an empty one. Never call it for an unreadable record. */
export function recordOf(node: NodeView): NodeRecord {
  return node.record?.ok === true ? node.record.record : { v: 1, nodeUID: node.uid }
}

export function workOn(node: NodeView, plan: PlanKey): Work | undefined {
  if (node.record?.ok !== true) return undefined
  const { work } = node.record.record
  return work?.plan === plan ? work : undefined
}

/**
 * The node is cordoned, our record says that we (or a SUC Job that we adopted) did it, and nobody changed it since: while the cordon is
 * ours, `drover` owns the field in managedFields; for an adopted one the owner is the one found then (design §3).
 */
export function cordonIsOurs(node: NodeView): boolean {
  if (!node.unschedulable || node.record?.ok !== true) return false
  const { cordon } = node.record.record
  if (cordon === undefined) return false
  return (node.cordonOwner ?? '') === (cordon.adopted ?? FIELD_MANAGER)
}

type NodePatch = Extract<Action, { do: 'patchNode' }>

/** A PATCH of the node that carries the record; uncordons where asked and the cordon is ours, or whoever's it is with `anyones`. */
export function patchNode(
  node: NodeView,
  record: NodeRecord,
  more: { uncordon?: boolean; anyones?: boolean; labels?: Readonly<Record<string, string>> } = {},
): NodePatch {
  const lift = more.uncordon === true && (cordonIsOurs(node) || (more.anyones === true && node.unschedulable))
  const { cordon, ...rest } = record
  return {
    do: 'patchNode',
    node: node.name,
    uid: node.uid,
    resourceVersion: node.resourceVersion,
    record: more.uncordon === true || cordon === undefined ? rest : record,
    ...(lift ? { unschedulable: false } : {}),
    // Who is asked is asked for this work.
    ...(node.hook !== undefined && record.work === undefined ? { hook: null } : {}),
    ...(more.labels === undefined ? {} : { labels: more.labels }),
  }
}

export function withoutWork(record: NodeRecord): NodeRecord {
  const { work: _work, ...rest } = record
  return rest
}

/** Nothing is remembered of the Plan's failures and of drains that did not end. */
export function withoutPast(record: NodeRecord, plan: PlanKey): NodeRecord {
  const { [plan]: _past, ...past } = record.past ?? {}
  const { [plan]: _blocked, ...blocked } = record.blocked ?? {}
  return { ...record, past, blocked }
}

export const jobRef = (job: JobView): Ref => ({ namespace: job.namespace, name: job.name, uid: job.uid })

/** The node is done: label, postCompleteLabels, outcome and, unless that happened at the start of a delay, the uncordon. */
export function finish(pass: Pass, node: NodeView, work: Work): void {
  const record = withoutPast(withoutWork(recordOf(node)), work.plan)
  // Of adopted work nobody here knows when it began.
  if (work.adopted !== true)
    pass.took(work.plan, (work.provenAt === undefined ? pass.now.wall : Date.parse(work.provenAt)) - Date.parse(work.claimedAt))
  pass.step(node.name, [
    patchNode(node, record, { uncordon: true, labels: work.labels ?? {} }),
    nodeEvent(node, work.plan, 'Normal', 'UpgradeComplete', `done at ${node.kubeletVersion}`),
  ])
}

/** Back in service while a delay counts: uncordon now, label later (as SUC's postCompleteDelay). */
export function beginSoak(pass: Pass, node: NodeView, work: Work): void {
  const record = { ...recordOf(node), work: { ...work, provenAt: formatTime(pass.now.wall) } }
  pass.step(node.name, [patchNode(node, record, { uncordon: true })])
}

export interface Failure {
  readonly reason: FailureReason
  readonly message: string
  readonly log?: string
}

/**
 * The attempt failed: first what is left of the Job is suspended, so that repairing the machine does not run it again, then the outcome is
 * remembered. `intact` = no container of this attempt ever ran, so the node can be given back.
 */
export function fail(
  pass: Pass,
  node: NodeView,
  work: Work,
  failure: Failure,
  /** `verbatim`: the Plan's event is the message as it is. */
  more: { job?: JobView; intact: boolean; plan?: Ref; clock: string; verbatim?: boolean },
): void {
  const record = withoutPast(withoutWork(recordOf(node)), work.plan)
  const outcome: Outcome = {
    hash: work.hash,
    result: 'Failed',
    attempts: work.attempt,
    reason: failure.reason,
    message: failure.message.slice(0, 512),
    ...(failure.log === undefined ? {} : { log: failure.log.slice(-1024) }),
    ...(work.snapshot === undefined ? {} : { snapshot: work.snapshot }),
    at: more.clock,
    target: work.target,
    kubernetes: work.kubernetes,
    disruptive: work.disruptive,
    retrySeen: work.retry,
    generation: work.generation,
  }
  const { job } = more
  const actions: Action[] = []
  if (job !== undefined && !job.complete && job.failed === undefined && !job.suspend) actions.push({ do: 'suspendJob', job: jobRef(job) })
  actions.push(
    patchNode(node, { ...record, past: { ...record.past, [work.plan]: outcome } }, { uncordon: uncordons(pass, work, more.intact) }),
  )
  actions.push(nodeEvent(node, work.plan, 'Warning', failure.reason, failure.message))
  if (more.plan !== undefined)
    actions.push(
      more.verbatim === true
        ? planEvent(more.plan, 'Warning', failure.reason, failure.message)
        : planWarning(more.plan, node, failure.reason, failure.message),
    )
  pass.step(node.name, actions)
}

function uncordons(pass: Pass, work: Work, intact: boolean): boolean {
  switch (pass.rules(work.plan).failure.uncordonOnFailure) {
    case 'Always':
      return true
    case 'Never':
      return false
    case 'IfUnchanged':
      return intact
  }
}

/** Before the point of no return a node can always be given back, and is. */
export function backOut(pass: Pass, node: NodeView, work: Work, why: string): void {
  pass.step(node.name, [
    patchNode(node, withoutWork(recordOf(node)), { uncordon: true }),
    nodeEvent(node, work.plan, 'Normal', 'BackedOut', `node given back untouched: ${why}`),
  ])
}
