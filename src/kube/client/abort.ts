/** A controller that also aborts when `signal` does. Call `unlink` when done, or a long-lived signal collects listeners. */
export function linkedController(signal: AbortSignal): { readonly controller: AbortController; readonly unlink: () => void } {
  const controller = new AbortController()
  const follow = (): void => controller.abort(signal.reason)
  if (signal.aborted) follow()
  else signal.addEventListener('abort', follow, { once: true })
  return { controller, unlink: () => signal.removeEventListener('abort', follow) }
}

/** Resolves when the signal aborts; never rejects. For short-lived signals: the listener stays until then. */
export async function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
