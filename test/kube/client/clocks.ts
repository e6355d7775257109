import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import { linkedController } from '../../../src/base/abort.ts'
import type { Clock } from '../../../src/base/clock.ts'

export interface VirtualClock extends Clock {
  /** Lets `ms` milliseconds pass, waking sleepers in order and letting each go as far as it can. */
  advance(ms: number): Promise<void>
  readonly sleepers: number
}

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

/** Time that stands still until it is told to move. Starts at 2026-01-01T00:00:00Z. */
export function virtualClock(): VirtualClock {
  let now = 0
  const sleepers = new Set<Sleeper>()
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 5; i += 1) await setImmediate()
  }
  return {
    wall: () => Date.UTC(2026, 0, 1) + now,
    mono: () => now,
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        const stop = (): void => {
          sleepers.delete(sleeper)
          reject(signal?.reason)
        }
        const sleeper: Sleeper = {
          due: now + Math.max(0, ms),
          wake: () => {
            signal?.removeEventListener('abort', stop)
            resolve()
          },
        }
        if (signal?.aborted) {
          reject(signal.reason)
          return
        }
        signal?.addEventListener('abort', stop, { once: true })
        sleepers.add(sleeper)
      })
    },
    async advance(ms) {
      const until = now + ms
      await settle()
      for (;;) {
        const next = [...sleepers].filter(({ due }) => due <= until).sort((a, b) => a.due - b.due)[0]
        if (next === undefined) break
        sleepers.delete(next)
        now = Math.max(now, next.due)
        next.wake()
        await settle()
      }
      now = until
      await settle()
    },
    get sleepers() {
      return sleepers.size
    },
  }
}

/** A fast clock that can leap: what sleeps then has that much less to sleep. */
export interface LeapingClock extends Clock {
  leap(ms: number): void
}

/** Real time, `factor` times as fast: for waits of minutes against real sockets. */
export function fastClock(factor: number): LeapingClock {
  const start = performance.now()
  let leapt = 0
  let landing = new AbortController()
  const mono = (): number => (performance.now() - start) * factor + leapt
  return {
    wall: () => Date.UTC(2026, 0, 1) + mono(),
    mono,
    async sleep(ms, signal) {
      const due = mono() + Math.max(0, ms)
      do {
        const { controller, unlink } = linkedController(landing.signal, ...(signal === undefined ? [] : [signal]))
        try {
          await delay(Math.ceil(Math.max(0, due - mono()) / factor), undefined, { signal: controller.signal })
        } catch (error) {
          if (signal?.aborted === true) throw error
        } finally {
          unlink()
        }
        // Node's timers may be early by a fraction of a millisecond.
      } while (mono() < due)
    },
    leap(ms) {
      leapt += ms
      const landed = landing
      landing = new AbortController()
      landed.abort()
    },
  }
}
