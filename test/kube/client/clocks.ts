import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
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

/** Real time, `factor` times as fast: for waits of minutes against real sockets. */
export function fastClock(factor: number): Clock {
  const start = performance.now()
  const mono = (): number => (performance.now() - start) * factor
  return {
    wall: () => Date.UTC(2026, 0, 1) + mono(),
    mono,
    async sleep(ms, signal) {
      await delay(Math.max(0, ms / factor), undefined, signal === undefined ? {} : { signal })
    },
  }
}
