/** Kubernetes quantities (`100m`, `1Mi`, `1e3`) in the canonical form in which the API stores them. */

export type QuantityResult = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly error: string }

const DECIMAL = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const NANO = 1_000_000_000n
/** Larger amounts are cut to this (2^63 − 1). */
const MAX = (2n ** 63n - 1n) * NANO
const SYNTAX = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?[0-9]{1,9}))?$/
const SYNTAX_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

/** `1024Ki` → `1Mi`, `0.5` → `500m`, `1000` → `1k`. Amounts below a nano-unit are rounded up to one. */
export function canonicalQuantity(value: string | number | bigint): QuantityResult {
  const match = SYNTAX.exec(String(value).trim())
  const digits = `${match?.[2] ?? ''}${match?.[3] ?? ''}`
  if (match === null || digits === '' || digits.length > 1000) return { ok: false, error: SYNTAX_ERROR }
  const [, sign = '', , fraction = '', suffix = '', exponentText] = match
  const binary = suffix.length === 2 ? BINARY.indexOf(suffix) : -1
  const exponent = exponentText === undefined ? (binary >= 0 ? 0 : (DECIMAL.indexOf(suffix) - 3) * 3) : Number(exponentText)

  const amount = BigInt(digits) * (binary >= 0 ? 1024n ** BigInt(binary) : 1n)
  const nanos = clamp(shiftUp(amount, exponent - fraction.length + 9))
  const signed = sign === '-' ? -nanos : nanos
  if (binary >= 0) return { ok: true, text: formatBinary(signed) }
  return {
    ok: true,
    text: exponentText === undefined ? formatDecimal(signed, (step) => DECIMAL[step + 3] ?? '') : formatDecimal(signed, exponentSuffix),
  }
}

/** amount × 10^places, rounded away from zero. */
function shiftUp(amount: bigint, places: number): bigint {
  if (amount === 0n) return 0n
  if (places >= 0) return places > 40 ? MAX : amount * 10n ** BigInt(places)
  if (places < -2000) return 1n
  const divisor = 10n ** BigInt(-places)
  return (amount + divisor - 1n) / divisor
}

function clamp(nanos: bigint): bigint {
  return nanos > MAX ? MAX : nanos
}

function formatDecimal(nanos: bigint, suffixOf: (step: number) => string): string {
  if (nanos === 0n) return '0'
  let step = -3
  let rest = nanos
  while (rest % 1000n === 0n && step < 6) {
    rest /= 1000n
    step++
  }
  return `${rest}${suffixOf(step)}`
}

function exponentSuffix(step: number): string {
  return step === 0 ? '' : `e${step * 3}`
}

function formatBinary(nanos: bigint): string {
  const limit = 1024n * NANO
  // Small or fractional amounts are printed in decimal, which is exact.
  if ((nanos > -limit && nanos < limit) || nanos % NANO !== 0n) return formatDecimal(nanos, (step) => DECIMAL[step + 3] ?? '')
  let step = 0
  let rest = nanos / NANO
  while (rest % 1024n === 0n && step < 6) {
    rest /= 1024n
    step++
  }
  return `${rest}${BINARY[step]}`
}
