import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, equal, isArray, isObject, objectOf } from '../json.ts'
import type { Place } from '../patch/list-types.ts'
import { keyOfItem } from '../patch/list-types.ts'
import type { Cause } from '../status.ts'
import { applyConflict } from '../status.ts'
import type { FieldSet } from './field-set.ts'
import { describePath, difference, fieldsOf, intersect, isEmpty, nothing, paths, subtract, union } from './field-set.ts'

export interface Manager {
  readonly manager: string
  readonly operation: 'Update' | 'Apply'
  readonly apiVersion: string
  readonly subresource: string | undefined
  /** RFC 3339, of a change to the set. */
  readonly time: string
}

/** The shape of a resource: how its lists merge, and whether its status is apart. */
export interface Schema {
  readonly place: Place
  readonly hasStatus: boolean
}

interface Entry {
  readonly wire: JsonObject
  readonly fields: FieldSet
}

/** The part of an object that a request through this subresource may own: never its identity, nor what the server keeps. */
function ownable(object: JsonObject, part: 'status' | 'main' | 'all'): JsonObject {
  const { apiVersion: _a, kind: _k, metadata, status, ...rest } = object
  const { labels, annotations, finalizers, ownerReferences } = objectOf(metadata)
  const bare = labels === undefined && annotations === undefined && finalizers === undefined && ownerReferences === undefined
  const named = bare ? {} : { metadata: { labels, annotations, finalizers, ownerReferences } }
  const state = status === undefined ? {} : { status }
  if (part === 'status') return { ...named, ...state }
  return part === 'main' ? { ...rest, ...named } : { ...rest, ...named, ...state }
}

function partOf(manager: Manager, hasStatus: boolean): 'status' | 'main' | 'all' {
  if (!hasStatus) return 'all'
  return manager.subresource === 'status' ? 'status' : manager.subresource === 'binding' ? 'all' : 'main'
}

function entriesOf(object: JsonObject | undefined): readonly Entry[] {
  const managed = objectOf(object?.['metadata'])['managedFields']
  return arrayOf(managed)
    .filter(isObject)
    .map((wire) => ({ wire, fields: objectOf(wire['fieldsV1']) as FieldSet }))
}

function isOf(entry: Entry, manager: Manager): boolean {
  const { wire } = entry
  return (
    wire['manager'] === manager.manager &&
    wire['operation'] === manager.operation &&
    wire['apiVersion'] === manager.apiVersion &&
    wire['subresource'] === (manager.subresource ?? undefined)
  )
}

function made(manager: Manager, fields: FieldSet): Entry {
  const { subresource, ...rest } = manager
  return {
    wire: { ...rest, fieldsType: 'FieldsV1', fieldsV1: fields as JsonObject, ...(subresource === undefined ? {} : { subresource }) },
    fields,
  }
}

function withFields(entry: Entry, fields: FieldSet): Entry {
  return fields === entry.fields ? entry : { wire: { ...entry.wire, fieldsV1: fields as JsonObject }, fields }
}

function toWire(entries: readonly Entry[]): readonly Json[] {
  return entries.filter((entry) => !isEmpty(entry.fields)).map((entry) => entry.wire)
}

/**
 * managedFields after an update: the manager gains what it changed, all others lose it, and everyone loses what is gone. Setting a field to the
 * value it has changes no owner (real-kubernetes.md §7). The same array when nothing changed hands.
 */
export function afterUpdate(before: JsonObject | undefined, after: JsonObject, manager: Manager, schema: Schema): readonly Json[] {
  const part = partOf(manager, schema.hasStatus)
  const given = objectOf(after['metadata'])['managedFields']
  const old = objectOf(before?.['metadata'])['managedFields']
  const reset = isArray(given) && (given.length === 0 || (given.length === 1 && equal(given[0], {})))
  const rewritten = given !== undefined && !equal(given, old) ? after : before
  const current = reset ? [] : entriesOf(rewritten)
  const { changed, removed } = difference(before === undefined ? {} : ownable(before, part), ownable(after, part), schema.place)
  if (isEmpty(changed) && isEmpty(removed)) return rewritten === before && isArray(old) ? old : toWire(current)

  let found = false
  const entries = current.map((entry) => {
    const kept = subtract(entry.fields, removed)
    if (!isOf(entry, manager)) return withFields(entry, subtract(kept, changed))
    found = true
    const grown = union(kept, changed)
    return grown === entry.fields ? entry : { wire: { ...entry.wire, time: manager.time, fieldsV1: grown as JsonObject }, fields: grown }
  })
  if (!found) entries.push(made(manager, changed))
  if (isArray(old) && entries.length === old.length && entries.every((entry, index) => entry.wire === old[index])) return old
  return toWire(entries)
}

/**
 * Server-side apply: merges `applied` into `live`, drops what this manager applied before and no longer does, and refuses to change what
 * others own unless forced.
 */
