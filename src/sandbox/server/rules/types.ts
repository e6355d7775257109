import type { Json, JsonObject } from '../../../base/json.ts'
import { asText, at, isArray, isObject, objectOf } from '../json.ts'
import type { Resource } from '../types.ts'
import { qualified } from '../types.ts'

// Built-in types are decoded before they are looked at: fields of the wrong type are refused then, and fields that the type does not have are dropped.
// Here: what is outermost, and those below that clients are likely to get wrong. What else is wrong further down is kept as it is.

type Check = (value: Json) => boolean

const bool: Check = (value) => typeof value === 'boolean'
const text: Check = (value) => typeof value === 'string'
const integer: Check = (value) => typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
const object: Check = isObject
const list: Check = (value) => isArray(value) && value.every(isObject)
const texts: Check = (value) => isArray(value) && value.every(text)
const textMap: Check = (value) => isObject(value) && Object.values(value).every((each) => each === null || each === undefined || text(each))
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const bytes: Check = (value) => textMap(value) && Object.values(objectOf(value)).every((each) => base64.test(asText(each)))
const microTime: Check = (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(value)

type Fields = Readonly<Record<string, Check>>

const metadataFields: Fields = {
  'metadata.labels': textMap,
  'metadata.annotations': textMap,
  'metadata.finalizers': texts,
  'metadata.ownerReferences': list,
}

const podFields = (path: string): Fields => ({
  [`${path}.containers`]: list,
  [`${path}.initContainers`]: list,
  [`${path}.volumes`]: list,
  [`${path}.tolerations`]: list,
  [`${path}.nodeSelector`]: textMap,
  [`${path}.hostNetwork`]: bool,
  [`${path}.nodeName`]: text,
  [`${path}.terminationGracePeriodSeconds`]: integer,
})

const fieldsOf: Readonly<Record<string, Fields>> = {
  configmaps: { data: textMap, binaryData: bytes, immutable: bool },
  secrets: { data: bytes, stringData: textMap, immutable: bool, type: text },
  serviceaccounts: { secrets: list, imagePullSecrets: list, automountServiceAccountToken: bool },
  events: { involvedObject: object, count: integer, reason: text, message: text, type: text, source: object },
  nodes: { 'spec.unschedulable': bool, 'spec.taints': list },
  pods: podFields('spec'),
  'jobs.batch': {
    'spec.parallelism': integer,
    'spec.completions': integer,
    'spec.backoffLimit': integer,
    'spec.activeDeadlineSeconds': integer,
    'spec.ttlSecondsAfterFinished': integer,
    'spec.suspend': bool,
    ...podFields('spec.template.spec'),
  },
  'leases.coordination.k8s.io': {
    'spec.renewTime': microTime,
    'spec.acquireTime': microTime,
    'spec.leaseDurationSeconds': integer,
    'spec.leaseTransitions': integer,
    'spec.holderIdentity': text,
  },
}

const workload: Fields = { 'spec.replicas': integer, ...podFields('spec.template.spec') }

/** The first field of the wrong type, or undefined. */
export function wronglyTyped(resource: Resource, body: JsonObject): string | undefined {
  if (resource.custom !== undefined) return firstWrong(body, metadataFields)
  const own = fieldsOf[qualified(resource)] ?? (resource.group === 'apps' ? workload : {})
  return firstWrong(body, metadataFields) ?? firstWrong(body, own) ?? firstWrong(body, { spec: object, status: object })
}

function firstWrong(body: JsonObject, fields: Fields): string | undefined {
  for (const [path, fits] of Object.entries(fields)) {
    const value = at(body, ...path.split('.'))
    if (value !== undefined && value !== null && !fits(value)) return path
  }
  return undefined
}

const identity = ['apiVersion', 'kind', 'metadata']
const outermost: Readonly<Record<string, readonly string[]>> = {
  configmaps: ['data', 'binaryData', 'immutable'],
  secrets: ['data', 'stringData', 'immutable', 'type'],
  serviceaccounts: ['secrets', 'imagePullSecrets', 'automountServiceAccountToken'],
  events: [
    'involvedObject',
    'reason',
    'message',
    'source',
    'firstTimestamp',
    'lastTimestamp',
    'count',
    'type',
    'eventTime',
    'series',
    'action',
    'related',
    'reportingComponent',
    'reportingInstance',
  ],
  'roles.rbac.authorization.k8s.io': ['rules'],
  'clusterroles.rbac.authorization.k8s.io': ['rules', 'aggregationRule'],
  'rolebindings.rbac.authorization.k8s.io': ['subjects', 'roleRef'],
  'clusterrolebindings.rbac.authorization.k8s.io': ['subjects', 'roleRef'],
  'priorityclasses.scheduling.k8s.io': ['value', 'globalDefault', 'description', 'preemptionPolicy'],
  'storageclasses.storage.k8s.io': [
    'provisioner',
    'parameters',
    'reclaimPolicy',
    'mountOptions',
    'allowVolumeExpansion',
    'volumeBindingMode',
    'allowedTopologies',
  ],
}
const usual = ['spec', 'status']

/** Outermost fields that the built-in type does not have. */
export function foreignFields(resource: Resource, body: JsonObject): readonly string[] {
  const known = outermost[qualified(resource)] ?? usual
  return Object.keys(body).filter((key) => !known.includes(key) && !identity.includes(key))
}
