/** What is left behind goes: cordons and records without work, Jobs without a record, pull pods nobody waits for (design §2, promise 12). */
import { LABEL_NODE, LABEL_OUR_NODE, LABEL_ROLE } from '../api/names.ts'
import type { NodeRecord, Work } from '../api/record.ts'
import type { Context } from './gates/gate.ts'
import { aborted } from './gates/plan-gates.ts'
import { outdatedBlocks, withoutBlocks } from './drain/blocked.ts'
import { attemptMark, parseAttemptMark } from './attempt.ts'
import { applyJobName } from './job.ts'
import { prepareJobName } from './prepare-job.ts'
import type { Pass } from './pass.ts'
import { slotName } from './slot-name.ts'
import { cordonIsOurs, jobRef, patchNode, recordOf } from './verdict.ts'
import type { JobView, NodeView } from './world.ts'

/** Nodes whose record has no live work. */
export function tidyNode(node: NodeView, context: Context, pass: Pass): void {
  if (node.record?.ok !== true || node.record.record.work !== undefined) return
  const record = recordOf(node)
  const { cordon } = record
  const past = Object.fromEntries(Object.entries(record.past ?? {}).filter(([plan]) => planKnown(plan, pass)))
  const outdated = outdatedBlocks(node, (plan) => {
    const state = context.states.get(plan)
    if (state === undefined) return planKnown(plan, pass) ? 'unknown' : 'gone'
    return aborted(state, context) === undefined ? state : 'gone'
  })
  const forgotten = outdated.length > 0 || Object.keys(record.past ?? {}).length > Object.keys(past).length
  let next: NodeRecord = withoutBlocks({ ...record, past }, outdated)
  let uncordon = false
  if (cordon !== undefined && !cordonIsOurs(node)) {
    const { cordon: _gone, ...rest } = next
    next = rest
  } else if (
    cordon !== undefined &&
    node.ready === 'True' &&
    next.blocked?.[cordon.plan]?.how !== 'Quarantine' &&
    !slotHeld(node, cordon.plan, context)
  ) {
    uncordon = true
  }
  if (!uncordon && !forgotten && next.cordon === cordon) return
  pass.step(node.name, [patchNode(node, next, { uncordon })])
}

/** The Plan that we cordoned the node for still counts it among its own: failed there, or waiting to be admitted again. */
function slotHeld(node: NodeView, plan: string, { ledger }: Context): boolean {
  return ledger.slots(plan).has(slotName(node))
}

const planKnown = (key: string, pass: Pass) => pass.world.plans.some((view) => view.key === key)

export function tidyJobs(context: Context, pass: Pass): void {
  const { settings } = pass.world
  const live = new Map<string, Work>()
  for (const node of context.cluster.byName.values()) {
    if (node.record?.ok !== true || node.record.record.work === undefined) continue
    const { work } = node.record.record
    const name = work.plan.slice(work.plan.indexOf('/') + 1)
    if (work.jobUID !== undefined) live.set(work.jobUID, work)
    else {
      live.set(applyJobName(name, node.name, work.hash), work)
      live.set(prepareJobName(name, node.name, work.hash), work)
    }
  }
  for (const job of pass.world.jobs) {
    if (job.namespace !== settings.namespace || job.deleting) continue
    if (parseAttemptMark(job.attempt) === undefined) continue
    const work = live.get(job.uid) ?? live.get(job.name)
    if (work !== undefined && (work.jobUID === job.uid || (work.jobUID === undefined && job.attempt === attemptMark(work)))) continue
    // An older attempt's Job under the name that live work wants is that work's to remove.
    if (live.has(job.name)) continue
    tidyJob(job, context, pass)
  }
}

function tidyJob(job: JobView, context: Context, pass: Pass): void {
  const ttl = pass.world.settings.job.ttlSecondsAfterFinish
  const remove = (resourceVersion?: string) =>
    pass.step(`job ${job.uid}`, [{ do: 'deleteJob', job: jobRef(job), ...(resourceVersion === undefined ? {} : { resourceVersion }) }])
  if (job.complete || job.failed !== undefined) {
    if (job.labels[LABEL_ROLE] === 'prepare' && job.complete) return remove()
    const disown = context.conduct.mode === 'native' ? ({ disown: true } as const) : {}
    if (job.ttlSeconds === undefined) pass.step(`job ${job.uid}`, [{ do: 'expireJob', job: jobRef(job), ttlSeconds: ttl, ...disown }])
    return
  }
  if (job.suspend) {
    const due = pass.fact(`suspended ${job.uid}`).mono + ttl * 1000
    if (pass.now.mono >= due) return remove()
    return pass.lookAt(due)
  }
  // Never started, a prepare run nobody waits for, or its node is gone: nothing on a machine is cut short.
  const node = context.cluster.byName.get(job.labels[LABEL_NODE] ?? job.labels[LABEL_OUR_NODE] ?? '')
  if (job.parallelism === 0) return remove(job.resourceVersion)
  // A node that is younger than the Job is another machine under an old name: nobody claimed it.
  if (job.labels[LABEL_ROLE] === 'prepare' || node === undefined || node.createdAt > job.createdAt) remove()
}

export function tidyPulls(wanted: ReadonlySet<string>, pass: Pass): void {
  const { settings } = pass.world
  for (const pod of pass.world.pods) {
    if (pod.labels[LABEL_ROLE] !== 'pull' || pod.namespace !== settings.namespace || pod.deleting || wanted.has(pod.name)) continue
    pass.step(`pull ${pod.name}`, [{ do: 'deletePod', pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid }, graceSeconds: 0 }])
  }
}
