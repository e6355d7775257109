import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  compareToTarget,
  compareVersions,
  compareVersionTexts,
  isKubernetesVersion,
  minorName,
  minorsBetween,
  munge,
  parseVersion,
  type Version,
} from '../../src/rollout/version.ts'

const small = fc.nat({ max: 12 })
const pre = fc.oneof(
  fc.constant(''),
  fc.tuple(fc.constantFrom('alpha', 'beta', 'rc', 'rc.'), small).map(([word, n]) => `-${word}${n}`),
)
const version = fc
  .tuple(small, small, pre, fc.constantFrom('rke2r', 'k3s'), small)
  .map(([minor, patch, rc, distribution, revision]) => `v1.${minor}.${patch}${rc}+${distribution}${revision}`)

function parsed(text: string): Version {
  const result = parseVersion(text)
  if (result === undefined) throw new Error(text)
  return result
}

describe('reading', () => {
  test.each([
    ['v1.33.4+rke2r1', { major: 1, minor: 33, patch: 4, pre: [], distribution: 'rke2', revision: 1 }],
    ['v1.33.4-rke2r10', { minor: 33, patch: 4, pre: [], distribution: 'rke2', revision: 10 }],
    ['v1.34.0-rc2+rke2r1', { minor: 34, pre: ['rc2'], distribution: 'rke2', revision: 1 }],
    ['v1.34.0-rc2-rke2r1', { minor: 34, pre: ['rc2'], distribution: 'rke2', revision: 1 }],
    ['v1.20.11-k3s1', { minor: 20, patch: 11, pre: [], distribution: 'k3s', revision: 1 }],
    ['v1.17.0+k3s.1', { minor: 17, distribution: 'k3s', revision: 1 }],
    ['1.33.4+k3s1', { minor: 33, distribution: 'k3s' }],
  ])('%s', (text, parts) => expect(parseVersion(text)).toMatchObject({ ...parts, text }))

  test.each([
    '',
    'latest',
    'v1.33.4',
    'v1.33+rke2r1',
    'v1.33.4+rke2',
    'v1.33.4+rke2r',
    'v1.33.4+rke2r1-x',
    'v0.3.13-suc',
    'bionic',
    'v1.33.4+eks1',
    'v01.33.4+rke2r1',
    'v1.33.4+k3s-1a2b3c4d',
    ' v1.33.4+rke2r1',
    'v1.33.4+rke2r1\n',
    'v1.33.99999999999999999999+rke2r1',
  ])('%j is none', (text) => expect(isKubernetesVersion(text)).toBe(false))

  test('never throws', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof isKubernetesVersion(text) === 'boolean'))
    const piece = fc.constantFrom('v', '1', '.', '33', '-', '+', 'rke2r', 'k3s', 'rc', '0', '9'.repeat(20))
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece), (a, b) => [-1, 0, 1, undefined].includes(compareVersionTexts(a.join(''), b.join('')))),
    )
  })
})

describe('order', () => {
  test('total, antisymmetric and transitive', () => {
    fc.assert(
      fc.property(version, version, version, (x, y, z) => {
        const [a, b, c] = [parsed(x), parsed(y), parsed(z)]
        expect(compareVersions(a, a)).toBe(0)
        expect(compareVersions(a, b) + compareVersions(b, a)).toBe(0)
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) expect(compareVersions(a, c)).toBeLessThanOrEqual(0)
        if (compareVersions(a, b) === 0) expect(compareVersions(a, c)).toBe(compareVersions(b, c))
      }),
      { numRuns: 1000 },
    )
  })

  test('the form of image tags is the same version', () => {
    fc.assert(
      fc.property(version, version, (x, y) => {
        expect(compareVersionTexts(x, munge(x))).toBe(0)
        expect(compareVersionTexts(munge(x), y)).toBe(compareVersionTexts(x, munge(y)))
      }),
    )
  })

  test('rises from one to the next', () => {
    const rising = [
      'v1.9.12+rke2r3',
      'v1.33.4-alpha1+rke2r1',
      'v1.33.4-beta2+rke2r1',
      'v1.33.4-rc2+rke2r1',
      'v1.33.4-rc9+rke2r1',
      'v1.33.4-rc9+rke2r2',
      'v1.33.4-rc10+rke2r1',
      'v1.33.4+rke2r1',
      'v1.33.4+rke2r2',
      'v1.33.4+rke2r9',
      'v1.33.4+rke2r10',
      'v1.33.10+rke2r1',
      'v1.34.0-rc1+rke2r1',
      'v1.34.0+rke2r1',
      'v2.0.0+rke2r1',
    ]
    for (const [i, low] of rising.entries()) {
      for (const high of rising.slice(i + 1)) {
        expect([low, high, compareVersionTexts(low, high)]).toEqual([low, high, -1])
        expect(compareVersionTexts(munge(high), low)).toBe(1)
      }
    }
  })

  test('RKE2 and K3s are not compared, nor what is no version', () => {
    expect(compareVersionTexts('v1.33.4+rke2r1', 'v1.33.4+k3s1')).toBeUndefined()
    expect(compareVersionTexts('v1.33.4+rke2r1', 'latest')).toBeUndefined()
    expect(compareVersionTexts('', 'v1.33.4+rke2r1')).toBeUndefined()
  })
})

describe('a kubelet against its target', () => {
  test.each([
    ['v1.34.0+rke2r1', 'v1.34.0-rke2r1', 0],
    ['v1.33.4+rke2r1', 'v1.34.0-rc2-rke2r1', -1],
    ['v1.34.0+rke2r1', 'v1.34.0-rc2-rke2r1', 0],
    ['v1.34.0+rke2r2', 'v1.34.0-rc2-rke2r1', 1],
    ['v1.34.0-rc1+rke2r1', 'v1.34.0-rc2-rke2r1', -1],
    ['v1.34.0-rc1+rke2r1', 'v1.34.0+rke2r1', -1],
    ['v1.34.0+k3s1', 'v1.34.0-rc2-k3s1', 1],
    ['v1.34.0-rc2+k3s1', 'v1.34.0-rc2-k3s1', 0],
    ['v1.34.0+k3s1', 'v1.34.0+rke2r1', undefined],
    ['v1.34.0', 'v1.34.0+rke2r1', undefined],
  ])('%s, to be %s', (kubelet, target, order) => expect(compareToTarget(kubelet, target)).toBe(order))
})

test('minors', () => {
  const between = (from: string, to: string): number => minorsBetween(parsed(from), parsed(to))
  expect(between('v1.32.9+rke2r1', 'v1.34.0-rke2r1')).toBe(2)
  expect(between('v1.34.0+rke2r1', 'v1.33.9+rke2r1')).toBe(-1)
  expect(between('v1.34.0+rke2r1', 'v1.34.9+rke2r1')).toBe(0)
  expect(between('v1.34.0+rke2r1', 'v2.0.0+rke2r1')).toBeGreaterThan(1)
  expect(minorName(parsed('v1.34.0-rc1+k3s1'))).toBe('v1.34')
})

test('munging leaves no plus', () => {
  expect(munge('v1.33.4-rc1+rke2r1+x')).toBe('v1.33.4-rc1-rke2r1-x')
})
