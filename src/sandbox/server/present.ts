import type { Json, JsonObject } from '../../base/json.ts'
import { columnsOf, rowOf } from './table.ts'
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
  for (const alternative of (accept ?? '').split(',')) {
    const as = /;\s*as=(\w+)/.exec(alternative)?.[1]
    if (as === 'Table') return tables(resource, now, includeObject ?? 'Metadata')
    if (as === 'PartialObjectMetadata')
      return { ...partial, list: () => refused(as, `the requested object is a list (${goType(resource)}List)`) }
    if (as === 'PartialObjectMetadataList')
      return { ...partial, streams: false, object: () => refused(as, `the requested object is not a list (${goType(resource)})`) }
    if (as === undefined) break
  }
  return whole(resource)
}

function refused(as: string, but: string): never {
  throw notAcceptable(`you requested ${as}, but ${but}`)
}

const goType = ({ group, kind }: Resource): string => `*${group === '' ? 'core' : group.split('.')[0]}.${kind}`

function whole(resource: Resource): Presenter {
  const apiVersion = groupVersion(resource)
  const versioned = (object: ApiObject): ApiObject => (object.apiVersion === apiVersion ? object : { ...object, apiVersion })
  return {
    streams: true,
    object: versioned,
    event: versioned,
    list: (objects, metadata) => ({
      kind: `${resource.kind}List`,
      apiVersion,
      metadata,
      items: resource.custom === undefined ? objects : objects.map(versioned),
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
