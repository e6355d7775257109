import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, isObject, objectOf } from '../json.ts'
import type { Resource } from '../types.ts'

/** How a list merges: as one value, as a set of scalars, or item by item under these keys. */
export type ListType = { readonly kind: 'atomic' } | { readonly kind: 'set' } | { readonly kind: 'map'; readonly keys: readonly string[] }

/** The types of a place in an object, followed from the root key by key. */
export interface Place {
  child(key: string): Place
  readonly item: Place
  readonly list: ListType
  /** A map or struct that is owned and replaced as a whole. */
  readonly atomic: boolean
  /** A map or list, which is a field beside what is in it; a struct is not. */
  readonly member: boolean
}

const atomicList: ListType = { kind: 'atomic' }
const setList: ListType = { kind: 'set' }
const byKeys = (...keys: readonly string[]): ListType => ({ kind: 'map', keys })

/** Lists of the built-in types, by field name: the real schema says the same of each of them wherever it occurs. */
const builtInLists: Readonly<Record<string, ListType>> = {
  containers: byKeys('name'),
  initContainers: byKeys('name'),
  ephemeralContainers: byKeys('name'),
  volumes: byKeys('name'),
  env: byKeys('name'),
  volumeMounts: byKeys('mountPath'),
  volumeDevices: byKeys('devicePath'),
  conditions: byKeys('type'),
  addresses: byKeys('type'),
  ownerReferences: byKeys('uid'),
  imagePullSecrets: byKeys('name'),
  secrets: byKeys('name'),
  hostAliases: byKeys('ip'),
  topologySpreadConstraints: byKeys('topologyKey', 'whenUnsatisfiable'),
  podIPs: byKeys('ip'),
  volumesAttached: byKeys('name'),
  resourceClaims: byKeys('name'),
  finalizers: setList,
  podCIDRs: setList,
}

const builtInMaps = new Set([
  'labels',
  'annotations',
  'matchLabels',
  'nodeSelector',
  'data',
  'binaryData',
  'stringData',
  'limits',
  'requests',
  'capacity',
  'allocatable',
  'disruptedPods',
])

const atomicStructs = new Set([
  'nodeSelectorTerms',
  'selector',
  'resourceFieldRef',
  'fieldRef',
  'secretKeyRef',
  'configMapKeyRef',
  'scaleTargetRef',
])

export function placeOf(resource: Resource): Place {
  if (resource.custom === undefined) return builtInPlace(resource.kind, '', '')
  return customPlace(resource.custom.schema, true)
}

function builtInPlace(kind: string, parent: string, field: string): Place {
  return {
    child: (key) => builtInPlace(kind, field, key),
    get item() {
      return builtInPlace(kind, field, '')
    },
    list:
      field === 'ports'
        ? parent === '' || kind !== 'Service'
          ? portsOf(kind)
          : byKeys('port', 'protocol')
        : (builtInLists[field] ?? atomicList),
    member: builtInMaps.has(field) || (builtInLists[field] !== undefined && field !== 'containers') || field === 'ports',
    // Labels may be called anything, so only known parents make a name mean something.
    atomic:
      atomicStructs.has(field) && (parent === 'spec' || parent === 'valueFrom') && kind !== 'Service' && kind !== 'ReplicationController',
  }
}

function portsOf(kind: string): ListType {
  return kind === 'Service' ? byKeys('port', 'protocol') : byKeys('containerPort', 'protocol')
}

const metadataPlace = builtInPlace('', '', 'metadata')

function customPlace(schema: Json | undefined, root: boolean): Place {
  const node: JsonObject = objectOf(schema)
  return {
    child(key) {
      if (root && key === 'metadata') return metadataPlace
      const properties = objectOf(node['properties'])
      if (properties[key] !== undefined) return customPlace(properties[key], false)
      return customPlace(isObject(node['additionalProperties']) ? node['additionalProperties'] : undefined, false)
    },
    get item() {
      return customPlace(node['items'], false)
    },
    list: listTypeOf(node),
    member:
      node['type'] === 'array' ||
      isObject(node['additionalProperties']) ||
      node['x-kubernetes-preserve-unknown-fields'] === true ||
      schema === undefined,
    atomic: node['x-kubernetes-map-type'] === 'atomic',
  }
}

function listTypeOf(node: JsonObject): ListType {
  const type = node['x-kubernetes-list-type']
  if (type === 'set') return setList
  if (type === 'map') return byKeys(...arrayOf(node['x-kubernetes-list-map-keys']).map(String))
  return atomicList
}

const keyDefaults: Readonly<Record<string, Json>> = { protocol: 'TCP' }

/** The values of an item's keys, in the order of `keys`, as they stand in a managed field path; undefined when it has none. */
export function keyOfItem(item: Json, keys: readonly string[]): string | undefined {
  if (!isObject(item)) return undefined
  const values: Record<string, Json> = {}
  for (const key of [...keys].sort()) {
    const value = item[key] ?? keyDefaults[key]
    if (value === undefined) return undefined
    values[key] = value
  }
  return JSON.stringify(values)
}
