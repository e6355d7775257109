import { createHash } from 'node:crypto'
import type { Json, JsonObject } from '../../base/json.ts'
import type { Registry } from './registry.ts'
import type { Resource } from './types.ts'
import { groupVersion } from './types.ts'

// As much of OpenAPI v3 as kubectl reads: which verbs take `fieldValidation`, and schemas for `kubectl explain`. Custom resources have their whole
// schema, built-in types only their outermost fields. Strategic merge is left out of the media types on purpose: without it kubectl uses the merge
// keys that are compiled into it.

/** `/openapi/v3` and `/openapi/v3/<path>`; undefined when the path is none of these. */
export function openapi(registry: Registry, path: string): Json | undefined {
  if (path === '/openapi/v3')
    return {
      paths: Object.fromEntries(
        roots(registry).map(([root, resources]) => [root, { serverRelativeURL: `/openapi/v3/${root}?hash=${hashOf(resources)}` }]),
      ),
    }
  const prefix = '/openapi/v3/'
  if (!path.startsWith(prefix)) return undefined
  const found = roots(registry).find(([root]) => root === path.slice(prefix.length))
  return found === undefined ? undefined : documentOf(found[1])
}

function roots(registry: Registry): readonly (readonly [string, readonly Resource[]])[] {
  const byRoot = new Map<string, Resource[]>()
  for (const resource of registry.all) {
    const root = resource.group === '' ? `api/${resource.version}` : `apis/${groupVersion(resource)}`
    byRoot.set(root, [...(byRoot.get(root) ?? []), resource])
  }
  return [...byRoot]
}

/** kubectl caches documents by this. */
function hashOf(resources: readonly Resource[]): string {
  return createHash('sha256').update(JSON.stringify(resources)).digest('hex').slice(0, 32).toUpperCase()
}

function documentOf(resources: readonly Resource[]): Json {
  const paths = Object.fromEntries(resources.flatMap(pathsOf))
  const schemas = Object.fromEntries(resources.map((resource) => [schemaName(resource), schemaOf(resource)]))
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    components: { schemas: { ...schemas, [metaName]: metaSchema } },
  }
}

function gvkOf(resource: Resource): JsonObject {
  return { group: resource.group, version: resource.version, kind: resource.kind }
}

function schemaName(resource: Resource): string {
  const reversed = (resource.group === '' ? 'core' : resource.group).split('.').reverse().join('.')
  return `${resource.custom === undefined ? 'io.k8s.api.' : ''}${reversed}.${resource.version}.${resource.kind}`
}

function parameter(name: string, type = 'string'): JsonObject {
  return { name, in: 'query', schema: { type, uniqueItems: true } }
}

const writeParameters = [parameter('dryRun'), parameter('fieldManager'), parameter('fieldValidation')]

function pathsOf(resource: Resource): readonly (readonly [string, JsonObject])[] {
  const base = `/${resource.group === '' ? 'api' : 'apis'}/${groupVersion(resource)}${resource.namespaced ? '/namespaces/{namespace}' : ''}/${resource.plural}`
  const body = (...types: readonly string[]): JsonObject => ({
    content: Object.fromEntries(types.map((type) => [type, { schema: { $ref: `#/components/schemas/${schemaName(resource)}` } }])),
  })
  const operation = (action: string, types: readonly string[], parameters: readonly JsonObject[]): JsonObject => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvkOf(resource),
    parameters,
    ...(types.length === 0 ? {} : { requestBody: body(...types) }),
    responses: { '200': { description: 'OK', ...body('application/json') } },
  })
  const patches = ['application/apply-patch+yaml', 'application/json-patch+json', 'application/merge-patch+json']
  return [
    [base, { get: operation('list', [], []), post: operation('post', ['application/json'], writeParameters) }],
    [
      `${base}/{name}`,
      {
        get: operation('get', [], []),
        put: operation('put', ['application/json'], writeParameters),
        patch: operation('patch', patches, [...writeParameters, parameter('force', 'boolean')]),
        delete: operation('delete', [], [parameter('dryRun')]),
      },
    ],
  ]
}

const metaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

const metaSchema: JsonObject = {
  description: 'ObjectMeta is metadata that all persisted resources must have.',
  type: 'object',
  properties: {
    name: { type: 'string', description: 'Name must be unique within a namespace.' },
    namespace: { type: 'string', description: 'Namespace defines the space within which each name must be unique.' },
    labels: {
      type: 'object',
      description: 'Map of string keys and values to organize and select objects.',
      additionalProperties: { type: 'string' },
    },
    annotations: {
      type: 'object',
      description: 'Map of string keys and values that tools may set.',
      additionalProperties: { type: 'string' },
    },
    finalizers: { type: 'array', description: 'Must be empty before the object is deleted.', items: { type: 'string' } },
  },
}

const typeFields: JsonObject = {
  apiVersion: { type: 'string', description: 'The versioned schema of this representation of an object.' },
  kind: { type: 'string', description: 'The REST resource that this object represents.' },
  metadata: { description: "Standard object's metadata.", allOf: [{ $ref: `#/components/schemas/${metaName}` }] },
}

function schemaOf(resource: Resource): JsonObject {
  const gvk = { 'x-kubernetes-group-version-kind': [gvkOf(resource)] }
  const own = resource.custom?.schema
  if (own !== undefined) return { ...own, properties: { ...(own['properties'] as JsonObject | undefined), ...typeFields }, ...gvk }
  const free = (description: string): JsonObject => ({ type: 'object', description, 'x-kubernetes-preserve-unknown-fields': true })
  return {
    type: 'object',
    description: `${resource.kind} of ${groupVersion(resource)}.`,
    properties: { ...typeFields, spec: free('What is wanted.'), status: free('What is.') },
    ...gvk,
  }
}
