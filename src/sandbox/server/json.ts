import type { Json, JsonObject } from '../../base/json.ts'

/** Asked for every node of every object: in the contexts that tests run in, looking a global up costs more than the call. */
const isList = Array.isArray

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !isList(value)
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return isList(value)
}

/** The value as an object, or an empty one. */
export function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

export function arrayOf(value: Json | undefined): readonly Json[] {
  return isArray(value) ? value : []
}

export function stringOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A scalar as it is written, nothing as nothing, the rest as JSON. */
export function asText(value: Json | undefined): string {
  if (typeof value === 'string') return value
  if (value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Follows keys into nested objects; undefined where the way ends. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let current = value
  for (const key of path) {
    if (!isObject(current)) return undefined
    current = current[key]
  }
  return current
}

/** Equality of JSON; keys whose value is undefined count as missing. */
export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (isArray(a)) return isArray(b) && a.length === b.length && a.every((item, index) => equal(item, b[index]))
  if (isArray(b)) return false
  for (const key of Object.keys(a)) if (!equal((a as JsonObject)[key], (b as JsonObject)[key])) return false
  for (const key of Object.keys(b)) if ((b as JsonObject)[key] !== undefined && (a as JsonObject)[key] === undefined) return false
  return true
}

/** A copy with `key` set, or without it when the value is undefined. The same object when nothing changes. */
export function withKey(object: JsonObject, key: string, value: Json | undefined): JsonObject {
  if (object[key] === value) return object
  if (value !== undefined) return { ...object, [key]: value }
  const { [key]: _, ...rest } = object
  return rest
}

/** Sets a nested value, making objects on the way. */
export function withPath(object: JsonObject, path: readonly string[], value: Json | undefined): JsonObject {
  const [key, ...rest] = path
  if (key === undefined) return object
  if (rest.length === 0) return withKey(object, key, value)
  if (value === undefined && !isObject(object[key])) return object
  return withKey(object, key, withPath(objectOf(object[key]), rest, value))
}

export function deepFreeze<T extends Json>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const child of Object.values(value)) if (child !== undefined) deepFreeze(child as Json)
  return value
}
