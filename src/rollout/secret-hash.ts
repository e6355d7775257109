/** kubectl's hash of a Secret (k8s.io/kubectl/pkg/util/hash), which SUC mixes into a Plan's hash. */
import { createHash } from 'node:crypto'
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import { compareUtf8 } from '../kube/objects/utf8-order.ts'

const VOWELS_OUT: Readonly<Record<string, string>> = { 0: 'g', 1: 'h', 3: 'k', a: 'm', e: 't' }

/** Ten characters over data, immutability, name and type. Labels, annotations and `stringData` do not count. */
export function secretHash(secret: Secret): string {
  const immutable = secret.immutable === undefined || secret.immutable === null ? '' : `"immutable":${secret.immutable},`
  const name = goJsonString(secret.metadata?.name ?? '')
  const json = `{"data":${dataJson(secret.data)},${immutable}"kind":"Secret","name":${name},"type":${goJsonString(secret.type ?? '')}}`
  const hex = createHash('sha256').update(json, 'utf8').digest('hex').slice(0, 10)
  return hex.replace(/[013ae]/g, (digit) => VOWELS_OUT[digit] ?? digit)
}

/** A missing map is null, an empty one `{}`; keys in byte order; values as Go writes bytes again after reading them. */
function dataJson(data: Readonly<Record<string, string>> | undefined): string {
  if (data === undefined || data === null) return 'null'
  const entries = Object.entries(data).sort(([a], [b]) => compareUtf8(a, b))
  return `{${entries.map(([key, value]) => `${goJsonString(key)}:${bytesJson(value)}`).join(',')}}`
}

function bytesJson(base64: string | null): string {
  return base64 === null ? 'null' : `"${Buffer.from(base64, 'base64').toString('base64')}"`
}

/** Go's encoder escapes what could end a script in HTML, and writes half a surrogate pair as U+FFFD. */
function goJsonString(text: string): string {
  return JSON.stringify(text.replace(/\p{Surrogate}/gu, '\ufffd')).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
