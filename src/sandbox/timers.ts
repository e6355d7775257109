import type { Clock } from '../base/clock.ts'
import { withTimers } from './clock.ts'

/** Calls `fire` after `ms` milliseconds unless cancelled. */
export function after(clock: Clock, ms: number, fire: () => void): () => void {
  return withTimers(clock).at(clock.mono() + Math.max(0, ms), fire)
}

/** Sleeps; false when the signal aborted first (or had aborted before). */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  return clock.sleep(ms, signal).then(
    () => !signal.aborted,
    () => false,
  )
}
