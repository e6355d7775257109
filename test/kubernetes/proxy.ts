/**
 * Stands between a controller and the API server, with the API server's own certificate, and does to each request what the test says.
 * What it has forwarded is carried out, whether or not the client still waits for the answer: so are packets that a network has delayed.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import type { ControlPlane } from './control-plane.ts'

/** What happens to a request. */
export type Fate =
  | { readonly is: 'passed' }
  /** The connection is reset; the API server hears nothing of it. */
  | { readonly is: 'reset' }
  /** Nobody answers, and the API server hears nothing of it. */
  | { readonly is: 'dropped' }
  /** It reaches the API server when that has resolved. */
  | { readonly is: 'delayed'; readonly until: Promise<void> }
  /** It is carried out; then this is called, and nobody ever answers. */
  | { readonly is: 'swallowed'; readonly answered: () => void }

export interface Asked {
  readonly method: string
  readonly path: string
  readonly body: string
}

/** A write that reached the API server. */
export interface Delivered extends Asked {
  /** It was delayed. */
  readonly late: boolean
  readonly status: number
}

export interface Proxy {
  readonly url: string
  /** Asked for each request from now on. */
  decide(rule: (asked: Asked) => Fate): void
  /** Watches stand still: neither data nor an end comes through, until `sever`. */
  freeze(): void
  /** Resets all connections; watches begin anew. */
  sever(): void
  /** Writes that the API server has answered, Leases and Events aside. */
  readonly writes: readonly Delivered[]
  close(): Promise<void>
}

const PASSED: Fate = { is: 'passed' }
/** Hop by hop. */
const OWN_HEADERS = new Set(['host', 'connection', 'keep-alive', 'transfer-encoding'])

export async function startProxy(plane: ControlPlane): Promise<Proxy> {
  const agent = new Agent({ keepAlive: true, ca: plane.ca })
  const certificate = (kind: 'crt' | 'key'): string => readFileSync(join(plane.folder, 'certificates', `apiserver.${kind}`), 'utf8')
  /** By the client's port: TLS knows nothing of resets. */
  const sockets = new Map<number | undefined, Socket>()
  const writes: Delivered[] = []
  let rule: (asked: Asked) => Fate = () => PASSED
  let frozen = false

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked: Asked = { method: request.method ?? 'GET', path: request.url ?? '/', body: await textOf(request) }
    const fate = rule(asked)
    if (fate.is === 'reset') return void sockets.get(request.socket.remotePort)?.resetAndDestroy()
    if (fate.is === 'dropped') return
    if (fate.is === 'delayed') await fate.until
    forward(request, asked, fate, response)
  }

  function forward(request: IncomingMessage, asked: Asked, fate: Fate, response: ServerResponse): void {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !OWN_HEADERS.has(name)))
    const upstream = httpsRequest(`${plane.url}${asked.path}`, { agent, method: asked.method, headers })
    const watching = asked.path.includes('watch=')
    // Of a write that was sent, the API server shall not see that its client is gone; a watch ends with its watcher.
    response.on('error', () => {})
    if (watching) response.once('close', () => upstream.destroy())
    upstream.on('error', () => request.socket.destroy())
    upstream.on('response', (answer) => {
      const status = answer.statusCode ?? 0
      const swallowed = fate.is === 'swallowed'
      if (!swallowed) response.writeHead(status, ownHeaders(answer))
      // A watch answers before anything has happened.
      if (!swallowed && watching) response.flushHeaders()
      answer.on('data', (data: Buffer) => {
        if (!swallowed && !(watching && frozen)) response.write(data)
      })
      answer.on('error', () => request.socket.destroy())
      answer.on('end', () => {
        if (isWrite(asked)) writes.push({ ...asked, late: fate.is === 'delayed', status })
        if (swallowed) fate.answered()
        else if (!(watching && frozen)) response.end()
      })
    })
    upstream.end(asked.body)
  }

  const server = createServer({ key: certificate('key'), cert: certificate('crt') }, (request, response) => {
    handle(request, response).catch(() => request.socket.destroy())
  })
  server.on('connection', (socket: Socket) => {
    const port = socket.remotePort
    sockets.set(port, socket)
    socket.once('close', () => sockets.delete(port))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide(next) {
      rule = next
    },
    freeze() {
      frozen = true
    },
    sever() {
      frozen = false
      for (const socket of sockets.values()) socket.resetAndDestroy()
    },
    writes,
    async close() {
      for (const socket of sockets.values()) socket.destroy()
      agent.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
}

/** Does it change something other than a Lease or an Event? */
export function isWrite({ method, path }: Asked): boolean {
  return method !== 'GET' && !/\/(leases|events|selfsubjectaccessreviews)(\/|\?|$)/.test(path) && !path.includes('dryRun=')
}

function ownHeaders({ headers }: IncomingMessage): Readonly<Record<string, string | string[] | undefined>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.has(name)))
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  request.setEncoding('utf8')
  for await (const data of request) text += data as string
  return text
}
