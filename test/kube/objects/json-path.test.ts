import { describe, expect, test } from '@jest/globals'
import { parseJsonPath, valuesAt } from '../../../src/kube/objects/json-path.ts'
import type { Json } from '../../../src/base/json.ts'

const object: Json = {
  metadata: { labels: { 'app.kubernetes.io/name': 'db', 'a]b': 'x' }, name: 'n' },
  spec: { taints: [{ key: 'a' }, { key: 'b' }], none: null, deep: { '0': 'field' } },
  status: { ready: false, count: 0, empty: '', big: 12345678901234567890n },
}

function at(text: string): readonly Json[] {
  const path = parseJsonPath(text)
  if (!path.ok) throw new Error(path.error)
  return valuesAt(object, path.value)
}

describe('a path leads to', () => {
  test.each([
    ['.metadata.name', ['n']],
    ['{.metadata.name}', ['n']],
    ['$.metadata.name', ['n']],
    ["{$['metadata']['name']}", ['n']],
    ["['metadata'].name", ['n']],
    [".metadata.labels['app.kubernetes.io/name']", ['db']],
    ['.metadata.labels["app.kubernetes.io/name"]', ['db']],
    ['.metadata.labels.app\\.kubernetes\\.io/name', ['db']],
    [".metadata.labels['a]b']", ['x']],
    ['.spec.taints[0].key', ['a']],
    ['.spec.taints[*].key', ['a', 'b']],
    ['.spec.deep.0', ['field']],
    ['.status.ready', [false]],
    ['.status.count', [0]],
    ['.status.empty', ['']],
    ['.status.big', [12345678901234567890n]],
  ])('%s', (text, values) => {
    expect(at(text)).toEqual(values)
  })
})

describe('a path leads nowhere', () => {
  test.each([
    ['a field that is not there', '.metadata.nothing'],
    ['null', '.spec.none'],
    ['below a text', '.metadata.name.more'],
    ['an element that is not there', '.spec.taints[2]'],
    ['a field of a list', '.spec.taints.key'],
    ['an element of an object', '.spec[0]'],
    ['all of an object', '.spec[*]'],
    ['what every object inherits', '.metadata.constructor'],
    ['what every list inherits', '.spec.taints.length'],
  ])('for %s: %s', (_, text) => {
    expect(at(text)).toEqual([])
  })
})

describe('refused is', () => {
  test.each([
    '',
    '{}',
    '$',
    'metadata.name',
    '.a..b',
    '.a[?(@.b=="c")]',
    '.a[-1]',
    '.a[0:2]',
    '.a[b]',
    '.*',
    '.a b',
    '.a[',
    ".a['b]",
    '.a}',
    `.${'a'.repeat(512)}`,
  ])('%j', (text) => {
    expect(parseJsonPath(text).ok).toBe(false)
  })

  test('with the place from where it cannot be read', () => {
    expect(parseJsonPath('.status.conditions[?(@.type=="Ready")]')).toEqual({
      ok: false,
      error:
        '".status.conditions[?(@.type==\\"Ready\\")]" is no path such as .status.phase: it cannot be read from "[?(@.type==\\"Ready\\")]" on',
    })
  })
})
