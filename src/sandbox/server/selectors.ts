import type { JsonObject } from '../../base/json.ts'
import { meets, type Requirement } from '../requirement.ts'
import { arrayOf, asText, at, isObject, objectOf, stringOf } from './json.ts'
import { badRequest } from './status.ts'
import type { ApiObject, Resource } from './types.ts'
import { qualified } from './types.ts'

export type Matcher = (object: ApiObject) => boolean

export interface Selection {
  readonly matches: Matcher
  /** Nothing is selected away. */
  readonly all: boolean
  /** One exact field that every match has, for indexing. */
  readonly exact: { readonly field: string; readonly value: string } | undefined
}

type Labels = Readonly<Record<string, string>>

interface LabelRequirement extends Requirement {
  readonly key: string
}

/** Parses `labelSelector` and `fieldSelector` of a request. */
export function parseSelection(resource: Resource, query: Readonly<Record<string, string>>): Selection {
  const labels = parseLabelSelector(query['labelSelector'] ?? '')
  const fields = parseFieldSelector(resource, query['fieldSelector'] ?? '')
  const exact = fields.find((field) => field.equal)
  return {
    all: labels.length === 0 && fields.length === 0,
    exact: exact === undefined ? undefined : { field: exact.field, value: exact.value },
    matches: (object) =>
      fields.every((field) => (fieldValue(object, field.field) === field.value) === field.equal) &&
      labels.every((requirement) => meets(requirement, object.metadata.labels?.[requirement.key])),
  }
}

/** What a field selector compares: the field's value as text, empty when it is not set. */
export function fieldValue(object: ApiObject, field: string): string {
  if (field === 'metadata.name') return object.metadata.name
  if (field === 'metadata.namespace') return object.metadata.namespace ?? ''
  const value = at(object, ...field.split('.'))
  if (value === undefined || value === null) return field === 'spec.unschedulable' ? 'false' : ''
  return asText(value)
}

/** Matches a `metav1.LabelSelector`. None matches nothing, an empty one matches everything. */
export function matchesLabelSelector(selector: JsonObject | undefined, labels: Labels): boolean {
  if (selector === undefined) return false
  for (const [key, value] of Object.entries(objectOf(selector['matchLabels']))) if (labels[key] !== value) return false
  return arrayOf(selector['matchExpressions']).every((expression) => {
    if (!isObject(expression)) return false
    const requirement = { operator: stringOf(expression['operator']) ?? 'In', values: arrayOf(expression['values']).map(String) }
    return meets(requirement, labels[stringOf(expression['key']) ?? ''])
  })
}

const key = String.raw`[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?`
const setBased = new RegExp(String.raw`^(${key})\s+(in|notin)\s*\(([^)]*)\)$`)
const compared = new RegExp(String.raw`^(${key})\s*(==|=|!=|>|<)\s*([A-Za-z0-9._-]*)$`)
const existing = new RegExp(String.raw`^(!?)\s*(${key})$`)

function parseLabelSelector(text: string): readonly LabelRequirement[] {
  return splitOutsideParentheses(text).map((part): LabelRequirement => {
    const set = setBased.exec(part)
    if (set !== null)
      return {
        key: set[1] ?? '',
        operator: set[3] === 'in' ? 'In' : 'NotIn',
        values: (set[4] ?? '').split(',').map((value) => value.trim()),
      }
    const comparison = compared.exec(part)
    if (comparison !== null) return { key: comparison[1] ?? '', operator: operatorOf(comparison[3] ?? '='), values: [comparison[4] ?? ''] }
    const existence = existing.exec(part)
    if (existence !== null) return { key: existence[2] ?? '', operator: existence[1] === '!' ? 'DoesNotExist' : 'Exists', values: [] }
    throw badRequest(`unable to parse requirement: found '${part}', expected: a label requirement`)
  })
}

function operatorOf(sign: string): string {
  if (sign === '!=') return 'NotIn'
  if (sign === '>') return 'Gt'
  return sign === '<' ? 'Lt' : 'In'
}

function splitOutsideParentheses(text: string): readonly string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  for (let index = 0; index <= text.length; index++) {
    const character = text[index]
    if (character === '(') depth++
    if (character === ')') depth--
    if (index < text.length && !(character === ',' && depth === 0)) continue
    const part = text.slice(start, index).trim()
    if (part !== '') parts.push(part)
    start = index + 1
  }
  return parts
}

/** Fields beside metadata.name and metadata.namespace that the real server indexes. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  nodes: ['spec.unschedulable'],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  'jobs.batch': ['status.successful'],
  secrets: ['type'],
  namespaces: ['status.phase'],
  'replicasets.apps': ['status.replicas'],
}

function parseFieldSelector(resource: Resource, text: string): readonly { field: string; value: string; equal: boolean }[] {
  const known = fieldsOf[qualified(resource)] ?? []
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(part)
      if (match === null) throw badRequest(`invalid field selector: ${part}`)
      const field = match[1] ?? ''
      if (field !== 'metadata.name' && field !== 'metadata.namespace' && !known.includes(field))
        throw badRequest(`field label not supported: ${field}`)
      return { field, value: match[3] ?? '', equal: match[2] !== '!=' }
    })
}
