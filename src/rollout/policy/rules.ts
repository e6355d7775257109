/** How carefully one Plan is rolled out: the controller's settings, with what its RolloutPolicy says in their place. */
import type { GateSpec, HooksSpec } from '../../api/gate.ts'
import type { Plan } from '../../api/plan.ts'
import type {
  BudgetSpec,
  EtcdSnapshotSpec,
  DrainPolicy,
  FailureSpec,
  PolicyView,
  RolloutPolicy,
  VersionStep,
  WaveSpec,
} from '../../api/policy.ts'
import type { NotifySpec } from '../../api/notify.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { Settings } from '../../base/settings.ts'
import { compileLabelSelector } from '../../kube/objects/selector.ts'
import { type Calendar, isTooLong, readCalendar } from './calendar.ts'
import { metadataOf, selectPolicy } from './select.ts'

/** A policy whose webhooks are told of a Plan. */
export interface Teller {
  readonly policy: { readonly name: string; readonly uid: string }
  readonly notify: readonly NotifySpec[]
}

/** Durations in milliseconds. */
export interface Rules {
  /** The policy in force; undefined = none, all the rest is the defaults. */
  readonly policy: { readonly name: string; readonly uid: string } | undefined
  /** What is wrong with the policy, or that there are two: while it stands no node is taken. */
  readonly problem: Hold | undefined
  /** Policies that apply with equal right, by name. */
  readonly contenders: readonly string[]
  readonly paused: boolean
  readonly budget: BudgetSpec
  readonly after: readonly string[]
  /** Undefined = always open. */
  readonly calendar: Calendar | undefined
  /** Undefined = Auto: what the Plan's own nodes took. */
  readonly leadMs: number | undefined
  readonly allowedSteps: readonly VersionStep[]
  readonly stepThroughMinors: boolean
  readonly version: 'Auto' | 'Kubelet' | 'Off'
  readonly reboot: 'Auto' | 'Required' | 'Off'
  readonly minReadyMs: number
  readonly timeoutMs: number
  /** Undefined = the Plan's postCompleteDelay. */
  readonly soakMs: number | undefined
  readonly waves: readonly WaveSpec[]
  readonly failure: FailureSpec
  readonly drain: DrainPolicy
  /** kured's lock is honoured and held. */
  readonly kured: boolean
  readonly etcdSnapshot: EtcdSnapshotSpec
  readonly managedElsewhere: 'Hold' | 'Ignore'
  /** The policy in force, or those in conflict that can be read; only who has webhooks. */
  readonly tellers: readonly Teller[]
  readonly gates: readonly GateSpec[]
  readonly hooks: HooksSpec
}

const FAIL_STOP: FailureSpec = {
  retries: 0,
  backoff: { baseMs: 300_000, capMs: 86_400_000 },
  maxFailures: { kind: 'count', count: 1 },
  uncordonOnFailure: 'IfUnchanged',
}

/** The Plan's own word on drains. */
const AS_THE_PLAN_SAYS: DrainPolicy = {
  engine: 'Controller',
  forecast: 'Warn',
  onTimeout: 'Fail',
  maxBlockedNodes: { kind: 'count', count: 1 },
  rules: [],
  volumeDetachMs: 0,
}

/** What holds without a policy. */
export function defaultRules(settings: Settings): Rules {
  return {
    policy: undefined,
    problem: undefined,
    contenders: [],
    paused: false,
    budget: { spread: [] },
    after: [],
    calendar: undefined,
    leadMs: undefined,
    allowedSteps: [],
    stepThroughMinors: false,
    version: 'Auto',
    reboot: 'Auto',
    minReadyMs: settings.verify.minReadyMs,
    timeoutMs: settings.verify.timeoutMs,
    soakMs: undefined,
    waves: [],
    failure: FAIL_STOP,
    drain: AS_THE_PLAN_SAYS,
    kured: false,
    etcdSnapshot: { maxAgeMs: 86_400_000, policy: 'Off' },
    managedElsewhere: 'Hold',
    tellers: [],
    gates: [],
    hooks: { before: [], after: [] },
  }
}

/** The rules for a Plan. `policies` undefined: they cannot be listed, so nobody knows what they ask for. */
export function rulesFor(plan: Plan, policies: readonly PolicyView[] | undefined, settings: Settings): Rules {
  const defaults = defaultRules(settings)
  if (policies === undefined) return { ...defaults, problem: hold('PolicyUnreadable', 'the RolloutPolicies have not been listed yet') }
  const selected = selectPolicy(plan, policies)
  if (!selected.ok) {
    const { hold: problem, contenders } = selected
    const names = contenders.map((view) => metadataOf(view).name)
    return { ...defaults, problem, contenders: names, tellers: tellersOf(contenders.flatMap((view) => (view.ok ? [view.policy] : []))) }
  }
  return selected.policy === undefined ? defaults : withPolicy(defaults, selected.policy)
}

const tellersOf = (policies: readonly RolloutPolicy[]): readonly Teller[] =>
  policies.flatMap(({ metadata: { name, uid }, spec: { notify } }) => (notify.length === 0 ? [] : [{ policy: { name, uid }, notify }]))

