import http from 'node:http'
import https from 'node:https'
import { createSecureContext } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { messageOf, TransportError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Outside, OutsideResponse } from '../../base/process.ts'
import { type Exchange, open, readBody, startDeadline, transportError } from './http-exchange.ts'
import { basicAuthorization, createTunnelAgent, type Env, proxyFor } from './proxy.ts'
import { certificatesIn, loadTrust, stampOf, type Trust } from './trust.ts'

const MAX_BODY_BYTES = 64 * 1024
/** How often the files of trusted certificates are looked at. */
const TRUST_CHECK_MS = 60_000
/** Further authorities remembered at once. */
const MAX_EXTRA = 16

export interface OutsideOptions {
  readonly clock: Clock
  readonly log: Log
  /** Where the proxy and certificate variables stand. */
  readonly env: Env
  /** Default `drover`. */
  readonly userAgent?: string
}

interface Trusted {
  readonly trust: Trust
  readonly tls: https.AgentOptions
  readonly stamp: string
  checkedAt: number
  /** With further authorities, by their text. */
  readonly with: Map<string, https.AgentOptions>
}

/** HTTP(S) outside the cluster, through the proxies and with the certificate authorities that the environment names. */
export function createOutside({ clock, log, env, userAgent = 'drover' }: OutsideOptions): Outside {
  let trusted: Trusted | undefined

  async function trustNow(): Promise<Trusted> {
    if (trusted !== undefined) {
      if (clock.mono() - trusted.checkedAt < TRUST_CHECK_MS) return trusted
      trusted.checkedAt = clock.mono()
      if ((await stampOf(trusted.trust.files)) === trusted.stamp) return trusted
    }
    const trust = await loadTrust(env)
    if (trust.problems.length > 0) log.warn('Some certificate authorities could not be read', { problems: trust.problems })
    // Made once: to read all roots for each connection would take longer than the request.
    const tls = { secureContext: createSecureContext({ ca: [...trust.certificates] }) }
    return (trusted = { trust, tls, stamp: await stampOf(trust.files), checkedAt: clock.mono(), with: new Map() })
  }

  async function tlsOptions(ca: string | undefined): Promise<https.AgentOptions> {
    const now = await trustNow()
    if (ca === undefined) return now.tls
    let tls = now.with.get(ca)
    if (tls !== undefined) return tls
    const found = certificatesIn(ca)
    if (found === undefined)
      throw new TransportError('ConnectionFailed', 'the further certificate authorities given are no certificates in PEM')
    tls = { secureContext: createSecureContext({ ca: [...now.trust.certificates, ...found] }) }
    if (now.with.size >= MAX_EXTRA) now.with.clear()
    now.with.set(ca, tls)
    return tls
  }

  async function exchangeFor(url: URL, { method, headers, ca, ...content }: Message): Promise<Exchange> {
    const proxy = proxyFor(url, env)
    if (proxy !== undefined && !['http:', 'https:'].includes(proxy.protocol)) {
      throw new TransportError('ConnectionFailed', `Proxies of kind ${proxy.protocol} are not supported`)
    }
    const plain = { ...content, url, method, headers: { 'user-agent': userAgent, ...headers } }
    if (url.protocol === 'https:') {
      const tls = await tlsOptions(ca)
      return { ...plain, agent: proxy === undefined ? new https.Agent(tls) : createTunnelAgent(proxy, tls) }
    }
    if (proxy === undefined) return { ...plain, agent: new http.Agent() }
    // The proxy's credentials are for the proxy and the target's for the target, so neither may ride in a URL.
    const [target, hop] = [withoutUser(url), withoutUser(proxy)]
    return {
      ...plain,
      url: hop,
      target: target.href,
      headers: {
        ...basicAuthorization('authorization', url),
        ...plain.headers,
        host: url.host,
        ...basicAuthorization('proxy-authorization', proxy),
      },
      agent: proxy.protocol === 'https:' ? new https.Agent(await tlsOptions(undefined)) : new http.Agent(),
    }
  }

  async function exchange(address: string, message: Message, timeoutMs: number, signal: AbortSignal): Promise<OutsideResponse> {
    const url = parseUrl(address)
    const deadline = startDeadline(clock, timeoutMs, `${message.method} ${url.origin}${url.pathname}`, signal)
    try {
      const response = await open(await exchangeFor(url, message), deadline.signal)
      const body = await readBody(response, MAX_BODY_BYTES, deadline.signal, true)
      return answerOf(response, body.toString('utf8'))
    } catch (error) {
      throw transportError(error, deadline.signal)
    } finally {
      deadline.end()
    }
  }

  return {
    get: (address, headers, timeoutMs, signal, ca) =>
      exchange(address, { method: 'GET', headers, ...(ca === undefined ? {} : { ca }) }, timeoutMs, signal),
    post(address, json, timeoutMs, signal) {
      const body = JSON.stringify(json)
      const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
      return exchange(address, { method: 'POST', headers, body }, timeoutMs, signal)
    },
  }
}

type Message = Pick<Exchange, 'method' | 'headers' | 'body'> & { readonly ca?: string }

function withoutUser(url: URL): URL {
  const copy = new URL(url)
  copy.username = ''
  copy.password = ''
  return copy
}

function parseUrl(address: string): URL {
  let url: URL
  try {
    url = new URL(address)
  } catch (error) {
    throw new TransportError('ConnectionFailed', `${JSON.stringify(address)} is not a URL: ${messageOf(error)}`, error)
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') return url
  throw new TransportError('ConnectionFailed', `unsupported protocol scheme ${JSON.stringify(url.protocol.replace(/:$/, ''))}`)
}

function answerOf(response: http.IncomingMessage, body: string): OutsideResponse {
  const headers: Record<string, string> = {}
  for (const [name, values] of Object.entries(response.headersDistinct)) {
    if (values?.[0] !== undefined) headers[name] = values[0]
  }
  const status = response.statusCode ?? 0
  const statusLine = `HTTP/${response.httpVersion} ${status} ${response.statusMessage ?? ''}`.trimEnd()
  return { status, statusLine, headers, body }
}
