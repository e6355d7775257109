import type { Json, JsonObject } from '../../src/base/json.ts'

/** One line of a file of vectors: `id`, inputs, `expect`. Which inputs is the file's business. */
export interface Case {
  readonly id: string
  readonly input: JsonObject
  readonly expect: JsonObject
}

/** What Drover makes of the inputs, in the shape of `expect`. A promise that rejects is a failed case. */
export type Replay = (vector: Case) => Promise<Json> | Json

export function caseOf(line: Json): Case {
  const input = objectAt(line, 'the line')
  if (typeof input['id'] !== 'string') throw new Error('a case has no id')
  return { id: input['id'], input, expect: objectAt(input['expect'], `expect of ${input['id']}`) }
}

export function objectAt(value: Json | undefined, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw new Error(`${what} is not a JSON object`)
}

export function listAt(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : []
}

export function textAt(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}
