import type { Json, JsonObject } from '../../base/json.ts'
import { arrayOf, asText, equal, isArray, isObject, objectOf, stringOf } from './json.ts'
import { CelError, compile } from './cel.ts'
import { required, show, wrong } from './rules/causes.ts'
import type { Cause } from './status.ts'

// Structural schemas of custom resources: pruning, defaulting, validation, in the order in which the real server does them.

const rootFields = new Set(['apiVersion', 'kind', 'metadata'])

/** Drops every field that the schema does not name. */
export function pruned(object: JsonObject, schema: JsonObject | undefined): JsonObject {
  return schema === undefined ? object : (walkPrune(object, schema, true, undefined, '') as JsonObject)
}

/** The paths that `pruned` would drop: `spec.nodeSelectr`. */
export function unknownFields(object: JsonObject, schema: JsonObject | undefined): readonly string[] {
  const dropped: string[] = []
  if (schema !== undefined) walkPrune(object, schema, true, dropped, '')
  return dropped
}

function walkPrune(value: Json, schema: JsonObject, root: boolean, dropped: string[] | undefined, path: string): Json {
  if (isArray(value)) {
    const { items } = schema
    if (!isObject(items)) return value
    const list = value.map((item, index) => walkPrune(item, items, false, dropped, `${path}[${index}]`))
    return list.every((item, index) => item === value[index]) ? value : list
  }
  if (!isObject(value)) return value
  const keeps = schema['x-kubernetes-preserve-unknown-fields'] === true || schema['x-kubernetes-embedded-resource'] === true
  const properties = objectOf(schema['properties'])
  const { additionalProperties } = schema
  let result: Record<string, Json | undefined> | undefined
  for (const [key, child] of Object.entries(value)) {
    if (child === undefined || (root && rootFields.has(key))) continue
    const below = properties[key] ?? (isObject(additionalProperties) ? additionalProperties : undefined)
    const where = path === '' ? key : `${path}.${key}`
    if (isObject(below)) {
      const kept = walkPrune(child, below, false, dropped, where)
      if (kept === child) continue
      result ??= { ...value }
      result[key] = kept
    } else if (!keeps && additionalProperties !== true) {
      result ??= { ...value }
      delete result[key]
      dropped?.push(where)
    }
  }
  return result ?? value
}

/** Fills in defaults, also inside of defaults. Nulls where the schema has a default and no `nullable` count as missing. */
export function schemaDefaulted(object: JsonObject, schema: JsonObject | undefined): JsonObject {
  return schema === undefined ? object : (walkDefaults(object, schema) as JsonObject)
}

function walkDefaults(value: Json, schema: JsonObject): Json {
  if (isArray(value)) {
    const { items } = schema
    if (!isObject(items)) return value
    const list = value.map((item) => walkDefaults(item, items))
    return list.every((item, index) => item === value[index]) ? value : list
  }
  if (!isObject(value)) return value
  let result: Record<string, Json | undefined> | undefined
  const set = (key: string, child: Json | undefined): void => {
    result ??= { ...value }
    if (child === undefined) delete result[key]
    else result[key] = child
  }
  for (const [key, below] of Object.entries(objectOf(schema['properties']))) {
    if (!isObject(below)) continue
    const current = value[key]
    const missing = current === undefined || (current === null && below['nullable'] !== true)
    const filled = missing ? (below['default'] ?? current) : current
    if (filled === undefined) continue
    const child = filled === null ? null : walkDefaults(filled, below)
    // A null where null is not allowed is dropped, as the real server does before it validates.
    if (child === null && below['nullable'] !== true) set(key, undefined)
    else if (child !== current) set(key, child)
  }
  const { additionalProperties } = schema
  if (isObject(additionalProperties))
    for (const [key, child] of Object.entries(value)) {
      if (child === undefined || objectOf(schema['properties'])[key] !== undefined) continue
      const filled = walkDefaults(child, additionalProperties)
      if (filled !== child) set(key, filled)
    }
  return result ?? value
}

/** What is wrong, but for what was as wrong in `old` and did not change (ratcheting). */
export function validateSchema(object: JsonObject, schema: JsonObject | undefined, old: JsonObject | undefined): readonly Cause[] {
  if (schema === undefined) return []
  const causes: Cause[] = []
  const { apiVersion: _a, kind: _k, metadata: _m, ...rest } = object
  const { properties, required: needed } = schema
  const { apiVersion: _x, kind: _y, metadata: _z, ...own } = objectOf(properties)
  const needs = arrayOf(needed).filter((key) => !rootFields.has(asText(key)))
  const shape = { ...schema, properties: own, required: needs }
  check(rest, shape, '', causes, old)
  if (!hasRules(schema)) return causes
  if (causes.some(({ reason }) => blocking.has(reason))) causes.push(wrong('<nil>', null, unjudged))
  else judge(rest, shape, '', causes, old)
  return causes
}

/** Mistakes after which rules could not be evaluated. */
const blocking = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
])
const unjudged = 'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation'

