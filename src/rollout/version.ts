/**
 * Versions of RKE2 and K3s: `v1.33.4+rke2r1`, `v1.34.0-rc2+k3s1`. Their order is not that of semver, which ignores what follows
 * the `+`, and reads the form that image tags have (`v1.33.4-rke2r1`) as a pre-release. semver only takes the text apart.
 */
import parse from 'semver/functions/parse.js'

export type Distribution = 'rke2' | 'k3s'
export type Order = -1 | 0 | 1

export interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
  /** `['rc1']`, `[]` for a release. */
  readonly pre: readonly (string | number)[]
  readonly distribution: Distribution
  /** The 10 of `rke2r10`. */
  readonly revision: number
  /** As given. */
  readonly text: string
}

/** `v`, core, pre-release, `+` or (in image tags) `-`, distribution with its revision. Old K3s releases wrote `k3s.1`. */
const SHAPE = /^v?(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.-]+?))?[+-](?:(rke2)r|(k3s)\.?)(\d{1,9})$/

/** The version as it may stand in an image tag or a label: each `+` becomes `-`. */
export function munge(version: string): string {
  return version.replaceAll('+', '-')
}

/** A pass over thousands of nodes meets a handful of versions. Emptied when full, so that odd inputs cannot fill it for good. */
const read = new Map<string, Version | undefined>()
const MAX_READ = 256

/** Undefined for all that is not a version of RKE2 or K3s. */
export function parseVersion(text: string): Version | undefined {
  if (read.has(text)) return read.get(text)
  const version = parseAnew(text)
  if (read.size >= MAX_READ) read.clear()
  read.set(text, version)
  return version
}

function parseAnew(text: string): Version | undefined {
  if (text.length > 256) return undefined
  const match = SHAPE.exec(text)
  if (match === null) return undefined
  const [, core = '', pre, , k3s, revision = ''] = match
  const parsed = parse(pre === undefined ? core : `${core}-${pre}`)
  if (parsed === null) return undefined
  return {
    major: parsed.major,
    minor: parsed.minor,
    patch: parsed.patch,
    pre: parsed.prerelease,
    distribution: k3s === undefined ? 'rke2' : 'k3s',
    revision: Number(revision),
    text,
  }
}

export function isKubernetesVersion(text: string): boolean {
  return parseVersion(text) !== undefined
}

/** By core, pre-release (below its release; numbers in it count as numbers), revision; the distribution last, to make the order total. */
export function compareVersions(a: Version, b: Version): Order {
  return (
    sign(a.major - b.major) ||
    sign(a.minor - b.minor) ||
    sign(a.patch - b.patch) ||
    comparePre(a.pre, b.pre) ||
    sign(a.revision - b.revision) ||
    sign(a.distribution === b.distribution ? 0 : a.distribution === 'k3s' ? -1 : 1)
  )
}

/** Undefined where the texts cannot be compared: no such version, or one of RKE2 and one of K3s. */
export function compareVersionTexts(a: string, b: string): Order | undefined {
  const [x, y] = [parseVersion(a), parseVersion(b)]
  return x === undefined || y === undefined || x.distribution !== y.distribution ? undefined : compareVersions(x, y)
}

/**
 * What a kubelet says against the version it should have. A kubelet of an RKE2 release candidate leaves the `rc` out
 * (`v1.34.0+rke2r1` for `v1.34.0-rc2+rke2r1`), so there the part is left out of the comparison; K3s reports it.
 */
export function compareToTarget(kubelet: string, target: string): Order | undefined {
  const [is, should] = [parseVersion(kubelet), parseVersion(target)]
  if (is === undefined || should === undefined || is.distribution !== should.distribution) return undefined
  const silent = is.distribution === 'rke2' && is.pre.length === 0
  return compareVersions(is, silent ? { ...should, pre: [] } : should)
}

/** Minors from one to the other; negative on the way down. A major counts as many. */
export function minorsBetween(from: Version, to: Version): number {
  return (to.major - from.major) * 1000 + to.minor - from.minor
}

/** `v1.33` */
export function minorName({ major, minor }: Version): string {
  return `v${major}.${minor}`
}

function comparePre(a: Version['pre'], b: Version['pre']): Order {
  if (a.length === 0 || b.length === 0) return sign(Number(a.length === 0) - Number(b.length === 0))
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareIdentifiers(String(a[i]), String(b[i]))
    if (order !== 0) return order
  }
  return sign(a.length - b.length)
}

/** Runs of digits as numbers, the rest as text: rc9 < rc10. */
function compareIdentifiers(a: string, b: string): Order {
  const [x, y] = [a.match(/\d+|\D+/g) ?? [], b.match(/\d+|\D+/g) ?? []]
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = compareRuns(x[i] ?? '', y[i] ?? '')
    if (order !== 0) return order
  }
  return sign(x.length - y.length)
}

function compareRuns(a: string, b: string): Order {
  const [isNumber, isToo] = [/^\d/.test(a), /^\d/.test(b)]
  if (isNumber !== isToo) return isNumber ? -1 : 1
  if (isNumber && BigInt(a) !== BigInt(b)) return BigInt(a) < BigInt(b) ? -1 : 1
  return isNumber || a === b ? 0 : a < b ? -1 : 1
}

function sign(difference: number): Order {
  return difference === 0 ? 0 : difference < 0 ? -1 : 1
}
