/**
 * URLs as Go's net/url reads them. A channel's answer is taken apart by SUC with that package, whose rules differ from the WHATWG URL that
 * Node has: `mailto:v1` has no path, a host alone has an empty one, and a bad escape is an error. The error texts reach conditions.
 */
import { goQuote } from '../kube/objects/go-quote.ts'

export interface GoURL {
  readonly scheme: string
  /** `mailto:x`: a scheme whose rest does not begin with a slash; there is no path then. */
  readonly opaque: boolean
  readonly authority: string | undefined
  /** As written, escapes and all. */
  readonly path: string
  readonly hasQuery: boolean
}

export type GoURLResult = { readonly ok: true; readonly url: GoURL } | { readonly ok: false; readonly error: string }

export function parseGoURL(text: string): GoURLResult {
  const fail = (cause: string): GoURLResult => ({ ok: false, error: `parse ${goQuote(text)}: ${cause}` })
  if (hasControlCharacter(text)) return fail('net/url: invalid control character in URL')
  const [beforeFragment, fragment] = cut(text, '#')
  const badFragment = badEscape(fragment ?? '')
  if (text.startsWith(':')) return fail('missing protocol scheme')
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(beforeFragment)?.[1] ?? ''
  const afterScheme = scheme === '' ? beforeFragment : beforeFragment.slice(scheme.length + 1)
  const [rest, query] = cut(afterScheme, '?')
  const hasQuery = query !== undefined
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { ok: true, url: { scheme: scheme.toLowerCase(), opaque: true, authority: undefined, path: '', hasQuery } }
    if ((rest.split('/', 1)[0] ?? '').includes(':')) return fail('first path segment in URL cannot contain colon')
  }
  const hasAuthority = rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'))
  const authority = hasAuthority ? (rest.slice(2).split('/', 1)[0] ?? '') : undefined
  const fault = authority === undefined ? undefined : authorityFault(authority)
  if (fault !== undefined) return fail(fault)
  const path = authority === undefined ? rest : rest.slice(2 + authority.length)
  const bad = badEscape(path) ?? badFragment
  if (bad !== undefined) return fail(bad)
  return { ok: true, url: { scheme: scheme.toLowerCase(), opaque: false, authority, path, hasQuery } }
}

/** Path of `reference` as seen from `base`, unescaped: RFC 3986 §5.2. */
export function resolvedPath(base: GoURL, reference: GoURL): string {
  if (reference.opaque) return ''
  const own = reference.scheme !== '' || (reference.authority ?? '') !== ''
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
  const elements = path.split('/')
  for (const element of elements) {
    if (element === '..') kept.pop()
    else if (element !== '.') kept.push(element)
  }
  const last = elements.at(-1)
  if (last === '.' || last === '..') kept.push('')
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
  if (host.startsWith('[') && bracket < 0) return "missing ']' in host"
  const port = bracket >= 0 ? host.slice(bracket + 1) : /:.*$/.exec(host)?.[0]
  if (port !== undefined && !/^(?::\d*)?$/.test(port)) return `invalid port ${goQuote(port)} after host`
  const escape = /%(?![0-9A-Fa-f]{2})[^]{0,2}/.exec(host)?.[0]
  if (escape !== undefined) return `invalid URL escape ${goQuote(escape)}`
  const odd = /[\s"<>\\^`{|}]/.exec(host)?.[0]
  return odd === undefined ? undefined : `invalid character ${goQuote(odd)} in host name`
}

function badEscape(text: string): string | undefined {
  const bad = /%(?![0-9A-Fa-f]{2})[^]{0,2}/.exec(text)?.[0]
  return bad === undefined ? undefined : `invalid URL escape ${goQuote(bad)}`
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
