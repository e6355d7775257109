/** Growing waits between attempts: `baseMs` · 2ⁿ up to `maxMs`, each with up to `jitter` (a fraction of it) on top. */
export interface Backoff {
  /** The next wait in milliseconds. */
  next(): number
  reset(): void
}

export interface BackoffOptions {
  readonly baseMs: number
  readonly maxMs: number
  /** Default 0.5: half as much again at most, so that many clients spread. */
  readonly jitter?: number
  readonly random: () => number
}

export function createBackoff({ baseMs, maxMs, jitter = 0.5, random }: BackoffOptions): Backoff {
  let attempt = 0
  return {
    next() {
      const plain = exponential(baseMs, maxMs, attempt)
      attempt += 1
      return plain * (1 + jitter * random())
    },
    reset() {
      attempt = 0
    },
  }
}

/** `baseMs` · 2^attempt, at most `maxMs`; safe for any attempt count. */
export function exponential(baseMs: number, maxMs: number, attempt: number): number {
  return Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 40))
}
