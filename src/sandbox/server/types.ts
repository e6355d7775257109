import type { Json, JsonObject } from '../../base/json.ts'

export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly uid: string
  readonly resourceVersion: string
  readonly generation?: number
  readonly creationTimestamp: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
  readonly [key: string]: Json | undefined
}

/** A stored object. Immutable: a write makes a new one that shares what did not change. */
export type ApiObject = JsonObject & { readonly apiVersion: string; readonly kind: string; readonly metadata: Metadata }

export type WriteVerb = 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'

export interface Ref {
  readonly group: string
  /** Plural. */
  readonly resource: string
  readonly subresource?: string
  readonly namespace?: string
  readonly name?: string
  readonly uid?: string
}

/** One write request, in the order in which the server dealt with them. Refused ones and dry runs are here too. */
export interface Write {
  readonly n: number
  /** The server's wall clock, milliseconds. */
  readonly at: number
  readonly mono: number
  readonly user: string
  readonly verb: WriteVerb
  readonly ref: Ref
  readonly status: number
  readonly before?: ApiObject
  /** What is stored after it; of a dry run what would be. Missing when refused or gone. */
  readonly after?: ApiObject
  readonly body?: Json
  readonly query?: Readonly<Record<string, string>>
  readonly dryRun: boolean
  /** Set when the server acted and the connection broke before the answer. */
  answerLost?: true
}

/** A change of the store. `before` or `after` is missing when the object was made or is gone. */
export interface Change {
  readonly rv: number
  readonly before: ApiObject | undefined
  /** Of a deletion the last state, with the deletion's resourceVersion. */
  readonly after: ApiObject
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
}

/** A column of `kubectl get`. */
export interface Column {
  readonly name: string
  readonly type: string
  readonly format?: string
  readonly description?: string
  /** 0 = always shown, else only with `-o wide`. */
  readonly priority?: number
  readonly jsonPath?: string
}

/** A served resource in one version. */
export interface Resource {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly singular: string
  readonly kind: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  /** Without the resource's name: status, scale, eviction, log, … */
  readonly subresources: readonly string[]
  /** metadata.generation is kept. */
  readonly generation: boolean
  /** Present for custom resources. */
  readonly custom?: { readonly schema: JsonObject | undefined; readonly columns: readonly Column[]; readonly storageVersion: string }
}

/** What a request carried beside path and body. */
export interface Who {
  readonly user: string
  readonly userAgent: string
}

export interface Answer {
  readonly status: number
  readonly body: Json
  readonly retryAfterSeconds?: number
}

export function groupVersion(resource: { group: string; version: string }): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
}

/** `jobs.batch`, `nodes`: what messages and the store call a resource. */
export function qualified(resource: { group: string; plural: string }): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}
