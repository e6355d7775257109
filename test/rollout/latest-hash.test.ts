import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import { decodePlan } from '../../src/api/decode-plan.ts'
import type { Plan } from '../../src/api/plan.ts'
import { type Json, parseJson } from '../../src/base/json.ts'
import { digestParts } from '../../src/rollout/digest.ts'
import { goPrint, goTrim } from '../../src/rollout/go-print.ts'
import { latestHash } from '../../src/rollout/latest-hash.ts'
import { secretHash } from '../../src/rollout/secret-hash.ts'

interface HashCase {
  readonly id: string
  readonly plan: Json
  readonly secrets: readonly Secret[]
  readonly expect: {
    readonly hash?: string
    readonly digestParts?: readonly string[]
    readonly secretHashes?: readonly string[]
    readonly error?: string
    readonly decodeError?: string
  }
}

const cases = readFileSync(new URL('../vectors/suc/latest-hash.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => parseJson(line) as unknown as HashCase)

function decoded(raw: Json): Plan {
  const result = decodePlan(raw)
  if (!result.ok) throw new Error(result.error)
  return result.plan
}

const byName = (secrets: readonly Secret[]): ReadonlyMap<string, Secret> =>
  new Map(secrets.map((secret) => [secret.metadata?.name ?? '', secret]))

describe("SUC's latestHash", () => {
  test.each(cases.map((each) => [each.id, each] as const))('%s', (_, { plan: raw, secrets, expect: wanted }) => {
    const plan = decoded(raw)
    const result = latestHash({ plan, latestVersion: plan.status.latestVersion, secrets: byName(secrets) })
    if (wanted.decodeError !== undefined) {
      // SUC cannot read such a Plan, nor any other beside it; here it gets a hash like any other.
      expect(result).toMatchObject({ ok: true, digestParts: ['60000000000'] })
    } else if (wanted.error !== undefined) {
      expect(result).toEqual({ ok: false, error: wanted.error })
    } else {
      const { hash, digestParts: parts = [], secretHashes = [] } = wanted
      expect(result).toEqual({ ok: true, hash, digestParts: parts, secretHashes })
    }
  })

  test('there are enough cases, of each kind', () => {
    expect(cases.length).toBeGreaterThanOrEqual(75)
    expect(cases.filter((each) => each.expect.error !== undefined)).not.toHaveLength(0)
    expect(cases.filter((each) => each.expect.decodeError !== undefined)).toHaveLength(1)
  })
})

test('a path into the status sees the version that is being hashed', () => {
  const plan = decoded({
    metadata: { name: 'p', annotations: { 'upgrade.cattle.io/digest': 'status.latestVersion' } },
    spec: { upgrade: { image: 'i' } },
    status: { latestVersion: 'old' },
  })
  const result = latestHash({ plan, latestVersion: 'new', secrets: new Map() })
  expect(result).toEqual({ ok: true, hash: createHash('sha224').update('newnew').digest('hex'), digestParts: ['new'], secretHashes: [] })
})

test('a Plan that lost what its digest is made of gets no hash rather than a wrong one', () => {
  const { encoded: _, ...plan } = decoded({
    metadata: { name: 'p', annotations: { 'upgrade.cattle.io/digest': 'spec.version' } },
    spec: { upgrade: { image: 'i' }, version: 'v1' },
  })
  expect(latestHash({ plan, latestVersion: 'v1', secrets: new Map() })).toMatchObject({ ok: false })
})

describe('printed values', () => {
  // Each line as Go's fmt.Sprint prints the decoded JSON.
  test.each<[Json, string]>([
    [{ b: 1, a: [true, 'x y', {}] }, 'map[a:[true x y map[]] b:1]'],
    [{ a: null, b: 12345678901234567890n }, 'map[a:<nil> b:12345678901234567890]'],
    [{ '😀': 1, '｡': 2, z: 3 }, 'map[z:3 ｡:2 😀:1]'],
    [[], '[]'],
  ])('%p', (value, printed) => expect(goPrint(value)).toBe(printed))

  test.each([
    ['\u0085\u00a0 x \u2003\u3000\n', 'x'],
    ['\ufeffx\u200b', '\ufeffx\u200b'],
    ['   ', ''],
  ])('%j is trimmed as Go trims', (text, trimmed) => expect(goTrim(text)).toBe(trimmed))

  test('there is one for each path, whatever the paths are', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string({ minLength: 1 }), (root, paths) => {
        expect(digestParts(root as { [key: string]: Json }, paths)).toHaveLength(paths.split(',').length)
      }),
    )
    expect(digestParts({ a: 1 }, '')).toEqual([])
    expect(digestParts({ a: { b: [' first ', 2] } }, 'a.b,toString,a.b.0, a')).toEqual(['first', '', '', ''])
  })
})

describe('the hash of a Secret', () => {
  const secret = fc.record({
    metadata: fc.record({ name: fc.string() }),
    type: fc.string(),
    data: fc.dictionary(
      fc.string(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
    ),
  })

  test('does not depend on the order of keys, but on every value', () => {
    fc.assert(
      fc.property(secret, fc.string({ minLength: 1 }), (one, key) => {
        const hash = secretHash(one)
        expect(hash).toMatch(/^[2456789bcdfghkmt]{10}$/)
        expect(secretHash({ ...one, data: Object.fromEntries(Object.entries(one.data).reverse()) })).toBe(hash)
        expect(secretHash({ ...one, data: { ...one.data, [key]: 'bmV3bmV3bmV3' } }) === hash).toBe(one.data[key] === 'bmV3bmV3bmV3')
      }),
    )
  })

  test('tells missing from empty data, and unset from false', () => {
    const base = { metadata: { name: 'n' }, type: 'Opaque' }
    const hashes = [base, { ...base, data: {} }, { ...base, immutable: false }, { ...base, immutable: true }].map((each) =>
      secretHash(each),
    )
    expect(new Set(hashes).size).toBe(4)
  })

  test('ignores labels and stringData', () => {
    const base: Secret = { metadata: { name: 'n' }, type: 'Opaque', data: { a: 'YQ==' } }
    expect(secretHash({ ...base, metadata: { name: 'n', labels: { a: 'b' } }, stringData: { x: 'y' } })).toBe(secretHash(base))
  })
})
