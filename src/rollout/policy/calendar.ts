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

function nextOpen(calendar: Calendar, nowMs: number): number | undefined {
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

function excluding({ exclusions }: Calendar, at: number): ExclusionSpec | undefined {
  return exclusions.find(({ fromMs, toMs }) => fromMs <= at && at < toMs)
}

/** The end does not belong to the window: [occurrence, occurrence + duration). */
function isOpen({ windows }: Calendar, at: number): boolean {
  return windows.length === 0 || windows.some(({ cron, zone, durationMs }) => lastOccurrence(cron, zone, at, durationMs - 1) !== undefined)
}
