import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { expandVariables } from '../../../src/kube/objects/expand.ts'
import { goQuote } from '../../../src/kube/objects/go-quote.ts'
import { parseIntOrPercent, scaleIntOrPercent } from '../../../src/kube/objects/int-or-percent.ts'
import { compareUtf8 } from '../../../src/kube/objects/utf8-order.ts'

describe('UTF-8 order', () => {
  test('is the order of the bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(compareUtf8(a, b)).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
    )
    expect(compareUtf8('｡', '😀')).toBe(-1)
    expect(compareUtf8('a', 'ab')).toBe(-1)
  })
})

describe('$(NAME) expansion', () => {
  const lookup = (name: string): string | undefined =>
    new Map([
      ['A', 'x'],
      ['B', '$(A)'],
    ]).get(name)

  test.each([
    ['$(A)', 'x'],
    ['-$(A)$(A)-', '-xx-'],
    ['$(C)', '$(C)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$x'],
    ['$(B)', '$(A)'],
    ['$(A', '$(A'],
    ['$A $', '$A $'],
    ['$()', '$()'],
    ['$(A$(A))', '$(A$(A))'],
  ])('%s becomes %s', (text, expanded) => expect(expandVariables(text, lookup)).toBe(expanded))

  test('a doubled dollar is a plain one', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(expandVariables(text.replaceAll('$', '$$$$'), lookup)).toBe(text)))
  })
})

// Each line as printed by Go's %q.
test.each([
  ['Near', '"Near"'],
  ['a"b\\', '"a\\"b\\\\"'],
  ['\n\t\u0001\u007f', '"\\n\\t\\x01\\x7f"'],
  ['é😀', '"é😀"'],
  ['\u00a0\u200b', '"\\u00a0\\u200b"'],
  ['\ue000', '"\\ue000"'],
])('%j is quoted as Go does', (text, quoted) => expect(goQuote(text)).toBe(quoted))

describe('a number or a share', () => {
  test('of a total lies between rounding down and up', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), fc.nat({ max: 5000 }), (percent, total) => {
        const parsed = parseIntOrPercent(`${percent}%`)
        if (!parsed.ok) throw new Error(parsed.error)
        const [down, up] = [scaleIntOrPercent(parsed.value, total, 'down'), scaleIntOrPercent(parsed.value, total, 'up')]
        expect(down * 100).toBeLessThanOrEqual(percent * total)
        expect(up * 100).toBeGreaterThanOrEqual(percent * total)
        expect(up - down).toBe((percent * total) % 100 === 0 ? 0 : 1)
      }),
    )
  })

  test('a count is itself', () => {
    for (const value of [3, '3']) {
      const parsed = parseIntOrPercent(value)
      expect(parsed.ok && scaleIntOrPercent(parsed.value, 1, 'up')).toBe(3)
    }
  })

  test.each(['', '-1', '1.5', '101%', 'ten', '5%%', '1e3', -1, 1.5])('%j is refused', (value) => {
    const parsed = parseIntOrPercent(value)
    expect(parsed.ok ? '' : parsed.error).toContain(JSON.stringify(value))
  })
})
