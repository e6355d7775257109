/**
 * A release channel server for demos and tests. It answers as rancher/channelserver does: a channel redirects to its
 * release with 302 and a literal `+` in the Location, the collection is JSON, unknown channels are a JSON 404, and
 * anything but GET is refused.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ChannelServerOptions {
  /** Release by channel name, e.g. `{ stable: 'v1.33.5+rke2r1' }`. An empty release is a channel without one: 404. */
  readonly channels: Readonly<Record<string, string>>
  /** What a redirect's Location begins with. Default `https://github.com/rancher/rke2/releases/tag/`. */
  readonly redirectBase?: string
  /** First path element. Default `v1-release`. */
  readonly prefix?: string
}

export interface ChannelRequest {
  readonly method: string
  readonly path: string
  /** The cluster's ID, from `X-SUC-Cluster-ID`; empty if not sent. */
  readonly clusterID: string
  /** The version that the asker has, from `X-SUC-Latest-Version`; empty if not sent. */
  readonly latestVersion: string
}

export interface ChannelServer {
  /** Base of all channels, e.g. `http://127.0.0.1:41234/v1-release/channels`. */
  readonly url: string
  /** All requests so far, in order. */
  readonly requests: readonly ChannelRequest[]
  /** Moves a channel to another release. */
  set(channel: string, version: string): void
  close(): Promise<void>
}

export interface ChannelAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const DEFAULT_REDIRECT_BASE = 'https://github.com/rancher/rke2/releases/tag/'
const DEFAULT_PREFIX = 'v1-release'

/** What the server says to one request. `base` is the server's own address, for the links in its answers. */
export function answerChannel(options: ChannelServerOptions, base: string, method: string, path: string): ChannelAnswer {
  const prefix = options.prefix ?? DEFAULT_PREFIX
  const collection = `${base}/${prefix}/channels`
  if (method !== 'GET') return failure(405, 'MethodNotAllowed', `${method} is not supported`, collection)
  const [first, second, name, ...rest] = path
    .split('?')[0]!
    .split('/')
    .filter((part) => part !== '')
  if (first !== prefix || (second !== 'channels' && second !== 'channel') || rest.length > 0) {
    return failure(404, 'NotFound', 'not found', collection)
  }
  if (name === undefined) return list(options.channels, collection)
  const version = Object.hasOwn(options.channels, name) ? options.channels[name] : undefined
  if (version === undefined || version === '') return failure(404, 'NotFound', 'channel not found', collection)
  const location = (options.redirectBase ?? DEFAULT_REDIRECT_BASE) + version
  return {
    status: 302,
    headers: { location, 'content-type': 'text/html; charset=utf-8' },
    body: `<a href="${location}">Found</a>.\n\n`,
  }
}

function list(channels: Readonly<Record<string, string>>, collection: string): ChannelAnswer {
  const data = Object.entries(channels).map(([name, latest]) => ({
    id: name,
    type: 'channel',
    links: { self: `${collection}/${name}` },
    name,
    // A channel without a release has no such key.
    ...(latest === '' ? {} : { latest }),
  }))
  return json(200, { type: 'collection', links: { self: collection }, actions: {}, resourceType: 'channels', data })
}

function failure(status: number, code: string, message: string, collection: string): ChannelAnswer {
  return json(status, { type: 'error', links: { self: collection }, status, code, message })
}

function json(status: number, value: unknown): ChannelAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

/** Starts the server on a free port of the loopback interface. */
export async function startChannelServer(options: ChannelServerOptions): Promise<ChannelServer> {
  const channels: Record<string, string> = { ...options.channels }
  const requests: ChannelRequest[] = []
  let base = ''
  const server = createServer((request, response) => {
    const method = request.method ?? 'GET'
    const path = request.url ?? '/'
    requests.push({ method, path, clusterID: header(request, 'x-suc-cluster-id'), latestVersion: header(request, 'x-suc-latest-version') })
    const answer = answerChannel({ ...options, channels }, base, method, path)
    response.writeHead(answer.status, answer.headers).end(method === 'HEAD' ? undefined : answer.body)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `${base}/${options.prefix ?? DEFAULT_PREFIX}/channels`,
    requests,
    set(channel, version) {
      channels[channel] = version
    },
    async close() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return typeof value === 'string' ? value : ''
}
