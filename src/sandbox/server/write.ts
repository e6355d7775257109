import type { Json, JsonObject } from '../../base/json.ts'
import { formatTime } from '../../base/clock.ts'
import type { Schema } from './fields/managed-fields.ts'
import { afterUpdate } from './fields/managed-fields.ts'
import { asText, equal, isObject, objectOf, withKey, withPath } from './json.ts'
import { placeOf } from './patch/list-types.ts'
import { createDefaults } from './rules/create.ts'
import { defaulted } from './rules/defaults.ts'
import { show } from './rules/causes.ts'
import { validateIdentity } from './rules/metadata.ts'
import { foreignFields, wronglyTyped } from './rules/types.ts'
import { validate } from './rules/validate.ts'
import { pruned, schemaDefaulted, unknownFields } from './schema.ts'
import { alreadyExists, badRequest, conflict, forbidden, invalid, notFound, plainInternal } from './status.ts'
import type { Store } from './store.ts'
import { withAccount } from './tokens.ts'
import type { ApiObject, Metadata, Resource } from './types.ts'
import { groupVersion, qualified } from './types.ts'

/** What every write needs to know of its request. */
export interface WriteContext {
  readonly store: Store
  readonly random: () => number
  /** Wall clock, milliseconds. */
  readonly now: number
  readonly manager: string
  readonly dryRun: boolean
  /** `fieldValidation=Strict`: unknown fields are refused instead of dropped. */
  readonly strict: boolean
  /** Pods need their service account. */
  readonly accounts: boolean
}

/** A finished write: what was and what is stored. */
export interface Outcome {
  readonly before: ApiObject | undefined
  /** What is answered; of an object that the write let go its last state. */
  readonly after: ApiObject
  /** The write took away what kept the object: it is gone. */
  readonly released?: true
}

const schemas = new WeakMap<Resource, Schema>()

/** How objects of a resource merge. */
export function mergeSchema(resource: Resource): Schema {
  let schema = schemas.get(resource)
  if (schema === undefined)
    schemas.set(resource, (schema = { place: placeOf(resource), hasStatus: resource.subresources.includes('status') }))
  return schema
}

