import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, at, equal, objectOf } from '../json.ts'
import { forbiddenField } from '../query.ts'
import { validateSchema } from '../schema.ts'
import type { Cause } from '../status.ts'
import type { ApiObject, Resource } from '../types.ts'
import { qualified } from '../types.ts'
import { validateCrd } from './crd.ts'
import { validateLabels, validateMetadata } from './metadata.ts'
import { immutable, required, wrong } from './causes.ts'
import { validatePodSpec, validatePodUpdate } from './pods.ts'

/** Everything wrong with an object that is about to be stored. */
export function validate(resource: Resource, object: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const metadata = validateMetadata(resource, objectOf(object['metadata']))
  if (resource.custom !== undefined) return [...metadata, ...validateSchema(object, resource.custom.schema, old)]
  return [...metadata, ...ofKind(resource, object, old)]
}

function ofKind(resource: Resource, object: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const spec = objectOf(object['spec'])
  switch (qualified(resource)) {
    case 'pods':
      return old === undefined ? validatePodSpec(spec, 'spec') : validatePodUpdate(spec, objectOf(old['spec']))
    case 'jobs.batch':
      return validateJob(object, spec, old)
    case 'nodes':
      return validateNode(spec, old)
    case 'deployments.apps':
    case 'replicasets.apps':
    case 'statefulsets.apps':
    case 'daemonsets.apps':
      return validateWorkload(spec, old)
    case 'poddisruptionbudgets.policy':
      return validateBudget(spec)
    case 'leases.coordination.k8s.io':
      return validateLease(spec)
    case 'secrets':
      return validateSecret(object, old)
    case 'customresourcedefinitions.apiextensions.k8s.io':
      return validateCrd(object, old)
    case 'events':
      return validateEvent(object)
    default:
      return []
  }
}

