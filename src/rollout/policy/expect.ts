/** Whether objects are as a gate expects them, and in which words that is said. */
import type { Expectation, ObjectCheck } from '../../api/gate.ts'
import { valuesAt } from '../../kube/objects/json-path.ts'
import { amountOf } from '../../kube/objects/quantity.ts'
import type { Json, JsonObject } from '../../base/json.ts'
import type { GateSeen } from '../world.ts'

/** Longest value that is shown. */
const MAX_SHOWN = 80

/** All of the objects must be as expected; none at all is not. */
export function judgeObjects(check: ObjectCheck, objects: readonly JsonObject[]): GateSeen {
  if (objects.length === 0) return { kind: 'verdict', met: false, message: `no ${check.of} matches the selector` }
  for (const object of objects) {
    for (const expectation of check.expect) {
      const fault = expectation.kind === 'condition' ? conditionFault(expectation, object) : pathFault(expectation, object)
      if (fault !== undefined) return { kind: 'verdict', met: false, message: `${nameOf(check, object)}: ${fault}` }
    }
  }
  return { kind: 'verdict', met: true, message: '' }
}

function nameOf({ of }: ObjectCheck, object: JsonObject): string {
  const { name, namespace } = (object['metadata'] ?? {}) as { name?: string; namespace?: string }
  return `${of} ${namespace === undefined ? '' : `${namespace}/`}${name ?? ''}`
}

function conditionFault(wanted: Extract<Expectation, { kind: 'condition' }>, object: JsonObject): string | undefined {
  const status = (object['status'] ?? {}) as { conditions?: unknown; observedGeneration?: unknown }
  const conditions = Array.isArray(status.conditions) ? (status.conditions as readonly Record<string, unknown>[]) : []
  const found = conditions.find((condition) => condition?.['type'] === wanted.type)
  if (found === undefined) return `has no condition ${wanted.type}`
  if (found['status'] !== wanted.status) return `condition ${wanted.type} is ${shown(found['status'] as Json)}, not ${wanted.status}`
  // What its controller said of an older spec says nothing of this one.
  const { generation } = (object['metadata'] ?? {}) as { generation?: unknown }
  const observed = found['observedGeneration'] ?? status.observedGeneration
  if (typeof generation === 'number' && typeof observed === 'number' && observed < generation)
    return `condition ${wanted.type} is of generation ${observed}, and the object of ${generation}`
  return undefined
}

function pathFault({ path, operator, values }: Extract<Expectation, { kind: 'path' }>, object: JsonObject): string | undefined {
  const found = valuesAt(object, path)
  if (operator === 'absent') return found.length === 0 ? undefined : `${path.text} is there`
  if (found.length === 0) return `${path.text} is missing`
  if (operator === 'exists') return undefined
  for (const value of found) {
    const text = plain(value)
    if (text === undefined) return `${path.text} is a list or an object, which cannot be compared`
    const fault = comparisonFault(operator, text, values)
    if (fault !== undefined) return `${path.text} is ${shown(value)}, ${fault}`
  }
  return undefined
}

function comparisonFault(operator: string, text: string, values: readonly string[]): string | undefined {
  const [wanted = ''] = values
  switch (operator) {
    case 'eq':
      return text === wanted ? undefined : `not ${wanted}`
    case 'ne':
      return text !== wanted ? undefined : 'which it should not be'
    case 'in':
      return values.includes(text) ? undefined : `not one of ${values.join(', ')}`
    case 'notIn':
      return values.includes(text) ? `which is one of ${values.join(', ')}` : undefined
    default: {
      const [a, b] = [amountOf(text), amountOf(wanted)]
      if (a === undefined || b === undefined) return `which cannot be compared with ${wanted} as a number`
      return compares(operator, a, b) ? undefined : `not ${operator} ${wanted}`
    }
  }
}

/** NaN compares with nothing, not even as different. */
export function compares(operator: string, a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return false
  switch (operator) {
    case 'eq':
      return a === b
    case 'ne':
      return a !== b
    case 'gt':
      return a > b
    case 'ge':
      return a >= b
    case 'lt':
      return a < b
    case 'le':
      return a <= b
    default:
      return false
  }
}

/** As it is compared; undefined for lists and objects. */
function plain(value: Json): string | undefined {
  return typeof value === 'object' ? undefined : String(value)
}

function shown(value: Json | undefined): string {
  const text = value === undefined ? 'missing' : typeof value === 'string' ? value : (plain(value) ?? JSON.stringify(value))
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
