/** Who is taken next: candidates in SUC's order through the gates, images pulled ahead, claims in one status write (design §4.1–4.2). */
import { LABEL_NODE, LABEL_OUR_NODE, LABEL_ROLE } from '../api/names.ts'
import { type Hold, hold } from '../api/reasons.ts'
import { withDefaultTag } from '../kube/objects/image.ts'
import type { Context } from './gates/gate.ts'
import { checkNode, cordonedByOthers, whenCordoned } from './gates/node-gates.ts'
import { blockedOn, tooManyBlocked } from './drain/blocked.ts'
import { type Foreseen, foresee } from './drain/ahead.ts'
import { drainsByJob } from './drain/engine.ts'
import { firstAttempt } from './attempt.ts'
import { applyJob, applyJobName } from './job.ts'
import { jobInputOf } from './job-input.ts'
import { safeName } from './names.ts'
import { candidateOrder } from './order.ts'
import { takeKured } from './kured.ts'
import type { Pass } from './pass.ts'
import { mayFindDone, type PlanState } from './plan-state.ts'
import { doneLabels } from './post-complete-labels.ts'
import { pullPod, pullPodName } from './pull-pod.ts'
import { nodeStartHolds } from './policy/gates.ts'
import { tooManyFailures } from './failures.ts'
import type { Slots } from './slots.ts'
import { slotName } from './slot-name.ts'
import type { PlanEvent } from './tell.ts'
import { recordOf } from './verdict.ts'
import { compareToTarget } from './version.ts'
import type { NodeView, PodView } from './world.ts'

/** Nodes whose image is pulled ahead of their turn, beyond the free slots: as many as may come free at once, up to this. */
const MAX_AHEAD = 50
/** Nodes that try to pull in vain, of a Plan, before no further node tries. Their pods stay, so that they go on when the image appears. */
const MAX_FAILED_PULLS = 5
/** Nodes whose pull does not get anywhere, for no fault of the image, that are passed over without counting as pulls under way. */
const MAX_SLOW_PULLS = 20
/** Nodes that cannot be drained now and are passed over without counting as pulled ahead. */
const MAX_UNDRAINABLE = 20
/** A pull that takes longer does not keep other nodes waiting. */
const SLOW_PULL_MS = 120_000
/** A pull pod that ended without pulling (evicted, refused by its kubelet) is made again after so long. */
const PULL_RETRY_MS = 30_000
/** Orders remembered at once; each is of one Plan and hash. */
const MAX_ORDERS = 32
/** Held candidates that are reported by name; the rest are only counted. */
const MAX_REPORTED = 50
const MAX_FOUND_DONE_A_PASS = 20

const DRAINS: Foreseen = { drains: 'yes' }
const SOON: ReadonlySet<string> = new Set(['ControlPlaneBusy', 'EtcdQuorum', 'BudgetReached'])

export interface Admission {
  readonly claims: readonly NodeView[]
  /** Names of the pull pods that are wanted. */
  readonly pulls: ReadonlySet<string>
  /** Selected nodes, not done and not in flight, that a gate holds. */
  readonly held: number
  /** What keeps SUC from making Jobs of the Plan at all (strict only). */
  readonly fault?: PlanEvent | undefined
}

/** Hashes of the nodes' order, by Plan and hash: a memo, not state. */
const orders = new Map<string, Map<string, string>>()

