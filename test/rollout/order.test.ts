import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { candidateOrder, orderKey } from '../../src/rollout/order.ts'
import type { OrderNode } from '../vectors/suc-choice.ts'
import { HASH } from './sample.ts'

const node = (name: string, labels: Record<string, string> = {}): OrderNode => ({
  name,
  uid: `uid-${name}`,
  labels: { 'kubernetes.io/hostname': name, ...labels },
})

const nodes = fc
  .uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 30 })
  .map((numbers) => numbers.map((number) => node(`node-${String(number).padStart(2, '0')}`)))

describe('candidateOrder', () => {
  test('is ascending by SHA-256 over node UID, Plan UID and hash', () => {
    const [a, b, c] = [node('a'), node('b'), node('c')]
    const key = (entry: OrderNode): string => createHash('sha256').update(`${entry.uid}plan${HASH}`).digest('hex')
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
