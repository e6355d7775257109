/** When a policy lets nodes be taken: windows opened by cron expressions, and exclusions that beat them. */
import type { ExclusionSpec, WindowSpec } from '../../api/policy.ts'
import { loadZone, type Zone } from '../zone.ts'
import { type Cron, lastOccurrence, nextOccurrence, parseCron } from './cron.ts'

export interface Calendar {
  readonly windows: readonly { readonly cron: Cron; readonly zone: Zone; readonly durationMs: number }[]
  readonly exclusions: readonly ExclusionSpec[]
}

export type CalendarResult = { readonly ok: true; readonly calendar: Calendar } | { readonly ok: false; readonly error: string }

export type Opening =
  | { readonly open: true }
  /** `opensAt` is undefined when it never opens again, as far as can be seen. */
  | { readonly open: false; readonly exclusion: ExclusionSpec | undefined; readonly opensAt: number | undefined }

const WEEK_MS = 7 * 86_400_000
/** Windows and exclusions that follow each other are walked through this far. */
const MAX_STEPS = 1000

export function readCalendar(windows: readonly WindowSpec[], exclusions: readonly ExclusionSpec[]): CalendarResult {
  const read: { cron: Cron; zone: Zone; durationMs: number }[] = []
  for (const [index, window] of windows.entries()) {
    const at = `spec.windows[${index}]`
    const cron = parseCron(window.start)
    if (!cron.ok) return { ok: false, error: `${at}.start: ${cron.error}` }
    const zone = loadZone(window.timeZone)
    if (!zone.ok) return { ok: false, error: `${at}.timeZone: ${zone.error}` }
    if (window.durationMs <= 0 || window.durationMs > WEEK_MS)
      return { ok: false, error: `${at}.duration: must be above 0 and at most 168h` }
    read.push({ cron: cron.cron, zone: zone.zone, durationMs: window.durationMs })
  }
  return { ok: true, calendar: { windows: read, exclusions } }
}

/** Whether a node may be taken at that instant and, if not, when next. */
export function opening(calendar: Calendar, nowMs: number): Opening {
  const exclusion = excluding(calendar, nowMs)
  if (exclusion === undefined && isOpen(calendar, nowMs)) return { open: true }
  return { open: false, exclusion, opensAt: nextOpen(calendar, nowMs) }
}

/** When it closes, being open at that instant; undefined if it does not, as far as can be seen. */
export function closing(calendar: Calendar, fromMs: number): number | undefined {
  const known = closings.get(calendar)
  if (known !== undefined && known.from <= fromMs && fromMs < known.to) return known.closes
  const closes = closesAt(calendar, fromMs)
  closings.set(calendar, { from: fromMs, to: closes ?? fromMs + LOOK_AGAIN_MS, closes })
  return closes
}

/** The last answer of each calendar: it is asked for in every pass. */
const closings = new WeakMap<Calendar, { readonly from: number; readonly to: number; readonly closes: number | undefined }>()
/** What does not close as far as can be seen is looked at again after so long. */
const LOOK_AGAIN_MS = 600_000
/** Windows that follow each other without a gap are walked through this far. */
const MAX_FOLLOWING = 100

function closesAt(calendar: Calendar, fromMs: number): number | undefined {
  const excluded = calendar.exclusions.map((one) => one.fromMs).filter((from) => from > fromMs)
  const before = excluded.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...excluded)
  let at = calendar.windows.length === 0 ? before : fromMs
  for (let step = 0; step < MAX_FOLLOWING && at < before; step++) {
    // Windows that overlap, or begin where another ends, are one.
    const ends = calendar.windows.flatMap(({ cron, zone, durationMs }) => {
      const start = lastOccurrence(cron, zone, at, durationMs - 1)
      return start === undefined ? [] : [start + durationMs]
    })
    if (ends.length === 0) return at
    at = Math.max(...ends)
  }
  return Number.isFinite(before) ? before : undefined
}

export function nextOpen(calendar: Calendar, nowMs: number): number | undefined {
  let at = nowMs
  for (let step = 0; step < MAX_STEPS; step++) {
    const exclusion = excluding(calendar, at)
    if (exclusion !== undefined) {
      at = exclusion.toMs
      continue
    }
    if (isOpen(calendar, at)) return at
    const starts = calendar.windows.map(({ cron, zone }) => nextOccurrence(cron, zone, at)).filter((start) => start !== undefined)
    if (starts.length === 0) return undefined
    at = Math.min(...starts)
  }
  return undefined
}

/** Windows without a gap between them are followed this far. */
const MAX_RUNS = 60
const SOME_DAY = Date.UTC(2026, 0, 1)

/** No window, nor windows that follow each other without a gap, ever stays open for so long, exclusions aside. */
export function isTooLong({ windows }: Calendar, leadMs: number): boolean {
  if (windows.length === 0 || windows.some(({ durationMs }) => durationMs >= leadMs)) return false
  const always = { windows, exclusions: [] }
  let at: number | undefined = SOME_DAY
  for (let run = 0; run < MAX_RUNS; run++) {
    at = nextOpen(always, at)
    if (at === undefined) return true
    const end = closing(always, at)
    if (end === undefined || end - at >= leadMs) return false
    at = end
  }
  return true
}

function excluding({ exclusions }: Calendar, at: number): ExclusionSpec | undefined {
  return exclusions.find(({ fromMs, toMs }) => fromMs <= at && at < toMs)
}

/** The end does not belong to the window: [occurrence, occurrence + duration). */
function isOpen({ windows }: Calendar, at: number): boolean {
  return windows.length === 0 || windows.some(({ cron, zone, durationMs }) => lastOccurrence(cron, zone, at, durationMs - 1) !== undefined)
}
