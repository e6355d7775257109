import type { Json, JsonObject } from '../../../base/json.ts'
import { formatTime } from '../../../base/clock.ts'
import { apply } from '../fields/managed-fields.ts'
import { arrayOf, asText, isObject, objectOf } from '../json.ts'
import { wrong } from '../rules/causes.ts'
import { wronglyTyped } from '../rules/types.ts'
import { badRequest, invalid, unprocessable, unsupportedPatch } from '../status.ts'
import type { ApiObject, Resource } from '../types.ts'
import { groupVersion } from '../types.ts'
import type { Outcome, WriteContext } from '../write.ts'
import { create, mergeSchema, readBody, update } from '../write.ts'
import { jsonPatch } from './json-patch.ts'
import { mergePatch } from './merge.ts'
import { strategicMerge } from './strategic.ts'

const mergeType = 'application/merge-patch+json'
const jsonType = 'application/json-patch+json'
const strategicType = 'application/strategic-merge-patch+json'
export const applyType = 'application/apply-patch+yaml'

export interface PatchRequest {
  readonly resource: Resource
  readonly namespace: string | undefined
  readonly name: string
  readonly subresource: string | undefined
  readonly contentType: string
  readonly body: Json | undefined
  readonly force: boolean
}

/** The patched object, not yet stored. */
export function patched(resource: Resource, target: JsonObject, contentType: string, body: Json | undefined): JsonObject {
  const result = patchedJson(resource, target, contentType, body ?? null)
  if (!isObject(result)) throw unprocessable()
  const { apiVersion, kind, metadata } = result
  if (apiVersion !== target['apiVersion'] || kind !== target['kind']) throw badRequest('a patch may not change apiVersion or kind')
  const identity = objectOf(target['metadata'])
  if (!isObject(metadata) || metadata['name'] !== identity['name'])
    throw badRequest('the name of the object does not match the name on the URL')
  if (metadata['namespace'] !== identity['namespace'])
    throw badRequest('the namespace of the object does not match the namespace on the URL')
  const mistake = wronglyTyped(resource, result)
  if (mistake !== undefined)
    throw invalid({ group: '', plural: '', kind: '' }, '', [wrong('patch', body, `json: cannot unmarshal ${mistake}`)])
  return result
}

function patchedJson(resource: Resource, target: JsonObject, contentType: string, body: Json): Json {
  switch (contentType) {
    case jsonType:
      return jsonPatch(target, body)
    case mergeType:
      if (!isObject(body)) throw badRequest('a merge patch must be an object')
      return mergePatch(target, body)
    case strategicType:
      if (resource.custom !== undefined) throw unsupportedPatch()
      if (!isObject(body)) throw badRequest('a strategic merge patch must be an object')
      return strategicMerge(target, body, mergeSchema(resource).place)
    default:
      throw unsupportedPatch()
  }
}

/** Server-side apply: makes the object or merges into it. */
export function applyPatch(context: WriteContext, request: PatchRequest, old: ApiObject | undefined): Outcome {
  const { resource, namespace, name } = request
  const { kind, apiVersion } = objectOf(request.body)
  if (kind === undefined || apiVersion === undefined) throw badRequest(`invalid object type: ${asText(apiVersion)}/, Kind=${asText(kind)}`)
  const body = readBody(resource, namespace, name, request.body)
  if (arrayOf(objectOf(body['metadata'])['managedFields']).length > 0) throw badRequest('metadata.managedFields must be nil')
  const manager = {
    manager: context.manager,
    operation: 'Apply' as const,
    apiVersion: groupVersion(resource),
    subresource: request.subresource,
    time: formatTime(context.now),
  }
  const schema = mergeSchema(resource)
  if (old === undefined) {
    const { uid: _, ...metadata } = objectOf(body['metadata'])
    const owned = apply({ apiVersion: body['apiVersion'], kind: body['kind'], metadata: {} }, body, manager, schema, true)
    return create(context, resource, { ...body, metadata }, managedOf(owned))
  }
  const result = apply(old, body, manager, schema, request.force)
  const preconditions = objectOf(body['metadata'])
  const wanted = {
    ...result,
    metadata: { ...objectOf(result['metadata']), ...pick(preconditions, 'uid'), ...pick(preconditions, 'resourceVersion') },
  }
  return update(context, resource, old, wanted, { subresource: request.subresource, managedFields: managedOf(result), patch: true })
}

function pick(object: JsonObject, key: string): JsonObject {
  return object[key] === undefined ? {} : { [key]: object[key] }
}

function managedOf(object: JsonObject): readonly Json[] {
  return arrayOf(objectOf(object['metadata'])['managedFields'])
}
