/**
 * What SUC does with Jobs whenever it sees one (contract, After the Job; corrections 13–15): those that belong nowhere are deleted, those of
 * nodes that nobody works on are judged, and all go when their time is over. Work under way judges its own Job (after-start.ts).
 */
import { LABEL_CONTROLLER, LABEL_NODE, LABEL_PLAN, LABEL_ROLE, LABEL_VERSION } from '../../api/names.ts'
import { formatDuration, parseDuration } from '../../kube/objects/duration.ts'
import { planEvent } from '../events.ts'
import type { Context } from '../gates/gate.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { doneLabels } from '../post-complete-labels.ts'
import { jobRef, patchNode, recordOf } from '../verdict.ts'
import type { JobView, NodeView } from '../world.ts'
import { isInTurn } from './turn.ts'

export function tidyAsSUC(context: Context, pass: Pass): void {
  const { settings } = pass.world
  const workers = new Map<string, NodeView>()
  for (const node of pass.world.nodes) {
    const uid = node.record?.ok === true ? node.record.record.work?.jobUID : undefined
    if (uid !== undefined) workers.set(uid, node)
  }
  for (const job of pass.world.jobs) {
    if (job.namespace !== settings.namespace || job.labels[LABEL_CONTROLLER] !== settings.name) continue
    if (job.labels[LABEL_ROLE] !== undefined || job.deleting) continue
    const found = placeOf(job, context)
    if (found === 'unknown') continue
    if (found === 'nowhere') remove(job, pass)
    else if (workers.has(job.uid)) outlived(job, found, pass)
    else if (job.attempt === undefined && found.state.memory.adopt !== undefined) judge(job, found, pass)
  }
}

interface Place {
  readonly state: PlanState
  readonly node: NodeView
}

/** Which Plan and node the Job is for; `unknown` while that Plan cannot be read. */
function placeOf(job: JobView, { world, states, cluster }: Context): Place | 'nowhere' | 'unknown' {
  const [name, version, nodeName] = [job.labels[LABEL_PLAN], job.labels[LABEL_VERSION], job.labels[LABEL_NODE]]
  if (name === undefined || version === undefined) return 'nowhere'
  const key = `${job.namespace}/${name}`
  const state = states.get(key)
  if (state === undefined) return world.plans.some((view) => view.key === key) ? 'unknown' : 'nowhere'
  if (state.pending) return 'unknown'
  if (version !== (state.version === '' ? state.plan.status.latestVersion : state.version)) return 'nowhere'
  const node = nodeName === undefined ? undefined : cluster.byName.get(nodeName)
  return node === undefined ? 'nowhere' : { state, node }
}

/** Work goes on with it, on a node that the Plan has dropped meanwhile: a node out of turn. */
function outlived(job: JobView, { state, node }: Place, pass: Pass): void {
  const { work } = recordOf(node)
  const dropped = work?.planUID === state.ref.uid && !state.selected.has(node.name)
  if (dropped && !job.complete && job.failed === undefined) remove(job, pass)
}

/** A Job that SUC made, of a node without work of ours. */
function judge(job: JobView, place: Place, pass: Pass): void {
  const { state, node } = place
  if (node.record?.ok === false) return
  const adopts = state.memory.adopt?.includes(node.hostname ?? '') === true && recordOf(node).past?.[state.key] === undefined
  const stands = state.plan.status.applying.includes(node.hostname ?? '') && state.selected.has(node.name)
  // The slot's turn adopts it.
  if (adopts && stands && (job.complete || job.failed !== undefined) && node.labels[state.label] !== state.hash) return
  if (job.complete) return complete(job, place, pass)
  if (job.failed !== undefined) {
    const { reason, message } = job.failed
    tell(job, state, 'Warning', 'JobFailed', `Job ${job.namespace}/${job.name} failed on Node ${node.name}: ${reason}: ${message}`, pass)
    return expire(job, pass)
  }
  if (!isInTurn(state.plan.status.applying, node.name)) remove(job, pass)
}

function complete(job: JobView, { state, node }: Place, pass: Pass): void {
  const { plan, label } = state
  const hash = job.labels[label]
  if (hash === undefined) return expire(job, pass)
  const uncordon = state.cordons && node.unschedulable
  const delay = parseDuration(plan.spec.postCompleteDelay ?? '0')
  const over = (job.finishedAt ?? pass.now.wall) + (delay.ok ? Number(delay.ns) / 1e6 : 0)
  if (pass.now.wall < over) {
    pass.lookAtWall(over)
    const text = delay.ok ? formatDuration(delay.ns) : ''
    tell(job, state, 'Normal', 'JobCompleteWaiting', `Job completed on Node ${node.name}, waiting ${text} PostCompleteDelay`, pass)
    if (uncordon) mark(node, state, {}, pass)
    return
  }
  tell(job, state, 'Normal', 'JobComplete', `Job completed on Node ${node.name}`, pass)
  // An older run's label says nothing once there is another.
  const due = hash === state.hash ? node.labels[label] !== hash : node.labels[label] === undefined
  if (!due) return expire(job, pass)
  mark(node, state, { ...doneLabels(plan, state.version, state.hash), [label]: hash }, pass)
}

function mark(node: NodeView, state: PlanState, labels: Readonly<Record<string, string>>, pass: Pass): void {
  if (recordOf(node).work !== undefined) return
  pass.step(node.name, [patchNode(node, recordOf(node), { labels, uncordon: state.cordons, anyones: true })])
}

/** A finished Job goes after its TTL; at once, where it has none that can be read (correction 14). */
function expire(job: JobView, pass: Pass): void {
  const ttl = job.ttlSeconds ?? (/^[+-]?\d+$/.test(job.ttlAnnotation ?? '') ? Number(job.ttlAnnotation) : 0)
  const due = (job.finishedAt ?? pass.now.wall) + ttl * 1000
  if (pass.now.wall >= due) remove(job, pass)
  else pass.lookAtWall(due)
}

function tell(job: JobView, state: PlanState, type: 'Normal' | 'Warning', reason: string, message: string, pass: Pass): void {
  if (pass.isNew(`told ${job.uid} ${reason}`)) pass.step(`told ${job.uid}`, [planEvent(state.ref, type, reason, message)])
}

function remove(job: JobView, pass: Pass): void {
  pass.step(`job ${job.uid}`, [{ do: 'deleteJob', job: jobRef(job) }])
}
