/** Label selectors: matching, printing and the error texts of k8s.io/apimachinery's labels package (0.36), which reach conditions and events. */
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import { goQuote } from './go-quote.ts'
import { validateLabelKey, validateLabelValue } from './label-validation.ts'
import { compareUtf8 } from './utf8-order.ts'

export type Labels = Readonly<Record<string, string>> | undefined

export type Operator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt'

export interface Requirement {
  readonly key: string
  readonly operator: Operator
  readonly values: readonly string[]
}

export interface Selector {
  /** Matches no object at all, whatever its labels. */
  readonly nothing: boolean
  /** All must hold. Sorted by key. */
  readonly requirements: readonly Requirement[]
}

export type SelectorResult = { readonly ok: true; readonly selector: Selector } | { readonly ok: false; readonly error: string }
export type RequirementResult = { readonly ok: true; readonly requirement: Requirement } | { readonly ok: false; readonly error: string }

export const NOTHING: Selector = { nothing: true, requirements: [] }
export const EVERYTHING: Selector = { nothing: false, requirements: [] }

const EXPRESSION_OPERATORS: Readonly<Record<string, Operator>> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' }

/** The wire form compiled. A missing selector matches nothing, an empty one everything. The error is Kubernetes' own text. */
export function compileLabelSelector(selector: LabelSelector | null | undefined): SelectorResult {
  if (selector === undefined || selector === null) return { ok: true, selector: NOTHING }
  const requirements: Requirement[] = []
  // Go walks the map in random order; sorting makes it always the same error that is reported.
  const labels = Object.entries(selector.matchLabels ?? {}).sort(([a], [b]) => compareUtf8(a, b))
  for (const [key, value] of labels) {
    const made = makeRequirement(key, '=', [value])
    if (!made.ok) return made
    requirements.push(made.requirement)
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = Object.hasOwn(EXPRESSION_OPERATORS, operator) ? EXPRESSION_OPERATORS[operator] : undefined
    if (known === undefined) return { ok: false, error: `${goQuote(operator)} is not a valid label selector operator` }
    const made = makeRequirement(key, known, values ?? [])
    if (!made.ok) return made
    requirements.push(made.requirement)
  }
  return { ok: true, selector: { nothing: false, requirements: sortByKey(requirements) } }
}

/** A checked requirement. Several faults are listed in brackets, as Kubernetes aggregates them. */
export function makeRequirement(key: string, operator: Operator, values: readonly string[]): RequirementResult {
  const faults: string[] = []
  const keyFaults = validateLabelKey(key)
  if (keyFaults.length > 0) faults.push(`key: Invalid value: ${goQuote(key)}: ${keyFaults.join('; ')}`)
  const count = countFault(operator, values)
  if (count !== undefined) faults.push(`values: Invalid value: ${values.length === 0 ? 'null' : JSON.stringify(values)}: ${count}`)
  for (const [i, value] of values.entries()) {
    if ((operator === 'gt' || operator === 'lt') && parseInt64(value) === undefined) {
      faults.push(`values[${i}]: Invalid value: ${goQuote(value)}: for 'Gt', 'Lt' operators, the value must be an integer`)
    }
  }
  for (const [i, value] of values.entries()) {
    const valueFaults = validateLabelValue(value)
    if (valueFaults.length > 0) faults.push(`values[${i}][${key}]: Invalid value: ${goQuote(value)}: ${valueFaults.join('; ')}`)
  }
  const distinct = [...new Set(faults)]
  if (distinct.length === 0) return { ok: true, requirement: { key, operator, values } }
  return { ok: false, error: distinct.length === 1 ? (distinct[0] ?? '') : `[${distinct.join(', ')}]` }
}

/** The selector narrowed further. NOTHING stays nothing. */
export function addRequirements(selector: Selector, ...more: readonly Requirement[]): Selector {
  if (selector.nothing) return selector
  return { nothing: false, requirements: sortByKey([...selector.requirements, ...more]) }
}

export function matchesSelector(selector: Selector, labels: Labels): boolean {
  return !selector.nothing && selector.requirements.every((requirement) => matchesRequirement(requirement, labels))
}

/** As kubectl and `?labelSelector=` take it: terms sorted by key, values sorted. Both EVERYTHING and NOTHING print as ''. */
export function formatSelector(selector: Selector): string {
  return selector.requirements.map(formatRequirement).join(',')
}

function matchesRequirement({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'in':
    case '=':
    case '==':
      return value !== undefined && values.includes(value)
    case 'notin':
    case '!=':
      return value === undefined || !values.includes(value)
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case 'gt':
    case 'lt': {
      const [label, bound] = [parseInt64(value), parseInt64(values[0])]
      if (label === undefined || bound === undefined) return false
      return operator === 'gt' ? label > bound : label < bound
    }
  }
}

function formatRequirement({ key, operator, values }: Requirement): string {
  const sorted = [...values].sort(compareUtf8).join(',')
  switch (operator) {
    case 'exists':
      return key
    case '!':
      return `!${key}`
    case 'in':
    case 'notin':
      return `${key} ${operator} (${sorted})`
    case 'gt':
      return `${key}>${sorted}`
    case 'lt':
      return `${key}<${sorted}`
    case '=':
    case '==':
    case '!=':
      return `${key}${operator}${sorted}`
  }
}

function countFault(operator: Operator, values: readonly string[]): string | undefined {
  switch (operator) {
    case 'in':
    case 'notin':
      return values.length === 0 ? "for 'in', 'notin' operators, values set can't be empty" : undefined
    case '=':
    case '==':
    case '!=':
      return values.length === 1 ? undefined : 'exact-match compatibility requires one single value'
    case 'exists':
    case '!':
      return values.length === 0 ? undefined : 'values set must be empty for exists and does not exist'
    case 'gt':
    case 'lt':
      return values.length === 1 ? undefined : "for 'Gt', 'Lt' operators, exactly one value is required"
  }
}

function sortByKey(requirements: readonly Requirement[]): readonly Requirement[] {
  return [...requirements].sort((a, b) => compareUtf8(a.key, b.key))
}

const INT64_MAX = 2n ** 63n - 1n

function parseInt64(text: string | undefined): bigint | undefined {
  if (text === undefined || text.length > 32 || !/^[+-]?[0-9]+$/.test(text)) return undefined
  const value = BigInt(text.startsWith('+') ? text.slice(1) : text)
  return value > INT64_MAX || value < -INT64_MAX - 1n ? undefined : value
}
