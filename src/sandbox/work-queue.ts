import type { Clock } from '../base/clock.ts'
import { after } from './timers.ts'

/** Keys waiting to be looked at. A key is worked on by one at a time; adding it meanwhile makes it come again. */
export interface WorkQueue {
  add(key: string): void
  /** The earliest of several times counts. */
  addAfter(key: string, ms: number): void
}

/** Longest wait after repeated failures of one key. */
const LONGEST_MS = 30_000

/**
 * Calls `reconcile` for each key, up to `parallel` at once (default 16). It may return milliseconds after which to come again.
 * What it throws makes the key come again, after 0.1 s doubling to 30 s.
 */
export function workQueue(
  clock: Clock,
  signal: AbortSignal,
  reconcile: (key: string) => Promise<number | undefined>,
  options: { readonly parallel?: number; readonly onError?: (key: string, error: unknown) => void } = {},
): WorkQueue {
  const parallel = options.parallel ?? 16
  const waiting = new Set<string>()
  const running = new Set<string>()
  const again = new Set<string>()
  const due = new Map<string, { readonly at: number; readonly cancel: () => void }>()
  const failures = new Map<string, number>()
  let asked = false

  function pump(): void {
    asked = false
    for (const key of waiting) {
      if (running.size >= parallel || signal.aborted) return
      waiting.delete(key)
      running.add(key)
      void work(key)
    }
  }

  async function work(key: string): Promise<void> {
    const timer = due.get(key)
    if (timer !== undefined && timer.at <= clock.mono()) due.delete(key)
    try {
      const ms = await reconcile(key)
      failures.delete(key)
      if (ms !== undefined) addAfter(key, ms)
    } catch (error) {
      if (!signal.aborted) {
        options.onError?.(key, error)
        const count = (failures.get(key) ?? 0) + 1
        failures.set(key, count)
        addAfter(key, Math.min(100 * 2 ** (count - 1), LONGEST_MS))
      }
    }
    running.delete(key)
    if (again.delete(key)) waiting.add(key)
    wake()
  }

  function wake(): void {
    if (asked || waiting.size === 0) return
    asked = true
    queueMicrotask(pump)
  }

  function add(key: string): void {
    if (running.has(key)) again.add(key)
    else {
      waiting.add(key)
      wake()
    }
  }

  function addAfter(key: string, ms: number): void {
    const at = clock.mono() + Math.max(0, ms)
    const known = due.get(key)
    if (known !== undefined && known.at <= at && known.at > clock.mono()) return
    known?.cancel()
    const cancel = after(clock, ms, () => {
      due.delete(key)
      if (!signal.aborted) add(key)
    })
    due.set(key, { at, cancel })
  }

  signal.addEventListener('abort', () => {
    for (const { cancel } of due.values()) cancel()
    due.clear()
  })
  return { add, addAfter }
}