export function admit(state: PlanState, slots: Slots, planHolds: readonly Hold[], context: Context, pass: Pass): Admission {
  const { ledger } = context
  const pulls = new Set<string>()
  const open = candidates(state, slots, context)
  if (planHolds.length > 0 || state.hash === '') return { claims: [], pulls, held: open.length }
  const room = { left: MAX_FOUND_DONE_A_PASS }
  const waiting = open.filter((node) => !findDone(state, node, room, pass))
  if (waiting.length === 0) return { claims: [], pulls, held: 0 }
  const limit = state.plan.spec.concurrency ?? 0
  /** They hold their slot already; of them as many may work as the limit leaves beside those that do. */
  const again = new Set([...slots.again, ...slots.retry])
  const busy = ledger.slots(state.key).size - again.size
  let freeAgain = limit - busy
  // Without a policy a failure keeps its slot from others, as with SUC; with one, maxFailures says when to stop.
  let free = state.rules.policy === undefined ? freeAgain - again.size : freeAgain + slots.failed.length
  if (state.rules.policy !== undefined) freeAgain = free
  const tooMany = tooManyFailures(state, context)
  if (tooMany !== undefined) pass.planHold(state.key, tooMany)
  const blocked = tooManyBlocked(state)
  if (blocked !== undefined) pass.planHold(state.key, blocked)
  let toPull = Math.max(0, free) + Math.min(MAX_AHEAD, limit) + again.size
  let slow = 0
  let broken = 0
  let undrainable = 0
  let held = 0
  const claims: NodeView[] = []
  const pods = pullPods(state, pass)
  const report = (node: NodeView, ...found: Hold[]) => {
    held++
    for (const { retryAt } of found) if (retryAt !== undefined) pass.lookAtWall(retryAt)
    if (held <= MAX_REPORTED) pass.node(state.key, node.name, 'Pending', ...found)
  }
  for (const node of waiting) {
    if (toPull <= 0) break
    const found = checkNode(state.conduct.nodeGates, state, node, context)
    if (found !== undefined) {
      report(node, found)
      // Its turn comes soon: what has been pulled ahead is not thrown away.
      if (SOON.has(found.reason)) pulls.add(pullPodName(state.plan.metadata.name, node.name, state.hash))
      continue
    }
    const name = pullPodName(state.plan.metadata.name, node.name, state.hash)
    const last = pods.get(name)
    // A pod from before the machine was set up anew has pulled onto another disk; left out, it is removed.
    const pod = last !== undefined && last.createdAt < node.createdAt ? undefined : last
    if (last !== undefined && pod === undefined) {
      report(node, hold('Pulling', `the pull pod on node ${node.name} is older than the node and is made anew`))
      continue
    }
    if (pod !== undefined && pod.labels[LABEL_OUR_NODE] !== safeName(node.name)) {
      report(node, sharedName(node, pod.labels[LABEL_OUR_NODE] ?? ''))
      continue
    }
    const other = namesake(state, node, pass)
    if (other !== undefined) {
      report(node, other)
      continue
    }
    const image = withDefaultTag(state.plan.spec.upgrade.image, state.version)
    const trouble = pod === undefined ? undefined : pullTrouble(pod, pass)
    if (trouble !== undefined) {
      broken++
      if (!trouble.again) pulls.add(name)
      report(node, hold('ImageUnavailable', `node ${node.name} cannot pull ${image}: ${trouble.message}`))
      continue
    }
    if (pod === undefined && broken >= MAX_FAILED_PULLS) {
      report(node, hold('ImageUnavailable', `${broken} nodes cannot pull ${image}; no further node tries until one can`))
      continue
    }
    pulls.add(name)
    // A node that cannot even begin must not keep the others from their turn.
    if (pod === undefined || !hangs(pod, node, pass) || ++slow > MAX_SLOW_PULLS) toPull--
    if (pod === undefined) {
      const input = { plan: state.plan, latestVersion: state.version, latestHash: state.hash, node, settings: pass.world.settings }
      pass.step(`pull ${name}`, [{ do: 'createPod', pod: pullPod(input) }])
    }
    if (pod?.pulled !== true) {
      const detail = pod?.waiting === undefined ? '' : `: ${pod.waiting.reason} ${pod.waiting.message}`
      report(node, hold('Pulling', `the upgrade image is being pulled on node ${node.name}${detail}`))
      continue
    }
    if (!dryRun(state, node, pass)) continue
    if (tooMany !== undefined && !again.has(node)) {
      report(node, tooMany)
      continue
    }
    if (blocked !== undefined && !again.has(node) && blockedOn(state, node) === undefined) {
      report(node, blocked)
      continue
    }
    if ((again.has(node) ? freeAgain : free) <= 0) {
      report(node, hold('ConcurrencyReached', `all ${limit} slots are taken`))
      continue
    }
    // Last, for it costs requests, and what is to be stable has to be so while nothing else is in the way.
    const gated = nodeStartHolds(state, node, pass)
    if (gated.length > 0) {
      report(node, ...gated)
      continue
    }
    // Looked at before the claim, so that a node that must not be drained takes no slot, nor anybody's turn.
    const { drains } = state.plan.spec.drain === undefined ? DRAINS : foresee({ state, node }, 'Pending', pass)
    if (drains !== 'yes') {
      held++
      if (drains === 'no' && ++undrainable <= MAX_UNDRAINABLE) toPull++
      continue
    }
    const locked = takeKured(state, pass)
    if (locked !== undefined) {
      report(node, locked)
      continue
    }
    if (again.has(node) || state.rules.policy !== undefined) freeAgain--
    if (!again.has(node) || state.rules.policy !== undefined) free--
    claims.push(node)
    ledger.take(state.key, node, state.disruptive)
  }
  return { claims, pulls, held: waiting.length - claims.length }
}

function candidates(state: PlanState, slots: Slots, { ledger }: Context): NodeView[] {
  const held = ledger.slots(state.key)
  const rest: NodeView[] = []
  const last: NodeView[] = []
  const undrained: NodeView[] = []
  for (const node of state.selected.values()) {
    if (node.labels[state.label] === state.hash || held.has(slotName(node))) continue
    if (blockedOn(state, node) !== undefined) undrained.push(node)
    else if (cordonedByOthers(node) && whenCordoned(state, node) !== 'Include') last.push(node)
    else rest.push(node)
  }
  return [...slots.again, ...inOrder(state, rest), ...inOrder(state, last), ...inOrder(state, undrained), ...slots.retry]
}

