/** Cron expressions of five fields, as CronJobs have them: minute, hour, day of month, month, day of week. */
import { instantOf, type LocalDay, localDay, plusDays, type Zone } from '../zone.ts'

export interface Cron {
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly matches: (day: LocalDay) => boolean
}

export type CronResult = { readonly ok: true; readonly cron: Cron } | { readonly ok: false; readonly error: string }

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT']
/** 29 February comes at least once in eight years, also around 2100. */
const SEARCH_DAYS = 8 * 366

export function parseCron(text: string): CronResult {
  const fields = text.trim().split(/\s+/)
  if (fields.length !== 5)
    return { ok: false, error: `cron expression ${JSON.stringify(text)} must have five fields, such as 0 22 * * SAT` }
  const [minute = '', hour = '', dayOfMonth = '', month = '', dayOfWeek = ''] = fields
  const parts = {
    minutes: parseField(minute, 0, 59),
    hours: parseField(hour, 0, 23),
    daysOfMonth: parseField(dayOfMonth, 1, 31),
    months: parseField(month, 1, 12, MONTHS, 1),
    daysOfWeek: parseField(dayOfWeek, 0, 7, DAYS, 0),
  }
  for (const part of Object.values(parts))
    if (typeof part === 'string') return { ok: false, error: `cron expression ${JSON.stringify(text)}: ${part}` }
  const { minutes, hours, daysOfMonth, months, daysOfWeek } = parts as Record<keyof typeof parts, readonly number[]>
  const weekdays = new Set(daysOfWeek.map((day) => day % 7))
  // As in every cron since Vixie's: where both kinds of day are restricted, either will do.
  const either = !dayOfMonth.startsWith('*') && !dayOfWeek.startsWith('*')
  const matches = (day: LocalDay): boolean => {
    if (!months.includes(day.month)) return false
    const [byMonth, byWeek] = [daysOfMonth.includes(day.day), weekdays.has(day.weekday)]
    return either ? byMonth || byWeek : byMonth && byWeek
  }
  return { ok: true, cron: { minutes, hours, matches } }
}

/** The last occurrence at or before that instant, at most `withinMs` before it. */
export function lastOccurrence(cron: Cron, zone: Zone, atMs: number, withinMs: number): number | undefined {
  const days = Math.ceil(withinMs / 86_400_000) + 1
  const today = localDay(zone, atMs)
  for (let back = 0; back <= days; back++) {
    const found = occurrences(cron, zone, plusDays(today, -back), atMs - withinMs, atMs)
    if (found.length > 0) return Math.max(...found)
  }
  return undefined
}

/** The first occurrence after that instant; undefined if there is none within eight years. */
export function nextOccurrence(cron: Cron, zone: Zone, afterMs: number): number | undefined {
  const today = localDay(zone, afterMs)
  for (let ahead = 0; ahead <= SEARCH_DAYS; ahead++) {
    const [found] = occurrences(cron, zone, plusDays(today, ahead), afterMs + 1, Number.POSITIVE_INFINITY)
    if (found !== undefined) return found
  }
  return undefined
}

/** Clocks are put forward and back by less than this at once. */
const SHIFT_MS = 4 * 3_600_000

/** Those of a day that fall into the span, in their order; of a span without an end, only the first few. What lies hours away is not worked out. */
function occurrences(cron: Cron, zone: Zone, day: LocalDay, fromMs: number, toMs: number): readonly number[] {
  if (!cron.matches(day)) return []
  const begin = instantOf(zone, day, 0)
  const found: number[] = []
  for (const hour of cron.hours) {
    const about = begin + hour * 3_600_000
    if (about + 3_600_000 + SHIFT_MS < fromMs) continue
    if (about - SHIFT_MS > toMs || (!Number.isFinite(toMs) && about - SHIFT_MS > (found[0] ?? toMs))) break
    for (const at of ofHour(cron, zone, day, hour)) if (at >= fromMs && at <= toMs) found.push(at)
    found.sort((a, b) => a - b)
  }
  return found
}

/** Minutes of an hour without a clock change are apart by what the clock says. */
function ofHour({ minutes }: Cron, zone: Zone, day: LocalDay, hour: number): readonly number[] {
  const [first, last] = [instantOf(zone, day, hour * 3600), instantOf(zone, day, hour * 3600 + 3540)]
  if (last - first === 3_540_000) return minutes.map((minute) => first + minute * 60_000)
  return minutes.map((minute) => instantOf(zone, day, hour * 3600 + minute * 60))
}

/** The values of a field, or what is wrong with it. */
function parseField(text: string, least: number, most: number, names: readonly string[] = [], firstName = 0): readonly number[] | string {
  const values = new Set<number>()
  for (const item of text.split(',')) {
    const match = /^(\*|[A-Za-z0-9]+(?:-[A-Za-z0-9]+)?)(?:\/([0-9]{1,3}))?$/.exec(item)
    if (match === null) return `${JSON.stringify(item)} is not understood`
    const [, range = '', stepText] = match
    const step = stepText === undefined ? 1 : Number(stepText)
    if (step === 0) return `step 0 in ${JSON.stringify(item)}`
    const [firstText = '', lastText] = range === '*' ? [String(least), String(most)] : range.split('-')
    const first = valueOf(firstText, names, firstName)
    // `5/15` means from 5 on.
    const last = lastText === undefined ? (stepText === undefined ? first : most) : valueOf(lastText, names, firstName)
    if (first === undefined || last === undefined) return `${JSON.stringify(item)} is not understood`
    if (first < least || last > most || first > last) return `${JSON.stringify(item)} must lie within ${least}-${most}`
    for (let value = first; value <= last; value += step) values.add(value)
  }
  return [...values].toSorted((a, b) => a - b)
}

function valueOf(text: string, names: readonly string[], firstName: number): number | undefined {
  if (/^[0-9]{1,3}$/.test(text)) return Number(text)
  const index = names.indexOf(text.toUpperCase())
  return index === -1 ? undefined : index + firstName
}
