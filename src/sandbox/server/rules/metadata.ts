import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, isObject, objectOf } from '../json.ts'
import type { Cause } from '../status.ts'
import type { ApiObject, Resource } from '../types.ts'
import { immutable, wrong } from './causes.ts'

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/

const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
const labelText =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
const valueText =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
const nameText =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

/** Longest total of keys and values of annotations, in bytes. */
const annotationLimit = 256 * 1024

export function validateMetadata(resource: Resource, metadata: JsonObject): readonly Cause[] {
  return [
    ...validateName(resource, asText(metadata['name'])),
    ...validateLabels(metadata['labels'], 'metadata.labels'),
    ...validateAnnotations(metadata['annotations']),
    ...validateFinalizers(metadata['finalizers']),
    ...validateOwners(metadata['ownerReferences']),
  ]
}

function validateName(resource: Resource, name: string): readonly Cause[] {
  const field = 'metadata.name'
  if (resource.group === 'rbac.authorization.k8s.io')
    return /[/%]/.test(name) || name === '.' || name === '..' ? [wrong(field, name, "may not contain '/' or '%'")] : []
  const isLabel = resource.kind === 'Namespace' || resource.kind === 'Service'
  const limit = isLabel ? 63 : 253
  if (name.length > limit) return [wrong(field, name, `must be no more than ${limit} characters`)]
  if (!(isLabel ? label : subdomain).test(name)) return [wrong(field, name, isLabel ? labelText : subdomainText)]
  return []
}

export function validateLabels(labels: Json | undefined, field: string): readonly Cause[] {
  if (labels === undefined || labels === null) return []
  if (!isObject(labels)) return [wrong(field, labels, 'must be a map')]
  return Object.entries(labels).flatMap(([key, value]) => {
    const keyCause = validateKey(key, field)
    if (keyCause !== undefined) return [keyCause]
    if (typeof value !== 'string') return [wrong(field, value, 'must be a string')]
    if (value.length > 63) return [wrong(field, value, 'must be no more than 63 bytes')]
    return labelValue.test(value) ? [] : [wrong(field, value, valueText)]
  })
}

function validateKey(key: string, field: string): Cause | undefined {
  const slash = key.indexOf('/')
  const prefix = slash < 0 ? undefined : key.slice(0, slash)
  const name = slash < 0 ? key : key.slice(slash + 1)
  if (prefix !== undefined && (prefix === '' || prefix.length > 253 || !subdomain.test(prefix)))
    return wrong(field, key, `prefix part ${subdomainText}`)
  if (name === '') return wrong(field, key, 'name part must be non-empty')
  if (name.length > 63) return wrong(field, key, 'name part must be no more than 63 bytes')
  return qualifiedName.test(name) ? undefined : wrong(field, key, nameText)
}

function validateAnnotations(annotations: Json | undefined): readonly Cause[] {
  const field = 'metadata.annotations'
  if (annotations === undefined || annotations === null) return []
  if (!isObject(annotations)) return [wrong(field, annotations, 'must be a map')]
  const causes: Cause[] = []
  let size = 0
  for (const [key, value] of Object.entries(annotations)) {
    const cause = validateKey(key.toLowerCase(), field)
    if (cause !== undefined) causes.push(cause)
    if (typeof value !== 'string') causes.push(wrong(field, value, 'must be a string'))
    else size += key.length + value.length
  }
  if (size > annotationLimit)
    causes.push({ reason: 'FieldValueTooLong', message: `Too long: may not be more than ${annotationLimit} bytes`, field })
  return causes
}

function validateFinalizers(finalizers: Json | undefined): readonly Cause[] {
  return arrayOf(finalizers).flatMap((each, index) => {
    const name = asText(each)
    const cause = validateKey(name, 'metadata.finalizers')
    if (cause !== undefined) return [cause]
    // Without a domain it must be one of Kubernetes' own.
    return name.includes('/') || ownFinalizers.has(name)
      ? []
      : [wrong(`metadata.finalizers[${index}]`, name, 'name is neither a standard finalizer name nor is it fully qualified')]
  })
}

const ownFinalizers = new Set(['kubernetes', 'orphan', 'foregroundDeletion'])

function validateOwners(owners: Json | undefined): readonly Cause[] {
  if (!Array.isArray(owners)) return []
  const owning = (owners as readonly Json[]).map(objectOf)
  if (owning.filter((owner) => owner['controller'] === true).length > 1)
    return [wrong('metadata.ownerReferences', owners, 'Only one reference can have Controller set to true.')]
  return owning.flatMap((owner) =>
    ['apiVersion', 'kind', 'name', 'uid'].flatMap((key) => {
      const value = owner[key]
      return typeof value === 'string' && value !== '' ? [] : [wrong(`metadata.ownerReferences.${key}`, value ?? '', 'must not be empty')]
    }),
  )
}

/** What of an object's identity an update wants to change and may not. */
export function validateIdentity(wanted: JsonObject, old: ApiObject): readonly Cause[] {
  const causes: Cause[] = []
  const { uid, deletionTimestamp, finalizers } = wanted
  if (uid !== undefined && uid !== '' && uid !== old.metadata.uid) causes.push(immutable('metadata.uid', uid))
  // The server says this twice.
  if (deletionTimestamp !== undefined && deletionTimestamp !== null && deletionTimestamp !== old.metadata.deletionTimestamp)
    causes.push(...[1, 2].map(() => immutable('metadata.deletionTimestamp', deletionTimestamp)))
  if (old.metadata.deletionTimestamp === undefined) return causes
  const added = arrayOf(finalizers).filter((each) => !(old.metadata.finalizers ?? []).includes(asText(each)))
  if (added.length > 0)
    causes.push({
      reason: 'FieldValueForbidden',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(', ')}}`,
      field: 'metadata.finalizers',
    })
  return causes
}
