/** Gates of a whole Plan: asked once a pass. While one holds, no node of the Plan is taken; nodes past the point of no return go on. */
import { ANNOTATION_ABORT, ANNOTATION_PAUSED, ANNOTATION_POLICY, LABEL_CONTROLLER, LABEL_NODE, LABEL_PLAN } from '../../api/names.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import { cannotRead } from '../blind.ts'
import { saysComplete } from '../complete.ts'
import { drainTimeoutMs } from '../drain/pods.ts'
import { mismatchedTag, type PlanState } from '../plan-state.ts'
import { opening } from '../policy/calendar.ts'
import { nextTaking, willFit } from '../policy/lead.ts'
import { notStoppedByGate } from '../policy/gates.ts'
import { tooManyMembers } from '../policy/waves.ts'
import { isInside, nextOpening, parseWindow } from '../window.ts'
import { slotName } from '../slot-name.ts'
import type { JobView } from '../world.ts'
import { type Context, type PlanGate, reasonGiven } from './gate.ts'

/** What is seen may be old, and stays so until a permission is granted, or a watch runs again. */
const readable: PlanGate = (_state, { world }) => (world.refusal === undefined ? undefined : cannotRead(world.refusal))

const memoryReadable: PlanGate = ({ memoryError }) =>
  memoryError === undefined
    ? undefined
    : hold('MemoryUnreadable', `annotation drover.io/rollout cannot be read (${memoryError}); remove it or restore it`)

const valid: PlanGate = ({ invalid }) => (invalid === undefined ? undefined : hold('PlanInvalid', invalid))

const resolved: PlanGate = ({ version, hash, pending, versionProblem }) =>
  version !== '' && hash !== '' && !pending ? undefined : hold('VersionUnresolved', versionProblem ?? 'the version is not resolved yet')

/** The step is done; the next one waits for its channel, or for the nodes of other Plans. */
const stepTaken: PlanGate = ({ stepping, version }) =>
  stepping?.waits === undefined
    ? undefined
    : hold('Stepping', `step ${version} on the way to ${stepping.target} is done: ${stepping.waits}`)

const namespaceHeld: PlanGate = (_state, { world }) =>
  world.namespaceHold === undefined
    ? undefined
    : hold(
        'NamespaceHeld',
        `namespace ${world.settings.namespace} carries drover.io/hold${reasonGiven(world.namespaceHold)}; remove the annotation to go on`,
      )

/** A policy that cannot be read, two that contradict each other, or one that is gone: none of them counts as no policy. */
const policyInForce: PlanGate = (state) => {
  const { rules, memory, hash, plan } = state
  if (rules.problem !== undefined) return rules.problem
  const tooMany = tooManyMembers(state)
  if (tooMany !== undefined) return hold('PolicyUnreadable', `RolloutPolicy ${rules.policy?.name}: ${tooMany}`)
  const before = memory.policy
  if (rules.policy !== undefined || before === undefined || before.hash !== hash) return undefined
  if (plan.metadata.annotations[ANNOTATION_POLICY] === 'none' || saysComplete(plan.status.conditions)) return undefined
  return hold(
    'PolicyGone',
    `RolloutPolicy ${before.name} was in force and is gone; bring it back, let another apply, or set annotation drover.io/policy: none on the Plan`,
    { blockedBy: `RolloutPolicy/${plan.metadata.namespace}/${before.name}` },
  )
}

export const paused: PlanGate = ({ plan, rules }) => {
  if (rules.paused)
    return hold('Paused', `RolloutPolicy ${rules.policy?.name} has spec.paused: true`, {
      blockedBy: `RolloutPolicy/${plan.metadata.namespace}/${rules.policy?.name}`,
    })
  const value = plan.metadata.annotations[ANNOTATION_PAUSED]
  if (value === undefined || value === 'false') return undefined
  return hold('Paused', `annotation drover.io/paused is set${reasonGiven(value)}; remove it to go on`)
}

export const aborted: PlanGate = (state) => {
  const value = state.plan.metadata.annotations[ANNOTATION_ABORT]
  if (value === undefined || state.hash === '' || value !== state.hash.slice(0, 8)) return undefined
  return hold('Aborted', `annotation drover.io/abort names this hash (${value}); remove it, or change the Plan, to go on`)
}

const imageMatches: PlanGate = (state) => {
  const tag = mismatchedTag(state)
  if (tag === undefined) return undefined
  return hold(
    'ImageVersionMismatch',
    `spec.upgrade.image is pinned to tag ${tag} but the version is ${state.version}: every node would be taken for a run that cannot reach it; drop the tag or correct the version`,
  )
}

