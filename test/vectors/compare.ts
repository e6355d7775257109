import { isDeepStrictEqual } from 'node:util'
import { type Json, type JsonObject, stringifyJson } from '../../src/base/json.ts'

/** One place in which two values differ. */
export interface Difference {
  /** `expect.job.spec.parallelism`; `(all)` for the values themselves. */
  readonly path: string
  readonly expected: Json | undefined
  readonly actual: Json | undefined
}

/** JSON equality; members that are undefined are missing. Empty = equal. */
export function differences(expected: Json | undefined, actual: Json | undefined, path = ''): Difference[] {
  if (isObject(expected) && isObject(actual)) {
    const keys = [...new Set([...Object.keys(expected), ...Object.keys(actual)])]
    return keys.flatMap((key) => differences(expected[key], actual[key], path === '' ? key : `${path}.${key}`))
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    return expected.flatMap((entry: Json, i) => differences(entry, actual[i] as Json, `${path}[${i}]`))
  }
  return isDeepStrictEqual(expected, actual) ? [] : [{ path: path === '' ? '(all)' : path, expected, actual }]
}

export function formatDifference({ path, expected, actual }: Difference): string {
  return `    ${path}\n      expected ${show(expected)}\n      got      ${show(actual)}`
}

function show(value: Json | undefined): string {
  const text = value === undefined ? '(nothing)' : stringifyJson(value)
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length} characters)` : text
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
