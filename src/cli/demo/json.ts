/** Careful reading of objects whose shape nobody has checked: what is missing or of another type reads as empty. */
import { isObject, type Json, type JsonObject } from '../../base/json.ts'

/** The value below a path of keys; undefined where a key is missing. */
export function at(value: JsonObject, ...path: readonly string[]): Json | undefined {
  let current: Json | undefined = value
  for (const key of path) current = object(current)[key]
  return current
}

export function object(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

/** The objects of a list. */
export function list(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.map(object) : []
}

export function strings(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? value.map(text) : []
}

/** Without white space around it. */
export function text(value: Json | undefined): string {
  return typeof value === 'string' ? value.trim() : ''
}

/** Milliseconds since the epoch of an RFC 3339 text; undefined if it is none. */
export function time(value: Json | undefined): number | undefined {
  const ms = Date.parse(text(value))
  return Number.isNaN(ms) ? undefined : ms
}
