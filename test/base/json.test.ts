import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type Json, parseJson, stringifyJson } from '../../src/base/json.ts'

/** Strings that look like what the parser looks for. */
const awkward = fc.constantFrom(
  '\uE000i12345678901234567890',
  '\uE000s',
  '\uE000',
  ':12345678901234567890',
  '"12345678901234567890',
  '\\',
  '\u0000',
  '__proto__',
)
const text = fc.oneof(fc.string({ unit: 'binary' }), awkward)
const integer = fc.oneof(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }))
/** What parseJson makes of an integer: bigint only where a double would round. */
const held = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

const anyJson = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
    fc.integer(),
    integer.map(held),
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      text.filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
})).value

describe('parseJson', () => {
  test('keeps integers exact that a double would round', () => {
    const text = '{"a":9007199254740993,"b":[-9223372036854775808, 18446744073709551615],"c":9007199254740991}'
    expect(parseJson(text)).toEqual({ a: 9007199254740993n, b: [-9223372036854775808n, 18446744073709551615n], c: 9007199254740991 })
    expect(parseJson('12345678901234567890')).toBe(12345678901234567890n)
  })

  test('leaves digits in strings, fractions and exponents alone', () => {
    const text = '{"a":"x:12345678901234567890","b":0.12345678901234567890,"c":12345678901234567890.5,"d":1e20,"12345678901234567890":1}'
    expect(parseJson(text)).toEqual(JSON.parse(text))
  })

  test.each([
    '{"a":012345678901234567890}',
    '[12345678901234567890',
    '1234567890123456789 1',
    '+12345678901234567890',
    '[1234567890123456789x]',
    '{12345678901234567890:1}1',
    '',
  ])('refuses %s as JSON.parse does', (text) => {
    expect(() => JSON.parse(text)).toThrow(SyntaxError)
    expect(() => parseJson(text)).toThrow(SyntaxError)
  })

  test('gives back whatever stringifyJson wrote', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(parseJson(stringifyJson(value))).toEqual(value)
        expect(parseJson(stringifyJson([value, 2n ** 70n]))).toEqual([value, 2n ** 70n])
      }),
      { numRuns: 500 },
    )
  })
})

describe('stringifyJson', () => {
  test('writes what JSON.stringify writes when there is no bigint', () => {
    const value = { b: 1, a: [null, 'ü', undefined as unknown as null], gone: undefined }
    expect(stringifyJson(value)).toBe(JSON.stringify(value))
  })

  test('writes a bigint as an integer and leaves undefined members out', () => {
    expect(stringifyJson({ big: 18446744073709551615n, gone: undefined, list: [1n, 'x'] })).toBe(
      '{"big":18446744073709551615,"list":[1,"x"]}',
    )
  })
})
