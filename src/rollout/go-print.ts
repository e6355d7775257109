/** Decoded JSON as Go's `fmt.Sprint` prints it, and Go's idea of white space. Digests are made of such texts. */
import type { Json } from '../base/json.ts'
import { compareUtf8 } from '../kube/objects/utf8-order.ts'

/** `map[a:1 b:[x y]]`, keys in byte order. */
export function goPrint(value: Json | undefined): string {
  if (value === undefined || value === null) return '<nil>'
  if (typeof value === 'string') return value
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return `[${value.map(goPrint).join(' ')}]`
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => compareUtf8(a, b))
  return `map[${members.map(([key, member]) => `${key}:${goPrint(member)}`).join(' ')}]`
}

/** Unicode's White_Space, as Go's `strings.TrimSpace` has it. JavaScript's `trim` differs: it takes U+FEFF and leaves U+0085. */
export function goTrim(text: string): string {
  return text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '')
}
