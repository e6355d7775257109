/** Names of Jobs and volumes by SUC's rule (wrangler's SafeConcatName), which counts and cuts bytes. */
import { createHash } from 'node:crypto'

const MAX_BYTES = 63
/** With a digest behind it, a name keeps this much; the byte after it joins if it may end a name part. */
const KEPT_BYTES = 56

/** `apply-<plan>-on-<node up to its first dot>-with-<hash>`, shortened. `prepare` names Drover's own Jobs. */
export function jobName(verb: 'apply' | 'prepare', planName: string, nodeName: string, hash: string): string {
  return safeName(verb, planName, 'on', nodeName.split('.', 1)[0] ?? '', 'with', hash)
}

/** The volume that carries a Plan's Secret. */
export function secretVolumeName(secretName: string): string {
  return safeName('secret', secretName)
}

/** The parts joined by `-`, at most 63 bytes. A cut inside a character leaves U+FFFD here; safeNameBytes has the bytes as they are. */
export function safeName(...parts: readonly string[]): string {
  return new TextDecoder().decode(safeNameBytes(...parts))
}

export function safeNameBytes(...parts: readonly string[]): Uint8Array {
  const name = Buffer.from(parts.join('-'), 'utf8')
  if (name.length <= MAX_BYTES) return name
  const digest = createHash('sha256').update(name).digest('hex')
  const kept = isLowerOrDigit(name[KEPT_BYTES] ?? 0) ? KEPT_BYTES + 1 : KEPT_BYTES
  return Buffer.concat([name.subarray(0, kept), Buffer.from(`-${digest.slice(0, MAX_BYTES - 1 - kept)}`)])
}

function isLowerOrDigit(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39)
}
