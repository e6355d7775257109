import type { Clock } from '../../base/clock.ts'

/** At most `burst` at once and `perSecond` in the long run. */
export interface TokenBucket {
  /** Takes a token if there is one. */
  take(): boolean
  /** Waits for a token, first come first served; rejects with the signal's reason. */
  wait(signal: AbortSignal): Promise<void>
}

export function createTokenBucket(clock: Clock, perSecond: number, burst: number): TokenBucket {
  let tokens = burst
  let at = clock.mono()

  function refill(): void {
    const now = clock.mono()
    tokens = Math.min(burst, tokens + ((now - at) / 1000) * perSecond)
    at = now
  }

  return {
    take() {
      refill()
      if (tokens < 1) return false
      tokens -= 1
      return true
    },
    async wait(signal) {
      refill()
      // Below zero is a debt: each waiter takes its token now and sleeps until it is paid for, so the order is that of arrival.
      tokens -= 1
      if (tokens >= 0) return
      try {
        await clock.sleep((-tokens / perSecond) * 1000, signal)
      } catch (error) {
        tokens += 1
        throw error
      }
    },
  }
}
