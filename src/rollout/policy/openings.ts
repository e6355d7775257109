/** When nodes of a Plan may be taken: its own window and the calendar of its policy together, and how long they stay open. */
import type { TimeWindowSpec } from '../../api/plan.ts'
import * as window from '../window.ts'
import { type Calendar, closing, nextOpen, opening } from './calendar.ts'

/** `until` undefined: it does not close, as far as can be seen. */
export interface Open {
  readonly at: number
  readonly until: number | undefined
}

/** One of the things that open and close. */
interface Part {
  readonly isOpen: (at: number) => boolean
  readonly opens: (from: number) => number | undefined
  readonly closes: (from: number) => number | undefined
}

/** Openings that are looked through for one that is long enough: a year of weekly windows. */
const MAX_OPENINGS = 60
/** Parts that are never open at once are given up after so many tries. */
const MAX_TRIES = 60

export interface Openings {
  readonly parts: readonly Part[]
}

/** Undefined = always open. A window that cannot be read counts for nothing: the Plan is not valid then, and held for that. */
export function openingsOf(spec: TimeWindowSpec | undefined, calendar: Calendar | undefined): Openings | undefined {
  const parsed = spec === undefined ? undefined : window.parseWindow(spec)
  const parts = [...(parsed?.ok === true ? [ofWindow(parsed.window)] : []), ...(calendar === undefined ? [] : [ofCalendar(calendar)])]
  return parts.length === 0 ? undefined : { parts }
}

const ofWindow = (one: window.Window): Part => ({
  isOpen: (at) => window.isInside(one, at),
  opens: (from) => window.nextOpening(one, from),
  closes: (from) => window.closing(one, from),
})

const ofCalendar = (calendar: Calendar): Part => ({
  isOpen: (at) => opening(calendar, at).open,
  opens: (from) => nextOpen(calendar, from),
  closes: (from) => closing(calendar, from),
})

/** The opening that lasts at that instant, or the next one; undefined if there is none. */
export function openingFrom({ parts }: Openings, fromMs: number): Open | undefined {
  let at = fromMs
  for (let step = 0; step < MAX_TRIES; step++) {
    const opens: number[] = []
    for (const part of parts) {
      const next = part.isOpen(at) ? at : part.opens(at)
      if (next === undefined) return undefined
      opens.push(next)
    }
    const latest = Math.max(at, ...opens)
    if (latest === at) {
      const closes = parts.map((part) => part.closes(at)).filter((close) => close !== undefined)
      return { at, until: closes.length === 0 ? undefined : Math.min(...closes) }
    }
    at = latest
  }
  return undefined
}

/** The first opening, from that instant on, of which so much is left; undefined if there is none. */
export function roomyOpening(openings: Openings, fromMs: number, leadMs: number): Open | undefined {
  let from = fromMs
  for (let step = 0; step < MAX_OPENINGS; step++) {
    const found = openingFrom(openings, from)
    if (found === undefined || found.until === undefined || found.until - found.at >= leadMs) return found
    from = found.until
  }
  return undefined
}
