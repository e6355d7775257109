import type { Clock } from '../base/clock.ts'
import { TransportError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { Request, Response, Transport } from '../base/process.ts'
import { type Kind, type Meta, pathOf, type Stored } from './kinds.ts'
import { pause } from './timers.ts'

/** What a write came to. A refusal is an answer; only the loss of every attempt throws. */
export type Answer<T> =
  | { readonly ok: true; readonly object: Stored<T> }
  | { readonly ok: false; readonly status: number; readonly message: string }

export interface PatchOptions {
  readonly subresource?: string
  /** Default `merge`. */
  readonly type?: 'merge' | 'strategic' | 'json'
}

export interface DeleteOptions {
  /** Delete only the object with this UID. */
  readonly uid?: string
  readonly graceSeconds?: number
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
}

/** The small API client of the cluster's own parts: controllers, scheduler, kubelets, containers. */
export interface Client {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: () => number
  readonly signal: AbortSignal
  get<T extends Meta>(kind: Kind, namespace: string | undefined, name: string): Promise<Stored<T> | undefined>
  /** All pages. */
  list<T extends Meta>(
    kind: Kind,
    namespace?: string,
    query?: Readonly<Record<string, string>>,
  ): Promise<{ readonly items: readonly Stored<T>[]; readonly resourceVersion: string }>
  create<T extends Meta>(kind: Kind, object: T): Promise<Answer<T>>
  /** POST to a subresource, e.g. binding or eviction. */
  post(kind: Kind, namespace: string | undefined, name: string, subresource: string, body: object): Promise<Answer<Meta>>
  replace<T extends Meta>(kind: Kind, object: T, subresource?: string): Promise<Answer<T>>
  patch<T extends Meta>(kind: Kind, namespace: string | undefined, name: string, patch: object, options?: PatchOptions): Promise<Answer<T>>
  /** Patches this very object. Undefined = it is gone; throws an `ApiError` when refused, also when another has its name by now. */
  update<T extends Meta>(kind: Kind, object: Stored<T>, patch: object, options?: PatchOptions): Promise<Stored<T> | undefined>
  /** Deletes this very object; that it is gone is fine. Throws an `ApiError` when refused. */
  remove(kind: Kind, object: Stored<Meta>, options?: Omit<DeleteOptions, 'uid'>): Promise<void>
  /** The status code: 200/202 deleted or being deleted, 404 gone, 409 another UID. */
  delete(kind: Kind, namespace: string | undefined, name: string, options?: DeleteOptions): Promise<number>
}

/** An answer that the caller had no use for. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
  }
}

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
} as const
const PAGE = '500'
/** Attempts of one request before its caller hears of it: 0.1 s doubling to 5 s, some 20 s in all. */
const ATTEMPTS = 9

/** Requests are repeated on 429, 5xx and lost answers, so every write must bear being sent twice. */
export function createClient(transport: Transport, clock: Clock, random: () => number, signal: AbortSignal): Client {
  async function send(request: Request): Promise<Response> {
    let waitMs = 100
    for (let attempt = 1; ; attempt++) {
      let answer: Response | undefined
      try {
        answer = await transport.send(request, signal)
      } catch (error) {
        if (signal.aborted || attempt >= ATTEMPTS || !(error instanceof TransportError)) throw error
      }
      if (answer !== undefined && (attempt >= ATTEMPTS || (answer.status !== 429 && answer.status < 500))) return answer
      await pause(clock, answer?.retryAfterMs ?? waitMs * (0.5 + random()), signal)
      waitMs = Math.min(waitMs * 2, 5000)
    }
  }

  async function write<T>(request: Request): Promise<Answer<T>> {
    const { status, body } = await send(request)
    if (status < 300) return { ok: true, object: body as unknown as Stored<T> }
    return { ok: false, status, message: messageIn(body) }
  }

  const client: Client = {
    transport,
    clock,
    random,
    signal,
    async get(kind, namespace, name) {
      const { status, body } = await send({ method: 'GET', path: pathOf(kind, namespace, name) })
      if (status === 404) return undefined
      if (status !== 200) throw new ApiError(status, messageIn(body))
      return body as never
    },
    async list(kind, namespace, query = {}) {
      const items: never[] = []
      let next = ''
      for (;;) {
        const { status, body } = await send({
          method: 'GET',
          path: pathOf(kind, namespace),
          query: { limit: PAGE, ...query, ...(next === '' ? {} : { continue: next }) },
        })
        if (status === 410 && next !== '') {
          // The list expired between two pages: begin again.
          items.length = 0
          next = ''
          continue
        }
        if (status !== 200) throw new ApiError(status, messageIn(body))
        const page = body as unknown as { items: never[]; metadata: { resourceVersion: string; continue?: string } }
        items.push(...page.items)
        next = page.metadata.continue ?? ''
        if (next === '') return { items, resourceVersion: page.metadata.resourceVersion }
      }
    },
    create: (kind, object) => write({ method: 'POST', path: pathOf(kind, object.metadata?.namespace), body: typed(kind, object) }),
    post: (kind, namespace, name, subresource, body) =>
      write({ method: 'POST', path: pathOf(kind, namespace, name, subresource), body: body as Json }),
    replace: (kind, object, subresource) =>
      write({
        method: 'PUT',
        path: pathOf(kind, object.metadata?.namespace, object.metadata?.name, subresource),
        body: typed(kind, object),
      }),
    patch: (kind, namespace, name, patch, options = {}) =>
      write({
        method: 'PATCH',
        path: pathOf(kind, namespace, name, options.subresource),
        body: patch as Json,
        contentType: PATCH_TYPES[options.type ?? 'merge'],
      }),
    async update(kind, object, patch, options) {
      const { uid, name, namespace } = object.metadata
      const metadata = { uid, ...('metadata' in patch ? (patch.metadata as object) : {}) }
      const answer = await client.patch<typeof object>(kind, namespace, name, { ...patch, metadata }, options)
      if (answer.ok) return answer.object
      if (answer.status === 404) return undefined
      throw new ApiError(answer.status, `${kind.kind} ${name}: ${answer.message}`)
    },
    async remove(kind, object, options = {}) {
      const { uid, name, namespace } = object.metadata
      const status = await client.delete(kind, namespace, name, { ...options, uid })
      if (status >= 300 && status !== 404) throw new ApiError(status, `${kind.kind} ${name} could not be deleted`)
    },
    async delete(kind, namespace, name, options = {}) {
      const body = {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
        ...(options.graceSeconds === undefined ? {} : { gracePeriodSeconds: options.graceSeconds }),
        ...(options.propagation === undefined ? {} : { propagationPolicy: options.propagation }),
      }
      return (await send({ method: 'DELETE', path: pathOf(kind, namespace, name), body })).status
    },
  }
  return client
}

function typed(kind: Kind, object: Meta): Json {
  return { apiVersion: kind.apiVersion, kind: kind.kind, ...object } as unknown as Json
}

/** The text of a Status body. */
export function messageIn(body: Json): string {
  if (typeof body === 'object' && body !== null && 'message' in body && typeof body.message === 'string') return body.message
  return 'no message'
}
