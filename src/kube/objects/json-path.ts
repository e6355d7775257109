/**
 * Paths into objects: the part of kubectl's JSONPath that names fields. `.status.phase`, `.metadata.labels['app.kubernetes.io/name']` (or
 * with dots escaped, `.metadata.labels.app\.kubernetes\.io/name`), `.spec.taints[0]`, `.items[*].ready`. No filters, slices or functions.
 */
import type { Json } from '../../base/json.ts'

export interface JsonPath {
  readonly text: string
  readonly steps: readonly JsonStep[]
}

/** A field, an element counted from 0, or all elements. */
export type JsonStep = { readonly field: string } | { readonly index: number } | { readonly every: true }

export type JsonPathResult = { readonly ok: true; readonly value: JsonPath } | { readonly ok: false; readonly error: string }

const MAX_LENGTH = 512
const STEP = /\.((?:\\.|[^.[\]'"{}()*?@\s\\])+)|\[(?:(\d{1,6})|(\*)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]/y

/** Braces around it and a leading `$` make no difference. */
export function parseJsonPath(text: string): JsonPathResult {
  const fail = (error: string): JsonPathResult => ({ ok: false, error: `${JSON.stringify(text.slice(0, 80))} ${error}` })
  if (text.length > MAX_LENGTH) return fail(`is longer than ${MAX_LENGTH} characters`)
  const bare = /^\{(.*)\}$/s.exec(text)?.[1] ?? text
  const path = bare.startsWith('$') ? bare.slice(1) : bare
  if (path === '') return fail('names no field')
  const steps: JsonStep[] = []
  STEP.lastIndex = 0
  while (STEP.lastIndex < path.length) {
    const at = STEP.lastIndex
    const found = STEP.exec(path)
    if (found === null)
      return fail(`is no path such as .status.phase: it cannot be read from ${JSON.stringify(path.slice(at, at + 20))} on`)
    const [, field, index, every, single, double] = found
    const name = field ?? single ?? double
    if (name !== undefined) steps.push({ field: name.replaceAll(/\\(.)/g, '$1') })
    else if (every !== undefined) steps.push({ every: true })
    else steps.push({ index: Number(index) })
  }
  return { ok: true, value: { text, steps } }
}

/** All values that the path leads to; null stands for a missing one, as everywhere in the API. */
export function valuesAt(object: Json, { steps }: JsonPath): readonly Json[] {
  let found: readonly Json[] = [object]
  for (const step of steps) found = found.flatMap((value) => into(value, step))
  return found.filter((value) => value !== null)
}

function into(value: Json, step: JsonStep): readonly Json[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) {
    const list = value as readonly Json[]
    if ('every' in step) return list
    const item = 'index' in step ? list[step.index] : undefined
    return item === undefined ? [] : [item]
  }
  if (!('field' in step) || !Object.hasOwn(value, step.field)) return []
  const member = (value as Readonly<Record<string, Json>>)[step.field]
  return member === undefined ? [] : [member]
}
