/**
 * `spec.window`: kured's time windows, as SUC v0.20 uses them (kured 1.13.1). The day asked for is the current local one, even after midnight;
 * a window that ends before it starts is stretched by 24 h of absolute time, not by a calendar day.
 */
import type { TimeWindowSpec } from '../api/plan.ts'
import { type Zone, dayStarts, instantOf, loadZone, localDay, plusDays } from './zone.ts'

/** A point in time to the nanosecond. */
export interface Instant {
  /** Milliseconds since the epoch. */
  readonly ms: number
  /** Nanoseconds past that millisecond, 0–999 999. Default 0. */
  readonly ns?: number
}

export interface Window {
  /** 0 is Sunday. Empty: never inside. */
  readonly days: ReadonlySet<number>
  /** Seconds since midnight. */
  readonly start: number
  readonly end: number
  /** The window starts later in the day than it ends. */
  readonly wraps: boolean
  readonly zone: Zone
}

export type WindowResult = { readonly ok: true; readonly window: Window } | { readonly ok: false; readonly error: string }

const DAY_MS = 86_400_000
const LAST_NS = 999_999
/** Every weekday comes up within these days, and once more should its window fall into a clock change. */
const SEARCH_DAYS = 15

/** Reads a window. `error` is the text of the Plan's Validated condition. */
export function parseWindow(spec: TimeWindowSpec): WindowResult {
  const days = parseDays(spec.days ?? [])
  if (typeof days === 'string') return invalid(days)
  const zone = loadZone(spec.timeZone ?? '')
  if (!zone.ok) return invalid(zone.error)
  const start = parseTimeOfDay(spec.startTime ?? '')
  if (start === undefined) return invalid(`Invalid time format: ${spec.startTime ?? ''}`)
  const end = parseTimeOfDay(spec.endTime ?? '')
  if (end === undefined) return invalid(`Invalid time format: ${spec.endTime ?? ''}`)
  const wraps = start.second > end.second || (start.second === end.second && start.ns > end.ns)
  return { ok: true, window: { days, start: start.second, end: end.second, wraps, zone: zone.zone } }
}

/** Whether work may start at that instant. The end's second counts to its last nanosecond. */
export function isInside(window: Window, at: number | Instant): boolean {
  const { ms, ns = 0 } = typeof at === 'number' ? { ms: at } : at
  const today = localDay(window.zone, ms)
  if (!window.days.has(today.weekday)) return false
  let start = instantOf(window.zone, today, window.start)
  let end = instantOf(window.zone, today, window.end) + 999
  if (window.wraps) {
    const beforeEnd = ms < end || (ms === end && ns < LAST_NS)
    if (beforeEnd) start -= DAY_MS
    else end += DAY_MS
  }
  return ms >= start && ms <= end
}

/** The first instant from `fromMs` on that is inside, in milliseconds; undefined if there is none within two weeks. */
export function nextOpening(window: Window, fromMs: number): number | undefined {
  if (window.days.size === 0) return undefined
  if (isInside(window, fromMs)) return fromMs
  const today = localDay(window.zone, fromMs)
  for (let ahead = 0; ahead <= SEARCH_DAYS; ahead++) {
    const day = plusDays(today, ahead)
    if (!window.days.has(day.weekday)) continue
    const start = instantOf(window.zone, day, window.start)
    const candidates = [...dayStarts(window.zone, day), start, start - DAY_MS].filter((at) => at > fromMs && isInside(window, at))
    if (candidates.length > 0) return Math.min(...candidates)
  }
  return undefined
}

/** When it closes, being open at that instant, in milliseconds; undefined if it does not within two weeks. */
export function closing(window: Window, fromMs: number): number | undefined {
  const today = localDay(window.zone, fromMs)
  for (let ahead = 0; ahead <= SEARCH_DAYS; ahead++) {
    const day = plusDays(today, ahead)
    const end = instantOf(window.zone, day, window.end) + 1000
    const starts = [...dayStarts(window.zone, day), ...dayStarts(window.zone, plusDays(day, 1))]
    const candidates = [...starts, end, end + DAY_MS].filter((at) => at > fromMs && !isInside(window, at))
    if (candidates.length > 0) return Math.min(...candidates)
  }
  return undefined
}

/**
 * What a reader of an overnight window may not expect: as in SUC, its hours after midnight belong to the day that begins there. Undefined for
 * other windows, and where every day is listed.
 */
export function overnightWarning(spec: TimeWindowSpec): string | undefined {
  const parsed = parseWindow(spec)
  if (!parsed.ok || !parsed.window.wraps || parsed.window.days.size === 0 || parsed.window.days.size === WEEKDAYS.length) return undefined
  const { days } = parsed.window
  const open = WEEKDAYS.filter((_, day) => days.has(day)).join(', ')
  return `spec.window passes midnight: as with SUC, on ${open} it is open from midnight to ${spec.endTime} and from ${spec.startTime} to midnight, and it closes at midnight unless the next day is listed too`
}

function invalid(cause: string): WindowResult {
  return { ok: false, error: `spec.window is invalid, ${cause}` }
}

const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

/** The set, or what is wrong. Names have two, three or all letters; an empty name is skipped. */
function parseDays(names: readonly string[]): ReadonlySet<number> | string {
  const days = new Set<number>()
  for (const name of names) {
    if (name === '') continue
    if (/^[+-]?\d{1,18}$/.test(name)) {
      const number = Number(name)
      if (number < 0 || number > 6) return `Invalid weekday, number out of range: ${name}`
      days.add(Math.abs(number))
      continue
    }
    const lower = name.toLowerCase()
    const day = WEEKDAYS.findIndex((weekday) => lower === weekday || lower === weekday.slice(0, 3) || lower === weekday.slice(0, 2))
    if (day < 0) return `Invalid weekday: ${name}`
    days.add(day)
  }
  return days
}

interface TimeOfDay {
  readonly second: number
  /** Only for telling which of two times within a second is the later one; the window itself has whole seconds. */
  readonly ns: number
}

// Go's layouts 15:04, 15:04:05, 03:04pm, 15, 03pm and 3pm, with what `time.Parse` lets pass besides: one digit for a 24-hour hour,
// a fraction after seconds, hour 00 before am and pm.
const TIME_24 = /^(\d{1,2})(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?$/
const TIME_12 = /^(?:(\d\d):(\d\d)|(\d{1,2}))(am|pm)$/

function parseTimeOfDay(text: string): TimeOfDay | undefined {
  const plain = TIME_24.exec(text)
  if (plain !== null) {
    const [, hour, minute = '0', second = '0', fraction = '0'] = plain
    return timeOfDay(Number(hour), Number(minute), Number(second), Number(fraction.slice(0, 9).padEnd(9, '0')))
  }
  const half = TIME_12.exec(text)
  if (half === null) return undefined
  const [, clockHour, minute = '0', bareHour, suffix] = half
  const hour = Number(clockHour ?? bareHour)
  if (hour > 12) return undefined
  return timeOfDay((hour % 12) + (suffix === 'pm' ? 12 : 0), Number(minute), 0, 0)
}

function timeOfDay(hour: number, minute: number, second: number, ns: number): TimeOfDay | undefined {
  if (hour > 23 || minute > 59 || second > 59) return undefined
  return { second: hour * 3600 + minute * 60 + second, ns }
}
