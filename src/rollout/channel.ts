/** Release channels: what is sent, what an answer means (SUC's 302 protocol), and when a new answer is believed. The request itself is made elsewhere. */
import semverCompare from 'semver/functions/compare.js'
import semverValid from 'semver/functions/valid.js'
import type { OutsideResponse } from '../base/process.ts'
import { goQuote } from '../kube/objects/go-quote.ts'
import { type GoURL, lastElement, parseGoURL, pathOf, resolvedPath, withoutPassword } from './go-url.ts'
import { compareVersionTexts, isKubernetesVersion, munge } from './version.ts'

/** Headers of the request; a value that is not known is left out. `clusterID` is the UID of namespace kube-system. */
export function channelHeaders(clusterID: string, latestVersion: string): Record<string, string> {
  return {
    ...(clusterID === '' ? {} : { 'X-SUC-Cluster-ID': clusterID }),
    ...(latestVersion === '' ? {} : { 'X-SUC-Latest-Version': latestVersion }),
  }
}

/** What is wrong with a channel's URL before anything is sent; undefined = nothing. */
export function checkChannelURL(url: string): string | undefined {
  const parsed = parseGoURL(url)
  return parsed.ok ? undefined : parsed.error
}

export type ChannelAnswer =
  /** `resolved` is the text as found, `version` has each `+` replaced by `-`. */
  { readonly ok: true; readonly resolved: string; readonly version: string } | { readonly ok: false; readonly error: string }

/**
 * The version that an answer names. Strict: as SUC; any 200–399 but 302 names the last element of the URL asked. Native: only what is shaped
 * like a version of RKE2, K3s or semver is taken, and an HTML page or another redirection is refused with its cause. Redirections are never
 * followed.
 */
export function interpretAnswer(url: string, answer: OutsideResponse, mode: 'strict' | 'native'): ChannelAnswer {
  const asked = parseGoURL(url)
  if (!asked.ok) return asked
  if (answer.status === 302) return fromLocation(url, asked.url, answer.headers['location'] ?? '', mode)
  if (answer.status < 200 || answer.status > 399) return { ok: false, error: `unexpected response: ${answer.statusLine}` }
  if (mode === 'strict') return found(lastElement(url))
  return fromPage(asked.url, answer)
}

function fromLocation(url: string, asked: GoURL, location: string, mode: 'strict' | 'native'): ChannelAnswer {
  if (location === '') return { ok: false, error: 'http: no Location header in response' }
  const target = parseGoURL(location)
  if (!target.ok) {
    return {
      ok: false,
      error: `Get ${goQuote(withoutPassword(url))}: failed to parse Location header ${goQuote(location)}: ${target.error}`,
    }
  }
  const resolved = lastElement(resolvedPath(asked, target.url))
  if (mode === 'strict' || isVersionShaped(resolved)) return found(resolved)
  return {
    ok: false,
    error: `the channel redirects to ${goQuote(location)}, and ${goQuote(resolved)} is no version such as v1.33.4+rke2r1 or v1.2.3`,
  }
}

/** A URL that is no channel but names a version itself works with SUC, and goes on to work. */
function fromPage(asked: GoURL, answer: OutsideResponse): ChannelAnswer {
  if (answer.status >= 300) {
    const location = answer.headers['location']
    const whither = location === undefined ? '' : ` to ${goQuote(location)}`
    return { ok: false, error: `the channel redirects by ${answer.statusLine}${whither}; only 302 names a version` }
  }
  if (isHTML(answer))
    return { ok: false, error: `the channel answers ${answer.statusLine} with an HTML page, not with a redirection (302) to a version` }
  const resolved = lastElement(pathOf(asked))
  if (isVersionShaped(resolved)) return found(resolved)
  return {
    ok: false,
    error: `the channel answers ${answer.statusLine}, not with a redirection (302), and ${goQuote(resolved)} in its URL is no version`,
  }
}

function found(resolved: string): ChannelAnswer {
  return { ok: true, resolved, version: munge(resolved) }
}

/** Also fit to be a label's value and an image's tag, which the version becomes. */
function isVersionShaped(text: string): boolean {
  if (text.length > 63) return false
  return isKubernetesVersion(text) || /^v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z]+(?:[-+._]+[0-9A-Za-z]+)*)?$/.test(text)
}

function isHTML({ headers, body }: OutsideResponse): boolean {
  return /\bhtml\b/i.test(headers['content-type'] ?? '') || /^\s*<(?:!doctype html|html)\b/i.test(body)
}

/** What is remembered of a channel. Versions are munged, times milliseconds since the epoch. */
export interface ChannelMemory {
  /** In force. */
  readonly version: string
  /** Another answer, and since when the channel has given no other one. */
  readonly pending?: { readonly version: string; readonly sinceMs: number }
}

/**
 * The memory after the channel was seen to answer `version` at `nowMs`. The first answer counts at once; a change only when the channel has
 * agreed with itself for `agreementMs` (default 60 s); and one to a lower version never, where the two can be compared.
 */
export function considerSighting(memory: ChannelMemory | undefined, version: string, nowMs: number, agreementMs: number): ChannelMemory {
  if (memory === undefined) return { version }
  const inForce = { version: memory.version }
  if (version === memory.version || isLower(version, memory.version)) return inForce
  const { pending } = memory
  // A clock that went back would make the wait longer, or never end.
  if (pending?.version !== version || pending.sinceMs > nowMs) return { ...inForce, pending: { version, sinceMs: nowMs } }
  return nowMs - pending.sinceMs >= agreementMs ? { version } : memory
}

function isLower(version: string, than: string): boolean {
  const order = compareVersionTexts(version, than)
  if (order !== undefined) return order < 0
  // Versions of RKE2 and K3s read as semver would be pre-releases of each other.
  if (isKubernetesVersion(version) || isKubernetesVersion(than)) return false
  const [a, b] = [semverValid(version), semverValid(than)]
  return a !== null && b !== null && semverCompare(a, b) < 0
}
