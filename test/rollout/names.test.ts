import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { jobName, safeName, safeNameBytes, secretVolumeName } from '../../src/rollout/names.ts'

interface NameCase {
  readonly id: string
  readonly parts: readonly string[]
  readonly expect: { readonly name?: string; readonly hex?: string }
}

const cases = readFileSync(new URL('../vectors/suc/name.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as NameCase)

describe("SUC's names", () => {
  test.each(cases.map((each) => [each.id, each] as const))('%s', (_, { parts, expect: { name, hex } }) => {
    if (name === undefined) expect(Buffer.from(safeNameBytes(...parts)).toString('hex')).toBe(hex)
    else expect(safeName(...parts)).toBe(name)
  })

  test('there are cases of both kinds', () => {
    expect(cases.filter((each) => each.expect.hex !== undefined).length).toBeGreaterThan(1)
    expect(cases.length).toBeGreaterThan(20)
  })
})

describe('any name', () => {
  const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/)

  test('has at most 63 bytes and is the plain one where that fits', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 70 })), (parts) => {
        const bytes = safeNameBytes(...parts)
        const plain = Buffer.from(parts.join('-'))
        expect(bytes.length).toBeLessThanOrEqual(63)
        if (plain.length <= 63) expect(Buffer.from(bytes).equals(plain)).toBe(true)
        else expect(bytes.length).toBe(63)
      }),
    )
  })

  test('of label-like parts is label-like, and differs where a part differs', () => {
    fc.assert(
      fc.property(label, label, label, (plan, node, other) => {
        const name = jobName('apply', plan, node, 'f'.repeat(56))
        expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
        expect(name === jobName('apply', plan, other, 'f'.repeat(56))).toBe(node === other)
        expect(name).not.toBe(jobName('prepare', plan, node, 'f'.repeat(56)))
      }),
    )
  })
})

test("a node's name counts up to its first dot", () => {
  expect(jobName('apply', 'p', 'n1.example.com', 'h')).toBe('apply-p-on-n1-with-h')
  expect(jobName('apply', 'p', 'n1', '')).toBe('apply-p-on-n1-with-')
  expect(secretVolumeName('config')).toBe('secret-config')
})
