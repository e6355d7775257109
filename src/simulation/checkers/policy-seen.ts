import { type Meta, type SeenPlan, type Selector, selects } from './seen.ts'

/** RolloutPolicies as the judge reads them: anew from docs/policy.md, and no more of them than these worlds use. */
export interface SeenPolicy {
  readonly metadata: Meta
  readonly spec?: {
    readonly planNames?: readonly string[]
    readonly planSelector?: Selector
    readonly paused?: boolean
    readonly budget?: {
      readonly maxUnavailable?: Share
      readonly spread?: readonly { readonly topologyKey: string; readonly maxUnavailable?: Share; readonly domains?: string }[]
    }
    readonly after?: readonly string[]
    readonly windows?: readonly SeenWindow[]
    readonly exclusions?: readonly { readonly from: string; readonly to: string }[]
    readonly waves?: readonly SeenWave[]
    readonly versionPath?: { readonly allow?: readonly string[] }
    readonly failure?: {
      readonly retries?: number
      readonly maxFailures?: Share
      readonly backoff?: { readonly base?: string; readonly cap?: string }
    }
    readonly drain?: SeenDrain
    readonly gates?: readonly SeenGate[]
    readonly hooks?: Readonly<Partial<Record<'before' | 'after', readonly { readonly name: string; readonly ackAnnotation: string }[]>>>
    readonly coordinate?: { readonly kured?: boolean }
    readonly etcdSnapshot?: { readonly policy?: string; readonly maxAge?: string }
  }
}

/** Of gates, these worlds use lists of values that a ConfigMap's state must be among. */
export interface SeenGate {
  readonly name: string
  readonly at: readonly string[]
  readonly object?: {
    readonly namespace: string
    readonly name: string
    readonly expect: readonly { readonly values: readonly string[] }[]
  }
  readonly stableFor?: string
  readonly timeout?: string
  readonly onTimeout?: string
}

export interface SeenDrain {
  readonly timeout?: string
  readonly onTimeout?: string
  readonly maxBlockedNodes?: Share
  readonly rules?: readonly {
    readonly podSelector?: Selector
    readonly behavior?: string
    readonly order?: number
    readonly timeout?: string
  }[]
}

type Share = number | string

interface SeenWindow {
  readonly start: string
  readonly duration: string
  readonly timeZone?: string
}

export interface SeenWave {
  readonly name: string
  readonly size?: Share
  readonly nodeSelector?: Selector
  readonly maxUnavailable?: Share
  readonly soak?: string
  readonly approval?: string
}

/** What governs a Plan. */
export type Rule =
  | { readonly kind: 'none' }
  /** `among`: all policies that there were. */
  | { readonly kind: 'policy'; readonly policy: SeenPolicy; readonly among: readonly SeenPolicy[] }
  | { readonly kind: 'conflict' | 'unreadable'; readonly why: string }

/** One that names the Plan, before one that selects it, before the one called `default`; two with equal right are a conflict. */
export function ruleFor(plan: SeenPlan, policies: Iterable<SeenPolicy>): Rule {
  const meant = [...policies].filter(({ metadata }) => metadata.namespace === plan.metadata.namespace)
  const tests = [
    ({ spec }: SeenPolicy) => spec?.planNames?.includes(plan.metadata.name) === true,
    ({ spec }: SeenPolicy) => selects(spec?.planSelector, plan.metadata.labels ?? {}),
    ({ metadata }: SeenPolicy) => metadata.name === 'default',
  ]
  for (const test of tests) {
    const found = meant.filter(test)
    const [policy] = found
    if (policy === undefined) continue
    const names = found.map(({ metadata }) => metadata.name)
    if (found.length > 1) return { kind: 'conflict', why: `${names.join(' and ')} contradict each other` }
    const window = policy.spec?.windows?.find((one) => !isReadable(one))
    if (window !== undefined) return { kind: 'unreadable', why: `a window of ${names[0]} cannot be read` }
    return { kind: 'policy', policy, among: meant }
  }
  return { kind: 'none' }
}

/** A number, or a percentage: rounded down, at least one unless it is 0 %. */
export function shareOf(value: Share, all: number): number {
  if (typeof value === 'number' || !value.endsWith('%')) return Number(value)
  const percent = Number(value.slice(0, -1))
  return percent === 0 ? 0 : Math.max(1, Math.floor((all * percent) / 100))
}

/** `1h30m` in milliseconds. */
export function lengthOf(text: string): number {
  const unit: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 }
  return [...text.matchAll(/(\d+)([hms])/g)].reduce((sum, [, count, name]) => sum + Number(count) * (unit[name ?? ''] ?? 0), 0)
}

/** Whether nodes may be taken at that instant. */
export function isOpen({ spec }: SeenPolicy, wall: number): boolean {
  if ((spec?.exclusions ?? []).some(({ from, to }) => Date.parse(from) <= wall && wall < Date.parse(to))) return false
  const windows = spec?.windows ?? []
  return windows.length === 0 || windows.some((window) => isInside(window, wall))
}

/** Of cron expressions these worlds use minutes and hours only: all, every so many, or one. */
const CRON = /^(?:(\d+)|\*(?:\/(\d+))?) (?:(\d+)|\*) \* \* \*$/

function isReadable({ start, timeZone }: SeenWindow): boolean {
  return CRON.test(start) && aheadOfUTC(timeZone ?? 'UTC', 0) !== undefined
}

function isInside({ start, duration, timeZone }: SeenWindow, wall: number): boolean {
  const [, minute, every, hour] = CRON.exec(start) ?? []
  const length = lengthOf(duration)
  const ofDay = (wall + (aheadOfUTC(timeZone ?? 'UTC', wall) ?? 0)) % DAY_MS
  for (let at = Math.floor(ofDay / 60_000); at >= 0 && ofDay - at * 60_000 < length; at -= 1) {
    const right = minute === undefined ? (at % 60) % Number(every ?? 1) === 0 : at % 60 === Number(minute)
    if (right && (hour === undefined || Math.floor(at / 60) === Number(hour))) return true
  }
  return false
}

const DAY_MS = 86_400_000
const formats = new Map<string, Intl.DateTimeFormat>()

/** How far the zone's clocks are ahead, in whole hours as milliseconds; undefined = there is no such zone. */
function aheadOfUTC(timeZone: string, wall: number): number | undefined {
  try {
    const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('en', { timeZone, hour: 'numeric', hourCycle: 'h23' })
    formats.set(timeZone, format)
    const there = Number(format.format(wall))
    return (((there - Math.floor(wall / 3_600_000) + 12 + 24 * 1_000_000) % 24) - 12) * 3_600_000
  } catch {
    return undefined
  }
}
