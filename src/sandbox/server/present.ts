import type { Json, JsonObject } from '../../base/json.ts'
import { columnsOf, rowOf } from './table.ts'
import { schemaDefaulted } from './schema.ts'
import { notAcceptable } from './status.ts'
import type { ApiObject, Resource } from './types.ts'
import { groupVersion } from './types.ts'

/** In which shape a client asked for objects. */
export interface Presenter {
  object(object: ApiObject): Json
  list(objects: readonly ApiObject[], metadata: JsonObject): Json
  /** An event of a stream; only the first table of a stream names its columns. */
  event(object: ApiObject): Json
  bookmark(revision: number, annotations: JsonObject | undefined): Json
  /** False = a stream in this shape ends where its first event would stand, as on a real server: a shape for lists only. */
  readonly streams: boolean
}

/** Reads the Accept header. The first alternative that the server knows wins. */
export function presenterFor(
  resource: Resource,
  accept: string | undefined,
  now: () => number,
  includeObject: string | undefined,
): Presenter {
  for (const alternative of (accept ?? '*/*').split(',')) {
    const [type = '', ...parameters] = alternative.split(';').map((part) => part.trim())
    if (!mediaTypes.has(type)) continue
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3)
    if (as === undefined) return whole(resource)
    if (as === 'Table') return tables(resource, now, includeObject ?? 'Metadata')
    if (as === 'PartialObjectMetadata')
      return { ...partial, list: () => refused(as, `the requested object is a list (${goType(resource)}List)`) }
    if (as === 'PartialObjectMetadataList')
      return { ...partial, streams: false, object: () => refused(as, `the requested object is not a list (${goType(resource)})`) }
  }
  throw notAcceptable(`406: Not Acceptable\n\nAvailable representations: ${available}`)
}

const available = 'application/json, application/yaml, application/vnd.kubernetes.protobuf'
const mediaTypes = new Set(['', '*/*', 'application/*', ...available.split(', ')])

const defaulted = new WeakMap<Resource, WeakMap<ApiObject, ApiObject>>()

/** A definition that changed gives its new defaults to what was stored before, too. */
function defaultedOnRead(resource: Resource, object: ApiObject): ApiObject {
  let known = defaulted.get(resource)
  if (known === undefined) defaulted.set(resource, (known = new WeakMap()))
  let read = known.get(object)
  if (read === undefined) known.set(object, (read = schemaDefaulted(object, resource.custom?.schema) as ApiObject))
  return read
}

const bare = new WeakMap<ApiObject, JsonObject>()

/** An item of a list: those of built-in types do not repeat what the list says. */
function itemOf(object: ApiObject): JsonObject {
  let item = bare.get(object)
  if (item === undefined) {
    const { kind: _k, apiVersion: _a, ...rest } = object
    bare.set(object, (item = rest))
  }
  return item
}

function refused(as: string, but: string): never {
  throw notAcceptable(`you requested ${as}, but ${but}`)
}

const goType = ({ group, kind }: Resource): string => `*${group === '' ? 'core' : group.split('.')[0]}.${kind}`

function whole(resource: Resource): Presenter {
  const apiVersion = groupVersion(resource)
  const versioned = (object: ApiObject): ApiObject => {
    const read = resource.custom === undefined ? object : defaultedOnRead(resource, object)
    return read.apiVersion === apiVersion ? read : { ...read, apiVersion }
  }
  return {
    streams: true,
    object: versioned,
    event: versioned,
    list: (objects, metadata) => ({
      kind: `${resource.kind}List`,
      apiVersion,
      metadata,
      items: objects.map(resource.custom === undefined ? itemOf : versioned),
    }),
    bookmark: (revision, annotations) => ({
      kind: resource.kind,
      apiVersion,
      metadata: { resourceVersion: String(revision), creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) },
    }),
  }
}

function metadataOf(object: ApiObject): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }
}

const partial: Presenter = {
  streams: true,
  object: metadataOf,
  event: metadataOf,
  list: (objects, metadata) => ({
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    items: objects.map(metadataOf),
  }),
  bookmark: (revision, annotations) => ({
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: String(revision), creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) },
  }),
}

function tables(resource: Resource, now: () => number, include: string): Presenter {
  const table = (objects: readonly ApiObject[], metadata: JsonObject, named: boolean): Json => ({
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: named ? (columnsOf(resource) as unknown as Json) : null,
    rows: objects.map((object) => ({
      cells: rowOf(resource, object, now()),
      ...(include === 'None' ? {} : { object: include === 'Object' ? object : metadataOf(object) }),
    })),
  })
  let first = true
  return {
    streams: true,
    object: (object) => table([object], { resourceVersion: object.metadata.resourceVersion }, true),
    event(object) {
      const named = first
      first = false
      return table([object], { resourceVersion: object.metadata.resourceVersion }, named)
    },
    list: (objects, metadata) => table(objects, metadata, true),
    bookmark: (revision, annotations) => ({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: String(revision) },
      columnDefinitions: null,
      rows: [{ cells: [], object: partial.bookmark(revision, annotations) }],
    }),
  }
}
