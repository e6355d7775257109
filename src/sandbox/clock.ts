import type { Clock } from '../base/clock.ts'
import { TransportError } from '../base/errors.ts'

/** Time of a simulated world. It stands still while anything computes, and jumps to the next timer when `run` finds nothing left to compute. */
export interface VirtualClock extends Clock {
  /**
   * Fires timers in order of virtual time until `until()` is true (asked whenever all processes have settled), no timer is left, or `limitMs`
   * milliseconds of virtual time have passed since the call.
   */
  run(options: { until?: () => boolean; limitMs: number }): Promise<'until' | 'idle' | 'limit'>
  /** Calls `fire` at monotonic time `atMs` (never earlier than now). Returns a function that cancels it. */
  at(atMs: number, fire: () => void): () => void
  /** Timers that wait. */
  readonly pending: number
  /** Timers that fired since the start. */
  readonly fired: number
}

/** A clock that can call back as well as make promises; `VirtualClock` is one, and `withTimers` makes one of any clock. */
export interface TimerClock extends Clock {
  at(atMs: number, fire: () => void): () => void
}

interface Timer {
  readonly at: number
  readonly tie: number
  readonly seq: number
  fire: (() => void) | undefined
}

const defaultStart = Date.UTC(2026, 0, 1)

/**
 * A virtual clock. `startWallMs` defaults to 2026-01-01T00:00:00Z. With `random`, timers of the same instant fire in a seeded order, so that
 * different seeds try different interleavings; without it, first in first out.
 */
export function virtualClock(options: { startWallMs?: number; random?: () => number } = {}): VirtualClock {
  const start = options.startWallMs ?? defaultStart
  const heap: Timer[] = []
  let now = 0
  let seq = 0
  let fired = 0
  let cancelled = 0

  function at(atMs: number, fire: () => void): () => void {
    const timer: Timer = { at: Math.max(now, atMs), tie: options.random?.() ?? 0, seq: seq++, fire }
    push(heap, timer)
    return () => {
      if (timer.fire === undefined) return
      timer.fire = undefined
      cancelled++
      if (cancelled > 1000 && cancelled > heap.length / 2) cancelled = sweep(heap)
    }
  }

  return {
    wall: () => start + now,
    mono: () => now,
    sleep: (ms, signal) => sleepOn(now + Math.max(0, ms), signal, at),
    at,
    async run({ until, limitMs }) {
      const limit = now + limitMs
      for (;;) {
        await settled()
        if (until?.() === true) return 'until'
        for (let next = heap[0]; next !== undefined && next.fire === undefined; next = heap[0]) {
          pop(heap)
          cancelled--
        }
        const next = heap[0]
        if (next === undefined) return 'idle'
        if (next.at > limit) {
          now = limit
          return 'limit'
        }
        pop(heap)
        now = next.at
        const fire = next.fire
        next.fire = undefined
        fired++
        fire?.()
      }
    },
    get pending() {
      return heap.length - cancelled
    },
    get fired() {
      return fired
    },
  }
}

/** The same time on a process whose wall clock is off by `wallOffsetMs`. */
export function skewed(clock: Clock, options: { wallOffsetMs: number }): Clock {
  return { wall: () => clock.wall() + options.wallOffsetMs, mono: () => clock.mono(), sleep: (ms, signal) => clock.sleep(ms, signal) }
}

/** Gives any clock the callbacks of a `TimerClock`; a virtual clock is used as it is. */
export function withTimers(clock: Clock): TimerClock {
  if ('at' in clock && typeof clock.at === 'function') return clock as TimerClock
  return {
    wall: () => clock.wall(),
    mono: () => clock.mono(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    at(atMs, fire) {
      const abort = new AbortController()
      clock.sleep(Math.max(0, atMs - clock.mono()), abort.signal).then(fire, () => undefined)
      return () => abort.abort()
    },
  }
}

/** The promise form of a timer. */
function sleepOn(atMs: number, signal: AbortSignal | undefined, at: TimerClock['at']): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(reasonOf(signal))
    const onAbort = (): void => {
      cancel()
      if (signal !== undefined) reject(reasonOf(signal))
    }
    const cancel = at(atMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

function reasonOf(signal: AbortSignal): unknown {
  return signal.reason ?? new TransportError('Aborted', 'aborted')
}

/** One turn of the event loop: by then every microtask, and whatever those queued, has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function before(a: Timer, b: Timer): boolean {
  if (a.at !== b.at) return a.at < b.at
  return a.tie !== b.tie ? a.tie < b.tie : a.seq < b.seq
}

function push(heap: Timer[], timer: Timer): void {
  let index = heap.length
  heap.push(timer)
  while (index > 0) {
    const parent = (index - 1) >> 1
    const above = heap[parent]
    if (above === undefined || !before(timer, above)) break
    heap[index] = above
    index = parent
  }
  heap[index] = timer
}

function pop(heap: Timer[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  sink(heap, 0, last)
}

function sink(heap: Timer[], from: number, timer: Timer): void {
  let index = from
  for (;;) {
    let child = 2 * index + 1
    let least = heap[child]
    if (least === undefined) break
    const right = heap[child + 1]
    if (right !== undefined && before(right, least)) {
      least = right
      child++
    }
    if (!before(least, timer)) break
    heap[index] = least
    index = child
  }
  heap[index] = timer
}

/** Drops cancelled timers, so that a world of short deadlines does not grow. Returns how many cancelled ones are left: none. */
function sweep(heap: Timer[]): number {
  const live = heap.filter((timer) => timer.fire !== undefined)
  heap.length = 0
  for (const timer of live) push(heap, timer)
  return 0
}