export function apply(live: JsonObject, applied: JsonObject, manager: Manager, schema: Schema, force: boolean): JsonObject {
  const { place } = schema
  const part = partOf(manager, schema.hasStatus)
  const wanted = ownable(applied, part)
  const fields = fieldsOf(wanted, place)
  const entries = entriesOf(live)
  const others = entries.filter((entry) => !isOf(entry, manager))
  const mine = entries.find((entry) => isOf(entry, manager))

  const merged = mergeApplied(live, wanted, place) as JsonObject
  const { changed } = difference(ownable(live, part), ownable(merged, part), place)
  const taken = intersect(changed, fields)
  if (!force) refuseConflicts(others, manager.manager === 'kubectl' ? subtract(taken, lastApplied(live, part, place)) : taken)

  const stale = others.reduce((set, other) => subtract(set, other.fields), subtract(mine?.fields ?? {}, fields))
  const pruned = isEmpty(stale) ? merged : (prune(merged, stale, place) as JsonObject)
  const sameSet = mine !== undefined && equal(mine.fields as JsonObject, fields as JsonObject)
  const own = sameSet ? mine : made(manager, fields)
  const rest = others.map((entry) => withFields(entry, subtract(entry.fields, taken)))
  const { managedFields: _, ...metadata } = objectOf(pruned['metadata'])
  return { ...pruned, metadata: { ...metadata, managedFields: toWire([own, ...rest]) } }
}

const lastAppliedKey = 'kubectl.kubernetes.io/last-applied-configuration'

/** Fields that `kubectl apply` set and that still have its value: `kubectl apply --server-side` may take them over without a conflict. */
function lastApplied(live: JsonObject, part: 'status' | 'main' | 'all', place: Place): FieldSet {
  const text = objectOf(objectOf(live['metadata'])['annotations'])[lastAppliedKey]
  if (typeof text !== 'string') return nothing
  try {
    const applied = ownable(objectOf(JSON.parse(text) as Json), part)
    return subtract(fieldsOf(applied, place), difference(ownable(live, part), applied, place).changed)
  } catch {
    // Somebody wrote something else into the annotation: then it allows nothing.
    return nothing
  }
}

function refuseConflicts(others: readonly Entry[], taken: FieldSet): void {
  const causes: Cause[] = others.flatMap(({ wire, fields }) => {
    const sub = wire['subresource'] === undefined ? '' : ` with subresource "${asText(wire['subresource'])}"`
    const using = wire['operation'] === 'Update' ? ` using ${asText(wire['apiVersion'])}` : ''
    return paths(intersect(fields, taken)).map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${asText(wire['manager'])}"${sub}${using}`,
      field: describePath(path),
    }))
  })
  if (causes.length > 0) throw applyConflict(causes)
}

function mergeApplied(live: Json | undefined, applied: Json, place: Place): Json {
  if (isObject(applied)) {
    if (!isObject(live) || place.atomic) return applied
    const result: Record<string, Json | undefined> = { ...live }
    for (const [key, value] of Object.entries(applied))
      if (value !== undefined) result[key] = mergeApplied(live[key], value, place.child(key))
    return result
  }
  if (!isArray(applied) || !isArray(live)) return applied
  const { list } = place
  if (list.kind === 'atomic') return applied
  if (list.kind === 'set') return [...live, ...applied.filter((item) => !live.some((old) => equal(old, item)))]
  const byKey = new Map(applied.map((item) => [keyOfItem(item, list.keys), item]))
  const kept = live.map((item) => {
    const key = keyOfItem(item, list.keys)
    const mine = byKey.get(key)
    byKey.delete(key)
    return mine === undefined ? item : mergeApplied(item, mine, place.item)
  })
  return [...kept, ...byKey.values()]
}

/** Takes the fields of a set out of a value. */
function prune(value: Json, set: FieldSet, place: Place): Json {
  if (isObject(value)) {
    const result: Record<string, Json | undefined> = { ...value }
    for (const [step, inner] of Object.entries(set)) {
      if (!step.startsWith('f:')) continue
      const key = step.slice(2)
      const child = value[key]
      if (child === undefined) continue
      if (isEmpty(inner)) delete result[key]
      else {
        const rest = prune(child, inner, place.child(key))
        // A map whose last member goes, and which nobody else keeps, goes with it.
        if ((isObject(rest) && Object.keys(rest).length === 0) || (isArray(rest) && rest.length === 0)) delete result[key]
        else result[key] = rest
      }
    }
    return result
  }
  if (!isArray(value)) return value
  const { list } = place
  if (list.kind === 'set') return value.filter((item) => set[`v:${JSON.stringify(item)}`] === undefined)
  if (list.kind !== 'map') return value
  return value.flatMap((item) => {
    const inner = set[`k:${keyOfItem(item, list.keys) ?? ''}`]
    if (inner === undefined) return [item]
    return isEmpty(inner) || inner['.'] !== undefined ? [] : [prune(item, inner, place.item)]
  })
}
