/** Values such as `3` or `25%` (Kubernetes' IntOrString where a share of something is meant). */

export type IntOrPercent = { readonly kind: 'count'; readonly count: number } | { readonly kind: 'percent'; readonly percent: number }
export type IntOrPercentResult = { readonly ok: true; readonly value: IntOrPercent } | { readonly ok: false; readonly error: string }

/** Accepts whole numbers from 0, as number or text, and whole percentages from 0 to 100 %. */
export function parseIntOrPercent(value: string | number): IntOrPercentResult {
  const text = String(value).trim()
  const match = /^([0-9]{1,9})(%?)$/.exec(text)
  if (match === null) return { ok: false, error: `${JSON.stringify(value)} is neither a whole number nor a percentage such as 10%` }
  const number = Number(match[1])
  if (match[2] === '') return { ok: true, value: { kind: 'count', count: number } }
  if (number > 100) return { ok: false, error: `${JSON.stringify(value)} is more than 100%` }
  return { ok: true, value: { kind: 'percent', percent: number } }
}

/** A limit out of `total`: percentages are rounded down and mean at least one, but 0 means none. */
export function limitOf(value: IntOrPercent, total: number): number {
  const none = value.kind === 'percent' ? value.percent === 0 : value.count === 0
  return none ? 0 : Math.max(1, scaleIntOrPercent(value, total, 'down'))
}

/** The number meant, out of `total`. */
export function scaleIntOrPercent(value: IntOrPercent, total: number, round: 'up' | 'down'): number {
  if (value.kind === 'count') return value.count
  const share = (value.percent * total) / 100
  return round === 'up' ? Math.ceil(share) : Math.floor(share)
}
