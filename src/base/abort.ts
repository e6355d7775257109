/**
 * A controller that also aborts when one of `signals` does, with the reason of that one. Call `unlink` when done, or a long-lived signal
 * collects listeners. Not AbortSignal.any: it forgets by weak references, and then its timing depends on the garbage collector.
 */
export function linkedController(...signals: readonly AbortSignal[]): {
  readonly controller: AbortController
  readonly unlink: () => void
} {
  const controller = new AbortController()
  const follow = (): void => {
    unlink()
    controller.abort(signals.find((signal) => signal.aborted)?.reason)
  }
  const unlink = (): void => {
    for (const signal of signals) signal.removeEventListener('abort', follow)
  }
  if (signals.some((signal) => signal.aborted)) follow()
  else for (const signal of signals) signal.addEventListener('abort', follow, { once: true })
  return { controller, unlink }
}

/** Resolves when the signal aborts; never rejects. For short-lived signals: the listener stays until then. */
export async function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
