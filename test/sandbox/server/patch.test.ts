import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Json, JsonObject } from '../../../src/base/json.ts'
import { difference, fieldsOf, intersect, isEmpty, paths, subtract, union } from '../../../src/sandbox/server/fields/field-set.ts'
import type { FieldSet } from '../../../src/sandbox/server/fields/field-set.ts'
import { jsonPatch } from '../../../src/sandbox/server/patch/json-patch.ts'
import { placeOf } from '../../../src/sandbox/server/patch/list-types.ts'
import { mergePatch } from '../../../src/sandbox/server/patch/merge.ts'
import { builtIn } from '../../../src/sandbox/server/resources.ts'
import { harness, pod, podSpec } from './harness.ts'

const nodes = '/api/v1/nodes'
const deployments = '/apis/apps/v1/namespaces/default/deployments'

describe('merge patch', () => {
  // The examples of RFC 7386, appendix A.
  test.each<[Json, Json, Json]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j + %j', (target, patch, expected) => {
    expect(mergePatch(target, patch)).toEqual(expected)
  })
})

describe('JSON patch', () => {
  test.each<[Json, Json, Json]>([
    [{ a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    [{ a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
    [
      { 'a/b': 1, 'c~d': 2 },
      [
        { op: 'replace', path: '/a~1b', value: 3 },
        { op: 'replace', path: '/c~0d', value: 4 },
      ],
      { 'a/b': 3, 'c~d': 4 },
    ],
    [{ a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: 1 }],
    [{ a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }], { a: { b: 1 }, c: { b: 1 } }],
    [
      { a: { b: [1] } },
      [
        { op: 'test', path: '/a', value: { b: [1] } },
        { op: 'add', path: '/x', value: null },
      ],
      { a: { b: [1] }, x: null },
    ],
  ])('%j + %j', (target, patch, expected) => {
    expect(jsonPatch(target, patch)).toEqual(expected)
  })

  test.each<[JsonObject]>([
    [{ op: 'test', path: '/a', value: 2 }],
    [{ op: 'remove', path: '/b' }],
    [{ op: 'add', path: '/b/c', value: 1 }],
  ])('%j does not apply', (operation) => {
    expect(() => jsonPatch({ a: 1 }, [operation])).toThrow(expect.objectContaining({ answer: expect.objectContaining({ status: 422 }) }))
  })
})

describe('strategic merge', () => {
  const type = 'application/strategic-merge-patch+json'
  const containers = async (patch: Json): Promise<Json> => {
    const h = harness()
    const labels = { a: 'b' }
    const spec = {
      containers: [
        {
          name: 'c',
          image: 'one',
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '2' },
          ],
        },
        { name: 'd', image: 'two' },
      ],
    }
    await h.ok('POST', deployments, {
      metadata: { name: 'x' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    })
    const patched = await h.ok('PATCH', `${deployments}/x`, { spec: { template: { spec: patch } } }, { contentType: type })
    return patched.spec.template.spec.containers.map((each: JsonObject) => [
      each['name'],
      each['image'],
      (each['env'] as { name: string; value: string }[] | undefined)?.map((one) => `${one.name}=${one.value}`),
    ])
  }

  test('merges items by their key', async () => {
    expect(
      await containers({
        containers: [
          { name: 'd', image: 'new' },
          {
            name: 'c',
            env: [
              { name: 'B', value: '3' },
              { name: 'C', value: '4' },
            ],
          },
        ],
      }),
    ).toEqual([
      ['c', 'one', ['A=1', 'B=3', 'C=4']],
      ['d', 'new', undefined],
    ])
  })

  test('deletes and replaces by directive, and orders', async () => {
    expect(await containers({ containers: [{ name: 'c', $patch: 'delete' }] })).toEqual([['d', 'two', undefined]])
    expect(await containers({ containers: [{ $patch: 'replace' }, { name: 'e', image: 'only' }] })).toEqual([['e', 'only', undefined]])
    expect(
      await containers({
        '$setElementOrder/containers': [{ name: 'd' }, { name: 'c' }],
        containers: [{ name: 'c', env: [{ name: 'A', $patch: 'delete' }] }],
      }),
    ).toEqual([
      ['d', 'two', undefined],
      ['c', 'one', ['B=2']],
    ])
  })

  test('lists without a key are replaced, and custom resources take none', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'n' }, spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } })
    const patched = await h.ok('PATCH', `${nodes}/n`, { spec: { taints: [{ key: 'b', effect: 'NoExecute' }] } }, { contentType: type })
    expect(patched.spec.taints).toEqual([{ key: 'b', effect: 'NoExecute' }])
    expect((await h.call('PATCH', `${nodes}/n`, {}, { contentType: 'application/json' })).status).toBe(415)
  })
})

