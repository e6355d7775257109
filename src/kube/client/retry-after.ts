/** A Retry-After header (RFC 9110 §10.2.3): seconds, or a date. In milliseconds from now; undefined if absent or unreadable. */
export function parseRetryAfter(header: string | undefined, wallMs: number): number | undefined {
  if (header === undefined) return undefined
  const text = header.trim()
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs)
}
