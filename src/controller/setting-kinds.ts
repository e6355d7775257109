/**
 * How the text of a setting is read. SUC parses its environment with Go's strconv and time packages, so the same texts are accepted here;
 * a text that is refused leaves the default in force and becomes a warning, as in SUC.
 */

import { durationToMs, parseDuration } from '../kube/objects/duration.ts'
import { parseIntOrPercent } from '../kube/objects/int-or-percent.ts'

/** A reader of a setting's text: the value, or what would have been accepted. */
export interface Kind<T> {
  /** For the documentation. */
  readonly name: string
  read(text: string): { readonly ok: T } | { readonly expected: string }
}

export const text: Kind<string> = { name: 'text', read: (value) => ({ ok: value }) }

export const optionalText: Kind<string | undefined> = { name: 'text', read: (value) => ({ ok: value === '' ? undefined : value }) }

/** What Go's strconv.ParseBool takes. */
export const bool: Kind<boolean> = {
  name: 'true or false',
  read(value) {
    if (['1', 't', 'T', 'true', 'True', 'TRUE'].includes(value)) return { ok: true }
    if (['0', 'f', 'F', 'false', 'False', 'FALSE'].includes(value)) return { ok: false }
    return { expected: 'true or false' }
  },
}

/** What Go's strconv.ParseInt takes in base 10, within bounds. */
export function integer(min: number, max: number): Kind<number> {
  const expected = `a whole number from ${min} to ${max}`
  return {
    name: 'number',
    read(value) {
      const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN
      // A plain 0 for "-0", which would print differently.
      return number >= min && number <= max ? { ok: number === 0 ? 0 : number } : { expected }
    },
  }
}

export function oneOf<const T extends string>(...values: readonly T[]): Kind<T> {
  return {
    name: values.join(' or '),
    read(value) {
      const found = values.find((candidate) => candidate === value)
      return found === undefined ? { expected: values.join(' or ') } : { ok: found }
    },
  }
}

/**
 * What Go's time.ParseDuration takes (`1h30m`, `90s`, `1.5m`, `0`), in milliseconds, rounded up.
 * @param above the duration must be longer than this many milliseconds; -1 allows 0
 */
export function duration(above: number): Kind<number> {
  const expected = above < 0 ? 'a duration such as 1h30m or 90s' : `a duration such as 1h30m or 90s, longer than ${above / 1000}s`
  return {
    name: 'duration',
    read(value) {
      const parsed = parseDuration(value)
      const ms = parsed.ok ? durationToMs(parsed.ns) : Number.NaN
      return parsed.ok && ms > above && !value.startsWith('-') ? { ok: ms } : { expected }
    },
  }
}

/** A count of nodes or a percentage of them, kept as text; empty = none. */
export const intOrPercent: Kind<string | undefined> = {
  name: 'number or percentage',
  read(value) {
    if (value === '') return { ok: undefined }
    const parsed = parseIntOrPercent(value)
    return parsed.ok ? { ok: value.trim() } : { expected: 'a whole number or a percentage from 0% to 100%' }
  },
}
