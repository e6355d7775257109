import type { Json, JsonObject } from '../../../base/json.ts'
import { equal, isArray, isObject } from '../json.ts'
import type { Place } from '../patch/list-types.ts'
import { keyOfItem } from '../patch/list-types.ts'

/**
 * A set of fields in the wire form of `fieldsV1`: `f:name` is a field, `k:{…}` an item by its keys, `v:…` an item of a set, `.` the place
 * itself. A node without children is a leaf and means the place itself.
 */
export type FieldSet = { readonly [step: string]: FieldSet }
type Building = { [step: string]: FieldSet }

export const nothing: FieldSet = {}
const self: FieldSet = { '.': {} }

export function isEmpty(set: FieldSet): boolean {
  for (const _ in set) return false
  return true
}

interface Step {
  readonly step: string
  readonly value: Json
  readonly place: Place
}

/** The steps from a value to its children; undefined when it is owned as a whole. */
function children(value: Json | undefined, place: Place): readonly Step[] | undefined {
  if (isObject(value)) {
    if (place.atomic) return undefined
    const steps: Step[] = []
    for (const key of Object.keys(value)) {
      const child = value[key]
      if (child !== undefined) steps.push({ step: `f:${key}`, value: child, place: place.child(key) })
    }
    return steps
  }
  if (!isArray(value)) return undefined
  const { list } = place
  if (list.kind === 'atomic') return undefined
  if (list.kind === 'set') return value.map((item) => ({ step: `v:${JSON.stringify(item)}`, value: item, place: place.item }))
  const steps: Step[] = []
  const seen = new Set<string>()
  for (const item of value) {
    const key = keyOfItem(item, list.keys)
    // Items that cannot be told apart: then the list is one thing.
    if (key === undefined || seen.has(key)) return undefined
    seen.add(key)
    steps.push({ step: `k:${key}`, value: item, place: place.item })
  }
  return steps
}

/** All fields of a value. With `marked`, maps and lists are members beside what is in them, as they are when an update adds them. */
export function fieldsOf(value: Json, place: Place, marked = false): FieldSet {
  const steps = children(value, place)
  if (steps === undefined || steps.length === 0) return nothing
  const set: Building = {}
  for (const { step, value: child, place: below } of steps) {
    const inner = fieldsOf(child, below, marked)
    // An item of a list always is one.
    set[step] = !isEmpty(inner) && (step.startsWith('k:') || (marked && below.member)) ? { '.': {}, ...inner } : inner
  }
  return set
}

export interface Difference {
  /** Fields that are new or have another value. */
  readonly changed: FieldSet
  readonly removed: FieldSet
}

const same: Difference = { changed: nothing, removed: nothing }

/** What an update did to the fields of a value. */
export function difference(before: Json | undefined, after: Json | undefined, place: Place): Difference {
  if (before === after) return same
  if (isObject(before) && isObject(after) && !place.atomic && hasKeys(before) && hasKeys(after))
    return differenceOfObjects(before, after, place)
  const was = children(before, place)
  const is = children(after, place)
  if (was === undefined || is === undefined || is.length === 0 || was.length === 0) {
    if (equal(before, after)) return same
    // A new or emptied map: what is in it now is changed, what was in it is removed.
    const changed = after === undefined || is === undefined ? nothing : fieldsOf(after, place, true)
    const removed = before === undefined || was === undefined ? nothing : fieldsOf(before, place)
    return { changed: isEmpty(changed) && (is === undefined || is.length === 0) ? self : changed, removed }
  }
  const changed: Building = {}
  const removed: Building = {}
  const old = new Map(was.map((step) => [step.step, step]))
  for (const { step, value, place: below } of is) {
    const previous = old.get(step)
    old.delete(step)
    if (previous === undefined) {
      const inner = fieldsOf(value, below, true)
      changed[step] = !isEmpty(inner) && (step.startsWith('k:') || below.member) ? { '.': {}, ...inner } : inner
      continue
    }
    const inner = difference(previous.value, value, below)
    if (inner.changed === self) changed[step] = nothing
    else if (!isEmpty(inner.changed)) changed[step] = inner.changed
    if (!isEmpty(inner.removed)) removed[step] = inner.removed
  }
  for (const { step, value, place: below } of old.values()) {
    const inner = fieldsOf(value, below)
    removed[step] = isEmpty(inner) ? nothing : { '.': {}, ...inner }
  }
  return { changed, removed }
}

/** The fields of a value that was not there before. */
function added(value: Json, place: Place): FieldSet {
  const inner = fieldsOf(value, place, true)
  return place.member && !isEmpty(inner) ? { '.': {}, ...inner } : inner
}