const someConcurrency: PlanGate = ({ plan }) =>
  (plan.spec.concurrency ?? 0) > 0
    ? undefined
    : hold('ConcurrencyZero', 'spec.concurrency is missing or 0, so no node is taken; set it to 1 or more')

/** SUC hands the text to kubectl, whose refusal fails the Job. Without this a typing error would mean a drain without end. */
const drainReadable: PlanGate = ({ plan, rules }) => {
  if (plan.spec.drain === undefined || rules.drain.timeoutMs !== undefined) return undefined
  const timeout = drainTimeoutMs(plan.spec.drain)
  return timeout.ok ? undefined : hold('PlanInvalid', timeout.error)
}

const inWindow: PlanGate = (state, { world }) => {
  const { plan } = state
  if (plan.spec.window === undefined) return undefined
  const parsed = parseWindow(plan.spec.window)
  if (!parsed.ok || isInside(parsed.window, world.now.wall)) return undefined
  const opens = nextOpening(parsed.window, world.now.wall)
  if (opens === undefined) {
    const why = (plan.spec.window.days ?? []).length === 0 ? ': it has no days' : ''
    return hold('OutsideWindow', `spec.window never opens${why}`, { endedBy: 'person' })
  }
  const more = takenFrom(state, opens, world.now.wall)
  return hold('OutsideWindow', `the window opens at ${new Date(opens).toISOString()}${more.text}`, { retryAt: more.at })
}

/** A window and a policy's calendar may open at different times, or too shortly for a node. */
function takenFrom(state: PlanState, opens: number, nowMs: number): { readonly text: string; readonly at: number } {
  const next = nextTaking(state, nowMs)
  return next === undefined || next.at <= opens
    ? { text: '', at: opens }
    : { text: `; nodes are taken from ${new Date(next.at).toISOString()} on`, at: next.at }
}

/** SUC looks at the window only while nothing is in `applying` (contract, Window). */
const inWindowAtFirst: PlanGate = (state, context) => (state.plan.status.applying.length > 0 ? undefined : inWindow(state, context))

/** The windows and exclusions of the policy; asked for every node. */
const inCalendar: PlanGate = (state, { world }) => {
  const { rules } = state
  if (rules.calendar === undefined) return undefined
  const now = opening(rules.calendar, world.now.wall)
  if (now.open) return undefined
  const next = now.opensAt === undefined ? undefined : takenFrom(state, now.opensAt, world.now.wall)
  const until =
    now.opensAt === undefined || next === undefined
      ? 'and nothing opens after it'
      : `the next opening is at ${new Date(now.opensAt).toISOString()}${next.text}`
  const more = next === undefined ? ({ endedBy: 'person' } as const) : { retryAt: next.at }
  if (now.exclusion === undefined) return hold('OutsideWindow', `no window of RolloutPolicy ${rules.policy?.name} is open; ${until}`, more)
  const { reason, toMs } = now.exclusion
  const why = reason === '' ? '' : ` (${reason})`
  return hold('Excluded', `RolloutPolicy ${rules.policy?.name} excludes work until ${new Date(toMs).toISOString()}${why}; ${until}`, more)
}

/** The Plan that the upstream images' `prepare <plan>` waits for; held here instead of burning the Job's deadline (users-pains row 8). */
function planAwaited(state: PlanState): string | undefined {
  const args = state.plan.spec.prepare?.args
  return args?.length === 2 && args[0] === 'prepare' ? args[1] : undefined
}

/** Names of the Plans that go before this one. */
function namesBefore(state: PlanState): readonly string[] {
  const prepare = planAwaited(state)
  return (prepare === undefined ? state.rules.after : [prepare, ...state.rules.after]).filter((name) => name !== state.plan.metadata.name)
}

const planBefore: PlanGate = (state, context) => {
  const prepare = planAwaited(state)
  for (const name of namesBefore(state)) {
    const found = waitsFor(name, name === prepare ? 'prepare' : 'spec.after of the RolloutPolicy', state, context)
    if (found !== undefined) return found
  }
  return undefined
}

function waitsFor(name: string, who: string, state: PlanState, context: Context): Hold | undefined {
  const other = context.states.get(`${state.plan.metadata.namespace}/${name}`)
  if (other === undefined) return hold('WaitingForPlan', `${who} names Plan ${name}, which does not exist or cannot be read`)
  const ref = `Plan/${other.key}`
  if (other.version !== state.version)
    return hold(
      'WaitingForPlan',
      `Plan ${name} is for version ${other.version === '' ? '(unresolved)' : other.version}, this one for ${state.version}`,
      { blockedBy: ref },
    )
  if (other.selected.size === 0) return hold('WaitingForPlan', `Plan ${name} selects no node`, { blockedBy: ref })
  const open = openNodes(other, context)
  if (open.length === 0) return undefined
  if (isAwaitedBy(state, other, context))
    return hold('WaitingForPlan', `Plan ${name} waits for this one, too, so neither begins; take one of the two out of ${who}`, {
      blockedBy: ref,
      endedBy: 'person',
    })
  return hold('WaitingForPlan', `Plan ${name} is not complete: ${open.length} of ${other.selected.size} nodes to go, next ${open[0]}`, {
    blockedBy: ref,
  })
}

