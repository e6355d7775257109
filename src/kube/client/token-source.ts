import type { Clock } from '../../base/clock.ts'
import { messageOf, TransportError } from '../../base/errors.ts'

/** Service account tokens are rotated on disk long before they expire; this is how often the file is looked at. */
const REREAD_MS = 60_000

/**
 * A bearer token that is read again every minute, and when the one in hand is named as `refused`. Concurrent callers share one reading. A
 * reading that fails rejects and is tried again at the next call, but while the last token is not known to be refused it goes on being used.
 */
export function createTokenSource(clock: Clock, what: string, read: () => Promise<string>): (refused?: string) => Promise<string> {
  let token: string | undefined
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<string> | undefined

  async function reread(): Promise<string> {
    try {
      const text = (await read()).trim()
      if (text === '') throw new Error('it is empty')
      token = text
      readAt = clock.mono()
      return text
    } catch (error) {
      throw new TransportError('ConnectionFailed', `No bearer token from ${what}: ${messageOf(error)}`, error)
    } finally {
      reading = undefined
    }
  }

  return async (refused) => {
    if (token !== undefined && token !== refused && clock.mono() - readAt < REREAD_MS) return token
    reading ??= reread()
    try {
      return await reading
    } catch (error) {
      if (token === undefined || token === refused) throw error
      return token
    }
  }
}
