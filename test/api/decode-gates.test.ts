import { describe, expect, test } from '@jest/globals'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import type { PolicySpec } from '../../src/api/policy.ts'

const metadata = { name: 'careful', namespace: 'system-upgrade', uid: 'u', generation: 3 }
const ok = { path: '.status.phase', operator: 'eq', value: 'Ready' }
const object = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'n', name: 'c', expect: [ok] }
const prometheus = { url: 'https://prometheus.monitoring:9090', query: 'up', expect: { operator: 'eq', value: 1 } }
const podsAbsent = { selector: { matchLabels: { a: 'b' } } }
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'

function read(spec: object): PolicySpec | string {
  const view = decodePolicy({ metadata, spec } as never)
  if (view === undefined) return 'no policy'
  return view.ok ? view.policy.spec : view.error
}
const gateOf = (gate: object) => {
  const spec = read({ gates: [{ name: 'g', at: ['NodeStart'], ...gate }] })
  return typeof spec === 'string' ? spec : spec.gates[0]
}

test('a gate has its defaults', () => {
  expect(gateOf({ object })).toEqual({
    name: 'g',
    at: ['NodeStart'],
    check: {
      kind: 'object',
      of: 'ConfigMap',
      apiVersion: 'v1',
      namespace: 'n',
      name: 'c',
      expect: [
        {
          kind: 'path',
          path: { text: '.status.phase', steps: [{ field: 'status' }, { field: 'phase' }] },
          operator: 'eq',
          values: ['Ready'],
        },
      ],
    },
    stableForMs: 0,
    onTimeout: 'Pause',
  })
  expect(gateOf({ prometheus })).toMatchObject({ check: { kind: 'prometheus', emptyIs: 'Hold', query: 'up' } })
  expect(gateOf({ podsAbsent })).toMatchObject({ check: { kind: 'podsAbsent', onNode: false } })
})

test('every field of a gate is read', () => {
  expect(
    gateOf({ podsAbsent: { ...podsAbsent, namespace: 'x', onNode: true }, stableFor: '2m', timeout: '1h', onTimeout: 'Fail' }),
  ).toEqual({
    name: 'g',
    at: ['NodeStart'],
    check: { kind: 'podsAbsent', namespace: 'x', selector: { matchLabels: { a: 'b' } }, onNode: true },
    stableForMs: 120_000,
    timeoutMs: 3_600_000,
    onTimeout: 'Fail',
  })
  const more = { url: 'http://p/prefix/', emptyIs: 'Pass', caBundle: PEM, tokenSecretRef: { name: 's', key: 'k' } }
  expect(gateOf({ prometheus: { ...prometheus, ...more } })).toMatchObject({
    check: { url: 'http://p/prefix', emptyIs: 'Pass', caBundle: PEM, tokenSecretRef: { name: 's', key: 'k' } },
  })
  const { name: _name, ...all } = object
  const expectations = [
    { condition: { type: 'Ready' } },
    { path: '.n', operator: 'in', values: ['a', 3] },
    { path: '.n', operator: 'absent' },
  ]
  expect(gateOf({ object: { ...all, selector: {}, expect: expectations } })).toMatchObject({
    check: {
      selector: {},
      expect: [
        { kind: 'condition', type: 'Ready', status: 'True' },
        { operator: 'in', values: ['a', '3'] },
        { operator: 'absent', values: [] },
      ],
    },
  })
})

