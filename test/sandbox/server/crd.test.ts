import { describe, expect, test } from '@jest/globals'
import type { Json, JsonObject } from '../../../src/base/json.ts'
import { collect } from '../../kube/client/collect.ts'
import { harness, settled } from './harness.ts'

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const things = '/apis/example.com/v1/namespaces/default/things'

function definition(properties: JsonObject, more: JsonObject = {}): JsonObject {
  return {
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { kind: 'Thing', plural: 'things', shortNames: ['th'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
            { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: { type: 'object', properties, ...more },
                status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
              },
            },
          },
        },
      ],
    },
  }
}

async function world(properties: JsonObject, more: JsonObject = {}) {
  const h = harness()
  const made = await h.ok('POST', crds, definition(properties, more))
  return {
    h,
    made,
    create: (spec: Json, query: Record<string, string> = {}) =>
      h.call('POST', things, { apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'x' }, spec }, { query }),
  }
}

describe('a CustomResourceDefinition', () => {
  test('is established and serves what it defines, until it goes and takes all with it', async () => {
    const { h, made, create } = await world({ size: { type: 'integer' } })
    expect(made.status.conditions.map((each: JsonObject) => [each['type'], each['status']])).toEqual([
      ['NamesAccepted', 'True'],
      ['Established', 'True'],
    ])
    expect((await create({ size: 1 })).status).toBe(201)
    const watch = await collect(h.transport, things)
    const { resources } = await h.ok('GET', '/apis/example.com/v1')
    expect(resources.map((each: JsonObject) => each['name'])).toEqual(['things', 'things/status'])
    await h.ok('DELETE', `${crds}/things.example.com`)
    await settled()
    expect(watch.said()).toEqual(['ADDED x', 'DELETED x'])
    expect((await h.call('GET', things)).status).toBe(404)
    watch.stop()
  })

  test.each<[string, (crd: JsonObject) => JsonObject, string]>([
    ['whose name is not plural.group', (crd) => ({ ...crd, metadata: { name: 'wrong' } }), 'metadata.name'],
    [
      'without a schema',
      (crd) => ({ ...crd, spec: { ...(crd['spec'] as JsonObject), versions: [{ name: 'v1', served: true, storage: true }] } }),
      'spec.versions[0].schema.openAPIV3Schema',
    ],
    ['without a storage version', (crd) => ({ ...crd, spec: { ...(crd['spec'] as JsonObject), versions: [] } }), 'spec.versions'],
  ])('%s is refused', async (_what, change, field) => {
    const h = harness()
    expect(await h.call('POST', crds, change(definition({})))).toMatchObject({
      status: 422,
      body: { details: { causes: expect.arrayContaining([expect.objectContaining({ field })]) } },
    })
  })

  test('must be structural', async () => {
    const h = harness()
    expect(await h.call('POST', crds, definition({ a: { description: 'typeless' } }))).toMatchObject({
      status: 422,
      body: { details: { causes: [{ field: 'spec.validation.openAPIV3Schema.properties[spec].properties[a].type' }] } },
    })
  })
})

