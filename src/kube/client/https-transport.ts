import http from 'node:http'
import https from 'node:https'
import type { Clock } from '../../base/clock.ts'
import { TransportError } from '../../base/errors.ts'
import { type Json, parseJson, stringifyJson } from '../../base/json.ts'
import type { Log } from '../../base/log.ts'
import type { Request, Response, Transport, WatchResponse } from '../../base/process.ts'
import { type Deadline, type Exchange, open, readBody, startDeadline, transportError } from './http-exchange.ts'
import { lines } from './lines.ts'
import { pathTemplate } from './path-template.ts'
import { parseRetryAfter } from './retry-after.ts'
import { createTokenBucket } from './token-bucket.ts'

/** What TLS needs to know; certificates and keys in PEM. */
export interface TlsMaterial {
  /** Instead of the system's roots. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  /** Default true. */
  readonly rejectUnauthorized?: boolean
}

/** One finished request, for metrics. */
export interface Call {
  readonly verb: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'WATCH'
  /** The path without names. */
  readonly template: string
  /** Status code, or `<error>` when no answer came (as client-go counts it). */
  readonly code: string
  /** Until the whole answer was there; of a watch until its headers. */
  readonly seconds: number
}

export interface HttpsTransportOptions {
  /** `https://host:port`, also `http:` and with a path prefix. */
  readonly server: string
  readonly clock: Clock
  readonly log: Log
  /** Asked before each request; the same object while nothing changed. A new one gets new connections. */
  readonly tls?: () => TlsMaterial
  /** Makes connections in another way, such as through a proxy; then `tls` is its own business. */
  readonly agent?: http.Agent
  /** Bearer token; `refused` = this one got a 401, look for another. Undefined = none. A rejection fails the request. */
  readonly token?: (refused?: string) => Promise<string | undefined>
  /** Sent with every request, e.g. impersonation or basic authentication. */
  readonly headers?: Readonly<Record<string, string>>
  /** Default `drover`. */
  readonly userAgent?: string
  /** Requests a second in the long run, watches aside. Default 50. */
  readonly qps?: number
  /** Requests at once. Default 100. */
  readonly burst?: number
  readonly observe?: (call: Call) => void
}

/** `close` drops idle connections and refuses nothing: what is under way ends by its own signal. */
export type HttpsTransport = Transport & { close(): void }

const TIMEOUT_MS = 30_000
/** A page of 500 nodes of 20 KB is 10 MB; beyond this something is wrong. */
const MAX_BODY_BYTES = 128 * 1024 * 1024
const MAX_LINE = 32 * 1024 * 1024
const MAX_SOCKETS = 128
/** As many as requests are under way at once in a busy rollout: a new TLS connection costs more than an idle one. */
const MAX_IDLE_SOCKETS = 32
const IDLE_MS = 30_000

