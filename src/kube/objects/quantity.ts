/** Kubernetes quantities (`100m`, `1Mi`, `1e3`) in the form in which the API writes them back (apimachinery's resource.Quantity). */

export type QuantityResult = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly error: string }

interface Parts {
  readonly negative: boolean
  /** Whole part without leading zeros, at least `0`. */
  readonly whole: string
  readonly fraction: string
  readonly format: 'decimal' | 'exponent' | 'binary'
  /** Of 10, or of 2 where the format is binary. */
  readonly exponent: number
}

const DECIMAL = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const NANO = 1_000_000_000n
/** Binary amounts are cut to this (2^63 − 1). */
const MAX = (2n ** 63n - 1n) * NANO
const SYNTAX = /^([+-]?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?[0-9]{1,3}))?$/
const SYNTAX_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

/** `1024Ki` → `1Mi`, `0.5` → `500m`, `1000` → `1k`. Amounts below a nano-unit are rounded up to one. */
export function canonicalQuantity(value: string | number | bigint): QuantityResult {
  const text = String(value).trim()
  const parts = text.length > 1000 ? undefined : parse(text)
  if (parts === undefined) return { ok: false, error: SYNTAX_ERROR }
  if (keepsSpelling(parts)) return { ok: true, text }

  const { negative, whole, fraction, format, exponent } = parts
  const digits = BigInt(whole + fraction)
  let nanos =
    format === 'binary' ? shift(digits * 2n ** BigInt(exponent), 9 - fraction.length) : shift(digits, exponent + 9 - fraction.length)
  if (format === 'binary' && nanos > MAX) nanos = MAX
  if (negative) nanos = -nanos
  if (format === 'binary') return { ok: true, text: formatBinary(nanos) }
  return { ok: true, text: formatDecimal(nanos, format === 'exponent' ? (power) => (power === 0 ? '' : `e${power}`) : decimalSuffix) }
}

/** How much it is, as near as a double comes; undefined = it is no quantity. */
export function amountOf(text: string): number | undefined {
  const parts = text.length > 1000 ? undefined : parse(text.trim())
  if (parts === undefined) return undefined
  const { negative, whole, fraction, format, exponent } = parts
  const amount = Number(`${whole}.${fraction === '' ? '0' : fraction}`) * (format === 'binary' ? 2 : 10) ** exponent
  return negative ? -amount : amount
}

function parse(text: string): Parts | undefined {
  const match = SYNTAX.exec(text)
  if (match === null) return undefined
  const [, sign = '', digits = '', fraction = '', suffix = '', power] = match
  const whole = digits.replace(/^0+/, '') || '0'
  const shared = { negative: sign === '-', whole, fraction }
  if (power !== undefined) return { ...shared, format: 'exponent', exponent: Number(power) }
  if (suffix.length === 2) return { ...shared, format: 'binary', exponent: BINARY.indexOf(suffix) * 10 }
  return { ...shared, format: 'decimal', exponent: suffix === '' ? 0 : (DECIMAL.indexOf(suffix) - 3) * 3 }
}

/** What is nearly canonical and fits 64 bits is written back letter by letter, `1.500` and `+5` included. */
function keepsSpelling({ whole, fraction, format, exponent }: Parts): boolean {
  const digits = whole + fraction
  if (format === 'binary') {
    const fits = fraction === '' && 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1 >= 0
    return fits && (BigInt(whole) & 7n) !== 0n
  }
  const scale = exponent - fraction.length
  return digits.length <= 18 && scale >= -9 && scale % 3 === 0 && !digits.endsWith('000') && !digits.startsWith('0')
}

/** amount × 10^places, rounded up. */
function shift(amount: bigint, places: number): bigint {
  if (places >= 0) return amount * 10n ** BigInt(places)
  const divisor = 10n ** BigInt(-places)
  return (amount + divisor - 1n) / divisor
}

function formatDecimal(nanos: bigint, suffixOf: (power: number) => string): string {
  if (nanos === 0n) return '0'
  let power = -9
  let rest = nanos
  while (rest % 1000n === 0n) {
    rest /= 1000n
    power += 3
  }
  return `${rest}${suffixOf(power)}`
}

/** Beyond `E` there is no suffix, and Kubernetes writes none. */
function decimalSuffix(power: number): string {
  return DECIMAL[power / 3 + 3] ?? ''
}

function formatBinary(nanos: bigint): string {
  const limit = 1024n * NANO
  // Small or fractional amounts are printed in decimal, which is exact.
  if ((nanos > -limit && nanos < limit) || nanos % NANO !== 0n) return formatDecimal(nanos, decimalSuffix)
  let step = 0
  let rest = nanos / NANO
  while (rest % 1024n === 0n) {
    rest /= 1024n
    step++
  }
  return `${rest}${BINARY[step]}`
}