/** Checks that a body says of itself what the path says of it. */
export function readBody(resource: Resource, namespace: string | undefined, name: string | undefined, body: Json | undefined): JsonObject {
  if (!isObject(body)) throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`)
  const expected = groupVersion(resource)
  if (resource.custom !== undefined && typeof body['kind'] !== 'string')
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind}): Object 'Kind' is missing in '${show(body)}'`)
  const { apiVersion = expected, kind = resource.kind } = body
  if (apiVersion !== expected)
    throw badRequest(`the API version in the data (${asText(apiVersion)}) does not match the expected API version (${expected})`)
  if (kind !== resource.kind) throw badRequest(`the kind in the data (${asText(kind)}) does not match the expected kind (${resource.kind})`)
  const metadata = objectOf(body['metadata'])
  if (resource.namespaced && metadata['namespace'] !== undefined && metadata['namespace'] !== '' && metadata['namespace'] !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  if (name !== undefined && metadata['name'] !== undefined && metadata['name'] !== name)
    throw badRequest(`the name of the object (${asText(metadata['name'])}) does not match the name on the URL (${name})`)
  const mistake = wronglyTyped(resource, body)
  if (mistake !== undefined)
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: json: cannot unmarshal into Go struct field .${mistake}`,
    )
  const { kind: _k, apiVersion: _a, metadata: _m, ...rest } = body
  return {
    kind,
    apiVersion,
    metadata: { ...metadata, ...(name === undefined ? {} : { name }), ...(resource.namespaced ? { namespace } : {}) },
    ...rest,
  }
}

/** A random v4 UUID of the server's own generator. */
export function newUid(random: () => number): string {
  const hex = (digits: number): string =>
    Math.floor(random() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0')
  return `${hex(8)}-${hex(4)}-4${hex(3)}-${(8 + Math.floor(random() * 4)).toString(16)}${hex(3)}-${hex(8)}${hex(4)}`
}

const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789'

function suffix(random: () => number): string {
  return Array.from({ length: 5 }, () => suffixLetters[Math.floor(random() * suffixLetters.length)]).join('')
}

export function create(context: WriteContext, resource: Resource, body: JsonObject, managedFields?: readonly Json[]): Outcome {
  const { store, random } = context
  const given = objectOf(body['metadata'])
  if (given['resourceVersion'] !== undefined && given['resourceVersion'] !== '')
    throw plainInternal('resourceVersion should not be set on objects to be created')
  const generate = given['generateName']
  const name = given['name'] ?? (typeof generate === 'string' && generate !== '' ? `${generate.slice(0, 58)}${suffix(random)}` : '')
  if (typeof name !== 'string' || name === '')
    throw invalid(resource, '', [
      { reason: 'FieldValueRequired', message: 'Required value: name or generateName is required', field: 'metadata.name' },
    ])
  const namespace = resource.namespaced ? (given['namespace'] as string) : undefined
  if (namespace !== undefined) requireNamespace(store, resource, namespace, name)

  const metadata = identity(given, {
    name,
    namespace,
    uid: newUid(random),
    created: formatTime(context.now),
    generation: resource.generation ? 1 : undefined,
  })
  const { status: _, ...withoutStatus } = body
  // A kubelet registers its Node with a status; of everything else the status comes later.
  const keepsStatus = !resource.subresources.includes('status') || resource.kind === 'Node'
  const { kind, apiVersion, metadata: _m, ...rest } = keepsStatus ? body : withoutStatus
  const raw: JsonObject = { kind, apiVersion, metadata, ...rest }
  const made = createDefaults(resource, raw, formatTime(context.now))
  const trusted = context.accounts && resource.kind === 'Pod' ? withAccount(store, resource, made, () => suffix(random)) : made
  const object = admitted(context, resource, trusted, undefined)
  if (store.get(qualified(resource), namespace, name) !== undefined) throw alreadyExists(resource, name)
  const managed = managedFields ?? afterUpdate(undefined, object, managerOf(context, resource, undefined), mergeSchema(resource))
  const final = withManaged(object, managed)
  if (context.dryRun) return { before: undefined, after: withPath(final, ['metadata', 'resourceVersion'], undefined) as ApiObject }
  return { before: undefined, after: store.put(qualified(resource), final) }
}

function identity(
  given: JsonObject,
  made: { name: string; namespace: string | undefined; uid: string; created: string; generation: number | undefined },
): Metadata {
  const {
    resourceVersion: _r,
    uid: _u,
    generation: _g,
    deletionTimestamp: _d,
    deletionGracePeriodSeconds: _p,
    selfLink: _s,
    managedFields: _m,
    namespace: _n,
    ...rest
  } = given
  return {
    ...rest,
    name: made.name,
    ...(made.namespace === undefined ? {} : { namespace: made.namespace }),
    uid: made.uid,
    resourceVersion: '',
    ...(made.generation === undefined ? {} : { generation: made.generation }),
    creationTimestamp: made.created,
  }
}

/** Defaults, drops what the schema does not know, and refuses what is wrong. */
function admitted(context: WriteContext, resource: Resource, object: JsonObject, old: ApiObject | undefined): ApiObject {
  const { custom } = resource
  const foreign = custom === undefined ? foreignFields(resource, object) : context.strict ? unknownFields(object, custom.schema) : []
  if (context.strict && foreign.length > 0)
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: strict decoding error: ${foreign.map((field) => `unknown field "${field}"`).join(', ')}`,
    )
  const bare = withoutEmptyMetadata(object)
  const shaped =
    custom === undefined ? defaulted(resource, withoutKeys(bare, foreign)) : schemaDefaulted(pruned(bare, custom.schema), custom.schema)
  const causes = validate(resource, shaped, old)
  if (causes.length > 0) throw invalid(resource, asText(objectOf(shaped['metadata'])['name']), causes)
  return shaped as ApiObject
}

/** Empty maps and lists are as good as none, and none is what is stored. */
function withoutEmptyMetadata(object: JsonObject): JsonObject {
  let metadata = objectOf(object['metadata'])
  for (const key of ['labels', 'annotations', 'finalizers', 'ownerReferences']) {
    const value = metadata[key]
    if (value === null || (typeof value === 'object' && Object.keys(value).length === 0)) metadata = withKey(metadata, key, undefined)
  }
  return withKey(object, 'metadata', metadata)
}

function withoutKeys(object: JsonObject, keys: readonly string[]): JsonObject {
  return keys.length === 0 ? object : Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))
}

