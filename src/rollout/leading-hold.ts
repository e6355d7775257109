/** The hold that a reader wants first, with all that is asked about it: what, since when, which node, who can end it. */
import type { LeadingHold } from '../api/plan.ts'
import type { Hold } from '../api/reasons.ts'
import { formatTime } from '../base/clock.ts'
import type { Moment, PlanReport } from './world.ts'

/** The Plan's own, else the first node's. */
export function findLeading(report: PlanReport): { readonly hold: Hold; readonly node?: string } | undefined {
  const [first] = report.holds
  if (first !== undefined) return { hold: first }
  for (const [node, { phase, holds }] of report.nodes) {
    const [held] = holds
    if (held !== undefined && phase !== 'Done') return { hold: held, node }
  }
  return undefined
}

/** As the status shows it. `before` is what it showed: a new leader does not make the hold look younger. */
export function tellLeading(hold: Hold, node: string | undefined, before: LeadingHold | undefined, now: Moment): LeadingHold {
  const since = formatTime(hold.since ?? now.wall)
  const same = before?.reason === hold.reason && before.node === node
  return {
    reason: hold.reason,
    message: hold.message,
    since: same && before.since < since ? before.since : since,
    ...(node === undefined ? {} : { node }),
    endedBy: hold.endedBy,
    ...(hold.blockedBy === undefined ? {} : { blockedBy: hold.blockedBy }),
    // Other holds are looked at again every few seconds; that time would be out of date at once.
    ...(hold.endedBy !== 'time' || hold.retryAt === undefined ? {} : { retryAt: formatTime(hold.retryAt) }),
  }
}
