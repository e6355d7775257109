import { describe, expect, test } from '@jest/globals'
import type { ObjectCheck } from '../../../src/api/gate.ts'
import { decodePolicy } from '../../../src/api/decode-policy.ts'
import type { JsonObject } from '../../../src/base/json.ts'
import { judgeObjects } from '../../../src/rollout/policy/expect.ts'

function check(...expectations: readonly object[]): ObjectCheck {
  const object = { apiVersion: 'v1', kind: 'Thing', namespace: 'n', name: 't', expect: expectations }
  const view = decodePolicy({ metadata: { name: 'p' }, spec: { gates: [{ name: 'g', at: ['NodeStart'], object }] } } as never)
  const found = view?.ok === true ? view.policy.spec.gates[0]?.check : undefined
  if (found?.kind !== 'object') throw new Error(view?.ok === false ? view.error : 'no check')
  return found
}

const thing = (fields: JsonObject, generation = 3): JsonObject => ({ metadata: { name: 't', namespace: 'n', generation }, ...fields })
/** Why the object is not as expected; an empty text when it is. */
const why = (object: JsonObject, ...expectations: readonly object[]): string => {
  const seen = judgeObjects(check(...expectations), [object])
  return seen.kind === 'verdict' ? (seen.met ? '' : seen.message) : 'pods'
}

describe('a field', () => {
  const object = thing({
    status: {
      phase: 'Ready',
      on: true,
      off: false,
      n: 3,
      zero: 0,
      half: 0.5,
      size: '10Gi',
      big: 12345678901234567890n,
      none: null,
      empty: '',
      list: [1, 2],
      of: [{ s: 'a' }, { s: 'b' }],
    },
  })
  test.each<[string, string, unknown, string]>([
    ['.status.phase', 'eq', 'Ready', ''],
    ['.status.phase', 'eq', 'Done', '.status.phase is Ready, not Done'],
    ['.status.phase', 'ne', 'Done', ''],
    ['.status.phase', 'ne', 'Ready', '.status.phase is Ready, which it should not be'],
    ['.status.phase', 'in', ['Done', 'Ready'], ''],
    ['.status.phase', 'in', ['Done', 'Gone'], '.status.phase is Ready, not one of Done, Gone'],
    ['.status.phase', 'notIn', ['Ready'], '.status.phase is Ready, which is one of Ready'],
    ['.status.phase', 'notIn', ['Done'], ''],
    ['.status.on', 'eq', 'true', ''],
    ['.status.off', 'eq', 'false', ''],
    ['.status.n', 'eq', 3, ''],
    ['.status.n', 'eq', '3', ''],
    ['.status.zero', 'eq', 0, ''],
    ['.status.empty', 'eq', '', ''],
    ['.status.big', 'eq', '12345678901234567890', ''],
    ['.status.n', 'gt', 2, ''],
    ['.status.n', 'gt', 3, '.status.n is 3, not gt 3'],
    ['.status.n', 'ge', 3, ''],
    ['.status.n', 'lt', 10, ''],
    ['.status.n', 'lt', 3, '.status.n is 3, not lt 3'],
    ['.status.n', 'le', 3, ''],
    ['.status.half', 'lt', '500m', '.status.half is 0.5, not lt 500m'],
    ['.status.half', 'le', '500m', ''],
    ['.status.size', 'gt', '9Gi', ''],
    ['.status.size', 'gt', '11G', '.status.size is 10Gi, not gt 11G'],
    ['.status.phase', 'gt', 1, '.status.phase is Ready, which cannot be compared with 1 as a number'],
    ['.status.n', 'gt', 'many', '.status.n is 3, which cannot be compared with many as a number'],
    ['.status.list', 'eq', '1', '.status.list is a list or an object, which cannot be compared'],
    ['.status.list[*]', 'le', 2, ''],
    ['.status.list[*]', 'lt', 2, '.status.list[*] is 2, not lt 2'],
    ['.status.of[*].s', 'in', ['a'], '.status.of[*].s is b, not one of a'],
    ['.status.of', 'exists', undefined, ''],
    ['.status.empty', 'exists', undefined, ''],
    ['.status.gone', 'exists', undefined, '.status.gone is missing'],
    ['.status.none', 'exists', undefined, '.status.none is missing'],
    ['.status.none', 'absent', undefined, ''],
    ['.status.gone', 'absent', undefined, ''],
    ['.status.zero', 'absent', undefined, '.status.zero is there'],
    // What is not there is not different from anything.
    ['.status.gone', 'ne', 'x', '.status.gone is missing'],
    ['.status.gone', 'notIn', ['x'], '.status.gone is missing'],
  ])('%s %s %j', (path, operator, value, fault) => {
    const values = Array.isArray(value) ? { values: value as string[] } : value === undefined ? {} : { value }
    expect(why(object, { path, operator, ...values })).toBe(fault === '' ? '' : `Thing n/t: ${fault}`)
  })

  test('is shown in part when it is long', () => {
    expect(why(thing({ data: 'x'.repeat(1000) }), { path: '.data', operator: 'eq', value: 'y' })).toBe(
      `Thing n/t: .data is ${'x'.repeat(80)}…, not y`,
    )
  })
})

describe('a condition', () => {
  const ready = (more: JsonObject = {}) => ({
    status: {
      conditions: [
        { type: 'Other', status: 'False' },
        { type: 'Ready', status: 'True', ...more },
      ],
    },
  })
  test.each<[string, JsonObject, string]>([
    ['that is so', thing(ready()), ''],
    ['that is not so', thing(ready({ status: 'False' })), 'condition Ready is False, not True'],
    ['that nobody knows', thing(ready({ status: 'Unknown' })), 'condition Ready is Unknown, not True'],
    ['that is not there', thing({ status: { conditions: [] } }), 'has no condition Ready'],
    ['of an object without a status', thing({}), 'has no condition Ready'],
    ['of an object with conditions of another shape', thing({ status: { conditions: 'Ready' } }), 'has no condition Ready'],
    ['among nulls', thing({ status: { conditions: [null] } }), 'has no condition Ready'],
    ['of this generation', thing(ready({ observedGeneration: 3 })), ''],
    ['of an older one', thing(ready({ observedGeneration: 2 })), 'condition Ready is of generation 2, and the object of 3'],
    [
      'of a status of an older one',
      thing({ status: { ...ready().status, observedGeneration: 2 } }),
      'condition Ready is of generation 2, and the object of 3',
    ],
  ])('%s', (_, object, fault) => {
    expect(why(object, { condition: { type: 'Ready' } })).toBe(fault === '' ? '' : `Thing n/t: ${fault}`)
  })

  test('of another status', () => {
    expect(why(thing(ready({ status: 'False' })), { condition: { type: 'Ready', status: 'False' } })).toBe('')
  })
})

test('all expectations must hold, of all objects, and of one at least', () => {
  const good = { path: '.a', operator: 'eq', value: 1 }
  expect(why(thing({ a: 1, b: 2 }), good, { path: '.b', operator: 'eq', value: 1 })).toBe('Thing n/t: .b is 2, not 1')
  const both = judgeObjects(check(good), [thing({ a: 1 }), { metadata: { name: 'other' }, a: 2 }])
  expect(both).toEqual({ kind: 'verdict', met: false, message: 'Thing other: .a is 2, not 1' })
  expect(judgeObjects(check(good), [])).toEqual({ kind: 'verdict', met: false, message: 'no Thing matches the selector' })
})
