import { setMaxListeners } from 'node:events'
import { messageOf, TransportError } from '../../base/errors.ts'
import { isObject, type Json, type JsonObject } from '../../base/json.ts'
import type { Process, Request, Response, WatchResponse } from '../../base/process.ts'
import { ApiError, isGone } from './api-error.ts'
import { createBackoff } from './backoff.ts'

/** What every call takes. */
export interface CallOptions {
  /** Ends the call. Default: the client's signal. */
  readonly signal?: AbortSignal
  /** Longest wait for the answer in milliseconds. Default: the transport's, 30 000. */
  readonly timeoutMs?: number
}

export interface ReadOptions extends CallOptions {
  readonly query?: Readonly<Record<string, string>>
  readonly accept?: string
  /** How often a GET is tried again after a lost answer, 429 or 5xx. Default 3, 0 = never. */
  readonly retries?: number
}

export interface ListOptions extends ReadOptions {
  /** Objects a page. Default 500, as client-go; smaller for large objects. */
  readonly pageSize?: number
}

export interface WriteOptions extends CallOptions {
  readonly dryRun?: boolean
  readonly fieldManager?: string
}

/** What must still be so for a delete to happen, and how it happens (`metav1.DeleteOptions`). */
export interface DeleteOptions extends CallOptions {
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  readonly gracePeriodSeconds?: number
  readonly dryRun?: boolean
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Of the whole list: a watch may start here. */
  readonly resourceVersion: string
  /** The list begins here. Seen again when the continue token expired: forget the pages before. */
  readonly first: boolean
  readonly last: boolean
}

/**
 * The Kubernetes API in raw JSON. A type parameter is what the caller expects, unchecked. Answers other than 2xx throw an `ApiError`,
 * no answer a `TransportError`. Only GET is tried again inside; whoever writes must know what a second write would mean.
 */
export interface Client {
  get<T = JsonObject>(path: string, options?: ReadOptions): Promise<T>
  /** All pages. A quorum read unless `query.resourceVersion` says otherwise. */
  list<T = JsonObject>(path: string, options?: ListOptions): Promise<{ readonly items: readonly T[]; readonly resourceVersion: string }>
  /** Page by page, so that each can be dropped before the next is fetched. Begins again once when the continue token expires (410). */
  pages<T = JsonObject>(path: string, options?: ListOptions): AsyncIterable<Page<T>>
  create<T = JsonObject>(path: string, body: object, options?: WriteOptions): Promise<T>
  /** RFC 7386. Put `metadata.resourceVersion` (and `uid`) in the patch to make it conditional. */
  mergePatch<T = JsonObject>(path: string, patch: object, options?: WriteOptions): Promise<T>
  /** RFC 6902. */
  jsonPatch<T = JsonObject>(path: string, operations: readonly object[], options?: WriteOptions): Promise<T>
  /** PUT of a raw object, never of one that a typed client read: it would lose fields. */
  replace<T = JsonObject>(path: string, body: object, options?: WriteOptions): Promise<T>
  /** The answer is the object as it stands (still there while finalizers or grace hold it) or a Status. */
  delete<T = JsonObject>(path: string, options?: DeleteOptions): Promise<T>
  /** A plain text answer, such as a pod's log. Bound it with `query.tailLines` and `query.limitBytes`. */
  text(path: string, options?: ReadOptions): Promise<string>
  /** An open watch; `options.signal` ends its stream too, `options.timeoutMs` is for the headers. */
  watch(path: string, options?: ReadOptions): Promise<WatchResponse>
}

const PAGE_SIZE = 500
const RETRIES = 3
/** A GET waits this long at most for a server that asks for patience; longer is the caller's to wait. */
const MAX_RETRY_AFTER_MS = 10_000

