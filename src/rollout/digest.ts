/** What the digest annotation of a Plan adds to its hash: the printed values of some of its fields. */
import type { Json, JsonObject } from '../base/json.ts'
import { goPrint, goTrim } from './go-print.ts'

/**
 * One text for each path of the annotation's value, in its order. Paths are split on `,` without trimming and walk maps by `.`;
 * a list stands for its first element, a missing value for the empty text (wrangler's data.Object.String).
 */
export function digestParts(encoded: JsonObject, paths: string): string[] {
  if (paths === '') return []
  return paths.split(',').map((path) => printValue(valueAt(encoded, path.split('.'))))
}

function valueAt(root: Json, path: readonly string[]): Json | undefined {
  let value: Json | undefined = root
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return undefined
    value = (value as JsonObject)[key]
  }
  return value
}

function printValue(value: Json | undefined): string {
  const single: Json | undefined = Array.isArray(value) ? value[0] : value
  return single === undefined || single === null ? '' : goTrim(goPrint(single))
}
