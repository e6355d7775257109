import http from 'node:http'
import https from 'node:https'
import type { Clock } from '../../base/clock.ts'
import { codeOf, messageOf, TransportError } from '../../base/errors.ts'
import { linkedController } from '../../base/abort.ts'

export interface Exchange {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly agent: http.Agent
  /** The request target, where it is not the URL's path: the absolute form, towards a proxy. */
  readonly target?: string
  /** Send once more when a kept-alive connection turns out to have been closed by the other side. Default false. */
  readonly replay?: boolean
}

const TCP_KEEP_ALIVE_MS = 30_000
const CLOSED_WHILE_IDLE = new Set(['ECONNRESET', 'EPIPE'])
/** The connection stood, or may have: the other side may have acted. */
const LOST = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ERR_STREAM_PREMATURE_CLOSE', 'HPE_INVALID_EOF_STATE'])

/** Sends the request and resolves when the answer's headers are there. Rejects with a `TransportError`. The signal also ends the body. */
export async function open(exchange: Exchange, signal: AbortSignal): Promise<http.IncomingMessage> {
  for (let attempt = 1; ; attempt += 1) {
    let request: http.ClientRequest | undefined
    try {
      return await new Promise<http.IncomingMessage>((resolve, reject) => {
        const { url, method, headers, body, agent } = exchange
        const secure = url.protocol === 'https:'
        const path = exchange.target === undefined ? {} : { path: exchange.target }
        request = (secure ? https : http).request(url, { method, headers, agent, signal, ...path })
        request.on('socket', (socket) => socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS))
        request.on('response', (response) => {
          // Who reads the body sees the error too; without any listener it would end the process.
          response.on('error', () => {})
          resolve(response)
        })
        request.on('error', reject)
        request.end(body)
      })
    } catch (error) {
      // Only a reused connection is closed under our hands this way; a fresh one that is reset has a reason.
      const stale = request?.reusedSocket === true && CLOSED_WHILE_IDLE.has(codeOf(error))
      if (exchange.replay === true && stale && attempt === 1 && !signal.aborted) continue
      throw transportError(error, signal)
    }
  }
}

/** The whole body; more than `maxBytes` is an error unless `cut`, which then keeps that much and hangs up. */
export async function readBody(response: http.IncomingMessage, maxBytes: number, signal: AbortSignal, cut = false): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response) {
      const bytes = chunk as Buffer
      chunks.push(bytes)
      length += bytes.length
      if (length <= maxBytes) continue
      if (!cut) throw new TransportError('BadAnswer', `The answer is longer than ${maxBytes} bytes`)
      break
    }
  } catch (error) {
    throw transportError(error, signal)
  }
  return Buffer.concat(chunks).subarray(0, maxBytes)
}

/** What went wrong on the way, in our terms. An abort whose reason is a `TransportError` (a deadline) is that error. */
export function transportError(error: unknown, signal: AbortSignal): TransportError {
  if (error instanceof TransportError) return error
  if (signal.aborted) {
    const reason: unknown = signal.reason
    return reason instanceof TransportError ? reason : new TransportError('Aborted', 'The request was aborted', reason)
  }
  const code = codeOf(error)
  // An answer that is not HTTP.
  if (code.startsWith('HPE_') && !LOST.has(code)) return new TransportError('BadAnswer', messageOf(error), error)
  return new TransportError(LOST.has(code) ? 'ConnectionLost' : 'ConnectionFailed', describe(error, code), error)
}

/** Node gives an empty message when every address of a name refused. */
function describe(error: unknown, code: string): string {
  const message = messageOf(error)
  return message === '' ? code : message
}

export interface Deadline {
  /** Aborts when the deadline passes or the outer signal aborts. */
  readonly signal: AbortSignal
  /** The deadline no longer counts; the outer signal still does. */
  lift(): void
  /** All is over: forget the outer signal too. */
  end(): void
}

/** A deadline on `clock`, whose passing is a `TransportError` with code `Timeout`. */
export function startDeadline(clock: Clock, ms: number, what: string, outer: AbortSignal): Deadline {
  const { controller, unlink } = linkedController(outer)
  const timer = new AbortController()
  clock.sleep(ms, timer.signal).then(
    () => controller.abort(new TransportError('Timeout', `${what}: no answer within ${ms} ms`)),
    () => {},
  )
  const lift = (): void => timer.abort()
  return {
    signal: controller.signal,
    lift,
    end() {
      lift()
      unlink()
    },
  }
}