function hasKeys(object: JsonObject): boolean {
  for (const key in object) if (object[key] !== undefined) return true
  return false
}

/** What `difference` does with steps, without making any for what is shared: most of an object, on most writes. */
function differenceOfObjects(before: JsonObject, after: JsonObject, place: Place): Difference {
  let changed: Building | undefined
  let removed: Building | undefined
  for (const key of Object.keys(after)) {
    const value = after[key]
    const old = before[key]
    if (value === old || value === undefined) continue
    const below = place.child(key)
    const inner = old === undefined ? { changed: added(value, below), removed: nothing } : difference(old, value, below)
    if (old === undefined || inner.changed === self) (changed ??= {})[`f:${key}`] = inner.changed === self ? nothing : inner.changed
    else if (!isEmpty(inner.changed)) (changed ??= {})[`f:${key}`] = inner.changed
    if (!isEmpty(inner.removed)) (removed ??= {})[`f:${key}`] = inner.removed
  }
  for (const key of Object.keys(before)) {
    const old = before[key]
    if (old === undefined || after[key] !== undefined) continue
    const inner = fieldsOf(old, place.child(key))
    ;(removed ??= {})[`f:${key}`] = isEmpty(inner) ? nothing : { '.': {}, ...inner }
  }
  return { changed: changed ?? nothing, removed: removed ?? nothing }
}

/** Whether the place itself is a member. */
function hasSelf(set: FieldSet): boolean {
  return isEmpty(set) || set['.'] !== undefined
}

/** Fields of either. Returns `a` itself when `b` adds nothing. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  let result: Building | undefined
  for (const step of Object.keys(b)) {
    const more = b[step] as FieldSet
    const have = a[step]
    const merged = have === undefined ? more : unionBelow(have, more)
    if (merged === have) continue
    result ??= { ...a }
    result[step] = merged
  }
  return result ?? a
}

function unionBelow(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmpty(b)) return hasSelf(a) ? a : { '.': {}, ...a }
  if (isEmpty(a)) return { '.': {}, ...b }
  return union(a, b)
}

/** Fields of `a` that are not in `b`. Returns `a` itself when they have nothing in common. */
export function subtract(a: FieldSet, b: FieldSet): FieldSet {
  let result: Building | undefined
  for (const step of Object.keys(b)) {
    const have = (result ?? a)[step]
    if (have === undefined) continue
    const less = subtractBelow(have, b[step] as FieldSet)
    if (less === have) continue
    result ??= { ...a }
    if (less === undefined) delete result[step]
    else result[step] = less
  }
  return result ?? a
}

function subtractBelow(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const aSelf = hasSelf(a)
  const bSelf = hasSelf(b)
  if (isEmpty(a)) return bSelf ? undefined : a
  let rest = subtract(a, b)
  if (aSelf && bSelf && rest['.'] !== undefined) {
    const { '.': _, ...others } = rest
    rest = others
  }
  if (isEmpty(rest)) return aSelf && !bSelf ? nothing : undefined
  return rest
}

/** Fields in both. */
export function intersect(a: FieldSet, b: FieldSet): FieldSet {
  const result: Building = {}
  for (const step of Object.keys(a)) {
    const mine = a[step] as FieldSet
    const theirs = b[step]
    if (step === '.' || theirs === undefined) continue
    if (hasSelf(mine) && hasSelf(theirs) && (isEmpty(mine) || isEmpty(theirs))) {
      result[step] = nothing
      continue
    }
    const inner = intersect(mine, theirs)
    const both = hasSelf(mine) && hasSelf(theirs)
    if (!isEmpty(inner)) result[step] = both ? { '.': {}, ...inner } : inner
    else if (both) result[step] = nothing
  }
  return result
}

/** The leaves of a set as paths of steps. */
export function paths(set: FieldSet, prefix: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(set).flatMap(([step, inner]) => {
    if (step === '.') return [prefix]
    const path = [...prefix, step]
    return isEmpty(inner) ? [path] : paths(inner, path)
  })
}

/** `.spec.template.spec.containers[name="a"].image`, as conflicts name a field. */
export function describePath(path: readonly string[]): string {
  return path
    .map((step) => {
      if (step.startsWith('f:')) return `.${step.slice(2)}`
      if (step.startsWith('v:')) return `[=${step.slice(2)}]`
      const keys = Object.entries(JSON.parse(step.slice(2)) as JsonObject).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      return `[${keys.join(',')}]`
    })
    .join('')
}
