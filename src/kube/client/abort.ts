/** A controller that also aborts when `signal` does. Call `unlink` when done, or a long-lived signal collects listeners. */
export function linkedController(signal: AbortSignal): { readonly controller: AbortController; readonly unlink: () => void } {
  const controller = new AbortController()
  const follow = (): void => controller.abort(signal.reason)
  if (signal.aborted) follow()
  else signal.addEventListener('abort', follow, { once: true })
  return { controller, unlink: () => signal.removeEventListener('abort', follow) }
}

/** Resolves when the signal aborts; never rejects. `unlink` as above. */
export function whenAborted(signal: AbortSignal): { readonly promise: Promise<void>; readonly unlink: () => void } {
  let unlink = (): void => {}
  const promise = new Promise<void>((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const listener = (): void => resolve()
    signal.addEventListener('abort', listener, { once: true })
    unlink = () => signal.removeEventListener('abort', listener)
  })
  return { promise, unlink }
}