describe('a gate that is refused names its field', () => {
  const { name: _name, ...unnamed } = object
  const expecting = (expectation: object) => ({ object: { ...object, expect: [expectation] } })
  test.each<[string, object, string]>([
    ['without a check', {}, 'spec.gates[0]: needs exactly one of object, prometheus and podsAbsent'],
    ['with two', { object, prometheus }, 'spec.gates[0]: needs exactly one of object, prometheus and podsAbsent'],
    ['with an unknown field', { object, stableFr: '1m' }, 'spec.gates[0]: Unrecognized key: "stableFr"'],
    ['with an unknown field below', { object: { ...object, kinds: 'x' } }, 'spec.gates[0].object: Unrecognized key: "kinds"'],
    ['at no place', { object, at: [] }, 'spec.gates[0].at: must not be empty'],
    [
      'at an unknown place',
      { object, at: ['NodeMiddle'] },
      'spec.gates[0].at[0]: Invalid option: expected one of "PlanStart"|"NodeStart"|"NodeEnd"|"WaveEnd"',
    ],
    ['twice at a place', { object, at: ['NodeEnd', 'NodeEnd'] }, 'spec.gates[0].at: names a position twice'],
    ['with a name and a selector', { object: { ...object, selector: {} } }, 'spec.gates[0].object: needs either a name or a selector'],
    ['with neither', { object: unnamed }, 'spec.gates[0].object: needs either a name or a selector'],
    ['on Secrets', { object: { ...object, kind: 'Secret' } }, 'spec.gates[0].object: cannot be of kind Secret'],
    [
      'without a version',
      { object: { ...object, apiVersion: 'apps' } },
      'spec.gates[0].object.apiVersion: must be a group and version such as apps/v1',
    ],
    [
      'of a path that leaves',
      { object: { ...object, apiVersion: '../v1' } },
      'spec.gates[0].object.apiVersion: must be a group and version such as apps/v1',
    ],
    ['that expects nothing', { object: { ...object, expect: [] } }, 'spec.gates[0].object.expect: must not be empty'],
    ['with an empty expectation', expecting({}), 'spec.gates[0].object.expect[0]: needs either a condition or a path'],
    ['with both', expecting({ ...ok, condition: { type: 'a' } }), 'spec.gates[0].object.expect[0]: needs either a condition or a path'],
    [
      'without an operator',
      expecting({ path: '.a' }),
      'spec.gates[0].object.expect[0]: a path needs an operator, and a condition has none',
    ],
    ['without a value', expecting({ path: '.a', operator: 'eq' }), 'spec.gates[0].object.expect[0]: operator eq needs a value'],
    ['without values', expecting({ path: '.a', operator: 'in', value: 'x' }), 'spec.gates[0].object.expect[0]: operator in needs values'],
    ['with values for one', expecting({ ...ok, values: ['a'] }), 'spec.gates[0].object.expect[0]: values go with operators in and notIn'],
    [
      'with a value for none',
      expecting({ path: '.a', operator: 'exists', value: 1 }),
      'spec.gates[0].object.expect[0]: value goes with operators that compare',
    ],
    [
      'with a value that is no text',
      expecting({ ...ok, value: true }),
      'spec.gates[0].object.expect[0].value: must be text or a whole number',
    ],
    [
      'with a bad path',
      expecting({ ...ok, path: 'a' }),
      'spec.gates[0].object.expect[0].path: "a" is no path such as .status.phase: it cannot be read from "a" on',
    ],
    [
      'with a duration that is none',
      { object, stableFor: 'soon' },
      'spec.gates[0].stableFor: time: invalid duration "soon"; write e.g. 90s, 15m or 1h30m',
    ],
    ['with a negative one', { object, timeout: '-1s' }, 'spec.gates[0].timeout: must not be negative'],
    [
      'that asks a file',
      { prometheus: { ...prometheus, url: 'file:///etc/passwd' } },
      'spec.gates[0].prometheus.url: must begin with http:// or https://',
    ],
    [
      'that asks nowhere',
      { prometheus: { ...prometheus, url: 'prometheus' } },
      'spec.gates[0].prometheus.url: "prometheus" is no URL such as https://prometheus.monitoring:9090',
    ],
    [
      'with a password in its URL',
      { prometheus: { ...prometheus, url: 'http://a:b@c' } },
      'spec.gates[0].prometheus.url: must not carry credentials: put a token into a Secret and name it in tokenSecretRef',
    ],
    [
      'with a query in its URL',
      { prometheus: { ...prometheus, url: 'http://c/?query=up' } },
      'spec.gates[0].prometheus.url: must end with its path: the query has a field of its own',
    ],
    [
      'with an operator for objects',
      { prometheus: { ...prometheus, expect: { operator: 'in', value: 1 } } },
      'spec.gates[0].prometheus.expect.operator: Invalid option: expected one of "eq"|"ne"|"gt"|"ge"|"lt"|"le"',
    ],
    [
      'with a text for a number',
      { prometheus: { ...prometheus, expect: { operator: 'lt', value: '1' } } },
      'spec.gates[0].prometheus.expect.value: must be a number',
    ],
    [
      'with certificates that are none',
      { prometheus: { ...prometheus, caBundle: 'x' } },
      'spec.gates[0].prometheus.caBundle: must hold certificates in PEM',
    ],
    [
      'with two authorities',
      { prometheus: { ...prometheus, caBundle: PEM, caSecretRef: { name: 'a', key: 'b' } } },
      'spec.gates[0].prometheus: takes its authority from caBundle or from caSecretRef, not from both',
    ],
    [
      'on every pod',
      { podsAbsent: { selector: {} } },
      'spec.gates[0].podsAbsent: selects every pod of the cluster, and there always are some',
    ],
    [
      'without a node',
      { podsAbsent: { ...podsAbsent, onNode: true }, at: ['NodeStart', 'WaveEnd'] },
      'spec.gates[0]: podsAbsent.onNode needs a node: only NodeStart and NodeEnd have one',
    ],
    ['with a name that is none', { object, name: 'a b' }, 'spec.gates[0].name: must be letters, digits, dashes, dots and underscores'],
  ])('%s', (_, gate, error) => {
    expect(gateOf(gate)).toBe(error)
  })

  test('when two have its name, or when there are too many', () => {
    const gate = (name: string) => ({ name, at: ['NodeStart'], object })
    expect(read({ gates: [gate('a'), gate('a')] })).toBe('spec.gates: two gates have the same name')
    expect(read({ gates: Array.from({ length: 21 }, (_, index) => gate(`g${index}`)) })).toBe('spec.gates: must be no more than 20')
    expect(read({ gates: [] })).toMatchObject({ gates: [] })
  })
})

