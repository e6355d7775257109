import type { Clock } from '../../base/clock.ts'
import { linkedController, whenAborted } from '../../base/abort.ts'
import { exponential } from './backoff.ts'

export interface QueueOptions {
  readonly clock: Clock
  /** First wait after a failure in milliseconds. Default 1 000. */
  readonly baseMs?: number
  /** Longest wait after a failure. Default 5 min. */
  readonly maxMs?: number
}

/** Named like client-go's `workqueue_*` metrics; durations in milliseconds. */
export interface QueueMetrics {
  readonly depth: number
  readonly adds: number
  readonly retries: number
  /** Sum and count of the time from add to next. */
  readonly queueDurationMs: { readonly sum: number; readonly count: number }
  /** Sum and count of the time from next to done. */
  readonly workDurationMs: { readonly sum: number; readonly count: number }
  /** Of the keys being worked on now. */
  readonly unfinishedWorkMs: number
  readonly longestRunningMs: number
}

/**
 * Keys that want work. A key is queued once however often it is added, and is never given to two workers: added while being worked on,
 * it comes again after `done`.
 */
export interface Queue {
  add(key: string): void
  /** As `add` in `ms` milliseconds; of several times the earliest stands. */
  addAfter(key: string, ms: number): void
  /** The next key; undefined when the queue is shut down and empty, or the signal aborts. */
  next(signal: AbortSignal): Promise<string | undefined>
  /** Work on the key has ended. */
  done(key: string): void
  /** Work on the key failed: adds it again after its own backoff (1 s, 2 s, 4 s … 5 min), or after `atLeastMs` if that is longer. Returns the wait. */
  fail(key: string, atLeastMs?: number): number
  /** The key is fine again: its backoff starts anew. */
  forget(key: string): void
  /** Monotonic time at which a delayed key becomes ready; undefined if none is pending. */
  readyAt(key: string): number | undefined
  /** Takes no more keys and drops delayed ones. Resolves when what was queued is handed out and done; workers must keep on asking. */
  shutDown(): Promise<void>
  metrics(): QueueMetrics
}

export function createQueue({ clock, baseMs = 1_000, maxMs = 300_000 }: QueueOptions): Queue {
  const ready = new Map<string, number>()
  const working = new Map<string, number>()
  const again = new Set<string>()
  const delayed = new Map<string, number>()
  const failures = new Map<string, number>()
  const waiting = new Set<() => void>()
  const drained: (() => void)[] = []
  const totals = { adds: 0, retries: 0, queue: { sum: 0, count: 0 }, work: { sum: 0, count: 0 } }
  let down = false

  function wake(): void {
    for (const waiter of waiting) waiter()
    if (down && ready.size === 0 && working.size === 0) for (const resolve of drained.splice(0)) resolve()
  }

  function enqueue(key: string): void {
    if (ready.has(key) || again.has(key)) return
    totals.adds += 1
    if (working.has(key)) again.add(key)
    else ready.set(key, clock.mono())
  }

  /** Queues what is due; returns the time of the next, if any. */
  function release(): number | undefined {
    const now = clock.mono()
    let earliest: number | undefined
    for (const [key, due] of delayed) {
      if (due > now) {
        earliest = Math.min(earliest ?? due, due)
        continue
      }
      delayed.delete(key)
      enqueue(key)
    }
    return earliest
  }

  function take(): string | undefined {
    for (const [key, since] of ready) {
      const now = clock.mono()
      ready.delete(key)
      working.set(key, now)
      totals.queue.sum += now - since
      totals.queue.count += 1
      return key
    }
    return undefined
  }

  /** Until something is added, `due` has come, or the signal aborts. */
  async function pause(due: number | undefined, signal: AbortSignal): Promise<void> {
    const { controller, unlink } = linkedController(signal)
    const wakeUp = (): void => controller.abort()
    waiting.add(wakeUp)
    try {
      if (due !== undefined) await clock.sleep(Math.max(0, due - clock.mono()), controller.signal)
      else await whenAborted(controller.signal)
    } catch {
      // Woken early.
    } finally {
      waiting.delete(wakeUp)
      unlink()
    }
  }

  function addAfter(key: string, ms: number): void {
    if (down) return
    const due = clock.mono() + Math.max(0, ms)
    const pending = delayed.get(key)
    if (pending !== undefined && pending <= due) return
    delayed.set(key, due)
    wake()
  }

  return {
    add(key) {
      if (down) return
      enqueue(key)
      wake()
    },
    addAfter,
    async next(signal) {
      for (;;) {
        if (signal.aborted) return undefined
        const due = release()
        const key = take()
        if (key !== undefined) return key
        if (down) return undefined
        await pause(due, signal)
      }
    },
    done(key) {
      const since = working.get(key)
      if (since === undefined) return
      working.delete(key)
      totals.work.sum += clock.mono() - since
      totals.work.count += 1
      if (again.delete(key)) ready.set(key, clock.mono())
      wake()
    },
    fail(key, atLeastMs = 0) {
      const count = failures.get(key) ?? 0
      failures.set(key, count + 1)
      totals.retries += 1
      const wait = Math.max(atLeastMs, exponential(baseMs, maxMs, count))
      addAfter(key, wait)
      return wait
    },
    forget(key) {
      failures.delete(key)
    },
    readyAt: (key) => delayed.get(key),
    async shutDown() {
      down = true
      delayed.clear()
      const empty = new Promise<void>((resolve) => drained.push(resolve))
      wake()
      await empty
    },
    metrics() {
      const now = clock.mono()
      const running = [...working.values()].map((since) => now - since)
      return {
        depth: ready.size,
        adds: totals.adds,
        retries: totals.retries,
        queueDurationMs: { ...totals.queue },
        workDurationMs: { ...totals.work },
        unfinishedWorkMs: running.reduce((sum, ms) => sum + ms, 0),
        longestRunningMs: Math.max(0, ...running),
      }
    },
  }
}
