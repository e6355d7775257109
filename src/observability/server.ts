import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DroverError, messageOf } from '../base/errors.ts'
import type { Health } from './health.ts'

export interface ObservabilityServer {
  /** The port that is listened on; of interest when 0 was asked for. */
  readonly port: number
  close(): Promise<void>
}

export interface Exposition {
  readonly contentType: string
  metrics(): Promise<string>
}

/**
 * Serves `/healthz`, `/readyz` and `/metrics` in plain HTTP.
 * @param address `host:port`, `[v6]:port` or `:port` for every interface
 * @throws DroverError `BadAddress` when the address cannot be read, `AddressUnavailable` when it cannot be listened on
 */
export async function serveObservability(address: string, health: Health, exposition: Exposition): Promise<ObservabilityServer> {
  const { host, port } = parseAddress(address)
  const server = createServer((request, response) => {
    answer(request.method ?? 'GET', (request.url ?? '/').split('?')[0] ?? '/', response, health, exposition).catch((error: unknown) => {
      if (!response.headersSent) reply(response, 500, `${messageOf(error)}\n`)
      else response.destroy()
    })
  })
  // A scraper that stalls must not keep a socket for ever.
  server.requestTimeout = 10_000
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new DroverError('AddressUnavailable', `cannot listen on ${address}: ${messageOf(cause)}`, { retry: 'never', cause }))
    })
    server.listen(port, host, resolve)
  })
  server.on('error', () => {})
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function parseAddress(address: string): { host: string | undefined; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    throw new DroverError('BadAddress', `${JSON.stringify(address)} is no address; write host:port or :port`, { retry: 'never' })
  }
  return { host: match[1] ?? (match[2] === '' ? undefined : match[2]), port }
}

async function answer(method: string, path: string, response: ServerResponse, health: Health, exposition: Exposition): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') return reply(response, 405, 'only GET and HEAD are answered\n')
  switch (path) {
    case '/healthz': {
      const wrong = health.lifeless()
      return wrong === undefined ? reply(response, 200, 'ok\n') : reply(response, 503, `${wrong}\n`)
    }
    case '/readyz': {
      const missing = health.missing()
      return missing.length === 0 ? reply(response, 200, 'ok\n') : reply(response, 503, `not ready: ${missing.join(', ')}\n`)
    }
    case '/metrics':
      return reply(response, 200, await exposition.metrics(), exposition.contentType)
    default:
      return reply(response, 404, 'there are /healthz, /readyz and /metrics\n')
  }
}

function reply(response: ServerResponse, status: number, body: string, contentType = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}
