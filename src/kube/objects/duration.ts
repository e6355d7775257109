/** Go durations: exact nanoseconds (any int64), Go's own spelling and error texts. */

export type DurationResult = { readonly ok: true; readonly ns: bigint } | { readonly ok: false; readonly error: string }

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5
  μs: 1_000n, // U+03BC
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const LIMIT = 2n ** 63n

/** Reads `1h30m`, `-1.5s`, `300ms`, `0`. A number without a unit is refused, except 0. */
export function parseDuration(text: string): DurationResult {
  const invalid: DurationResult = { ok: false, error: `time: invalid duration ${quote(text)}` }
  const negative = text.startsWith('-')
  let rest = negative || text.startsWith('+') ? text.slice(1) : text
  if (rest === '0') return { ok: true, ns: 0n }
  if (rest === '') return invalid
  let total = 0n
  while (rest !== '') {
    const number = /^([0-9]*)(?:\.([0-9]*))?/.exec(rest)
    const [whole, fraction] = [number?.[1] ?? '', number?.[2] ?? '']
    if (whole === '' && fraction === '') return invalid
    rest = rest.slice(number?.[0].length ?? 0)
    // Go refuses what overflows before it looks at the unit.
    const count = whole.replace(/^0+(?=[0-9])/, '') || '0'
    if (count.length > 19 || BigInt(count) > LIMIT) return invalid
    const name = /^[^.0-9]*/.exec(rest)?.[0] ?? ''
    if (name === '') return { ok: false, error: `time: missing unit in duration ${quote(text)}` }
    const unit = Object.hasOwn(UNITS, name) ? UNITS[name] : undefined
    if (unit === undefined) return { ok: false, error: `time: unknown unit ${quote(name)} in duration ${quote(text)}` }
    rest = rest.slice(name.length)
    total += BigInt(count) * unit + fractionOf(fraction, unit)
    if (total > LIMIT) return invalid
  }
  if (negative) return { ok: true, ns: -total }
  return total === LIMIT ? invalid : { ok: true, ns: total }
}

/** `1m30s`, `1.5s`, `100ms`, `0s`: the form in which Kubernetes stores a duration. */
export function formatDuration(ns: bigint): string {
  if (ns === 0n) return '0s'
  const sign = ns < 0n ? '-' : ''
  const abs = ns < 0n ? -ns : ns
  if (abs < 1_000n) return `${sign}${abs}ns`
  if (abs < 1_000_000n) return `${sign}${decimal(abs, 1_000n, 3)}µs`
  if (abs < 1_000_000_000n) return `${sign}${decimal(abs, 1_000_000n, 6)}ms`
  const seconds = `${decimal(abs % 60_000_000_000n, 1_000_000_000n, 9)}s`
  const minutes = abs / 60_000_000_000n
  if (minutes === 0n) return `${sign}${seconds}`
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`
}

/** The same of milliseconds, which may have a fraction; to the nanosecond. */
export const formatMs = (ms: number): string =>
  formatDuration(BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1_000_000)))

/** Milliseconds, rounded up, so that a wait is never cut short. */
export function durationToMs(ns: bigint): number {
  const whole = ns / 1_000_000n
  return Number(ns > whole * 1_000_000n ? whole + 1n : whole)
}

/** Go multiplies the fraction as a float64 and truncates; so do we, to agree to the last nanosecond. */
function fractionOf(digits: string, unit: bigint): bigint {
  let value = 0n
  let scale = 1
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit)
    if (next > LIMIT) break
    value = next
    scale *= 10
  }
  return BigInt(Math.trunc(Number(value) * (Number(unit) / scale)))
}

function decimal(value: bigint, unit: bigint, places: number): string {
  const fraction = (value % unit).toString().padStart(places, '0').replace(/0+$/, '')
  return fraction === '' ? `${value / unit}` : `${value / unit}.${fraction}`
}

/** As Go's time package quotes: everything that is not plain ASCII byte by byte. */
function quote(text: string): string {
  let out = '"'
  for (const byte of Buffer.from(text, 'utf8')) {
    if (byte < 0x20 || byte >= 0x80) out += `\\x${byte.toString(16).padStart(2, '0')}`
    else if (byte === 0x22 || byte === 0x5c) out += `\\${String.fromCharCode(byte)}`
    else out += String.fromCharCode(byte)
  }
  return `${out}"`
}
