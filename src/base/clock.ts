import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'

/** Time as a process sees it. Durations are measured with `mono`; `wall` is for what people and the API server read. */
export interface Clock {
  /** Milliseconds since the epoch. May jump. */
  wall(): number
  /** Milliseconds since an arbitrary start. Never goes back. */
  mono(): number
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** RFC 3339 in whole seconds, as `metav1.Time` is written. */
export function formatTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`
}

/** RFC 3339 with microseconds, as `metav1.MicroTime` is written. */
export function formatMicroTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 23)}000Z`
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  mono: () => performance.now(),
  async sleep(ms, signal) {
    await delay(Math.max(0, ms), undefined, signal === undefined ? {} : { signal })
  },
}
