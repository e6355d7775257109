/** Will it fit: a node is taken only while enough of the open time is left for it (design §6, `lead`). */
import type { RolloutMemory } from '../../api/memory.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import { formatTime } from '../../base/clock.ts'
import { formatMs } from '../../kube/objects/duration.ts'
import type { PlanGate } from '../gates/gate.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { type Open, openingFrom, openingsOf, roomyOpening } from './openings.ts'

const MINUTE_MS = 60_000

/** Milliseconds that have to be left; 0 = whatever is left will do. */
function leadOf({ rules, memory, conduct }: Pick<PlanState, 'rules' | 'memory' | 'conduct'>): number {
  if (conduct.mode === 'strict') return 0
  return rules.leadMs ?? (memory.durations?.longestSeconds ?? 0) * 1000
}

/**
 * What the memory should say of durations; undefined = what it says. Only where it is asked for, and only when a node took longer than any
 * before it, in whole minutes: so the writes are few, and a sample that comes twice does no harm. A new hash forgets the old one's once it
 * has a duration of its own.
 */
export function rememberDuration(state: PlanState, pass: Pass): RolloutMemory['durations'] {
  const { conduct, rules, plan, hash, memory } = state
  if (conduct.mode === 'strict' || rules.leadMs !== undefined || hash === '') return undefined
  if (plan.spec.window === undefined && rules.calendar === undefined) return undefined
  const longestSeconds = Math.ceil(pass.longest(state.key) / MINUTE_MS) * 60
  const known = memory.durations?.hash === hash ? memory.durations.longestSeconds : 0
  return longestSeconds > known ? { hash, longestSeconds } : undefined
}

/** From when on nodes are taken, by all that opens and closes, with the lead; undefined = never, as far as can be seen. */
export function nextTaking(state: PlanState, nowMs: number): Open | undefined {
  const openings = openingsOf(state.plan.spec.window, state.rules.calendar)
  return openings === undefined ? undefined : roomyOpening(openings, nowMs, leadOf(state))
}

export const willFit: PlanGate = (state, { world }) => {
  const leadMs = leadOf(state)
  const { plan, rules } = state
  const openings = leadMs === 0 ? undefined : openingsOf(plan.spec.window, rules.calendar)
  if (openings === undefined) return undefined
  const now = world.now.wall
  const open = openingFrom(openings, now)
  // Closed: what is closed says so itself.
  if (open === undefined || open.at > now || open.until === undefined || open.until - now >= leadMs) return undefined
  // When it closes, not how much is left: a text that changes with every look would be written with every look.
  const left = `open until ${formatTime(open.until)} only, and ${needed(state, leadMs)}`
  const next = roomyOpening(openings, open.until, leadMs)
  if (next !== undefined) return hold('WindowTooShort', `${left}; the next opening is at ${formatTime(next.at)}`, { retryAt: next.at })
  // Without a policy a window that was always too short goes on as its author knows it.
  return rules.policy === undefined ? undefined : neverFits(left, rules.policy.name)
}

function neverFits(left: string, policy: string): Hold {
  return hold(
    'WindowTooShort',
    `${left}; no opening to come is long enough: make the windows longer, or set spec.lead of RolloutPolicy ${policy} to a shorter duration`,
    { endedBy: 'person' },
  )
}

const needed = ({ rules }: PlanState, leadMs: number): string =>
  rules.leadMs === undefined ? `a node took ${duration(leadMs)}` : `RolloutPolicy ${rules.policy?.name} asks for ${duration(leadMs)}`

/** Whole seconds. */
const duration = (ms: number): string => formatMs(Math.floor(ms / 1000) * 1000)