export function createClient(process: Process, defaults: { readonly signal?: AbortSignal } = {}): Client {
  const never = new AbortController().signal
  const signalOf = (options: CallOptions): AbortSignal => options.signal ?? defaults.signal ?? never
  // Each request listens for the end, and many may be under way: no leak for Node to warn of.
  setMaxListeners(0, signalOf({}))

  async function once(request: Request, signal: AbortSignal): Promise<Response> {
    const response = await process.transport.send(request, signal)
    if (response.status < 200 || response.status > 299) throw new ApiError(`${request.method} ${request.path}`, response)
    return response
  }

  async function read(path: string, options: ReadOptions): Promise<Json> {
    const request: Request = {
      method: 'GET',
      path,
      ...(options.query === undefined ? {} : { query: options.query }),
      ...(options.accept === undefined ? {} : { accept: options.accept }),
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    }
    const signal = signalOf(options)
    const backoff = createBackoff({ baseMs: 250, maxMs: 2_000, random: process.random })
    for (let left = options.retries ?? RETRIES; ; left -= 1) {
      try {
        return (await once(request, signal)).body
      } catch (error) {
        const wait = left > 0 && !signal.aborted ? waitAfter(error, backoff.next()) : undefined
        if (wait === undefined) throw error
        process.log.debug('API read failed, trying again', { path, error: messageOf(error), waitMs: Math.round(wait) })
        await process.clock.sleep(wait, signal)
      }
    }
  }

  async function write<T>(request: Request, options: WriteOptions): Promise<T> {
    const query: Record<string, string> = {
      ...(options.dryRun === true ? { dryRun: 'All' } : {}),
      ...(options.fieldManager === undefined ? {} : { fieldManager: options.fieldManager }),
    }
    const response = await once(
      {
        ...request,
        ...(Object.keys(query).length === 0 ? {} : { query }),
        ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      },
      signalOf(options),
    )
    return objectIn(response.body, request.path) as T
  }

  async function* pages<T>(path: string, options: ListOptions = {}): AsyncGenerator<Page<T>> {
    let token = ''
    let restarted = false
    for (;;) {
      const { resourceVersion, ...rest } = options.query ?? {}
      const query: Record<string, string> = { ...rest, limit: String(options.pageSize ?? PAGE_SIZE) }
      // The token carries the snapshot's version; the API server refuses both together.
      if (token !== '') query['continue'] = token
      else if (resourceVersion !== undefined) query['resourceVersion'] = resourceVersion
      let page: ParsedPage
      try {
        page = pageIn(objectIn(await read(path, { ...options, query }), path), path)
      } catch (error) {
        if (!isGone(error) || token === '' || restarted) throw error
        restarted = true
        token = ''
        continue
      }
      const first = token === ''
      token = page.token
      yield { items: page.items as unknown as readonly T[], resourceVersion: page.resourceVersion, first, last: token === '' }
      if (token === '') return
    }
  }

  const put = (method: Request['method'], path: string, body: object, contentType?: string): Request => ({
    method,
    path,
    body: body as Json,
    ...(contentType === undefined ? {} : { contentType }),
  })

  return {
    async get<T>(path: string, options: ReadOptions = {}) {
      return objectIn(await read(path, options), path) as T
    },
    async list<T>(path: string, options: ListOptions = {}) {
      let items: T[] = []
      let resourceVersion = ''
      for await (const page of pages<T>(path, options)) {
        items = page.first ? [...page.items] : items.concat(page.items)
        resourceVersion = page.resourceVersion
      }
      return { items, resourceVersion }
    },
    pages,
    create: (path, body, options = {}) => write(put('POST', path, body), options),
    mergePatch: (path, patch, options = {}) => write(put('PATCH', path, patch, 'application/merge-patch+json'), options),
    jsonPatch: (path, operations, options = {}) => write(put('PATCH', path, operations, 'application/json-patch+json'), options),
    replace: (path, body, options = {}) => write(put('PUT', path, body), options),
    delete: (path, options = {}) => write(put('DELETE', path, deleteOptions(options)), { ...options, dryRun: false }),
    async text(path, options = {}) {
      const body = await read(path, { accept: 'text/plain, */*', ...options })
      if (typeof body !== 'string') throw new TransportError('BadAnswer', `${path}: expected plain text, got JSON`)
      return body
    },
    async watch(path, options = {}) {
      const request: Request = {
        method: 'GET',
        path,
        query: { ...options.query, watch: 'true' },
        ...(options.accept === undefined ? {} : { accept: options.accept }),
        ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      }
      const response = await process.transport.watch(request, signalOf(options))
      if (response.status !== 200) throw new ApiError(`WATCH ${path}`, response)
      return response
    },
  }
}

/** How long to wait before the same GET again; undefined = it would be in vain, or longer than a caller should be kept. */
function waitAfter(error: unknown, backoffMs: number): number | undefined {
  if (error instanceof ApiError) {
    if (error.retry === 'never' || error.status === 401) return undefined
    const asked = error.retryAfterMs ?? 0
    return asked > MAX_RETRY_AFTER_MS ? undefined : Math.max(asked, backoffMs)
  }
  // A deadline that passed has already cost its full length once; the caller decides about another.
  return error instanceof TransportError && (error.code === 'ConnectionFailed' || error.code === 'ConnectionLost') ? backoffMs : undefined
}

function deleteOptions(options: DeleteOptions): object {
  const preconditions = {
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
  }
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    ...(options.propagationPolicy === undefined ? {} : { propagationPolicy: options.propagationPolicy }),
    ...(options.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: options.gracePeriodSeconds }),
    ...(options.dryRun === true ? { dryRun: ['All'] } : {}),
  }
}

function objectIn(body: Json, path: string): JsonObject {
  if (!isObject(body)) throw new TransportError('BadAnswer', `${path}: expected a JSON object`)
  return body
}

interface ParsedPage {
  readonly items: readonly Json[]
  readonly resourceVersion: string
  readonly token: string
}

function pageIn(body: JsonObject, path: string): ParsedPage {
  const metadata = isObject(body['metadata']) ? body['metadata'] : {}
  // `items: null` is how Go writes an empty list.
  const items = body['items'] ?? []
  if (!Array.isArray(items)) throw new TransportError('BadAnswer', `${path}: items is not a list`)
  const { resourceVersion, continue: token } = metadata
  return {
    items,
    resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : '',
    token: typeof token === 'string' ? token : '',
  }
}
