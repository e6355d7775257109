/** Container image references: parts, and the short ("familiar") form, after the distribution project's grammar. */

export interface ImageReference {
  /** `docker.io` where the text names none; empty where the first element looks like a host and is none (`a_b.c/x`). */
  readonly domain: string
  /** With `library/` where docker.io implies it. */
  readonly path: string
  readonly tag?: string
  /** `sha256:…` */
  readonly digest?: string
}

const DOMAIN_PART = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = `(?:${DOMAIN_PART}(?:\\.${DOMAIN_PART})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`
const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const TAG = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}'
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}'
const REFERENCE = new RegExp(`^(?:(${DOMAIN})/)?(${PATH_PART}(?:/${PATH_PART})*)(?::(${TAG}))?(?:@(${DIGEST}))?$`)
const TAG_ONLY = new RegExp(`^${TAG}$`)
/** Hex digits of the algorithms that registries use. */
const DIGEST_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 }
const MAX_NAME = 255

/** Undefined if the text is no reference (upper-case path, empty parts, a bare digest, …). */
export function parseImage(text: string): ImageReference | undefined {
  if (text.length > 4096 || /^[a-f0-9]{64}$/.test(text)) return undefined
  const match = REFERENCE.exec(withDomain(text))
  if (match === null) return undefined
  const [, domain = '', path = '', tag, digest] = match
  if (path.length > MAX_NAME || (digest !== undefined && !isDigest(digest))) return undefined
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) }
}

/** As people write it: without `docker.io/` and `library/`. */
export function familiarImage({ domain, path, tag, digest }: ImageReference): string {
  const short = domain === 'docker.io' ? path.replace(/^library\/(?=[^/]+$)/, '') : `${domain}/${path}`
  const name = domain === '' ? path : short
  return `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** The last element of the path without tag and digest, e.g. `rke2-upgrade`; of any text. */
export function imageBasename(text: string): string {
  const name = text.split('@', 1)[0] ?? ''
  return (name.split('/').at(-1) ?? '').split(':', 1)[0] ?? ''
}

/**
 * The tag is added (and the name shortened) only where the image has neither tag nor digest.
 * What cannot be parsed, and a text that is no tag, leave the image untouched (SUC's rule).
 */
export function withDefaultTag(image: string, tag: string): string {
  const reference = parseImage(image)
  if (reference === undefined || reference.tag !== undefined || reference.digest !== undefined || !TAG_ONLY.test(tag)) return image
  return familiarImage({ ...reference, tag })
}

/** The first element is a host only if it looks like one: a dot, a colon, an upper-case letter, or `localhost`. */
function withDomain(text: string): string {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  if (isHost && first !== 'docker.io' && first !== 'index.docker.io') return text
  const rest = isHost ? text.slice(slash + 1) : text
  return `docker.io/${rest.includes('/') ? '' : 'library/'}${rest}`
}

function isDigest(text: string): boolean {
  const [algorithm = '', hex = ''] = text.split(':', 2)
  return Object.hasOwn(DIGEST_LENGTHS, algorithm) && hex.length === DIGEST_LENGTHS[algorithm] && hex === hex.toLowerCase()
}