function requireNamespace(store: Store, resource: Resource, namespace: string, name: string): void {
  const found = store.get('namespaces', undefined, namespace)
  if (found === undefined) throw notFound({ group: '', plural: 'namespaces' }, namespace)
  if (found.metadata.deletionTimestamp === undefined) return
  const message = `namespace ${namespace} is being terminated`
  throw forbidden(resource, name, `unable to create new content in namespace ${namespace} because it is being terminated`, [
    { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
  ])
}

export function existing(store: Store, resource: Resource, namespace: string | undefined, name: string): ApiObject {
  const found = store.get(qualified(resource), namespace, name)
  if (found === undefined) throw notFound(resource, name)
  return found
}

/**
 * Stores `wanted` in place of `old`. Of a subresource only its own part counts. `wanted`'s resourceVersion and uid, when set, are
 * preconditions. Writes nothing when nothing would change.
 */
export function update(
  context: WriteContext,
  resource: Resource,
  old: ApiObject,
  wanted: JsonObject,
  options: { subresource: string | undefined; managedFields?: readonly Json[]; patch?: boolean },
): Outcome {
  const { name } = old.metadata
  const meta = objectOf(wanted['metadata'])
  const version = meta['resourceVersion']
  if (version !== undefined && version !== '' && version !== old.metadata.resourceVersion) throw conflict(resource, name)
  const uid = meta['uid']
  // A patch is merged first, so that to the server its uid is not what the client expects but what it wants.
  if (options.patch !== true && uid !== undefined && uid !== '' && uid !== old.metadata.uid)
    throw conflict(resource, name, `Precondition failed: UID in precondition: ${asText(uid)}, UID in object meta: ${old.metadata.uid}`)

  const changed = validateIdentity(meta, old)
  if (changed.length > 0) throw invalid(resource, name, changed)
  const own = ownPart(resource, old, wanted, options.subresource)
  const object = admitted(context, resource, { ...own, metadata: keptIdentity(old.metadata, objectOf(own['metadata'])) }, old)
  const bumped = resource.generation && !equal(contentOf(resource, object), contentOf(resource, old)) ? withGeneration(object, old) : object
  const managed =
    options.managedFields ?? afterUpdate(old, bumped, managerOf(context, resource, options.subresource), mergeSchema(resource))
  const final = withManaged(bumped, managed)

  const key = qualified(resource)
  if (isReleased(final, old)) {
    if (context.dryRun) return { before: old, after: final }
    return { before: old, after: context.store.remove(key, final), released: true }
  }
  if (equal(final, old)) return { before: old, after: old }
  if (context.dryRun) return { before: old, after: final }
  return { before: old, after: context.store.put(key, final) }
}

/** What a write may change: everything but the status, or of a subresource only that (and metadata, of built-in types). */
function ownPart(resource: Resource, old: ApiObject, wanted: JsonObject, subresource: string | undefined): JsonObject {
  if (!resource.subresources.includes('status') && subresource === undefined) return wanted
  const status = (from: JsonObject): JsonObject => (from['status'] === undefined ? {} : { status: from['status'] })
  if (subresource === undefined) {
    const { status: _, ...rest } = wanted
    return { ...rest, ...status(old) }
  }
  const { status: _, ...rest } = old
  if (subresource !== 'status') return wanted
  if (resource.custom !== undefined)
    return { ...rest, ...status(wanted), metadata: { ...old.metadata, managedFields: objectOf(wanted['metadata'])['managedFields'] } }
  return { ...rest, ...status(wanted), metadata: wanted['metadata'] }
}

/** Metadata that no client changes. */
function keptIdentity(old: Metadata, wanted: JsonObject): Metadata {
  const {
    name,
    namespace,
    uid,
    resourceVersion,
    generation,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    selfLink: _s,
    ...rest
  } = wanted
  void [name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds]
  const { managedFields, ...shown } = rest
  return {
    name: old.name,
    ...(old.namespace === undefined ? {} : { namespace: old.namespace }),
    uid: old.uid,
    resourceVersion: old.resourceVersion,
    ...(old.generation === undefined ? {} : { generation: old.generation }),
    creationTimestamp: old.creationTimestamp,
    ...(old.deletionTimestamp === undefined ? {} : { deletionTimestamp: old.deletionTimestamp }),
    ...(old['deletionGracePeriodSeconds'] === undefined ? {} : { deletionGracePeriodSeconds: old['deletionGracePeriodSeconds'] }),
    ...shown,
    ...(managedFields === undefined ? {} : { managedFields }),
  }
}

/** The part whose change counts as a new generation: the spec, and of custom resources everything but metadata and status. */
function contentOf(resource: Resource, object: JsonObject): Json | undefined {
  if (resource.custom === undefined) return object['spec']
  const { metadata: _m, status, ...rest } = object
  return resource.subresources.includes('status') ? rest : { ...rest, status }
}

function withGeneration(object: ApiObject, old: ApiObject): ApiObject {
  return { ...object, metadata: { ...object.metadata, generation: (old.metadata.generation ?? 0) + 1 } }
}

function withManaged(object: ApiObject, managed: readonly Json[]): ApiObject {
  return withPath(object, ['metadata', 'managedFields'], managed.length === 0 ? undefined : managed) as ApiObject
}

/** The last finalizer of an object under deletion went: it goes too. Pods wait for their kubelet. */
function isReleased(object: ApiObject, old: ApiObject): boolean {
  const left = object.metadata.finalizers?.length ?? 0
  const had = old.metadata.finalizers?.length ?? 0
  if (object.metadata.deletionTimestamp === undefined || left > 0 || had === 0) return false
  const grace = object.metadata['deletionGracePeriodSeconds']
  return grace === undefined || grace === 0
}

function managerOf(context: WriteContext, resource: Resource, subresource: string | undefined): Parameters<typeof afterUpdate>[2] {
  return { manager: context.manager, operation: 'Update', apiVersion: groupVersion(resource), subresource, time: formatTime(context.now) }
}
