/** Pieces of structural OpenAPI schemas, as CustomResourceDefinitions hold them. */

import type { Json } from '../base/json.ts'

/** Of the keywords only those that we use. A type, not an interface, so that it may stand where JSON is asked for. */
export type Schema = {
  readonly type?: 'string' | 'boolean' | 'integer' | 'number' | 'object' | 'array'
  readonly description?: string
  readonly format?: 'int32' | 'int64'
  readonly default?: Json
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly 'x-kubernetes-int-or-string'?: true
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic'
  /** CEL rules over fields that belong together. */
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[]
}

const described = (description: string): Schema => (description === '' ? {} : { description })

export const text = (description = '', more: Schema = {}): Schema => ({ type: 'string', ...described(description), ...more })
/** As Go writes durations, without a sign. */
export const DURATION = '^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$'
/** Made of what a label takes as its value; never empty. */
export const NAME = '^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'
export const duration = (description: string): Schema => text(description, { pattern: DURATION })
export const flag = (description = '', more: Schema = {}): Schema => ({ type: 'boolean', ...described(description), ...more })
export const integer = (description = '', format?: 'int32' | 'int64', more: Schema = {}): Schema => ({
  type: 'integer',
  ...described(description),
  ...(format === undefined ? {} : { format }),
  ...more,
})
export const intOrText = (description: string, more: Schema = {}): Schema => ({
  ...described(description),
  anyOf: [{ type: 'integer' }, { type: 'string' }],
  'x-kubernetes-int-or-string': true,
  ...more,
})
export const list = (description: string, items: Schema, more: Schema = {}): Schema => ({
  type: 'array',
  ...described(description),
  items,
  ...more,
})
export const atomicList = (description: string, items: Schema): Schema => list(description, items, { 'x-kubernetes-list-type': 'atomic' })
export const textMap = (description: string): Schema => ({ type: 'object', ...described(description), additionalProperties: text() })
export const object = (description: string, properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema => ({
  type: 'object',
  ...described(description),
  properties,
  ...more,
})
/**
 * An object whose fields all have defaults, and that says something if it is there. Where clients validate nothing, the API server removes
 * a field that is not known; a group that is empty then would pass for none.
 */
export const group = (description: string, properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema =>
  object(description, properties, { minProperties: 1, ...more })
/** Replaced as a whole by server-side apply. */
export const atomicObject = (description: string, properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema =>
  object(description, properties, { ...more, 'x-kubernetes-map-type': 'atomic' })