const ruled = new WeakMap<JsonObject, boolean>()

/** Whether there is any rule in a schema or below it. */
function hasRules(schema: JsonObject): boolean {
  let known = ruled.get(schema)
  if (known === undefined) {
    const { items, additionalProperties, properties } = schema
    const below = [items, additionalProperties, ...Object.values(objectOf(properties))]
    known = isArray(schema['x-kubernetes-validations']) || below.some((each) => isObject(each) && hasRules(each))
    ruled.set(schema, known)
  }
  return known
}

/** Asks the rules of a schema (CEL), but for what did not change. */
function judge(value: Json, schema: JsonObject, field: string, causes: Cause[], old: Json | undefined): void {
  if (value === null || !hasRules(schema) || (old !== undefined && equal(value, old))) return
  for (const each of arrayOf(schema['x-kubernetes-validations']).map(objectOf)) {
    const rule = asText(each['rule'])
    // A rule about a change has nothing to say of what is new.
    if (/\boldSelf\b/.test(rule) && old === undefined) continue
    const broken = verdictOf(rule, value, old)
    if (broken === undefined) continue
    const told = asText(each['message'])
    const why = broken === '' ? told || `failed rule: ${rule}` : `"${typeOf(value)}": ${broken} evaluating rule: ${told || rule}`
    causes.push({ reason: 'FieldValueInvalid', message: `Invalid value: ${why}`, field: `${field}${asText(each['fieldPath'])}` })
  }
  const { items, additionalProperties } = schema
  if (isArray(value) && isObject(items)) {
    const before = itemsBefore(schema, arrayOf(old))
    value.forEach((item, index) => judge(item, items, `${field}[${index}]`, causes, before(item)))
  } else if (isObject(value)) {
    for (const [key, child] of Object.entries(value)) {
      const below = objectOf(schema['properties'])[key] ?? additionalProperties
      if (child !== undefined && isObject(below)) judge(child, below, field === '' ? key : `${field}.${key}`, causes, objectOf(old)[key])
    }
  }
}

/** Undefined when the rule holds, empty when it does not, else why it cannot be told. */
function verdictOf(rule: string, value: Json, old: Json | undefined): string | undefined {
  try {
    return compile(rule)(value, old) ? undefined : ''
  } catch (error) {
    if (error instanceof CelError) return error.message
    throw error
  }
}

/** Only items with keys are known again in the old list. */
function itemsBefore(schema: JsonObject, old: readonly Json[]): (item: Json) => Json | undefined {
  const keys = schema['x-kubernetes-list-type'] === 'map' ? arrayOf(schema['x-kubernetes-list-map-keys']).map(asText) : undefined
  if (keys === undefined) return () => undefined
  return (item) => old.find((each) => keys.every((key) => equal(objectOf(each)[key], objectOf(item)[key])))
}

