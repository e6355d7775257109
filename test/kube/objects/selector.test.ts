import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  addRequirements,
  compileLabelSelector,
  EVERYTHING,
  formatSelector,
  makeRequirement,
  matchesSelector,
  NOTHING,
  type Selector,
} from '../../../src/kube/objects/selector.ts'
import { parseSelector } from './selector-text.ts'

const key = fc.constantFrom('a', 'b', 'app', 'example.com/x', 'in', 'notin')
const value = fc.constantFrom('', 'v', 'w', '5', '10', '50', 'in')
const labels = fc.dictionary(key, value)
const expression = fc.oneof(
  fc.record({ key, operator: fc.constantFrom('In', 'NotIn'), values: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }) }),
  fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
)
// Few labels at most, or hardly any selector would ever match.
const labelSelector = fc.record({
  matchLabels: fc.oneof(fc.constant({}), fc.dictionary(key, value, { maxKeys: 1 })),
  matchExpressions: fc.array(expression, { maxLength: 3 }),
})

function compiled(selector: Parameters<typeof compileLabelSelector>[0]): Selector {
  const result = compileLabelSelector(selector)
  if (!result.ok) throw new Error(result.error)
  return result.selector
}

describe('matching', () => {
  test('a missing selector matches nothing, an empty one everything', () => {
    fc.assert(
      fc.property(labels, (set) => {
        expect(matchesSelector(compiled(undefined), set)).toBe(false)
        expect(matchesSelector(compiled(null), set)).toBe(false)
        expect(matchesSelector(compiled({}), set)).toBe(true)
        expect(matchesSelector(addRequirements(NOTHING, { key: 'a', operator: '!', values: [] }), set)).toBe(false)
      }),
    )
    expect(matchesSelector(EVERYTHING, undefined)).toBe(true)
  })

  test('all terms must hold, each by its plain meaning', () => {
    fc.assert(
      fc.property(labelSelector, labels, (selector, set) => {
        const has = (name: string): boolean => Object.keys(set).includes(name)
        const equal = Object.entries(selector.matchLabels).every(([name, wanted]) => has(name) && set[name] === wanted)
        const hold = selector.matchExpressions.every((term) => {
          const listed = 'values' in term && has(term.key) && term.values.includes(set[term.key] ?? '')
          return { In: listed, NotIn: !listed, Exists: has(term.key), DoesNotExist: !has(term.key) }[term.operator]
        })
        expect(matchesSelector(compiled(selector), set)).toBe(equal && hold)
      }),
      { numRuns: 1000 },
    )
  })

  test('names of Object.prototype are no labels', () => {
    expect(matchesSelector(compiled({ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }), {})).toBe(false)
  })
})

describe('text form', () => {
  test('reads back to what was printed, whatever the order of the terms', () => {
    fc.assert(
      fc.property(labelSelector, labels, (selector, set) => {
        const text = formatSelector(compiled(selector))
        const read = parseSelector(text)
        expect(read.ok && formatSelector(read.selector)).toBe(text)
        expect(read.ok && matchesSelector(read.selector, set)).toBe(matchesSelector(compiled(selector), set))
        const keys = compiled(selector).requirements.map((term) => term.key)
        expect(keys).toEqual([...keys].sort())
      }),
    )
  })

  // Each line as printed by apimachinery.
  test.each([
    ['a=b, c in (e,d) ,!f,g', 'a=b,c in (d,e),!f,g'],
    ['z,a==1,m!=2', 'a==1,m!=2,z'],
    ['x in (foo,,baz),y,z notin ()', 'x in (,baz,foo),y,z notin ()'],
    ['in in (in)', 'in in (in)'],
    ['a=', 'a='],
    ['size>5,size<10', 'size>5,size<10'],
    ['', ''],
  ])('%j prints as %j', (text, printed) => {
    const read = parseSelector(text)
    expect(read.ok && formatSelector(read.selector)).toBe(printed)
  })

  test.each([
    ['a in (', "unable to parse requirement: found '', expected: ',', ')' or identifier"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['a in b', "unable to parse requirement: found 'b' expected: '('"],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['a,', "found '', expected: identifier after ','"],
    ['=b', "found '=', expected: !, identifier, or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a>x', "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"],
  ])("%j is refused in the API server's words", (text, error) => {
    expect(parseSelector(text)).toEqual({ ok: false, error })
  })

  test('reading never throws', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseSelector(text).ok === 'boolean'))
    const words = fc.constantFrom('a', 'in', 'notin', '=', '!', '(', ')', ',', '<', ' ', '==')
    fc.assert(fc.property(fc.array(words), (parts) => typeof parseSelector(parts.join('')).ok === 'boolean'))
  })
})

describe('validation', () => {
  const NAME_RULE =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

  test.each([
    [{ matchExpressions: [{ key: 'tier', operator: 'Gt', values: ['1'] }] }, '"Gt" is not a valid label selector operator'],
    [{ matchExpressions: [{ key: 'tier', operator: 'toString' }] }, '"toString" is not a valid label selector operator'],
    [
      { matchExpressions: [{ key: 'tier', operator: 'In' }] },
      "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty",
    ],
    [
      { matchExpressions: [{ key: 'tier', operator: 'Exists', values: ['a'] }] },
      'values: Invalid value: ["a"]: values set must be empty for exists and does not exist',
    ],
    [{ matchLabels: { 'bad key': 'x' } }, `key: Invalid value: "bad key": ${NAME_RULE}`],
    [{ matchLabels: { '': 'x' } }, `key: Invalid value: "": name part must be non-empty; ${NAME_RULE}`],
    [{ matchLabels: { ['p'.repeat(64)]: 'x' } }, `key: Invalid value: "${'p'.repeat(64)}": name part must be no more than 63 bytes`],
    [
      { matchLabels: { a: 'no!' } },
      "values[0][a]: Invalid value: \"no!\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
  ])('%j', (selector, error) => {
    expect(compileLabelSelector(selector)).toEqual({ ok: false, error })
  })

  test('several faults are listed in brackets', () => {
    const made = makeRequirement('/x', 'in', [])
    expect(made).toEqual({
      ok: false,
      error:
        "[key: Invalid value: \"/x\": prefix part must be non-empty, values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty]",
    })
  })
})
