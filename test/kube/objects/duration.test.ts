import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { durationToMs, formatDuration, formatMs, parseDuration } from '../../../src/kube/objects/duration.ts'

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -100_000_000_000n, max: 100_000_000_000n }),
  fc.integer({ min: -100_000, max: 100_000 }).map((seconds) => BigInt(seconds) * 1_000_000_000n),
)

test('any duration reads back from its text', () => {
  fc.assert(fc.property(int64, (ns) => expect(parseDuration(formatDuration(ns))).toEqual({ ok: true, ns })))
})

test('what is read prints to a fixed point', () => {
  const part = fc.tuple(fc.nat({ max: 5000 }), fc.constantFrom('h', 'm', 's', 'ms', 'us', 'µs', 'ns')).map(([n, unit]) => `${n}${unit}`)
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const read = parseDuration(parts.join(''))
      if (!read.ok) throw new Error(read.error)
      const text = formatDuration(read.ns)
      expect(parseDuration(text)).toEqual(read)
    }),
  )
})

test('reading never throws', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseDuration(text).ok === 'boolean'))
})

// Each line as printed by Go 1.26.
describe('normal form', () => {
  test.each([
    ['90s', '1m30s'],
    ['1500ms', '1.5s'],
    ['1.5h', '1h30m0s'],
    ['25h61m', '26h1m0s'],
    ['0', '0s'],
    ['+0', '0s'],
    ['-1ns', '-1ns'],
    ['1µs1ns', '1.001µs'],
    ['.5s', '500ms'],
    ['1.s', '1s'],
    ['2562047h47m16.854775807s', '2562047h47m16.854775807s'],
    ['-2562047h47m16.854775808s', '-2562047h47m16.854775808s'],
    ['0.3333333333333333333h', '20m0s'],
  ])('%s is %s', (text, normal) => {
    const read = parseDuration(text)
    expect(read.ok && formatDuration(read.ns)).toBe(normal)
  })
})

describe('refused', () => {
  test.each([
    ['', 'time: invalid duration ""'],
    ['soon', 'time: invalid duration "soon"'],
    ['10', 'time: missing unit in duration "10"'],
    ['3d', 'time: unknown unit "d" in duration "3d"'],
    ['1s ', 'time: unknown unit "s " in duration "1s "'],
    ['2562047h47m16.854775808s', 'time: invalid duration "2562047h47m16.854775808s"'],
    ['99999999999999999999ns', 'time: invalid duration "99999999999999999999ns"'],
    ['é"', 'time: invalid duration "\\xc3\\xa9\\""'],
    ['1constructor', 'time: unknown unit "constructor" in duration "1constructor"'],
  ])('%s', (text, error) => {
    expect(parseDuration(text)).toEqual({ ok: false, error })
  })
})

test('milliseconds are rounded up', () => {
  expect(durationToMs(1n)).toBe(1)
  expect(durationToMs(1_000_000n)).toBe(1)
  expect(durationToMs(0n)).toBe(0)
  expect(durationToMs(-1_500_000n)).toBe(-1)
})

test.each([
  [0, '0s'],
  [1500, '1.5s'],
  [86_400_000, '24h0m0s'],
  [0.25, '250µs'],
  [60_000.000_001, '1m0.000000001s'],
  [-1500, '-1.5s'],
])('%s ms are written %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text)
})