function check(value: Json, schema: JsonObject, field: string, causes: Cause[], old: Json | undefined): void {
  if (old !== undefined && equal(value, old)) return
  if (value === null) {
    if (schema['nullable'] === true || schema['type'] === undefined) return
    causes.push(wrong(field, value, `${field} in body must be of type ${asText(schema['type'])}: "null"`))
    return
  }
  if (!isOfType(value, schema)) {
    causes.push({
      reason: 'FieldValueTypeInvalid',
      message: `Invalid value: "${typeOf(value)}": ${field} in body must be of type ${typeName(schema)}: "${typeOf(value)}"`,
      field,
    })
    if (schema['type'] === 'integer' && typeof value === 'number')
      causes.push(wrong('<nil>', '', `Checked value must be of type integer (default format) in ${field}`))
    return
  }
  const { enum: allowed } = schema
  if (isArray(allowed) && !allowed.some((each) => equal(each, value)))
    causes.push({
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${show(value)}: supported values: ${allowed.map(show).join(', ')}`,
      field,
    })
  if (typeof value === 'string') checkString(value, schema, field, causes)
  else if (typeof value === 'number') checkNumber(value, schema, field, causes)
  else if (isArray(value)) checkList(value, schema, field, causes, arrayOf(old))
  else if (isObject(value)) checkObject(value, schema, field, causes, objectOf(old))
  for (const each of arrayOf(schema['allOf'])) check(value, objectOf(each), field, causes, undefined)
  checkChoices(value, schema, field, causes)
}

function checkChoices(value: Json, schema: JsonObject, field: string, causes: Cause[]): void {
  const passes = (each: Json): boolean => {
    const inner: Cause[] = []
    check(value, objectOf(each), field, inner, undefined)
    return inner.length === 0
  }
  const { anyOf, oneOf, not } = schema
  if (isArray(anyOf) && !anyOf.some(passes)) causes.push(wrong(field, value, `${field} in body must validate at least one schema (anyOf)`))
  if (isArray(oneOf) && oneOf.filter(passes).length !== 1)
    causes.push(wrong(field, value, `${field} in body must validate one and only one schema (oneOf)`))
  if (isObject(not) && passes(not)) causes.push(wrong(field, value, `${field} in body must not validate the schema (not)`))
}

function checkString(value: string, schema: JsonObject, field: string, causes: Cause[]): void {
  const { pattern, maxLength, minLength, format } = schema
  if (typeof maxLength === 'number' && value.length > maxLength)
    causes.push({ reason: 'FieldValueTooLong', message: `Too long: may not be more than ${maxLength} bytes`, field })
  if (typeof minLength === 'number' && value.length < minLength)
    causes.push(wrong(field, value, `${field} in body should be at least ${minLength} chars long`))
  if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test(value))
    causes.push(wrong(field, value, `${field} in body should match '${pattern}'`))
  if (format === 'date-time' && !/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(value))
    causes.push({
      ...wrong(field, value, `${field} in body must be of type date-time: ${show(value)}`),
      reason: 'FieldValueTypeInvalid',
    })
}

function checkNumber(value: number, schema: JsonObject, field: string, causes: Cause[]): void {
  const { minimum, maximum, multipleOf } = schema
  const { exclusiveMinimum, exclusiveMaximum } = schema
  if (typeof minimum === 'number' && (value < minimum || (exclusiveMinimum === true && value === minimum)))
    causes.push(
      wrong(
        field,
        value,
        `${field} in body should be ${exclusiveMinimum === true ? 'greater than' : 'greater than or equal to'} ${minimum}`,
      ),
    )
  if (typeof maximum === 'number' && (value > maximum || (exclusiveMaximum === true && value === maximum)))
    causes.push(
      wrong(field, value, `${field} in body should be ${exclusiveMaximum === true ? 'less than' : 'less than or equal to'} ${maximum}`),
    )
  if (typeof multipleOf === 'number' && value % multipleOf !== 0)
    causes.push(wrong(field, value, `${field} in body should be a multiple of ${multipleOf}`))
}

function checkList(value: readonly Json[], schema: JsonObject, field: string, causes: Cause[], old: readonly Json[]): void {
  const { maxItems, minItems, items } = schema
  if (typeof maxItems === 'number' && value.length > maxItems)
    causes.push({ reason: 'FieldValueTooMany', message: `Too many: ${value.length}: must have at most ${maxItems} items`, field })
  if (typeof minItems === 'number' && value.length < minItems)
    causes.push(wrong(field, value.length, `${field} in body should have at least ${minItems} items`))
  const keys = schema['x-kubernetes-list-type'] === 'map' ? arrayOf(schema['x-kubernetes-list-map-keys']).map(String) : undefined
  const before = itemsBefore(schema, old)
  if (isObject(items)) value.forEach((item, index) => check(item, items, `${field}[${index}]`, causes, before(item)))
  if (keys === undefined && schema['x-kubernetes-list-type'] !== 'set') return
  const seen = new Set<string>()
  value.forEach((item, index) => {
    const identity = show(keys === undefined ? item : keys.map((key) => objectOf(item)[key] ?? null))
    if (seen.has(identity))
      causes.push({ reason: 'FieldValueDuplicate', message: `Duplicate value: ${show(item)}`, field: `${field}[${index}]` })
    seen.add(identity)
  })
}

function checkObject(value: JsonObject, schema: JsonObject, field: string, causes: Cause[], old: JsonObject): void {
  const below = (key: string): string => (field === '' ? key : `${field}.${key}`)
  for (const key of arrayOf(schema['required'])) if (value[asText(key)] === undefined) causes.push(required(below(asText(key))))
  const properties = objectOf(schema['properties'])
  const { additionalProperties, maxProperties, minProperties } = schema
  const count = Object.keys(value).length
  if (typeof maxProperties === 'number' && count > maxProperties)
    causes.push({ reason: 'FieldValueTooMany', message: `Too many: ${count}: must have at most ${maxProperties} items`, field })
  if (typeof minProperties === 'number' && count < minProperties)
    causes.push(wrong(field, count, `${field} in body should have at least ${minProperties} properties`))
  for (const [key, child] of Object.entries(value)) {
    const rules = properties[key] ?? additionalProperties
    if (child !== undefined && isObject(rules)) check(child, rules, below(key), causes, old[key])
  }
}

function typeName(schema: JsonObject): string {
  return schema['x-kubernetes-int-or-string'] === true ? 'integer,string' : (stringOf(schema['type']) ?? '')
}

function isOfType(value: Json, schema: JsonObject): boolean {
  if (schema['x-kubernetes-int-or-string'] === true)
    return typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value))
  switch (schema['type']) {
    case 'string':
      return typeof value === 'string'
    case 'integer':
      return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint'
    case 'boolean':
      return typeof value === 'boolean'
    case 'array':
      return isArray(value)
    case 'object':
      return isObject(value)
    default:
      return true
  }
}

function typeOf(value: Json): string {
  if (isArray(value)) return 'array'
  if (typeof value === 'bigint') return 'integer'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value === 'object' ? 'object' : typeof value
}