describe('a custom resource', () => {
  test('loses unknown fields, or is refused when the client is strict', async () => {
    const { create } = await world({
      known: { type: 'string' },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      map: { type: 'object', additionalProperties: { type: 'object', properties: { a: { type: 'string' } } } },
    })
    const spec = { known: 'a', unknown: 1, free: { any: 1 }, map: { k: { a: 'x', b: 'y' } } }
    expect(await create(spec, { fieldValidation: 'Strict' })).toMatchObject({
      status: 400,
      body: {
        message:
          'Thing in version "v1" cannot be handled as a Thing: strict decoding error: unknown field "spec.unknown", unknown field "spec.map.k.b"',
      },
    })
    const { body } = await create(spec)
    expect((body as JsonObject)['spec']).toEqual({ known: 'a', free: { any: 1 }, map: { k: { a: 'x' } } })
  })

  test('gets defaults, also within defaults and for null', async () => {
    const { create } = await world({
      size: { type: 'integer', default: 3 },
      nested: { type: 'object', default: {}, properties: { on: { type: 'boolean', default: true } } },
      list: { type: 'array', items: { type: 'object', properties: { kind: { type: 'string', default: 'plain' } } } },
      empty: { type: 'string', nullable: true, default: 'x' },
    })
    expect(await create({ size: null, list: [{}, { kind: 'special' }], empty: null })).toMatchObject({
      body: { spec: { size: 3, nested: { on: true }, list: [{ kind: 'plain' }, { kind: 'special' }], empty: null } },
    })
  })

  test.each<[string, JsonObject, Json, string]>([
    ['a wrong type', { type: 'integer' }, 'many', 'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"'],
    ['not in the enum', { type: 'string', enum: ['a', 'b'] }, 'c', 'spec.a: Unsupported value: "c": supported values: "a", "b"'],
    [
      'below the minimum',
      { type: 'integer', minimum: 0 },
      -1,
      'spec.a: Invalid value: -1: spec.a in body should be greater than or equal to 0',
    ],
    [
      'against the pattern',
      { type: 'string', pattern: '^[a-z]+$' },
      'A',
      'spec.a: Invalid value: "A": spec.a in body should match \'^[a-z]+$\'',
    ],
    [
      'too few items',
      { type: 'array', minItems: 1, items: { type: 'string' } },
      [],
      'spec.a: Invalid value: 0: spec.a in body should have at least 1 items',
    ],
    [
      'too few properties',
      { type: 'object', minProperties: 1, properties: { b: { type: 'string' } } },
      // What is not known is gone before anybody counts.
      { c: 'x' },
      'spec.a: Invalid value: 0: spec.a in body should have at least 1 properties',
    ],
    ['a missing field', { type: 'object', required: ['b'], properties: { b: { type: 'string' } } }, {}, 'spec.a.b: Required value'],
    [
      'neither integer nor string',
      { 'x-kubernetes-int-or-string': true },
      true,
      'spec.a: Invalid value: "boolean": spec.a in body must be of type integer,string: "boolean"',
    ],
    [
      'no date',
      { type: 'string', format: 'date-time' },
      'today',
      'spec.a: Invalid value: "today": spec.a in body must be of type date-time: "today"',
    ],
    [
      'twice the same key',
      {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
        items: { type: 'object', properties: { k: { type: 'string' } } },
      },
      [{ k: 'x' }, { k: 'x' }],
      'spec.a[1]: Duplicate value: {"k":"x"}',
    ],
  ])('%s is refused', async (_what, schema, value, message) => {
    const { create } = await world({ a: schema })
    expect(await create({ a: value })).toMatchObject({
      status: 422,
      body: { reason: 'Invalid', message: `Thing.example.com "x" is invalid: ${message}` },
    })
  })

  test('keeps its status apart, counts generations, needs a resourceVersion in a PUT', async () => {
    const { h, create } = await world({ size: { type: 'integer' } })
    await create({ size: 1 })
    await h.merge(`${things}/x`, { spec: { size: 2 }, status: { phase: 'Done' } })
    await h.merge(`${things}/x/status`, { metadata: { labels: { a: 'b' } }, spec: { size: 3 }, status: { phase: 'Done' } })
    const now = await h.ok('GET', `${things}/x`)
    expect(now).toMatchObject({ metadata: { generation: 2 }, spec: { size: 2 }, status: { phase: 'Done' } })
    expect(now.metadata.labels).toBeUndefined()
    const { resourceVersion: _, ...metadata } = now.metadata
    expect((await h.call('PUT', `${things}/x`, { ...now, metadata })).status).toBe(422)
    expect((await h.call('PUT', `${things}/x/status`, { ...now, status: { phase: 'Other' } })).status).toBe(200)
    expect((await h.call('PATCH', `${things}/x`, {}, { contentType: 'application/strategic-merge-patch+json' })).status).toBe(415)
  })

  test('shows its printer columns in a table', async () => {
    const { h, create } = await world({ size: { type: 'integer' } })
    await create({ size: 4 })
    await h.merge(`${things}/x/status`, { status: { conditions: [{ type: 'Ready', status: 'True' }] } })
    const table = await h.ok('GET', things, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })
    expect(table.rows[0].cells).toEqual(['x', 4, 'True'])
  })
})