describe('hooks', () => {
  const hook = { name: 'cmdb', ackAnnotation: 'example.com/ready' }

  test('are read', () => {
    expect(read({ hooks: { before: [{ ...hook, timeout: '1h' }], after: [hook] } })).toMatchObject({
      hooks: { before: [{ ...hook, timeoutMs: 3_600_000 }], after: [hook] },
    })
    expect(read({ hooks: { before: [] } })).toMatchObject({ hooks: { before: [], after: [] } })
  })

  test.each<[string, readonly object[], string]>([
    ['two of a name', [hook, { ...hook, ackAnnotation: 'example.com/other' }], 'spec.hooks.before: two hooks have the same name'],
    ['two of an annotation', [hook, { ...hook, name: 'other' }], 'spec.hooks.before: two hooks have the same ackAnnotation'],
    [
      'no prefix',
      [{ ...hook, ackAnnotation: 'ready' }],
      'spec.hooks.before[0].ackAnnotation: "ready" needs a prefix, such as example.com/ready',
    ],
    [
      'our prefix',
      [{ ...hook, ackAnnotation: 'drover.io/hold' }],
      'spec.hooks.before[0].ackAnnotation: "drover.io/hold": annotations under drover.io are not for hooks',
    ],
    [
      'a prefix of Kubernetes',
      [{ ...hook, ackAnnotation: 'node.kubernetes.io/x' }],
      'spec.hooks.before[0].ackAnnotation: "node.kubernetes.io/x": annotations under node.kubernetes.io are not for hooks',
    ],
    [
      'no annotation',
      [{ ...hook, ackAnnotation: 'example.com/' }],
      expect.stringMatching(/^spec\.hooks\.before\[0\]\.ackAnnotation: "example.com\/" is no annotation: /) as unknown as string,
    ],
  ])('are refused with %s', (_, before, error) => {
    expect(read({ hooks: { before } })).toEqual(error)
  })
})
