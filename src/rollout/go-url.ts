/**
 * URLs as Go's net/url reads them. A channel's answer is taken apart by SUC with that package, whose rules differ from the WHATWG URL that
 * Node has: `mailto:v1` has no path, a host alone has an empty one, and a bad escape is an error. The error texts reach conditions.
 */
import { goQuote } from '../kube/objects/go-quote.ts'

export interface GoURL {
  readonly hasScheme: boolean
  /** `mailto:x`: a scheme whose rest does not begin with a slash; there is no path then. */
  readonly opaque: boolean
  readonly authority: string | undefined
  /** As written, escapes and all. */
  readonly path: string
}

export type GoURLResult = { readonly ok: true; readonly url: GoURL } | { readonly ok: false; readonly error: string }

export function parseGoURL(text: string): GoURLResult {
  const [withoutFragment, fragment = ''] = cut(text, '#')
  const parsed = parseParts(withoutFragment)
  if (typeof parsed === 'string') return { ok: false, error: `parse ${goQuote(withoutFragment)}: ${parsed}` }
  const bad = hasControlCharacter(fragment) ? 'net/url: invalid control character in URL' : badEscape(fragment)
  return bad === undefined ? { ok: true, url: parsed } : { ok: false, error: `parse ${goQuote(text)}: ${bad}` }
}

/** The URL, or what is wrong with it. */
function parseParts(text: string): GoURL | string {
  if (hasControlCharacter(text)) return 'net/url: invalid control character in URL'
  if (text.startsWith(':')) return 'missing protocol scheme'
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? ''
  const [rest] = cut(scheme === '' ? text : text.slice(scheme.length + 1), '?')
  const hasScheme = scheme !== ''
  if (!rest.startsWith('/')) {
    if (hasScheme) return { hasScheme, opaque: true, authority: undefined, path: '' }
    if ((rest.split('/', 1)[0] ?? '').includes(':')) return 'first path segment in URL cannot contain colon'
  }
  const hasAuthority = rest.startsWith('//') && (hasScheme || !rest.startsWith('///'))
  const authority = hasAuthority ? (rest.slice(2).split('/', 1)[0] ?? '') : undefined
  const path = authority === undefined ? rest : rest.slice(2 + authority.length)
  const fault = (authority === undefined ? undefined : authorityFault(authority)) ?? badEscape(path)
  return fault ?? { hasScheme, opaque: false, authority, path }
}

/** Path of `reference` as seen from `base`, unescaped: RFC 3986 §5.2, but for a slash at the end after dots, which no last element shows. */
export function resolvedPath(base: GoURL, reference: GoURL): string {
  if (reference.opaque) return ''
  const own = reference.hasScheme || (reference.authority ?? '') !== ''
  return unescapeText(removeDots(own ? reference.path : merge(base.path, reference.path)))
}

/** The path of the URL itself, unescaped. */
export function pathOf(url: GoURL): string {
  return unescapeText(url.path)
}

/** The URL as it may be shown: `***` for a password, as Go's client has it in its errors. */
export function withoutPassword(url: string): string {
  return url.replace(/^([A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#:@]*):[^/?#]*@/, '$1:***@')
}

/** The last element, as Go's filepath.Base gives it: `.` for nothing, `/` for nothing but slashes. */
export function lastElement(path: string): string {
  if (path === '') return '.'
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

function merge(base: string, reference: string): string {
  if (reference === '') return base
  return reference.startsWith('/') ? reference : base.slice(0, base.lastIndexOf('/') + 1) + reference
}

function removeDots(path: string): string {
  if (path === '') return ''
  const kept: string[] = []
  for (const element of path.split('/')) {
    if (element === '..') kept.pop()
    else if (element !== '.') kept.push(element)
  }
  return `/${kept.join('/').replace(/^\//, '')}`
}

function authorityFault(authority: string): string | undefined {
  const at = authority.lastIndexOf('@')
  const user = at < 0 ? '' : authority.slice(0, at)
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) return 'net/url: invalid userinfo'
  const badUser = badEscape(user)
  if (badUser !== undefined) return badUser
  return hostFault(authority.slice(at + 1))
}

function hostFault(host: string): string | undefined {
  const bracket = host.startsWith('[') ? host.lastIndexOf(']') : -1
  if (host.lastIndexOf('[') > 0) return 'invalid IP-literal'
  if (host.startsWith('[') && bracket < 0) return "missing ']' in host"
  const port = bracket >= 0 ? host.slice(bracket + 1) : /:[^:]*$/.exec(host)?.[0]
  if (port !== undefined && !/^(?::\d*)?$/.test(port)) return `invalid port ${goQuote(port)} after host`
  // Of ASCII only the percent sign itself may be escaped in a host (RFC 6874).
  const escape = badEscape(host) ?? wrongEscape(/%(?!25)[0-7][0-9A-Fa-f]/.exec(host)?.[0])
  if (escape !== undefined) return escape
  const odd = /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"%\u0080-\uffff]/.exec(host)?.[0]
  return odd === undefined ? undefined : `invalid character ${goQuote(odd)} in host name`
}

function badEscape(text: string): string | undefined {
  return wrongEscape(/%(?![0-9A-Fa-f]{2})[^]{0,2}/.exec(text)?.[0])
}

function wrongEscape(escape: string | undefined): string | undefined {
  return escape === undefined ? undefined : `invalid URL escape ${goQuote(escape)}`
}

function unescapeText(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  const decoded = bytes.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(decoded, 'latin1').toString('utf8')
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}

function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
