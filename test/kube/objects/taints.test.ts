import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { tolerates, untoleratedTaints } from '../../../src/kube/objects/taints.ts'

const taint = fc.record({
  key: fc.constantFrom('a', 'b'),
  value: fc.constantFrom('', 'x'),
  effect: fc.constantFrom('NoSchedule', 'NoExecute', 'PreferNoSchedule'),
})

describe('a toleration', () => {
  const tainted = { key: 'a', value: 'x', effect: 'NoSchedule' }

  test.each([
    [{ operator: 'Exists' }, true],
    [{ key: 'a', operator: 'Exists' }, true],
    [{ key: 'b', operator: 'Exists' }, false],
    [{ key: 'a', operator: 'Exists', effect: 'NoExecute' }, false],
    [{ key: 'a', operator: 'Exists', effect: 'NoSchedule' }, true],
    [{ key: 'a', value: 'x' }, true],
    [{ key: 'a', operator: 'Equal', value: 'x' }, true],
    [{ key: 'a', operator: 'Equal', value: 'y' }, false],
    [{ key: 'a' }, false],
    [{ key: 'a', operator: 'Near', value: 'x' }, false],
  ])('%j', (toleration, expected) => expect(tolerates(toleration, tainted)).toBe(expected))

  test('without a value equals a taint without one', () => {
    expect(tolerates({ key: 'a', operator: 'Equal', value: '' }, { key: 'a', effect: 'NoSchedule' })).toBe(true)
  })
})

test('preferences keep nobody out, and one toleration for everything lets a pod anywhere', () => {
  fc.assert(
    fc.property(fc.array(taint), (taints) => {
      expect(untoleratedTaints(taints, [])).toEqual(taints.filter(({ effect }) => effect !== 'PreferNoSchedule'))
      expect(untoleratedTaints(taints, [{ operator: 'Exists' }])).toEqual([])
    }),
  )
  expect(untoleratedTaints(undefined, undefined)).toEqual([])
})
