import type { Json } from '../../../base/json.ts'
import type { Cause } from '../status.ts'

export function wrong(field: string, value: Json | undefined, why: string): Cause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${show(value)}: ${why}`, field }
}

export function required(field: string, why = ''): Cause {
  return { reason: 'FieldValueRequired', message: why === '' ? 'Required value' : `Required value: ${why}`, field }
}

export function immutable(field: string, value: Json | undefined): Cause {
  return wrong(field, value, 'field is immutable')
}

export function show(value: Json | undefined): string {
  const text = JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? Number(each) : each)) ?? 'null'
  return text.length > 400 ? `${text.slice(0, 400)}…` : text
}
