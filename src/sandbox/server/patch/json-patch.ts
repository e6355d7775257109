import type { Json, JsonObject } from '../../../base/json.ts'
import { equal, isArray, isObject, stringOf } from '../json.ts'
import { badRequest, unprocessable } from '../status.ts'

/** RFC 6902. The result shares what no operation touched. */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!isArray(patch)) throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch')
  return patch.reduce<Json>((document, operation) => {
    if (!isObject(operation)) throw badRequest('a JSON patch is a list of operations')
    return apply(document, operation)
  }, target)
}

function apply(document: Json, operation: JsonObject): Json {
  const path = pointer(operation['path'])
  const op = stringOf(operation['op'])
  switch (op) {
    case 'add':
      return set(document, path, valueOf(operation), 'insert')
    case 'replace':
      // As the server's library has it: what is not there is added, unless it is an item of a list.
      return set(document, path, valueOf(operation), 'overwrite')
    case 'remove':
      read(document, path)
      return set(document, path, undefined, 'overwrite')
    case 'test':
      if (!equal(tryRead(document, path) ?? null, valueOf(operation))) throw unprocessable()
      return document
    case 'copy':
      return set(document, path, read(document, pointer(operation['from'])), 'insert')
    case 'move': {
      const from = pointer(operation['from'])
      const moved = read(document, from)
      return set(set(document, from, undefined, 'overwrite'), path, moved, 'insert')
    }
    default:
      throw unprocessable()
  }
}

function valueOf(operation: JsonObject): Json {
  return operation['value'] ?? null
}

function pointer(path: Json | undefined): readonly string[] {
  if (typeof path !== 'string' || (path !== '' && !path.startsWith('/')))
    throw badRequest('a JSON patch operation needs a path that starts with a slash')
  return path === ''
    ? []
    : path
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function tryRead(document: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((value, key) => {
    if (isArray(value)) return value[indexOf(value, key)]
    return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  }, document)
}

function read(document: Json, path: readonly string[]): Json {
  const value = tryRead(document, path)
  if (value === undefined) throw unprocessable()
  return value
}

/** With `value` undefined: without that path. `insert` makes room in lists. */
function set(document: Json, path: readonly string[], value: Json | undefined, how: 'insert' | 'overwrite'): Json {
  const [key, ...rest] = path
  if (key === undefined) return value ?? null
  if (isArray(document)) {
    const index = key === '-' ? document.length : indexOf(document, key)
    if (how === 'overwrite' && index >= document.length) throw unprocessable()
    if (rest.length > 0) return document.with(index, set(document[index] ?? null, rest, value, how))
    return value === undefined ? document.toSpliced(index, 1) : document.toSpliced(index, how === 'insert' ? 0 : 1, value)
  }
  if (!isObject(document)) throw unprocessable()
  if (rest.length > 0) {
    const child = document[key]
    if (child === undefined) throw unprocessable()
    return { ...document, [key]: set(child, rest, value, how) }
  }
  const { [key]: _, ...others } = document
  return value === undefined ? others : { ...document, [key]: value }
}

function indexOf(list: readonly Json[], key: string): number {
  if (!/^\d+$/.test(key)) throw unprocessable()
  const index = Number(key)
  if (index > list.length) throw unprocessable()
  return index
}
