import type { Json, JsonObject } from '../../src/base/json.ts'
import type { Request, Response, Transport, WatchResponse } from '../../src/base/process.ts'
import { matchesSelector } from '../../src/kube/objects/selector.ts'
import { parseSelector } from '../kube/objects/selector-text.ts'
import type { VirtualClock } from '../../src/sandbox/clock.ts'
import { textAt } from './case.ts'

const BOOKMARK_MS = 30_000

export interface SentWrite {
  readonly method: 'POST' | 'PATCH' | 'DELETE'
  readonly resource: string
  readonly name: string
  readonly body: JsonObject
  readonly mono: number
}

/**
 * An API server in memory that takes everything as it is: no admission, defaulting or schema, and nobody runs what Jobs ask for. So were the
 * vectors made, some of whose objects no real server would take.
 */
export interface VectorServer {
  readonly transport: Transport
  /** Accepted writes in order. */
  readonly writes: readonly SentWrite[]
  /** Stores an object as if it had always been there. */
  load(resource: string, object: JsonObject): void
  all(resource: string): readonly JsonObject[]
}

interface Where {
  readonly resource: string
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

interface Listener {
  readonly where: Where
  readonly query: Readonly<Record<string, string>>
  tell(line: Json): void
}

export function createVectorServer(clock: VirtualClock): VectorServer {
  const tables = new Map<string, Map<string, JsonObject>>()
  const listeners = new Set<Listener>()
  const writes: SentWrite[] = []
  let revision = 100
  let uids = 0

  const table = (resource: string) => tables.get(resource) ?? tables.set(resource, new Map()).get(resource) ?? new Map<string, JsonObject>()

  function store(resource: string, object: JsonObject, type: 'ADDED' | 'MODIFIED' | 'DELETED'): JsonObject {
    const metadata = member(object, 'metadata')
    uids += 1
    const stored = {
      ...object,
      metadata: { uid: `00000000-0000-4000-8000-${String(uids).padStart(12, '0')}`, ...metadata, resourceVersion: String(++revision) },
    }
    const key = `${textAt(metadata['namespace'])}/${textAt(metadata['name'])}`
    if (type === 'DELETED') table(resource).delete(key)
    else table(resource).set(key, stored)
    for (const listener of listeners) if (isFor(listener, resource, stored)) listener.tell({ type, object: stored })
    return stored
  }

  function write(method: SentWrite['method'], { resource, namespace, name, subresource }: Where, body: JsonObject): Response {
    const key = `${namespace ?? ''}/${name ?? textAt(member(body, 'metadata')['name'])}`
    const old = table(resource).get(key)
    const done = (status: number, answer: JsonObject): Response => {
      writes.push({ method, resource, name: key.slice(key.indexOf('/') + 1), body, mono: clock.mono() })
      return { status, body: answer }
    }
    if (method === 'POST') {
      if (old !== undefined) return refusal(409, 'AlreadyExists')
      const { namespace: own, ...metadata } = member(body, 'metadata')
      const place = namespace === undefined ? {} : { namespace: own ?? namespace }
      return done(201, store(resource, { ...body, metadata: { ...metadata, ...place }, ...served(resource) }, 'ADDED'))
    }
    if (old === undefined) return refusal(404, 'NotFound')
    const asked = method === 'PATCH' ? member(body, 'metadata') : member(body, 'preconditions')
    const now = member(old, 'metadata')
    if (['uid', 'resourceVersion'].some((field) => asked[field] !== undefined && asked[field] !== now[field]))
      return refusal(409, 'Conflict')
    if (method === 'DELETE') return done(200, store(resource, old, 'DELETED'))
    const next = subresource === 'status' ? { ...old, status: merged(old['status'], body['status']) } : (merged(old, body) as JsonObject)
    return done(200, store(resource, next, 'MODIFIED'))
  }

  function send(request: Request): Response {
    const where = whereOf(request.path)
    const body = (request.body ?? {}) as JsonObject
    if (request.method === 'PUT') return refusal(405, 'MethodNotAllowed')
    if (request.method !== 'GET') return write(request.method, where, body)
    if (where.name !== undefined) {
      const found = table(where.resource).get(`${where.namespace ?? ''}/${where.name}`)
      return found === undefined ? refusal(404, 'NotFound') : { status: 200, body: found }
    }
    const items = [...table(where.resource).values()].filter((object) =>
      isFor({ where, query: request.query ?? {} }, where.resource, object),
    )
    return { status: 200, body: { kind: 'List', metadata: { resourceVersion: String(revision) }, items } }
  }

  return {
    writes,
    load: (resource, object) => void store(resource, object, 'ADDED'),
    all: (resource) => [...table(resource).values()],
    transport: {
      async send(request) {
        await clock.sleep(1)
        return send(request)
      },
      async watch(request, signal): Promise<WatchResponse> {
        await clock.sleep(1)
        const lines: Json[] = []
        let wake: (() => void) | undefined
        const listener: Listener = {
          where: whereOf(request.path),
          query: request.query ?? {},
          tell(line) {
            lines.push(line)
            wake?.()
          },
        }
        listeners.add(listener)
        async function* events(): AsyncGenerator<Json> {
          try {
            while (!signal.aborted) {
              for (let line = lines.shift(); line !== undefined; line = lines.shift()) yield line
              await Promise.race([
                new Promise<void>((resolve) => (wake = resolve)),
                clock
                  .sleep(BOOKMARK_MS, signal)
                  .then(() => listener.tell({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(revision) } } })),
              ])
            }
          } finally {
            listeners.delete(listener)
          }
        }
        return { status: 200, events: events() }
      },
    },
  }
}

/** What is defined is served at once. */
function served(resource: string): JsonObject {
  return resource === 'customresourcedefinitions' ? { status: { conditions: [{ type: 'Established', status: 'True' }] } } : {}
}

function whereOf(path: string): Where {
  const parts = path.split('/').slice(1)
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3)
  const [namespace, own] = rest[0] === 'namespaces' && rest.length > 2 ? [rest[1], rest.slice(2)] : [undefined, rest]
  const [resource = '', name, subresource] = own
  return { resource, namespace, name, subresource }
}

function isFor({ where, query }: Pick<Listener, 'where' | 'query'>, resource: string, object: JsonObject): boolean {
  const metadata = member(object, 'metadata')
  if (where.resource !== resource || (where.namespace !== undefined && metadata['namespace'] !== where.namespace)) return false
  const named = /^metadata\.name=(.*)$/.exec(query['fieldSelector'] ?? '')?.[1]
  if (named !== undefined && metadata['name'] !== named) return false
  if (query['labelSelector'] === undefined) return true
  const selector = parseSelector(query['labelSelector'])
  return selector.ok && matchesSelector(selector.selector, member(metadata, 'labels') as Readonly<Record<string, string>>)
}

/** RFC 7386. */
function merged(old: Json | undefined, patch: Json | undefined): Json {
  if (!isObject(patch)) return patch ?? null
  const result: Record<string, Json> = isObject(old) ? { ...(old as Record<string, Json>) } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else if (value !== undefined) result[key] = merged(result[key], value)
  }
  return result
}

function refusal(status: number, reason: string): Response {
  return { status, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message: reason, code: status } }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(object: JsonObject, key: string): JsonObject {
  const value = object[key]
  return isObject(value) ? value : {}
}
