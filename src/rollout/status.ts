/** The Plan's status, for people and machines (design §5): SUC's conditions and fields, kstatus conditions, counts and a bounded list of nodes. */
import type { NodeStatus, PlanCondition, PlanStatus } from '../api/plan.ts'
import { type Hold, hold } from '../api/reasons.ts'
import { formatTime } from '../base/clock.ts'
import type { Settings } from '../base/settings.ts'
import { saysComplete } from './complete.ts'
import { findLeading, tellLeading } from './leading-hold.ts'
import type { PlanState } from './plan-state.ts'
import type { Stepping } from './step.ts'
import type { Moment, NodeReport, PlanReport } from './world.ts'

/** Conditions that SUC does not know. */
export const KSTATUS: ReadonlySet<string> = new Set(['Ready', 'Reconciling', 'Stalled'])
/** Longest list of nodes in the status. */
const MAX_NODE_STATUSES = 20

export interface Tally {
  readonly selected: number
  readonly done: number
  readonly inFlight: number
  readonly failed: number
  readonly held: number
}

export interface StatusInput {
  readonly state: PlanState
  /** Hostnames that are to stand in `applying`. */
  readonly applying: readonly string[]
  readonly report: PlanReport
  readonly tally: Tally
  /** The first failure that holds its node. */
  readonly failure: string | undefined
  /** A hold that only a person ends, or a drain that has lasted too long. */
  readonly stalled: Hold | undefined
  readonly kstatus: boolean
  readonly now: Moment
}