function validateJob(object: JsonObject, spec: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const causes: Cause[] = []
  for (const field of ['parallelism', 'completions', 'backoffLimit', 'activeDeadlineSeconds', 'ttlSecondsAfterFinished'] as const) {
    const value = spec[field]
    if (value !== undefined && (typeof value !== 'number' || !Number.isInteger(value) || value < 0))
      causes.push(wrong(`spec.${field}`, value, 'must be greater than or equal to 0'))
  }
  const template = objectOf(spec['template'])
  const podSpec = objectOf(template['spec'])
  const labels = objectOf(at(template, 'metadata', 'labels'))
  if (old === undefined) causes.push(...validateJobSelector(object, objectOf(spec['selector']), spec, labels))
  causes.push(...validateLabels(labels, 'spec.template.labels'))
  causes.push(...validatePodSpec(podSpec, 'spec.template.spec'))
  if (podSpec['restartPolicy'] === 'Always')
    causes.push({
      reason: 'FieldValueNotSupported',
      message: 'Unsupported value: "Always": supported values: "OnFailure", "Never"',
      field: 'spec.template.spec.restartPolicy',
    })
  if (!['TerminatingOrFailed', 'Failed'].includes(asText(spec['podReplacementPolicy'])))
    causes.push(wrong('spec.podReplacementPolicy', spec['podReplacementPolicy'], 'supported values: "Failed", "TerminatingOrFailed"'))
  if (old === undefined) return causes

  const before = objectOf(old['spec'])
  for (const field of ['completions', 'selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'manualSelector'])
    if (!equal(spec[field], before[field])) causes.push(immutable(`spec.${field}`, spec[field]))
  const editable = before['suspend'] === true && at(old, 'status', 'startTime') === undefined
  const compared = editable ? withoutScheduling : (value: Json | undefined): Json | undefined => value
  if (!equal(compared(spec['template']), compared(before['template'])))
    causes.push(immutable(editable ? 'spec.template.spec' : 'spec.template', spec['template']))
  return causes
}

/** A Job selects its pods by its own uid, and by nothing else, unless it says that it knows better. */
function validateJobSelector(job: JsonObject, selector: JsonObject, spec: JsonObject, labels: JsonObject): readonly Cause[] {
  const matchLabels = objectOf(selector['matchLabels'])
  const causes: Cause[] = []
  const own = { 'batch.kubernetes.io/controller-uid': objectOf(job['metadata'])['uid'] }
  if (spec['manualSelector'] !== true && !equal(selector, { matchLabels: own }))
    causes.push(wrong('spec.selector', selector, '`selector` not auto-generated'))
  if (Object.entries(matchLabels).some(([key, value]) => labels[key] !== value))
    causes.push(wrong('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'))
  return causes
}

/** While a Job is suspended and never ran, its scheduling may change. */
function withoutScheduling(template: Json | undefined): Json {
  const { metadata: _m, spec, ...rest } = objectOf(template)
  const { affinity: _a, nodeSelector: _n, tolerations: _t, schedulingGates: _g, ...podSpec } = objectOf(spec)
  return { ...rest, spec: podSpec }
}

function validateNode(spec: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const causes: Cause[] = []
  const seen = new Set<string>()
  arrayOf(spec['taints']).forEach((taint, index) => {
    const { key, effect } = objectOf(taint)
    // It is in the spec, but this is what the server calls it.
    const field = `metadata.taints[${index}]`
    if (typeof key !== 'string' || key === '') causes.push(required(`${field}.key`))
    if (!['NoSchedule', 'PreferNoSchedule', 'NoExecute'].includes(asText(effect)))
      causes.push({
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${asText(effect)}": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`,
        field: `${field}.effect`,
      })
    const identity = `${asText(key)}:${asText(effect)}`
    if (seen.has(identity))
      causes.push({ reason: 'FieldValueDuplicate', message: 'Duplicate value: taints must be unique by key and effect pair', field })
    seen.add(identity)
  })
  const provider = old?.['spec'] === undefined ? undefined : objectOf(old['spec'])['providerID']
  if (provider !== undefined && spec['providerID'] !== provider)
    causes.push({
      reason: 'FieldValueForbidden',
      message: 'Forbidden: node updates may not change providerID except from "" to valid',
      field: 'spec.providerID',
    })
  const { unschedulable } = spec
  if (unschedulable !== undefined && typeof unschedulable !== 'boolean')
    causes.push(wrong('spec.unschedulable', unschedulable, 'must be a boolean'))
  return causes
}

function validateWorkload(spec: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const causes: Cause[] = []
  const selector = objectOf(spec['selector'])
  const labels = objectOf(at(spec, 'template', 'metadata', 'labels'))
  if (Object.keys(selector).length === 0) causes.push(required('spec.selector'))
  for (const [key, value] of Object.entries(objectOf(selector['matchLabels'])))
    if (labels[key] !== value) {
      causes.push(wrong('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'))
      break
    }
  causes.push(...validatePodSpec(objectOf(at(spec, 'template', 'spec')), 'spec.template.spec'))
  if (old !== undefined && !equal(selector, objectOf(at(old, 'spec', 'selector')))) causes.push(immutable('spec.selector', selector))
  return causes
}

/** An Event stands where its object is; one about the cluster stands in `default`. */
function validateEvent(event: JsonObject): readonly Cause[] {
  const about = asText(at(event, 'involvedObject', 'namespace'))
  const home = asText(at(event, 'metadata', 'namespace'))
  if (about === home || (about === '' && (home === 'default' || home === 'kube-system'))) return []
  return [wrong('involvedObject.namespace', about, 'does not match event.namespace')]
}

function validateBudget(spec: JsonObject): readonly Cause[] {
  if (spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined)
    return [wrong('spec', spec, 'minAvailable and maxUnavailable cannot be both set')]
  return (['minAvailable', 'maxUnavailable'] as const).flatMap((field) => {
    const value = spec[field]
    if (value === undefined) return []
    const where = `spec.${field}`
    if (typeof value === 'number') return value >= 0 ? [] : [wrong(where, value, 'must be greater than or equal to 0')]
    const percent = /^(\d+)%$/.exec(asText(value))?.[1]
    if (percent === undefined) return [wrong(where, value, "a valid percent string must be a numeric string followed by an ending '%'")]
    return Number(percent) <= 100 ? [] : [wrong(where, value, 'must not be greater than 100%')]
  })
}

function validateLease(spec: JsonObject): readonly Cause[] {
  const causes: Cause[] = []
  for (const field of ['leaseDurationSeconds', 'leaseTransitions'] as const) {
    const value = spec[field]
    const least = field === 'leaseDurationSeconds' ? 1 : 0
    if (value !== undefined && value !== null && (typeof value !== 'number' || value < least))
      causes.push(wrong(`spec.${field}`, value, least === 1 ? 'must be greater than 0' : 'must be greater than or equal to 0'))
  }
  return causes
}

function validateSecret(object: JsonObject, old: ApiObject | undefined): readonly Cause[] {
  const causes: Cause[] = []
  if (old === undefined) return causes
  if (object['type'] !== old['type']) causes.push(immutable('type', object['type']))
  if (old['immutable'] === true && object['immutable'] !== true)
    causes.push(forbiddenField('immutable', 'field is immutable when `immutable` is set'))
  if (old['immutable'] === true && !equal(object['data'], old['data']))
    causes.push({ reason: 'FieldValueForbidden', message: 'Forbidden: field is immutable when `immutable` is set', field: 'data' })
  return causes
}