describe('field sets', () => {
  const podPlace = placeOf(builtIn.find((each) => each.kind === 'Pod') ?? fail())
  const key = fc.constantFrom('a', 'b', 'containers', 'env', 'finalizers', 'conditions')
  const scalar = fc.constantFrom<Json>(1, 'x', true, null)
  const { value } = fc.letrec<{ value: Json; object: JsonObject }>((tie) => ({
    object: fc.dictionary(key, tie('value') as fc.Arbitrary<Json>, { maxKeys: 3 }) as fc.Arbitrary<JsonObject>,
    value: fc.oneof(
      { maxDepth: 3 },
      scalar,
      tie('object'),
      fc.uniqueArray(fc.record({ name: fc.constantFrom('p', 'q'), type: fc.constantFrom('t', 'u'), x: scalar }), {
        selector: (each) => each.name,
        maxLength: 2,
      }),
    ),
  }))
  const set = fc.dictionary(key, value, { maxKeys: 3 }).map((each) => fieldsOf(each as JsonObject, podPlace))
  const asPaths = (fields: FieldSet): readonly string[] =>
    paths(fields)
      .map((path) => path.join(' '))
      .sort()

  test('union, intersection and difference are those of sets of paths', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const inA = new Set(asPaths(a))
        const inB = new Set(asPaths(b))
        expect(asPaths(intersect(a, b))).toEqual([...inA].filter((each) => inB.has(each)).sort())
        expect(asPaths(subtract(a, b))).toEqual([...inA].filter((each) => !inB.has(each)).sort())
        for (const each of [...inA, ...inB]) expect(asPaths(union(a, b))).toContain(each)
      }),
      { numRuns: 500 },
    )
  })

  test('a value does not differ from itself, and what it gains and loses is told apart', () => {
    fc.assert(
      fc.property(value, (each) => {
        const none = difference(each, structuredClone(each), podPlace)
        expect([isEmpty(none.changed), isEmpty(none.removed)]).toEqual([true, true])
      }),
      { numRuns: 2000 },
    )
    const { changed, removed } = difference({ spec: { a: 1, b: 2, d: 4 } }, { spec: { a: 1, b: 3, c: 1 } }, podPlace)
    expect([asPaths(changed), asPaths(removed)]).toEqual([['f:spec f:b', 'f:spec f:c'], ['f:spec f:d']])
  })
})

function fail(): never {
  throw new Error('unreachable')
}

describe('who owns spec.unschedulable (as tried on a real server)', () => {
  const owners = (node: {
    metadata: { managedFields: { manager: string; operation: string; fieldsV1: Record<string, Record<string, unknown>> }[] }
  }): string[] =>
    node.metadata.managedFields
      .filter((entry) => entry.fieldsV1['f:spec']?.['f:unschedulable'] !== undefined)
      .map((entry) => `${entry.manager}:${entry.operation}`)
  const cordon = { spec: { unschedulable: true } }

  test('whoever changes the value; the same value again changes no owner; removal removes', async () => {
    const h = harness()
    const read = () => h.ok('GET', `${nodes}/n`)
    await h.ok('POST', nodes, { metadata: { name: 'n' } })
    await h.merge(`${nodes}/n`, cordon, { fieldManager: 'drover' })
    expect(owners(await read())).toEqual(['drover:Update'])

    await h.merge(`${nodes}/n`, cordon, { fieldManager: 'kubectl' })
    await h.ok('PATCH', `${nodes}/n`, [{ op: 'replace', path: '/spec/unschedulable', value: true }], {
      contentType: 'application/json-patch+json',
      query: { fieldManager: 'json' },
    })
    await h.ok('PUT', `${nodes}/n`, await read(), { query: { fieldManager: 'put' } })
    expect(owners(await read())).toEqual(['drover:Update'])

    await h.merge(`${nodes}/n`, { spec: { unschedulable: null } }, { fieldManager: 'kubectl' })
    expect(owners(await read())).toEqual([])
    await h.merge(`${nodes}/n`, cordon, { fieldManager: 'kubectl' })
    expect(owners(await read())).toEqual(['kubectl:Update'])
    await h.merge(`${nodes}/n`, { spec: { unschedulable: false } }, { fieldManager: 'other' })
    // False is not stored.
    expect(owners(await read())).toEqual([])
  })

  test('without fieldManager the first token of the user agent', async () => {
    const h = harness()
    const agent = h.server.as('someone', { userAgent: 'kubectl/v1.32.4 (linux/amd64)' })
    await h.ok('POST', nodes, { metadata: { name: 'n' } })
    await agent.send(
      { method: 'PATCH', path: `${nodes}/n`, contentType: 'application/merge-patch+json', body: cordon },
      new AbortController().signal,
    )
    expect(owners(await h.ok('GET', `${nodes}/n`))).toEqual(['kubectl:Update'])
  })
})

