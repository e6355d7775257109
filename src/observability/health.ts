/** Whether the process is alive and ready, as plain facts that others report. Serving them is in server.ts. */
export interface Health {
  /** The main loop, or a replica's wait for leadership, went round once more. */
  beat(): void
  /** Something that must be there before the controller can work (a cache, for example) is there, or is not any more. */
  ready(what: string, isReady: boolean): void
  /** What is wrong with the loop; undefined = alive. */
  lifeless(): string | undefined
  /** What is missing; empty = ready. */
  missing(): readonly string[]
}

/**
 * Facts about a process.
 * @param mono milliseconds that never go back
 * @param deadlineMs a loop that did not beat for so long is stuck; it must beat even when there is nothing to do
 * @param needs what `ready` must be told of before the process counts as ready
 */
export function createHealth(mono: () => number, deadlineMs: number, needs: readonly string[]): Health {
  let last = mono()
  const missing = new Set(needs)
  return {
    beat() {
      last = mono()
    },
    ready(what, isReady) {
      if (isReady) missing.delete(what)
      else missing.add(what)
    },
    lifeless() {
      const silent = mono() - last
      return silent > deadlineMs ? `no pass for ${Math.round(silent / 1000)} s, allowed are ${Math.round(deadlineMs / 1000)} s` : undefined
    },
    missing: () => [...missing].toSorted(),
  }
}
