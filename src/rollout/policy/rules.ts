/** How carefully one Plan is rolled out: the controller's settings, with what its RolloutPolicy says in their place. */
import type { Plan } from '../../api/plan.ts'
import type { BudgetSpec, FailureSpec, PolicyView, RolloutPolicy, VersionStep, WaveSpec } from '../../api/policy.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { Settings } from '../../base/settings.ts'
import { compileLabelSelector } from '../../kube/objects/selector.ts'
import { type Calendar, readCalendar } from './calendar.ts'
import { selectPolicy } from './select.ts'

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
  readonly allowedSteps: readonly VersionStep[]
  readonly version: 'Auto' | 'Kubelet' | 'Off'
  readonly reboot: boolean
  readonly minReadyMs: number
  readonly timeoutMs: number
  /** Undefined = the Plan's postCompleteDelay. */
  readonly soakMs: number | undefined
  readonly waves: readonly WaveSpec[]
  readonly failure: FailureSpec
  readonly managedElsewhere: 'Hold' | 'Ignore'
}

const FAIL_STOP: FailureSpec = {
  retries: 0,
  backoff: { baseMs: 300_000, capMs: 86_400_000 },
  maxFailures: { kind: 'count', count: 1 },
  uncordonOnFailure: 'IfUnchanged',
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
    allowedSteps: [],
    version: 'Auto',
    reboot: false,
    minReadyMs: settings.verify.minReadyMs,
    timeoutMs: settings.verify.timeoutMs,
    soakMs: undefined,
    waves: [],
    failure: FAIL_STOP,
    managedElsewhere: 'Hold',
  }
}

/** The rules for a Plan. `policies` undefined: they cannot be listed, so nobody knows what they ask for. */
export function rulesFor(plan: Plan, policies: readonly PolicyView[] | undefined, settings: Settings): Rules {
  const defaults = defaultRules(settings)
  if (policies === undefined) return { ...defaults, problem: hold('PolicyUnreadable', 'the RolloutPolicies have not been listed yet') }
  const selected = selectPolicy(plan, policies)
  if (!selected.ok) return { ...defaults, problem: selected.hold, contenders: selected.contenders }
  return selected.policy === undefined ? defaults : withPolicy(defaults, selected.policy)
}

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
    allowedSteps: spec.versionPath.allow,
    version: spec.verify.version,
    reboot: spec.verify.reboot === 'Required',
    minReadyMs: spec.verify.minReadyMs ?? defaults.minReadyMs,
    timeoutMs: spec.verify.timeoutMs ?? defaults.timeoutMs,
    soakMs: spec.soakMs,
    waves: spec.waves,
    failure: spec.failure,
    managedElsewhere: spec.managedElsewhere,
  }
}

/** What only shows when a policy is put to use; each names its field. */
export function faultsOf(policy: RolloutPolicy): readonly string[] {
  const { spec } = policy
  const calendar = calendarOf(policy)
  return [
    ...(calendar.ok ? [] : [calendar.error]),
    ...selectorFault('spec.planSelector', spec.planSelector),
    ...spec.waves.flatMap(({ nodeSelector }, index) => selectorFault(`spec.waves[${index}].nodeSelector`, nodeSelector)),
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

const isZero = (value: FailureSpec['maxFailures']): boolean => (value.kind === 'count' ? value.count : value.percent) === 0

/** Read once for each object that the watch shows. */
const calendars = new WeakMap<RolloutPolicy, ReturnType<typeof readCalendar>>()

function calendarOf(policy: RolloutPolicy): ReturnType<typeof readCalendar> {
  let read = calendars.get(policy)
  if (read === undefined) calendars.set(policy, (read = readCalendar(policy.spec.windows, policy.spec.exclusions)))
  return read
}
