/** The drain of one node as part of the decision: level-triggered, each pass works on the pods that are left, by UID (design §4.4). */
import { type Hold, hold } from '../../api/reasons.ts'
import { formatTime } from '../../base/clock.ts'
import { lookAtPods } from './look.ts'
import { upToFive, upToThree } from './some-names.ts'
import type { Completing } from './rules.ts'
import { type DrainPod, drainTimeoutMs, evictionGraceSeconds, podName } from './pods.ts'
import { forecast } from './forecast.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView } from '../world.ts'

/** kubectl waits this long after a refused eviction. */
const EVICTION_RETRY_MS = 5000
/** While the budget's own status allows no disruption, asking again is in vain; this often it is asked all the same. */
const EVICTION_BLOCKED_RETRY_MS = 60_000
const VIEW_POLL_MS = 2000
/** While all that is left may come to its own end. */
const COMPLETION_POLL_MS = 15_000
/** Nothing is left, but the start waits for something else: new pods on the cordoned node would have to tolerate it. */
const DONE_MAX_AGE_MS = 60_000
const MAX_EVICTIONS_A_PASS = 20

export interface Draining {
  readonly state: PlanState
  readonly node: NodeView
  /** Monotonic time of the cordon. */
  readonly since: number
  /** Wall-clock time from which drain.timeout counts. */
  readonly startedAtMs: number
}

export interface DrainProgress {
  readonly done: boolean
  /** The drain's time is over, and these are left. */
  readonly timedOut?: string
  /** Done although these are left, whose eviction was refused to the end (`drain.onTimeout: Proceed`). */
  readonly left?: string
}

