import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { selfSigned } from './certificate.ts'

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void

export interface TestServer {
  readonly url: string
  readonly port: number
  /** PEM of the authority to trust; absent for plain http. */
  readonly ca?: string
  /** TCP connections accepted so far. */
  connections(): number
  readonly requests: readonly http.IncomingMessage[]
  /** Ends all connections with a TCP RST, as a host that goes away does. */
  reset(): void
  close(): Promise<void>
}

/** A server on loopback whose connections all end with it. */
export async function serve(handler: Handler, { secure = true, host = '127.0.0.1' } = {}): Promise<TestServer> {
  const { cert, key } = secure ? selfSigned() : { cert: '', key: '' }
  const requests: http.IncomingMessage[] = []
  const listener: Handler = (request, response) => {
    requests.push(request)
    response.on('error', () => {})
    handler(request, response)
  }
  const server = secure ? https.createServer({ cert, key }, listener) : http.createServer(listener)
  const base = await listen(server, host)
  return { ...base, url: `${secure ? 'https' : 'http'}://127.0.0.1:${base.port}`, requests, ...(secure ? { ca: cert } : {}) }
}

export async function listen(server: Server, host = '127.0.0.1'): Promise<Pick<TestServer, 'port' | 'connections' | 'reset' | 'close'>> {
  const sockets = new Set<Socket>()
  let accepted = 0
  server.on('connection', (socket: Socket) => {
    accepted += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => accepted,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

export function json(response: http.ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** Waits until `condition` holds; fails after 15 s. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  for (let i = 0; i < 1500; i += 1) {
    if (condition()) return
    await delay(10)
  }
  throw new Error(`${what} did not come true within 15 s`)
}