/** The other one waits for this Plan, itself or by way of Plans that it waits for. */
function isAwaitedBy(state: PlanState, other: PlanState, { states }: Context): boolean {
  const seen = new Set<PlanState>()
  const next = [other]
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    if (at.key === state.key) return true
    if (seen.has(at)) continue
    seen.add(at)
    for (const name of namesBefore(at)) {
      const before = states.get(`${at.plan.metadata.namespace}/${name}`)
      if (before !== undefined) next.push(before)
    }
  }
  return false
}

/** Names of selected nodes that are not done, or still hold a slot. */
function openNodes(state: PlanState, { ledger }: Pick<Context, 'ledger'>): string[] {
  const slots = ledger.slots(state.key)
  const open: string[] = []
  for (const node of state.selected.values()) {
    if (node.labels[state.label] !== state.hash || slots.has(slotName(node))) open.push(node.name)
  }
  return open
}

/** A SUC under another name, or a person, works on this Plan's nodes beside us: two hands on one machine (design §4, one at a time). */
const nobodyElse: PlanGate = (state, { world, cluster }) => {
  // To strict, Jobs under its own name are its own, whoever made them.
  const own = state.conduct.mode === 'strict' ? world.settings.name : undefined
  const other = world.jobs.find(
    (job) => isForeignAndActive(job, state) && !isAdopted(job, state, cluster) && job.labels[LABEL_CONTROLLER] !== own,
  )
  if (other === undefined) return undefined
  return hold(
    'AnotherController',
    `Job ${other.namespace}/${other.name} of this Plan was made by somebody else and is active; stop the other controller, or remove the Job`,
    {
      blockedBy: `Job/${other.namespace}/${other.name}`,
    },
  )
}

/** An unfinished apply Job of the Plan that carries no mark of ours. */
export function isForeignAndActive(job: JobView, state: Pick<PlanState, 'ref' | 'plan'>): boolean {
  return (
    job.attempt === undefined &&
    job.namespace === state.ref.namespace &&
    job.labels[LABEL_PLAN] === state.plan.metadata.name &&
    !job.complete &&
    job.failed === undefined &&
    !job.suspend &&
    !job.deleting &&
    (job.parallelism > 0 || job.active > 0)
  )
}

function isAdopted(job: JobView, state: PlanState, cluster: Context['cluster']): boolean {
  const node = cluster.byName.get(job.labels[LABEL_NODE] ?? '')
  if (node === undefined) return true
  if (state.memory.adopt?.includes(slotName(node)) === true) return true
  return node.record?.ok === true && node.record.record.work?.jobUID === job.uid
}

export const PLAN_GATES: readonly PlanGate[] = [
  readable,
  memoryReadable,
  policyInForce,
  valid,
  resolved,
  namespaceHeld,
  paused,
  aborted,
  imageMatches,
  drainReadable,
  someConcurrency,
  inWindow,
  inCalendar,
  willFit,
  stepTaken,
  planBefore,
  notStoppedByGate,
  nobodyElse,
]

/** Gates of the Plan that are asked again before the point of no return. */
export const START_PLAN_GATES: readonly PlanGate[] = [
  memoryReadable,
  policyInForce,
  valid,
  resolved,
  namespaceHeld,
  paused,
  aborted,
  imageMatches,
]

/** What makes a node that has not been started be given back. */
export const KEEP_PLAN_GATES: readonly PlanGate[] = [namespaceHeld, aborted, inWindow, inCalendar]

/** The same three in strict compatibility: SUC's own rules, and what people ask for by annotations. */
export const STRICT_PLAN_GATES: readonly PlanGate[] = [
  readable,
  memoryReadable,
  valid,
  resolved,
  namespaceHeld,
  paused,
  aborted,
  inWindowAtFirst,
  nobodyElse,
]
export const STRICT_START_PLAN_GATES: readonly PlanGate[] = [memoryReadable, valid, resolved, namespaceHeld, paused, aborted]
export const STRICT_KEEP_PLAN_GATES: readonly PlanGate[] = [namespaceHeld, aborted]

export function checkPlan(gates: readonly PlanGate[], state: PlanState, context: Context): Hold[] {
  return gates.map((gate) => gate(state, context)).filter((found) => found !== undefined)
}