function withPolicy(defaults: Rules, policy: RolloutPolicy): Rules {
  const { metadata, spec } = policy
  const read = calendarOf(policy)
  return {
    ...defaults,
    policy: { name: metadata.name, uid: metadata.uid },
    problem: problemOf(policy),
    paused: spec.paused,
    budget: spec.budget,
    after: spec.after,
    calendar: read.ok && (spec.windows.length > 0 || spec.exclusions.length > 0) ? read.calendar : undefined,
    leadMs: spec.leadMs,
    allowedSteps: spec.versionPath.allow,
    stepThroughMinors: spec.versionPath.stepThroughMinors,
    version: spec.verify.version,
    reboot: spec.verify.reboot,
    minReadyMs: spec.verify.minReadyMs ?? defaults.minReadyMs,
    timeoutMs: spec.verify.timeoutMs ?? defaults.timeoutMs,
    soakMs: spec.soakMs,
    waves: spec.waves,
    failure: spec.failure,
    drain: spec.drain,
    kured: spec.coordinate.kured,
    etcdSnapshot: spec.etcdSnapshot,
    managedElsewhere: spec.managedElsewhere,
    tellers: tellersOf([policy]),
    gates: spec.gates,
    hooks: spec.hooks,
  }
}

/** What only shows when a policy is put to use; each names its field. */
export function faultsOf(policy: RolloutPolicy): readonly string[] {
  const { spec } = policy
  const calendar = calendarOf(policy)
  return [
    ...(calendar.ok ? [] : [calendar.error]),
    ...(calendar.ok && isLeadTooLong(policy, calendar.calendar) ? ['spec.lead: longer than any of spec.windows stays open'] : []),
    ...selectorFault('spec.planSelector', spec.planSelector),
    ...spec.waves.flatMap(({ nodeSelector }, index) => selectorFault(`spec.waves[${index}].nodeSelector`, nodeSelector)),
    ...gateFaults(policy),
    ...spec.drain.rules.flatMap(({ podSelector }, index) => selectorFault(`spec.drain.rules[${index}].podSelector`, podSelector)),
    ...(isZero(spec.failure.maxFailures) ? ['spec.failure.maxFailures: must be at least 1'] : []),
  ]
}

function problemOf(policy: RolloutPolicy): Hold | undefined {
  const { metadata } = policy
  const faults = faultsOf(policy)
  if (faults.length === 0) return undefined
  return hold('PolicyUnreadable', `RolloutPolicy ${metadata.name} cannot be read: ${faults.join(', ')}`, {
    blockedBy: `RolloutPolicy/${metadata.namespace}/${metadata.name}`,
  })
}

function selectorFault(field: string, selector: Parameters<typeof compileLabelSelector>[0]): readonly string[] {
  if (selector === undefined) return []
  const compiled = compileLabelSelector(selector)
  return compiled.ok ? [] : [`${field}: ${compiled.error}`]
}

/** Read once for each object that the watch shows: compiling selectors is not free. */
const faultsOfGates = new WeakMap<RolloutPolicy, readonly string[]>()

function gateFaults(policy: RolloutPolicy): readonly string[] {
  let found = faultsOfGates.get(policy)
  if (found === undefined) {
    const { gates, waves } = policy.spec
    found = gates.flatMap(({ at, check }, index) => [
      ...(check.kind === 'object' ? selectorFault(`spec.gates[${index}].object.selector`, check.selector) : []),
      ...(check.kind === 'podsAbsent' ? selectorFault(`spec.gates[${index}].podsAbsent.selector`, check.selector) : []),
      ...(at.includes('WaveEnd') && waves.length === 0 ? [`spec.gates[${index}].at: WaveEnd needs spec.waves`] : []),
    ])
    faultsOfGates.set(policy, found)
  }
  return found
}

const isZero = (value: FailureSpec['maxFailures']): boolean => (value.kind === 'count' ? value.count : value.percent) === 0

/** By what was asked: each write of a policy's status brings a new object. Emptied when full. */
const tooLong = new Map<string, boolean>()
const MAX_TOO_LONG = 100

function isLeadTooLong({ spec }: RolloutPolicy, calendar: Calendar): boolean {
  if (spec.leadMs === undefined) return false
  const key = JSON.stringify([spec.leadMs, spec.windows])
  let found = tooLong.get(key)
  if (found !== undefined) return found
  if (tooLong.size >= MAX_TOO_LONG) tooLong.clear()
  tooLong.set(key, (found = isTooLong(calendar, spec.leadMs)))
  return found
}

/** Read once for each object that the watch shows. */
const calendars = new WeakMap<RolloutPolicy, ReturnType<typeof readCalendar>>()

function calendarOf(policy: RolloutPolicy): ReturnType<typeof readCalendar> {
  let read = calendars.get(policy)
  if (read === undefined) calendars.set(policy, (read = readCalendar(policy.spec.windows, policy.spec.exclusions)))
  return read
}
