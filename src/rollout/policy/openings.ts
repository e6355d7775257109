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
  /** What they are made of, as long as nobody edits it. */
  readonly from: readonly [TimeWindowSpec | undefined, Calendar | undefined]
}

/** Undefined = always open. A window that cannot be read counts for nothing: the Plan is not valid then, and held for that. */
export function openingsOf(spec: TimeWindowSpec | undefined, calendar: Calendar | undefined): Openings | undefined {
  const parsed = spec === undefined ? undefined : window.parseWindow(spec)
  const parts = [...(parsed?.ok === true ? [ofWindow(parsed.window)] : []), ...(calendar === undefined ? [] : [ofCalendar(calendar)])]
  return parts.length === 0 ? undefined : { parts, from: [spec, calendar] }
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

interface Answer {
  readonly from: Openings['from']
  readonly fromMs: number
  readonly leadMs: number
  readonly open: Open | undefined
}

/** The last answer, by what it is about: it is asked for in every pass, and a long search must not be made in each. */
const answers = new WeakMap<object, Answer>()
/** That there is none is believed for so long. */
const LOOK_AGAIN_MS = 600_000

/** The first opening, from that instant on, of which so much is left; undefined if there is none. */
export function roomyOpening(openings: Openings, fromMs: number, leadMs: number): Open | undefined {
  const about = openings.from[1] ?? openings.from[0] ?? openings
  const last = answers.get(about)
  const same = last?.leadMs === leadMs && last.from[0] === openings.from[0] && last.from[1] === openings.from[1]
  // Until then every opening is too short, also what is left of it.
  if (same && last.fromMs <= fromMs && fromMs <= (last.open?.at ?? last.fromMs + LOOK_AGAIN_MS)) return last.open
  const open = search(openings, fromMs, leadMs)
  answers.set(about, { from: openings.from, fromMs, leadMs, open })
  return open
}

function search(openings: Openings, fromMs: number, leadMs: number): Open | undefined {
  let from = fromMs
  for (let step = 0; step < MAX_OPENINGS; step++) {
    const found = openingFrom(openings, from)
    if (found === undefined || found.until === undefined || found.until - found.at >= leadMs) return found
    from = found.until
  }
  return undefined
}
