import type { Json, JsonObject } from '../../../base/json.ts'
import { equal, isArray, isObject } from '../json.ts'
import type { Place } from './list-types.ts'

const directive = '$patch'
const order = '$setElementOrder/'
const deletePrimitives = '$deleteFromPrimitiveList/'
const retainKeys = '$retainKeys'

/** Strategic merge of built-in types: lists with a merge key merge item by item, and `$`-directives say what to drop. */
export function strategicMerge(target: Json | undefined, patch: Json, place: Place): Json {
  if (!isObject(patch)) return patch
  if (patch[directive] === 'replace') return without(patch, directive)
  const result: Record<string, Json | undefined> = isObject(target) ? { ...target } : {}
  const retained = patch[retainKeys]
  if (isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key]

  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined || key === directive || key === retainKeys || key.startsWith(order)) continue
    if (key.startsWith(deletePrimitives)) {
      const field = key.slice(deletePrimitives.length)
      const list = result[field]
      if (isArray(list) && isArray(value)) result[field] = list.filter((item) => !value.some((gone) => equal(gone, item)))
      continue
    }
    if (value === null || (isObject(value) && value[directive] === 'delete')) delete result[key]
    else if (isArray(value)) result[key] = mergeList(result[key], value, place.child(key), patch[order + key])
    else result[key] = strategicMerge(result[key], value, place.child(key))
  }
  // Orders of lists that the patch names only to order or to shrink.
  for (const [key, wanted] of Object.entries(patch)) {
    const field = key.slice(order.length)
    const list = result[field]
    if (key.startsWith(order) && patch[field] === undefined && isArray(list))
      result[field] = reorder(list, wanted, mergeKeyOf(place.child(field)))
  }
  return result
}

function mergeKeyOf(place: Place): string | undefined {
  return place.list.kind === 'map' ? place.list.keys[0] : undefined
}

function mergeList(current: Json | undefined, patch: readonly Json[], place: Place, wanted: Json | undefined): Json {
  const live = isArray(current) ? current : []
  if (place.list.kind === 'set')
    return reorder([...live, ...patch.filter((item) => !live.some((old) => equal(old, item)))], wanted, undefined)
  const key = mergeKeyOf(place)
  if (key === undefined) return patch
  const replaces = patch.some((item) => isObject(item) && item[directive] === 'replace')
  const merged: Json[] = replaces ? [] : [...live]
  for (const item of patch) {
    if (!isObject(item)) {
      merged.push(item)
      continue
    }
    if (item[directive] === 'replace') {
      if (item[key] !== undefined) merged.push(without(item, directive))
      continue
    }
    const index = merged.findIndex((old) => isObject(old) && equal(old[key], item[key]))
    if (item[directive] === 'delete') {
      if (index >= 0) merged.splice(index, 1)
    } else if (index >= 0) merged[index] = strategicMerge(merged[index], item, place.item)
    else merged.push(strategicMerge(undefined, item, place.item))
  }
  return reorder(merged, wanted, key)
}

/** Items that `wanted` names come in its order; the others keep their place after their neighbours. */
function reorder(list: readonly Json[], wanted: Json | undefined, key: string | undefined): readonly Json[] {
  if (!isArray(wanted)) return list
  const keyOf = (item: Json): Json | undefined => (key !== undefined && isObject(item) ? item[key] : item)
  const rank = (item: Json): number => wanted.findIndex((each) => equal(keyOf(each), keyOf(item)))
  const named = list.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b))
  return list.map((item) => (rank(item) < 0 ? item : (named.shift() as Json)))
}

function without(object: JsonObject, key: string): JsonObject {
  const { [key]: _, ...rest } = object
  return rest
}
