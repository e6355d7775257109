import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parse as parseYaml } from 'yaml'
import { TransportError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { Request, Transport, WatchResponse } from '../base/process.ts'
import { decodeProtobuf, protobufType } from './server/protobuf.ts'
import type { ApiServer } from './server/server.ts'

export interface ListenOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Where to write a kubeconfig for this server. Default: nowhere. */
  readonly kubeconfigPath?: string
  /** Users by bearer token. A token that is not here is the user's name itself. */
  readonly users?: Readonly<Record<string, string>>
}

export interface Listener {
  readonly url: string
  /** Ends all connections. */
  close(): Promise<void>
}

/** Largest request body that is read, in bytes; as the real server's 3 MiB. */
const largestBody = 3 * 1024 * 1024

/** Serves the API over plain HTTP. The server must run on the real clock. */
export async function listen(server: ApiServer, options: ListenOptions = {}): Promise<Listener> {
  const http = createServer((message, reply) => {
    serve(server, options, message, reply).catch((error: unknown) => {
      // Neither an answer nor a lost connection: a bug of the sandbox, which must not look like either.
      if (!reply.headersSent) reply.writeHead(500, { 'Content-Type': 'text/plain' })
      reply.end(`the sandbox failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    })
  })
  http.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject)
    http.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve)
  })
  const { address, port } = http.address() as AddressInfo
  const url = `http://${address}:${port}`
  if (options.kubeconfigPath !== undefined) await writeFile(options.kubeconfigPath, kubeconfig(url), { mode: 0o600 })
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
}

/** A kubeconfig for a server without TLS. JSON is YAML. */
export function kubeconfig(url: string, user = 'kubectl'): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'sandbox', cluster: { server: url } }],
    users: [{ name: user, user: { token: user } }],
    contexts: [{ name: 'sandbox', context: { cluster: 'sandbox', user } }],
    'current-context': 'sandbox',
  }
  return `${JSON.stringify(config, undefined, 2)}\n`
}

async function serve(server: ApiServer, options: ListenOptions, message: IncomingMessage, reply: ServerResponse): Promise<void> {
  const gone = new AbortController()
  reply.once('close', () => gone.abort(new TransportError('Aborted', 'the client left')))
  const body = await readBody(message)
  const url = new URL(message.url ?? '/', 'http://sandbox')
  const query = Object.fromEntries(url.searchParams)
  const user = userOf(message, options)
  const transport = server.as(user, { userAgent: message.headers['user-agent'] ?? user })
  const contentType = message.headers['content-type']
  const parsed = parseBody(body, contentType)
  if (parsed === unreadable) {
    const protobuf = contentType?.startsWith(protobufType) === true
    const [code, reason] = protobuf ? ([415, 'UnsupportedMediaType'] as const) : ([400, 'BadRequest'] as const)
    return send(
      reply,
      code,
      failure(code, reason, protobuf ? 'this type is not read as protobuf; send JSON' : 'the body of the request could not be read'),
    )
  }
  const request: Request = {
    method: (message.method ?? 'GET') as Request['method'],
    path: url.pathname,
    query,
    ...(parsed === undefined ? {} : { body: parsed }),
    ...(contentType === undefined || contentType.startsWith(protobufType) ? {} : { contentType }),
    ...(message.headers.accept === undefined ? {} : { accept: message.headers.accept }),
  }
  if (!['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(request.method))
    return send(reply, 405, failure(405, 'MethodNotAllowed', `the server does not allow ${request.method}`))
  try {
    if (request.method === 'GET' && (query['watch'] === 'true' || query['watch'] === '1'))
      await stream(transport, request, reply, gone.signal)
    else if (request.method === 'GET' && url.pathname.endsWith('/log') && query['follow'] === 'true')
      await followLog(server, transport, request, reply, gone.signal)
    else await answer(transport, request, reply, gone.signal)
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
    // No answer came: the client sees a broken connection, as it would.
    message.socket.destroy()
  }
}

async function answer(transport: Transport, request: Request, reply: ServerResponse, signal: AbortSignal): Promise<void> {
  const { status, body, retryAfterMs } = await transport.send(request, signal)
  send(reply, status, body, retryAfterMs)
}

function send(reply: ServerResponse, status: number, body: Json, retryAfterMs?: number): void {
  const text = typeof body === 'string' ? body : encode(body)
  reply.writeHead(status, {
    'Content-Type': mediaType(body),
    'Content-Length': Buffer.byteLength(text),
    ...(retryAfterMs === undefined ? {} : { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) }),
  })
  reply.end(text)
}

/** Aggregated discovery is told from plain discovery by its media type. */
function mediaType(body: Json): string {
  if (typeof body === 'string') return 'text/plain'
  const { kind, apiVersion } = (body ?? {}) as { kind?: string; apiVersion?: string }
  if (kind !== 'APIGroupDiscoveryList') return 'application/json'
  return `application/json;g=apidiscovery.k8s.io;v=${apiVersion?.split('/')[1] ?? 'v2'};as=APIGroupDiscoveryList`
}

async function stream(transport: Transport, request: Request, reply: ServerResponse, signal: AbortSignal): Promise<void> {
  const watch: WatchResponse = await transport.watch(request, signal)
  if (watch.status !== 200) return send(reply, watch.status, watch.body ?? null, watch.retryAfterMs)
  reply.writeHead(200, { 'Content-Type': 'application/json' })
  reply.flushHeaders()
  for await (const event of watch.events) {
    // A client that does not read is not allowed to fill our memory.
    if (!reply.write(`${encode(event)}\n`)) await drained(reply, signal)
  }
  reply.end()
}

function drained(reply: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new TransportError('Aborted', 'the client left'))
    const left = (): void => reject(new TransportError('Aborted', 'the client left'))
    signal.addEventListener('abort', left, { once: true })
    reply.once('drain', () => {
      signal.removeEventListener('abort', left)
      resolve()
    })
  })
}