export function createHttpsTransport(options: HttpsTransportOptions): HttpsTransport {
  const { clock, log, token, observe, userAgent = 'drover' } = options
  const server = new URL(options.server)
  const prefix = server.pathname.replace(/\/+$/, '')
  const bucket = createTokenBucket(clock, options.qps ?? 50, options.burst ?? 100)
  let material: TlsMaterial | undefined
  let agent: http.Agent | undefined = options.agent

  function currentAgent(): http.Agent {
    if (options.agent !== undefined) return options.agent
    const wanted = options.tls?.()
    if (agent !== undefined && wanted === material) return agent
    if (agent !== undefined) retire(agent)
    material = wanted
    const pool = { keepAlive: true, keepAliveMsecs: IDLE_MS, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_IDLE_SOCKETS }
    agent = server.protocol === 'https:' ? new https.Agent({ ...pool, ...material }) : new http.Agent(pool)
    return agent
  }

  function urlOf(request: Request): URL {
    const url = new URL(`${server.origin}${prefix}${request.path}`)
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value)
    return url
  }

  function exchangeOf(request: Request, bearer: string | undefined): Exchange {
    const body = request.body === undefined ? undefined : stringifyJson(request.body)
    const headers: Record<string, string> = { ...options.headers, 'user-agent': userAgent, accept: request.accept ?? 'application/json' }
    if (bearer !== undefined) headers['authorization'] = `Bearer ${bearer}`
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json'
      headers['content-length'] = String(Buffer.byteLength(body))
    }
    return {
      url: urlOf(request),
      method: request.method,
      headers,
      agent: currentAgent(),
      replay: true,
      ...(body === undefined ? {} : { body }),
    }
  }

  /** Headers of the answer; a refused token is read anew once. */
  async function answer(request: Request, signal: AbortSignal): Promise<http.IncomingMessage> {
    const bearer = await token?.()
    const response = await open(exchangeOf(request, bearer), signal)
    if (response.statusCode !== 401 || token === undefined) return response
    const renewed = await token(bearer)
    if (renewed === undefined || renewed === bearer) return response
    response.resume()
    return open(exchangeOf(request, renewed), signal)
  }

  /** Runs one call under its deadline and tells the hooks how it went. */
  async function call<R extends { readonly status: number }>(
    verb: Call['verb'],
    request: Request,
    outer: AbortSignal,
    run: (deadline: Deadline) => Promise<R>,
  ): Promise<R> {
    const deadline = startDeadline(clock, request.timeoutMs ?? TIMEOUT_MS, `${verb} ${request.path}`, outer)
    const began = clock.mono()
    let code = '<error>'
    try {
      const result = await run(deadline)
      code = String(result.status)
      if (verb !== 'WATCH' || result.status !== 200) deadline.end()
      return result
    } catch (error) {
      deadline.end()
      throw transportError(error, deadline.signal)
    } finally {
      const seconds = (clock.mono() - began) / 1000
      observe?.({ verb, template: pathTemplate(request.path), code, seconds })
      log.debug('API request', { verb, path: request.path, code, seconds })
    }
  }

  async function admitted(signal: AbortSignal): Promise<void> {
    try {
      await bucket.wait(signal)
    } catch (error) {
      throw transportError(error, signal)
    }
  }

  async function unary(request: Request, signal: AbortSignal): Promise<Response> {
    const response = await answer(request, signal)
    return { ...statusOf(response), body: decode(await readBody(response, MAX_BODY_BYTES, signal), response) }
  }

  function statusOf(response: http.IncomingMessage): { readonly status: number; readonly retryAfterMs?: number } {
    const retryAfterMs = parseRetryAfter(response.headers['retry-after'], clock.wall())
    return { status: response.statusCode ?? 0, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }

  return {
    async send(request, signal) {
      await admitted(signal)
      return call(request.method, request, signal, (deadline) => unary(request, deadline.signal))
    },
    watch(request, signal) {
      return call<WatchResponse>('WATCH', request, signal, async (deadline) => {
        const response = await answer(request, deadline.signal)
        if (response.statusCode !== 200) {
          const body = decode(await readBody(response, MAX_BODY_BYTES, deadline.signal), response)
          return { ...statusOf(response), body, events: nothing() }
        }
        deadline.lift()
        return { ...statusOf(response), events: events(response, deadline) }
      })
    },
    close() {
      if (agent !== undefined) retire(agent)
      if (options.agent === undefined) agent = undefined
    },
  }
}

/** Idle connections are closed now, busy ones when their request is over. */
function retire(agent: http.Agent): void {
  agent.maxFreeSockets = 0
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

function decode(body: Buffer, response: http.IncomingMessage): Json {
  const text = body.toString('utf8')
  const type = response.headers['content-type'] ?? ''
  if (!/^application\/([\w.+-]+\+)?json\b/i.test(type)) return text
  try {
    return parseJson(text)
  } catch (error) {
    // An error page with a wrong label is still an answer.
    if ((response.statusCode ?? 0) >= 300) return text
    throw new TransportError('BadAnswer', 'The answer says it is JSON and is not', error)
  }
}

async function* events(response: http.IncomingMessage, deadline: Deadline): AsyncGenerator<Json> {
  try {
    for await (const line of lines(response, MAX_LINE)) {
      let event: Json
      try {
        event = parseJson(line)
      } catch (error) {
        throw new TransportError('BadAnswer', 'A line of the watch is not JSON', error)
      }
      yield event
    }
  } catch (error) {
    throw transportError(error, deadline.signal)
  } finally {
    deadline.end()
  }
}

async function* nothing(): AsyncGenerator<Json> {}
