import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { canonicalQuantity } from '../../../src/kube/objects/quantity.ts'

const FACTORS: ReadonlyMap<string, number> = new Map([
  ...['n', 'u', 'm', '', 'k', 'M', 'G', 'T'].map((unit, i) => [unit, 1000 ** (i - 3)] as const),
  ...['Ki', 'Mi', 'Gi', 'Ti'].map((unit, i) => [unit, 1024 ** (i + 1)] as const),
])
const amount = (text: string): number => {
  const match = /^([-+0-9.]+)([a-zA-Z]*)$/.exec(text)
  return Number(match?.[1]) * (FACTORS.get(match?.[2] ?? '') ?? Number.NaN)
}
const suffix = fc.constantFrom('', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi')
const quantity = fc.oneof(
  fc.tuple(fc.nat({ max: 100_000 }), suffix).map(([n, unit]) => `${n}${unit}`),
  fc.tuple(fc.nat({ max: 1000 }), fc.nat({ max: 999 }), suffix).map(([n, f, unit]) => `${n}.${f}${unit}`),
)

function canonical(text: string | number | bigint): string {
  const result = canonicalQuantity(text)
  if (!result.ok) throw new Error(result.error)
  return result.text
}

test('the canonical form means the same and is a fixed point', () => {
  fc.assert(
    fc.property(quantity, (text) => {
      const normal = canonical(text)
      expect(Math.abs(amount(normal) - amount(text))).toBeLessThanOrEqual(Math.abs(amount(text)) * 1e-9)
      expect(canonical(normal)).toBe(normal)
    }),
  )
})

// Each line as printed by apimachinery's resource.Quantity after reading it from JSON.
describe('canonical form', () => {
  test.each([
    ['0', '0'],
    ['1', '1'],
    ['1024Ki', '1Mi'],
    ['1000', '1k'],
    ['1000m', '1'],
    ['0.5', '500m'],
    ['1.5Gi', '1536Mi'],
    ['0.5Ki', '512'],
    ['100Mi', '100Mi'],
    ['1e3', '1e3'],
    ['1000e3', '1e6'],
    ['1e4', '10e3'],
    ['0.0000000001', '1n'],
    ['1.500', '1.500'],
    ['-1024Ki', '-1Mi'],
    ['000', '0'],
    ['9Ei', '9223372036854775807'],
  ])('%s is %s', (text, normal) => expect(canonical(text)).toBe(normal))

  test('numbers are read as their text', () => {
    expect(canonical(1)).toBe('1')
    expect(canonical(4096n)).toBe('4096')
  })
})

test.each(['', 'x', '1x', '1 Mi', '1KI', '.', '1e', '--1', '1e99999', '9'.repeat(2000)])('%j is refused', (text) => {
  const result = canonicalQuantity(text)
  expect(result.ok ? result.text : result.error).toMatch(/^quantities must match/)
})

test('reading never throws', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof canonicalQuantity(text).ok === 'boolean'))
})
