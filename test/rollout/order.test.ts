import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type OrderNode, candidateOrder, orderKey, selectNodes } from '../../src/rollout/order.ts'
import { HASH, planWith } from './sample.ts'

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

describe('selectNodes', () => {
  test('keeps every slot, fills up to the concurrency in candidate order, and answers by name', () => {
    fc.assert(
      fc.property(nodes, fc.nat({ max: 8 }), fc.array(fc.nat(), { maxLength: 5 }), (given, concurrency, picks) => {
        const applying = given.length === 0 ? [] : picks.map((pick) => given[pick % given.length]?.name ?? '')
        const chosen = selectNodes(planWith({ concurrency }, { status: { applying } }), HASH, given)
        if (!chosen.ok) throw new Error(chosen.error)
        const names = chosen.nodes.map(({ name }) => name)
        expect(names).toEqual(names.toSorted())
        expect(chosen.hostnames).toEqual(names)
        for (const kept of applying) expect(names).toContain(kept)
        const added = names.filter((name) => !applying.includes(name))
        const slots = Math.max(0, concurrency - new Set(applying).size)
        const candidates = candidateOrder(
          'plan-uid',
          HASH,
          given.filter(({ name }) => !applying.includes(name)),
        )
        expect(added).toEqual(
          candidates
            .slice(0, slots)
            .map(({ name }) => name)
            .toSorted(),
        )
      }),
    )
  })

  test('a node done with this hash is left out, one done with another is not', () => {
    const done = node('a', { 'plan.upgrade.cattle.io/server-plan': HASH })
    const older = node('b', { 'plan.upgrade.cattle.io/server-plan': 'older' })
    const chosen = selectNodes(planWith({ concurrency: 9 }), HASH, [done, older])
    expect(chosen).toMatchObject({ ok: true, hostnames: ['b'] })
  })

  test('a hostname in applying that is no label value is an error, as in SUC', () => {
    const chosen = selectNodes(planWith({}, { status: { applying: ['not valid'] } }), HASH, [node('a')])
    expect(chosen).toMatchObject({
      ok: false,
      error: expect.stringContaining('values[0][kubernetes.io/hostname]: Invalid value: "not valid"'),
    })
  })
})
