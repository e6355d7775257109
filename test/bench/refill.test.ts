import { expect, test } from '@jest/globals'
import { countRefills } from '../../bench/refill.ts'
import type { Write } from '../../src/sandbox/server/types.ts'

const NODES = new Set(['a', 'b', 'c', 'd'])
const HASH = 'hash'

const planWrite = (before: readonly string[], after: readonly string[], more: object = {}): Write => {
  const plan = (applying: readonly string[]) => ({ metadata: { name: 'plan' }, status: { applying, latestHash: HASH } })
  return {
    ref: { resource: 'plans', name: 'plan' },
    status: 200,
    dryRun: false,
    before: plan(before),
    after: plan(after),
    ...more,
  } as unknown as Write
}
const done = (name: string): Write =>
  ({
    ref: { resource: 'nodes', name },
    status: 200,
    dryRun: false,
    after: { metadata: { name, labels: { 'plan.upgrade.cattle.io/plan': HASH } } },
  }) as unknown as Write

test('a slot refilled in the same write is not empty', () => {
  expect(countRefills([done('a'), planWrite(['a'], ['b'])], 'plan', NODES)).toEqual({ freed: 1, leftEmpty: 0 })
})

test('a slot freed now and refilled by a later write was left empty', () => {
  expect(countRefills([done('a'), planWrite(['a'], []), planWrite([], ['b'])], 'plan', NODES)).toEqual({ freed: 1, leftEmpty: 1 })
})

test('two freed, one refilled', () => {
  expect(countRefills([done('a'), done('b'), planWrite(['a', 'b'], ['c'])], 'plan', NODES)).toEqual({ freed: 2, leftEmpty: 1 })
})

test('nobody waits: nothing to refill', () => {
  const history = [done('a'), done('b'), done('c'), done('d'), planWrite(['d'], [])]
  expect(countRefills(history, 'plan', NODES)).toEqual({ freed: 0, leftEmpty: 0 })
})

test('only as many slots as nodes wait', () => {
  const history = [done('a'), done('b'), done('c'), planWrite(['a', 'b'], ['d'])]
  expect(countRefills(history, 'plan', NODES)).toEqual({ freed: 1, leftEmpty: 0 })
})

test('refused writes, dry runs and other Plans do not count', () => {
  const refused = planWrite(['a'], [], { status: 409 })
  const dry = planWrite(['a'], [], { dryRun: true })
  const other = planWrite(['a'], [], { ref: { resource: 'plans', name: 'other' } })
  expect(countRefills([done('a'), refused, dry, other], 'plan', NODES)).toEqual({ freed: 0, leftEmpty: 0 })
})