/** The nodes as SUC's order has them. */
export function inOrder(state: PlanState, nodes: readonly NodeView[]): readonly NodeView[] {
  const memo = `${state.ref.uid}/${state.hash}`
  let cache = orders.get(memo)
  if (cache === undefined) {
    if (orders.size >= MAX_ORDERS) orders.clear()
    orders.set(memo, (cache = new Map()))
  }
  return candidateOrder(state.ref.uid, state.hash, nodes, cache)
}

/** Kubernetes names are cut at the first dot by SUC's rule for Jobs, so two nodes can want the same Job. */
const sharedName = (node: NodeView, other: string): Hold =>
  hold('JobNameConflict', `node ${node.name} shares the name of its Jobs with node ${other}; it waits until that one's are gone`, {
    endedBy: 'cluster',
  })

/** Its apply Job's name is taken by another node's. */
export function namesake(state: PlanState, node: NodeView, pass: Pass): Hold | undefined {
  const other = pass.jobNamed(state.ref.namespace, applyJobName(state.plan.metadata.name, node.name, state.hash))?.labels[LABEL_NODE]
  return other === undefined || other === node.name ? undefined : sharedName(node, other)
}

/** The pull has not got anywhere: the pod cannot be placed, its node does not answer, or it has taken long. */
function hangs(pod: PodView, node: NodeView, pass: Pass): boolean {
  if (pod.pulled) return false
  const since = pass.fact(`pulling ${pod.uid}`).mono
  if (pass.now.mono - since < SLOW_PULL_MS) pass.lookAt(since + SLOW_PULL_MS)
  return pod.waiting?.reason === 'Unschedulable' || node.ready !== 'True' || pass.now.mono - since >= SLOW_PULL_MS
}

/** Why a pull pod does not pull; `again` = it has ended and is to be made anew. */
function pullTrouble(pod: PodView, pass: Pass): { readonly message: string; readonly again: boolean } | undefined {
  if (pod.pulled) return undefined
  const { waiting } = pod
  if (waiting !== undefined && /^(ErrImage|ImagePull|InvalidImage|ErrImageNeverPull)/.test(waiting.reason))
    return { message: `${waiting.reason}: ${waiting.message}`, again: false }
  if (pod.phase !== 'Failed' && pod.phase !== 'Succeeded') return undefined
  const retry = pass.fact(`pull ended ${pod.uid}`).mono + PULL_RETRY_MS
  pass.lookAt(retry)
  return { message: `its pull pod ended (${pod.phase}) before the image was there`, again: pass.now.mono >= retry }
}

/** Already at the target, without an older label of the Plan: Done without disruption (design §4.9). True = nothing else is to be done. */
function findDone(state: PlanState, node: NodeView, room: { left: number }, pass: Pass): boolean {
  if (!mayFindDone(state) || node.labels[state.label] !== undefined || node.ready !== 'True' || node.deleting) return false
  if (node.record?.ok === false || recordOf(node).past?.[state.key] !== undefined) return false
  if (compareToTarget(node.kubeletVersion, state.version) !== 0 || pass.podsOn(state.key, node.name).length > 0) return false
  if (room.left-- > 0)
    pass.step(node.name, [
      {
        do: 'labelNode',
        node: node.name,
        uid: node.uid,
        resourceVersion: node.resourceVersion,
        labels: doneLabels(state.plan, state.version, state.hash),
      },
    ])
  pass.node(state.key, node.name, 'Done')
  return true
}

/** The apply pod passes a server-side dry run, once per hash; the pod of the first candidate stands for all. */
function dryRun(state: PlanState, node: NodeView, pass: Pass): boolean {
  const key = `${state.key}/${state.hash}`
  const seen = pass.world.observed.dryRuns.get(key)
  if (seen?.ok === true) return true
  const made = applyJob({
    ...jobInputOf(state, node, pass),
    mode: 'native',
    attempt: firstAttempt(state.ref.uid),
    kubectl: drainsByJob(state),
  })
  const say = (found: Hold) => {
    if (!pass.report(state.key).holds.some((other) => other.reason === found.reason)) pass.planHold(state.key, found)
  }
  if ('error' in made) {
    say(hold('PodRejected', made.error))
    return false
  }
  if (seen?.ok === false)
    say(
      seen.refused === true
        ? hold('PodRejected', `the API server refuses the apply pod: ${seen.error}`)
        : hold('DryRunPending', `the apply pod could not be tried: ${seen.error}`),
    )
  pass.need({
    kind: 'dryRun',
    key,
    namespace: state.ref.namespace,
    pod: {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...made.job.spec?.template.metadata, name: made.job.metadata?.name ?? '' },
      spec: made.job.spec?.template.spec ?? { containers: [] },
    },
    maxAgeMs: seen?.ok === false ? 60_000 : Number.POSITIVE_INFINITY,
  })
  return false
}

function pullPods(state: PlanState, pass: Pass): ReadonlyMap<string, PodView> {
  const found = new Map<string, PodView>()
  for (const pod of pass.world.pods) {
    if (pod.labels[LABEL_ROLE] === 'pull' && pod.namespace === state.ref.namespace && !pod.deleting) found.set(pod.name, pod)
  }
  return found
}