interface Wanted {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

export function planStatus(input: StatusInput): PlanStatus {
  const { state, applying, tally, report, now } = input
  const old = state.plan.status
  const wanted = conditions(input)
  // Switched off, they would go on to say what they said last.
  const stale = (type: string) => !input.kstatus && KSTATUS.has(type)
  const kept = old.conditions.filter(({ type }) => !stale(type) && !wanted.some((other) => other.type === type))
  const merged = [...kept, ...wanted.map((condition) => dated(condition, old.conditions, now))]
  // A complete Plan waits for nothing, whatever would hold its next node.
  const first = saysComplete(merged) ? undefined : findLeading(report)
  return {
    conditions: merged,
    latestVersion: state.version === '' ? old.latestVersion : state.version,
    latestHash: state.hash === '' ? old.latestHash : state.hash,
    applying: [...applying].sort(),
    observedGeneration: state.plan.metadata.generation,
    nodeCounts: { selected: tally.selected, done: tally.done, inFlight: tally.inFlight, failed: tally.failed, held: tally.held },
    nodeStatuses: nodeStatuses(report, now),
    ...(first === undefined ? {} : { leadingHold: tellLeading(first.hold, first.node, old.leadingHold, now) }),
  }
}

/** What is known of the status of a Plan for which nothing is decided. */
export interface Undecided {
  readonly generation: number
  readonly observedGeneration?: number | undefined
  readonly conditions: readonly PlanCondition[]
}

/** Conditions of a Plan that cannot be decoded; undefined = they say so already. */
export function unreadableStatus(
  view: Undecided & { readonly error: string },
  settings: Settings,
  now: Moment,
): Partial<PlanStatus> | undefined {
  const not = (type: string, reason: string, message: string): Wanted => ({ type, status: 'False', reason, message })
  const wanted = [not('Validated', 'Error', view.error), not('Complete', 'NotReady', 'Plan is not valid and resolved')]
  return undecided(view, wanted, hold('PlanUnreadable', view.error), settings, now)
}

/** Conditions of an incomplete Plan for which nothing can be decided, and why; undefined = they say so already. */
export function stoppedStatus(view: Undecided, why: Hold, settings: Settings, now: Moment): Partial<PlanStatus> | undefined {
  const { reason, message } = why
  return undecided(view, [{ type: 'Complete', status: 'False', reason, message }], why, settings, now)
}

function undecided(view: Undecided, wanted: Wanted[], why: Hold, settings: Settings, now: Moment): Partial<PlanStatus> | undefined {
  const kstatus = tellsKstatus(settings) ? (why.endedBy === 'person' ? stuck : waiting)(why.reason, why.message) : []
  const told = changed(view.conditions, now, [...wanted, ...kstatus])
  // An edit that changes nothing of it has been looked at all the same: who waits for that would wait for ever.
  const looked =
    settings.compatibility === 'strict' || view.observedGeneration === view.generation ? {} : { observedGeneration: view.generation }
  if (told === undefined && Object.keys(looked).length === 0) return undefined
  return told === undefined ? looked : { ...told, ...looked, ...leading(why, settings, now) }
}

/** Strict adds nothing to SUC's status. */
const tellsKstatus = ({ kstatus, compatibility }: Settings): boolean => kstatus && compatibility !== 'strict'

const leading = (why: Hold, { compatibility }: Settings, now: Moment): Pick<PlanStatus, 'leadingHold'> =>
  compatibility === 'strict' ? {} : { leadingHold: tellLeading(why, undefined, undefined, now) }

const stuck = (reason: string, message: string): Wanted[] => [
  { type: 'Ready', status: 'False', reason, message },
  { type: 'Reconciling', status: 'False', reason, message: '' },
  { type: 'Stalled', status: 'True', reason, message },
]

/** It goes on by itself. */
const waiting = (reason: string, message: string): Wanted[] => [
  { type: 'Ready', status: 'False', reason, message },
  { type: 'Reconciling', status: 'True', reason, message },
  { type: 'Stalled', status: 'False', reason, message: '' },
]

/** The conditions with those wanted in them; undefined = they are there already. */
function changed(old: readonly PlanCondition[], now: Moment, wanted: readonly Wanted[]): Partial<PlanStatus> | undefined {
  const says = (condition: Wanted) =>
    old.some(
      (c) =>
        c.type === condition.type &&
        c.status === condition.status &&
        (c.reason ?? '') === condition.reason &&
        (c.message ?? '') === condition.message,
    )
  if (wanted.every(says)) return undefined
  const kept = old.filter((condition) => !wanted.some((other) => other.type === condition.type))
  return { conditions: [...kept, ...wanted.map((condition) => dated(condition, old, now))] }
}

/** What other programs act on. The rest (messages, counts, nodes) is a mirror and may wait a little. */
export function significantlyDiffers(a: PlanStatus, b: PlanStatus): boolean {
  const key = (status: PlanStatus) =>
    JSON.stringify([
      status.latestVersion,
      status.latestHash,
      [...status.applying].sort(),
      status.observedGeneration ?? -1,
      status.conditions.map((c) => `${c.type} ${c.status} ${c.reason ?? ''}`).sort(),
    ])
  return key(a) !== key(b)
}

const COUNTS = ['selected', 'done', 'inFlight', 'failed', 'held'] as const

export function differs(a: PlanStatus, b: PlanStatus): boolean {
  const key = (status: PlanStatus) =>
    JSON.stringify([
      status.conditions.map((c) => `${c.type} ${c.message ?? ''}`).sort(),
      COUNTS.map((count) => status.nodeCounts?.[count] ?? 0),
      (status.nodeStatuses ?? []).map((n) => [n.name, n.phase, n.reason ?? '', n.message ?? '', n.endedBy ?? '']),
      leadingKey(status.leadingHold),
    ])
  return significantlyDiffers(a, b) || key(a) !== key(b)
}

/** Without the times, which follow from the rest. */
const leadingKey = (told: PlanStatus['leadingHold']) => [told?.reason ?? '', told?.node ?? '', told?.message ?? '', told?.endedBy ?? '']

/** With the times at which it was last written and last changed its status. */
export function dated(
  wanted: Omit<PlanCondition, 'lastUpdateTime' | 'lastTransitionTime'>,
  old: readonly PlanCondition[],
  now: Moment,
): PlanCondition {
  const before = old.find((condition) => condition.type === wanted.type)
  const at = formatTime(now.wall)
  const same =
    before?.status === wanted.status && (before.reason ?? '') === (wanted.reason ?? '') && (before.message ?? '') === (wanted.message ?? '')
  return {
    ...wanted,
    lastUpdateTime: same ? (before.lastUpdateTime ?? at) : at,
    lastTransitionTime: before?.status === wanted.status ? (before.lastTransitionTime ?? at) : at,
  }
}

function conditions(input: StatusInput): Wanted[] {
  const { state, kstatus } = input
  const validated: Wanted =
    state.invalid === undefined
      ? { type: 'Validated', status: 'True', reason: 'PlanIsValid', message: '' }
      : { type: 'Validated', status: 'False', reason: 'Error', message: state.invalid }
  const complete = completeCondition(input)
  return [validated, resolvedCondition(state), complete, ...(kstatus ? kstatusConditions(input, complete) : [])]
}

function resolvedCondition(state: PlanState): Wanted {
  const { spec } = state.plan
  const by = spec.version !== undefined && spec.version !== '' ? 'Version' : 'Channel'
  if (state.version !== '') return { type: 'LatestResolved', status: 'True', reason: by, message: state.versionProblem ?? '' }
  const seen = state.versionProblem?.startsWith('cannot resolve') === true
  return seen
    ? { type: 'LatestResolved', status: 'False', reason: 'Error', message: state.versionProblem ?? '' }
    : { type: 'LatestResolved', status: 'Unknown', reason: 'Resolving', message: state.versionProblem ?? '' }
}

function completeCondition({ state, applying, tally, failure, report }: StatusInput): Wanted {
  const not = (reason: string, message: string): Wanted => ({ type: 'Complete', status: 'False', reason, message })
  if (state.invalid !== undefined || state.hash === '') return not('NotReady', 'Plan is not valid and resolved')
  if (failure !== undefined) return not('JobFailed', failure)
  if (state.stepping !== undefined) return not('Stepping', steppingText(state.stepping, state.version, applying, tally, report))
  if (applying.length > 0) return not('SyncJob', `${nodesDone(tally)}; ${atWorkOn(applying)}`)
  if (tally.selected === 0)
    return { type: 'Complete', status: 'True', reason: 'NoMatchingNodes', message: 'spec.nodeSelector matches no node' }
  if (tally.done === tally.selected) return { type: 'Complete', status: 'True', reason: 'Complete', message: '' }
  const first = leadingHold(report)
  if (first?.reason === 'OutsideWindow') return not('Waiting', first.message)
  return first === undefined ? not('SyncJob', nodesDone(tally)) : not(first.reason, first.message)
}

/** However far the step is: the way is not at its end. */
function steppingText(stepping: Stepping, version: string, applying: readonly string[], tally: Tally, report: PlanReport): string {
  const step = `step ${version} on the way to ${stepping.target}`
  if (applying.length > 0) return `${step}: ${nodesDone(tally)}; ${atWorkOn(applying)}`
  const first = leadingHold(report)
  if (first?.reason === 'Stepping') return first.message
  return `${step}: ${nodesDone(tally)}${first === undefined ? '' : `; ${first.reason}: ${first.message}`}`
}

const nodesDone = ({ done, selected }: Tally): string => `${done} of ${selected} nodes done`

/** The first five, by name. */
const atWorkOn = (applying: readonly string[]): string => `at work on ${[...applying].sort().slice(0, 5).join(', ')}`

/** The hold a reader wants first: the Plan's, else the first node's. */
const leadingHold = (report: PlanReport): Hold | undefined => findLeading(report)?.hold

function kstatusConditions({ stalled, tally, failure }: StatusInput, complete: Wanted): Wanted[] {
  const done = complete.status === 'True'
  const stuck = !done && (stalled !== undefined || failure !== undefined)
  // What a policy has stopped says more than the failure that was one too many.
  const exceeded = stalled?.reason === 'MaxFailuresExceeded'
  const reason = failure !== undefined && !exceeded ? 'NodeFailed' : (stalled?.reason ?? 'Stalled')
  const why = (exceeded ? undefined : failure) ?? stalled?.message ?? ''
  const progress = nodesDone(tally)
  return [
    {
      type: 'Ready',
      status: done ? 'True' : 'False',
      reason: done ? complete.reason : stuck ? reason : complete.reason,
      message: done ? progress : stuck ? why : complete.message,
    },
    {
      type: 'Reconciling',
      status: done || stuck ? 'False' : 'True',
      reason: done ? complete.reason : stuck ? reason : 'Progressing',
      message: progress,
    },
    {
      type: 'Stalled',
      status: stuck ? 'True' : 'False',
      reason: stuck ? reason : done ? complete.reason : 'Progressing',
      message: stuck ? why : '',
    },
  ]
}

const ORDER: Record<NodeReport['phase'], number> = {
  Failed: 0,
  Upgrading: 1,
  Verifying: 2,
  Draining: 3,
  Preflight: 4,
  Soaking: 5,
  Pending: 6,
  Done: 7,
}

function nodeStatuses(report: PlanReport, now: Moment): NodeStatus[] {
  return [...report.nodes]
    .filter(([, node]) => node.phase !== 'Done')
    .map(([name, node], index) => ({ name, node, index }))
    .sort((a, b) => ORDER[a.node.phase] - ORDER[b.node.phase] || a.index - b.index)
    .slice(0, MAX_NODE_STATUSES)
    .map(({ name, node }) => {
      const [first] = node.holds
      return {
        name,
        phase: node.phase,
        since: formatTime(first?.since ?? now.wall),
        ...(first === undefined ? {} : { reason: first.reason, message: first.message, endedBy: first.endedBy }),
      }
    })
}
