import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { candidateOrder, orderKey } from '../../src/rollout/order.ts'
import { HASH, labelledNode as node, labelledNodes as nodes } from './sample.ts'

describe('candidateOrder', () => {
  test('is ascending by SHA-256 over node UID, Plan UID and hash', () => {
    const [a, b, c] = [node('a'), node('b'), node('c')]
    const key = (entry: { uid: string }): string => createHash('sha256').update(`${entry.uid}plan${HASH}`).digest('hex')
    expect(orderKey(a.uid, 'plan', HASH)).toBe(key(a))
    const expected = [a, b, c].toSorted((x, y) => (key(x) < key(y) ? -1 : 1))
    expect(candidateOrder('plan', HASH, [c, b, a])).toEqual(expected)
  })

  test('does not depend on the order given, nor on a cache', () => {
    fc.assert(
      fc.property(nodes, fc.string(), (given, hash) => {
        const cache = new Map<string, string>()
        const plain = candidateOrder('plan', hash, given)
        expect(candidateOrder('plan', hash, given.toReversed(), cache)).toEqual(plain)
        expect(candidateOrder('plan', hash, given, cache)).toEqual(plain)
        expect(cache.size).toBe(given.length)
      }),
    )
  })

  test('takes cached keys without hashing again', () => {
    const cache = new Map([
      ['uid-a', 'z'],
      ['uid-b', 'a'],
    ])
    expect(candidateOrder('plan', HASH, [node('a'), node('b')], cache).map(({ name }) => name)).toEqual(['b', 'a'])
  })
})