/** What is there, then each new line until the pod has ended. */
async function followLog(
  server: ApiServer,
  transport: Transport,
  request: Request,
  reply: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const [, , , , namespace = '', , name = ''] = request.path.split('/')
  const pod = server.peek('pods', name, namespace)
  const first = await transport.send(request, signal)
  if (first.status !== 200 || pod === undefined) return send(reply, first.status, first.body)
  reply.writeHead(200, { 'Content-Type': 'text/plain' })
  reply.flushHeaders()
  reply.write(first.body as string)
  const stop = server.logs.follow(pod.metadata.uid, request.query?.['container'], (line) => void reply.write(`${line}\n`))
  const finish = (): void => {
    stop()
    stopWatching()
    reply.end()
  }
  const stopWatching = server.onWrite((write) => {
    if (write.ref.uid === pod.metadata.uid && ended(server, name, namespace, pod.metadata.uid)) finish()
  })
  signal.addEventListener('abort', finish, { once: true })
  if (ended(server, name, namespace, pod.metadata.uid)) finish()
}

function ended(server: ApiServer, name: string, namespace: string, uid: string): boolean {
  const pod = server.peek('pods', name, namespace)
  const phase = (pod?.['status'] as { phase?: string } | undefined)?.phase
  return pod === undefined || pod.metadata.uid !== uid || phase === 'Succeeded' || phase === 'Failed'
}

function userOf(message: IncomingMessage, options: ListenOptions): string {
  const token = /^Bearer (.+)$/i.exec(message.headers.authorization ?? '')?.[1]
  if (token !== undefined) return options.users?.[token] ?? token
  const remote = message.headers['x-remote-user']
  return typeof remote === 'string' && remote !== '' ? remote : 'kubectl'
}

async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message) {
    size += (chunk as Buffer).length
    if (size > largestBody) throw new Error('request body too large')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

const unreadable = Symbol('unreadable')

function parseBody(body: Buffer, contentType: string | undefined): Json | undefined | typeof unreadable {
  if (body.length === 0) return undefined
  try {
    if (contentType?.startsWith(protobufType) === true) return decodeProtobuf(body) ?? unreadable
    const text = body.toString('utf8')
    return contentType?.includes('yaml') === true ? (parseYaml(text) as Json) : (JSON.parse(text) as Json)
  } catch {
    return unreadable
  }
}

function encode(value: Json): string {
  return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? Number(each) : each))
}

function failure(code: number, reason: string, message: string): Json {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }
}