export function drainNode(draining: Draining, pass: Pass): DrainProgress {
  const { state, node, since } = draining
  const { world, now } = pass
  const options = state.plan.spec.drain ?? {}
  const say = (...holds: Hold[]) => pass.node(state.key, node.name, 'Draining', ...holds)
  const proceeds = state.rules.drain.onTimeout === 'Proceed'
  const over = isOver(draining, pass)
  const looked = lookAtPods(state, node, { since, startedAtMs: draining.startedAtMs, over }, pass)
  if (!looked.ok) {
    say(looked.hold)
    return { done: false }
  }
  const { verdicts, refused, budgets } = looked
  if (refused.length > 0) {
    pass.need({ kind: 'drain', node: node.name, maxAgeMs: EVICTION_RETRY_MS })
    if (over && !proceeds) return { done: false, timedOut: `drain.timeout is over; ${refused.join('; ')}` }
    say(hold('DrainImpossible', refused.join('; ')))
    return { done: false }
  }
  const remaining = verdicts.filter(({ action }) => action === 'evict' || action === 'wait' || action === 'complete')
  const left = remaining.map(({ pod }) => pod)
  const names = left.map(podName)
  // What is to go last is asked all the same when the time is over and the upgrade is to go on without it.
  const first = Math.min(...remaining.map(({ order }) => order))
  const current = remaining.filter(({ order }) => over || order === first)
  const evict = current.flatMap(({ action, pod }) => (action === 'evict' ? [pod] : []))
  const completing = current.flatMap((verdict) => (verdict.action === 'complete' ? [verdict] : []))
  const blocked = options.disableEviction === true ? [] : forecast(evict, budgets)
  if (left.length === 0) {
    pass.need({ kind: 'drain', node: node.name, maxAgeMs: DONE_MAX_AGE_MS })
    return { done: true }
  }
  const stuck = evict.length > 0 && evict.every((pod) => world.observed.evictions.get(pod.metadata?.uid ?? '')?.sent === false)
  const patient = completing.length === current.length
  pass.need({ kind: 'drain', node: node.name, maxAgeMs: patient ? COMPLETION_POLL_MS : stuck ? EVICTION_RETRY_MS : VIEW_POLL_MS })
  if (over) {
    if (!proceeds) return { done: false, timedOut: `drain.timeout is over; left: ${upToFive(names)}` }
    if (left.every((pod) => isRefused(pod, pass))) return { done: true, left: upToFive(names) }
  }
  const grace = evictionGraceSeconds(options)
  let sent = 0
  const waits: Hold[] = completing.slice(0, 1).map((verdict) => completion(verdict, completing.length, node, pass))
  for (const pod of evict) {
    const uid = pod.metadata?.uid ?? ''
    if (pod.metadata?.deletionTimestamp !== undefined) continue
    const answer = world.observed.evictions.get(uid)
    // Taken already: the list that shows it is under way.
    if (answer?.sent === true && now.mono < answer.at + EVICTION_RETRY_MS) continue
    const entry = blocked.find((candidate) => candidate.pod === pod)
    const refused = answer?.sent === false ? answer : undefined
    if (refused !== undefined || entry !== undefined) {
      const budget = entry?.budgets[0]?.metadata
      const retryAt = refused === undefined ? undefined : refused.at + (entry === undefined ? EVICTION_RETRY_MS : EVICTION_BLOCKED_RETRY_MS)
      const forbidden = refused?.forbidden === true
      const why = (forbidden ? undefined : entry?.message) ?? `pod ${podName(pod)} cannot be evicted: ${refused?.message}`
      waits.push(
        hold(forbidden ? 'Refused' : 'DrainBlocked', `node ${node.name}: ${why}`, {
          ...(budget === undefined ? {} : { blockedBy: `PodDisruptionBudget/${budget.namespace ?? ''}/${budget.name ?? ''}` }),
          ...(retryAt === undefined ? {} : { retryAt: now.wall + retryAt - now.mono }),
        }),
      )
      if (retryAt !== undefined && now.mono < retryAt) {
        pass.lookAt(retryAt)
        continue
      }
    }
    if (sent++ >= MAX_EVICTIONS_A_PASS) break
    const ref = { namespace: pod.metadata?.namespace ?? '', name: pod.metadata?.name ?? '', uid }
    const more = grace === undefined ? {} : { graceSeconds: grace }
    pass.step(`pod ${uid}`, [
      options.disableEviction === true ? { do: 'deletePod', pod: ref, ...more } : { do: 'evict', pod: ref, ...more },
    ])
  }
  // What has been given its time is not late.
  if (patient && completing.every(({ untilMs }) => untilMs !== undefined)) say(...waits)
  else say(...waits, hold('Draining', `${left.length} pod${left.length === 1 ? '' : 's'} left on node ${node.name}: ${upToThree(names)}`))
  return { done: false }
}

/** The drain's time is over: the policy's, else the Plan's; none of them, never. */
function isOver({ state, startedAtMs }: Draining, pass: Pass): boolean {
  const { now } = pass
  const own = state.rules.drain.timeoutMs
  const timeout = own === undefined ? drainTimeoutMs(state.plan.spec.drain ?? {}) : { ok: true as const, ms: own === 0 ? undefined : own }
  if (!timeout.ok || timeout.ms === undefined) return false
  const end = startedAtMs + timeout.ms
  if (now.wall < end) pass.lookAtWall(end)
  return now.wall >= end
}

function completion({ pod, untilMs }: Completing, count: number, node: NodeView, pass: Pass): Hold {
  if (untilMs !== undefined) pass.lookAtWall(untilMs)
  const until = untilMs === undefined ? '' : `, until ${formatTime(untilMs)} at the latest`
  const others = count === 1 ? '' : ` (and ${count - 1} more)`
  return hold('WaitingForCompletion', `node ${node.name}: pod ${podName(pod)}${others} may come to its own end${until}`, {
    blockedBy: `Pod/${podName(pod)}`,
    ...(untilMs === undefined ? {} : { retryAt: untilMs }),
  })
}

/** It was asked to go and was refused, by a budget or a webhook; a missing permission says nothing of the pod. */
function isRefused(pod: DrainPod, { world }: Pass): boolean {
  const answer = world.observed.evictions.get(pod.metadata?.uid ?? '')
  return answer?.sent === false && answer.forbidden !== true && pod.metadata?.deletionTimestamp === undefined
}