describe('server-side apply', () => {
  const apply = (h: ReturnType<typeof harness>, manager: string, body: Json, force = false) =>
    h.call('PATCH', `${deployments}/d`, body, {
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: manager, ...(force ? { force: 'true' } : {}) },
    })
  const labels = { a: 'b' }
  const deployment = (spec: JsonObject): JsonObject => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec })
  const whole = (image: string, replicas?: number): JsonObject =>
    deployment({
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image }] } },
    })

  test('creates, then merges; the same again writes nothing', async () => {
    const h = harness()
    expect((await apply(h, 'one', whole('x:1', 2))).status).toBe(201)
    const before = h.server.resourceVersion
    expect((await apply(h, 'one', whole('x:1', 2))).status).toBe(200)
    expect(h.server.resourceVersion).toBe(before)
    expect((await apply(h, 'one', whole('x:2', 2))).body).toMatchObject({
      metadata: { generation: 2 },
      spec: { template: { spec: { containers: [{ name: 'c', image: 'x:2', imagePullPolicy: 'IfNotPresent' }] } } },
    })
  })

  test('what another owns is a conflict unless forced, and forcing takes it over', async () => {
    const h = harness()
    await apply(h, 'one', whole('x:1', 2))
    await h.merge(`${deployments}/d`, { spec: { replicas: 5 } }, { fieldManager: 'scaler' })
    const refused = await apply(h, 'one', whole('x:1', 2))
    expect(refused).toMatchObject({
      status: 409,
      body: {
        reason: 'Conflict',
        message: 'Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas',
        details: { causes: [{ reason: 'FieldManagerConflict', field: '.spec.replicas' }] },
      },
    })
    expect((await apply(h, 'one', whole('x:1', 5))).status).toBe(200)
    expect((await apply(h, 'one', whole('x:1', 2), true)).status).toBe(200)
    expect((await h.ok('GET', `${deployments}/d`)).spec.replicas).toBe(2)
    expect((await h.merge(`${deployments}/d`, { spec: { replicas: 2 } }, { fieldManager: 'scaler' })).status).toBe(200)
  })

  test('a field that is no longer applied goes, unless someone else owns it too', async () => {
    const h = harness()
    const annotated = (annotations: JsonObject): JsonObject => ({ ...whole('x:1'), metadata: { name: 'd', annotations } })
    await apply(h, 'one', annotated({ mine: '1', shared: '1' }))
    await apply(h, 'two', { ...deployment({}), metadata: { name: 'd', annotations: { shared: '1' } } })
    await apply(h, 'one', annotated({}))
    expect((await h.ok('GET', `${deployments}/d`)).metadata.annotations).toEqual({ shared: '1' })
    await apply(h, 'two', deployment({}))
    expect((await h.ok('GET', `${deployments}/d`)).metadata.annotations).toBeUndefined()
  })

  test('items of a keyed list have owners of their own', async () => {
    const h = harness()
    await apply(h, 'one', whole('x:1'))
    const sidecar = deployment({ template: { spec: { containers: [{ name: 'side', image: 's:1' }] } } })
    expect((await apply(h, 'two', sidecar)).body).toMatchObject({
      spec: { template: { spec: { containers: [{ name: 'c' }, { name: 'side' }] } } },
    })
    await apply(h, 'two', deployment({}))
    expect((await h.ok('GET', `${deployments}/d`)).spec.template.spec.containers.map((each: JsonObject) => each['name'])).toEqual(['c'])
  })

  test('needs a field manager', async () => {
    const h = harness()
    expect((await h.call('PATCH', `${deployments}/d`, whole('x:1'), { contentType: 'application/apply-patch+yaml' })).status).toBe(422)
  })
})

test('patches share what they do not touch', async () => {
  const h = harness()
  await h.ok('POST', '/api/v1/namespaces/default/pods', pod('p', { spec: podSpec }))
  const before = h.server.peek('pods', 'p', 'default')
  await h.merge('/api/v1/namespaces/default/pods/p', { metadata: { labels: { a: 'b' } } })
  expect(h.server.peek('pods', 'p', 'default')?.['spec']).toBe(before?.['spec'])
})
