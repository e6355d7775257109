/** What the caller may do about an error. */
export type Retry = 'backoff' | 'after' | 'never'

/** Base of all errors that Drover raises on purpose. `code` is stable and listed in docs/errors.md. */
export class DroverError extends Error {
  readonly code: string
  readonly retry: Retry
  /** With `retry: 'after'`: milliseconds the other side asked to wait. */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, options: { retry: Retry; retryAfterMs?: number | undefined; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DroverError'
    this.code = code
    this.retry = options.retry
    this.retryAfterMs = options.retryAfterMs
  }
}

/** No answer came: connection refused, reset or lost, deadline passed, aborted. Whether the server acted is unknown. */
export class TransportError extends DroverError {
  constructor(code: 'ConnectionFailed' | 'ConnectionLost' | 'Timeout' | 'Aborted' | 'BadAnswer', message: string, cause?: unknown) {
    super(code, message, { retry: 'backoff', cause })
    this.name = 'TransportError'
  }
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The word by which Node names an error of the system, such as `ECONNREFUSED`; empty where there is none. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
