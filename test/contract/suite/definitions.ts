import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { conditionOf, invalidAt, refused } from './contract.ts'
import { DEFINITIONS, defineThings, definitionOf } from './things.ts'

const object = (properties: object, more: object = {}): object => ({ type: 'object', properties, ...more })

/** Changes the one version of a definition, and waits until the server works by it. */
async function change({ api, until }: World, definition: string, spec: object, works: () => Promise<boolean>): Promise<void> {
  const current = structuredClone(await api.ok(api.get(definition)))
  const [version] = current.spec.versions
  version.schema.openAPIV3Schema.properties.spec = object(spec)
  await api.ok(api.put(definition, current))
  await until('the new schema works', works)
}

/** CustomResourceDefinitions and what they define. */
export function definitions(test: Contract): void {
  describe('a definition', () => {
    test('is established and serves what it defines, until it goes and takes all with it', async (world) => {
      const { api, until, watch } = world
      const { path, definition, group, thing } = await defineThings(world, { properties: { n: { type: 'integer' } } })
      const made = await api.ok(api.get(definition))
      expect([conditionOf(made, 'Established'), conditionOf(made, 'NamesAccepted')]).toEqual([
        'True/InitialNamesAccepted',
        'True/NoConflicts',
      ])
      expect(made.status).toMatchObject({
        acceptedNames: { kind: 'Thing', listKind: 'ThingList', plural: 'things' },
        storedVersions: ['v1'],
      })
      expect(made.spec.names.listKind).toBe('ThingList')
      const { body } = await api.get(`/apis/${group}/v1`)
      expect(body.resources.map((each: Tree) => each.name)).toEqual(['things', 'things/status'])
      // A built-in type knows what it is; a custom one has to say so.
      expect(await api.post(path, { metadata: { name: 'a' } })).toMatchObject(
        refused(400, 'BadRequest', { message: expect.stringContaining("Object 'Kind' is missing") }),
      )
      expect(await api.ok(api.post(path, thing({ n: 1 })))).toMatchObject({
        kind: 'Thing',
        apiVersion: `${group}/v1`,
        metadata: { generation: 1 },
      })
      const list = await api.ok(api.get(path))
      // Unlike those of built-in types, items of custom resources say what they are.
      expect(list).toMatchObject({ kind: 'ThingList', items: [{ kind: 'Thing', apiVersion: `${group}/v1` }] })
      const watching = await watch(path)
      await api.ok(api.delete(definition))
      await until('the things are gone', async () => (await api.get(path)).status === 404)
      expect((await api.get(definition)).status).toBe(404)
      await until('the watch says so', async () => watching.said().includes('DELETED a'))
    })

    test('that is wrong is refused with the fields to blame', async (world) => {
      const { api } = world
      const good = definitionOf(world, {})
      const [version] = good.spec.versions
      const post = (spec: object, metadata: object = {}) =>
        api.post(DEFINITIONS, { ...good, metadata: { ...good.metadata, ...metadata }, spec: { ...good.spec, ...spec } })
      expect(await post({}, { name: 'wrong' })).toMatchObject(invalidAt('metadata.name'))
      expect(await post({ versions: [{ ...version, schema: undefined }] })).toMatchObject(
        invalidAt('spec.versions[0].schema.openAPIV3Schema'),
      )
      expect(await post({ versions: [{ ...version, storage: false }] })).toMatchObject(invalidAt('spec.versions', 'status.storedVersions'))
      expect(await post({ scope: 'Galaxy' })).toMatchObject(invalidAt('spec.scope'))
      const untyped = { openAPIV3Schema: { type: 'object', properties: { spec: { properties: { a: {} } } } } }
      expect(await post({ versions: [{ ...version, schema: untyped }] })).toMatchObject(
        // Of a single version the server speaks as it did before there were several.
        invalidAt(
          'spec.validation.openAPIV3Schema.properties[spec].properties[a].type',
          'spec.validation.openAPIV3Schema.properties[spec].type',
        ),
      )
      expect(await post({ group: 'other.example.com' }, { name: 'things.other.example.com' })).toMatchObject({ status: 201 })
      await api.ok(api.delete(`${DEFINITIONS}/things.other.example.com`))
    })

    test('changed while its things exist: new fields are kept from then on', async (world) => {
      const { api, until } = world
      const { path, definition, thing } = await defineThings(world, { properties: { a: { type: 'string' } } })
      await api.ok(api.post(path, thing({ a: 'x', b: 'dropped' })))
      const current = structuredClone(await api.ok(api.get(definition)))
      const generation = current.metadata.generation
      current.spec.versions[0].schema.openAPIV3Schema.properties.spec = object({ a: { type: 'string' }, b: { type: 'string' } })
      const changed = await api.ok(api.put(definition, current))
      expect(changed.metadata.generation).toBe(generation + 1)
      await until('b is kept', async () => (await api.ok(api.merge(`${path}/a`, { spec: { b: 'kept' } }))).spec.b === 'kept')
      const scope = await api.merge(definition, { spec: { scope: 'Cluster' } })
      expect(scope).toMatchObject(invalidAt('spec.scope'))
    })
  })

  describe('custom resources', () => {
    test('unknown fields are pruned, or refused when asked to be strict', async (world) => {
      const { api } = world
      const { path, thing } = await defineThings(world, {
        properties: {
          known: { type: 'string' },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          map: { type: 'object', additionalProperties: object({ in: { type: 'string' } }) },
          list: { type: 'array', items: object({ in: { type: 'string' } }) },
        },
      })
      const item = { in: '1', out: '2' }
      const spec = { known: 'x', unknown: 'y', free: { any: { thing: 1 } }, map: { k: item }, list: [item] }
      expect(await api.post(path, { ...thing(spec), top: 1 }, { fieldValidation: 'Strict' })).toMatchObject(
        refused(400, 'BadRequest', { message: expect.stringContaining('unknown field "spec.unknown"') }),
      )
      const made = await api.ok(api.post(path, { ...thing(spec), top: 1 }))
      expect(made.top).toBeUndefined()
      expect(made.spec).toEqual({ known: 'x', free: { any: { thing: 1 } }, map: { k: { in: '1' } }, list: [{ in: '1' }] })
    })

    test('defaults are filled in on writes, also inside of others; null takes the default', async (world) => {
      const { api } = world
      const { path, thing } = await defineThings(world, {
        properties: {
          n: { type: 'integer', default: 7 },
          deep: object({ m: { type: 'string', default: 'x' } }, { default: {} }),
          list: { type: 'array', items: object({ k: { type: 'string' }, v: { type: 'boolean', default: true } }) },
          nullable: { type: 'string', nullable: true, default: 'd' },
        },
      })
      const made = await api.ok(api.post(path, thing({ list: [{ k: 'a' }] })))
      expect(made.spec).toEqual({ n: 7, deep: { m: 'x' }, list: [{ k: 'a', v: true }], nullable: 'd' })
      const nulls = await api.ok(api.post(path, thing({ n: null, nullable: null, list: null }, 'b')))
      expect(nulls.spec).toEqual({ n: 7, deep: { m: 'x' }, nullable: null })
      expect(await api.post(path, { ...thing({}, 'c'), spec: undefined })).toMatchObject({ status: 201 })
    })

    test('defaults of a changed definition show in what is read, too', async (world) => {
      const { api } = world
      const { path, definition, thing } = await defineThings(world, { properties: { a: { type: 'string' } } })
      await api.ok(api.post(path, thing({ a: 'x' })))
      const read = async (): Promise<Tree> => (await api.ok(api.get(`${path}/a`))).spec
      await change(
        world,
        definition,
        { a: { type: 'string' }, late: { type: 'string', default: 'here' } },
        async () => (await read()).late === 'here',
      )
      expect((await api.ok(api.get(path))).items[0].spec).toEqual({ a: 'x', late: 'here' })
    })

    test('validation names each field', async (world) => {
      const { api } = world
      const { path, thing } = await defineThings(world, {
        required: ['size'],
        properties: {
          size: { type: 'integer', minimum: 1, maximum: 9 },
          name: { type: 'string', minLength: 2, maxLength: 4, pattern: '^[a-z]+$' },
          kind: { type: 'string', enum: ['A', 'B'] },
          either: { 'x-kubernetes-int-or-string': true },
          list: { type: 'array', maxItems: 2, items: { type: 'string' } },
          when: { type: 'string', format: 'date-time' },
        },
      })
      const wrong = async (spec: object): Promise<readonly string[]> => {
        const { status, body } = await api.post(path, thing(spec))
        if (status !== 422) throw new Error(`${status} ${JSON.stringify(body)}`)
        return body.details.causes.map((cause: Tree) => `${cause.field}: ${cause.reason}: ${cause.message}`)
      }
      expect(await wrong({})).toEqual(['spec.size: FieldValueRequired: Required value'])
      expect(await wrong({ size: 0 })).toEqual([
        'spec.size: FieldValueInvalid: Invalid value: 0: spec.size in body should be greater than or equal to 1',
      ])
      expect(await wrong({ size: 10 })).toEqual([
        'spec.size: FieldValueInvalid: Invalid value: 10: spec.size in body should be less than or equal to 9',
      ])
      expect(await wrong({ size: 'x' })).toEqual([
        'spec.size: FieldValueTypeInvalid: Invalid value: "string": spec.size in body must be of type integer: "string"',
      ])
      expect(await wrong({ size: 1.5 })).toEqual([
        'spec.size: FieldValueTypeInvalid: Invalid value: "number": spec.size in body must be of type integer: "number"',
        '<nil>: FieldValueInvalid: Invalid value: "": Checked value must be of type integer (default format) in spec.size',
      ])
      expect(await wrong({ size: 1, name: 'a' })).toEqual([
        'spec.name: FieldValueInvalid: Invalid value: "a": spec.name in body should be at least 2 chars long',
      ])
      expect(await wrong({ size: 1, name: 'abcde' })).toEqual(['spec.name: FieldValueTooLong: Too long: may not be more than 4 bytes'])
      expect(await wrong({ size: 1, name: 'AB' })).toEqual([
        'spec.name: FieldValueInvalid: Invalid value: "AB": spec.name in body should match \'^[a-z]+$\'',
      ])
      expect(await wrong({ size: 1, kind: 'C' })).toEqual([
        'spec.kind: FieldValueNotSupported: Unsupported value: "C": supported values: "A", "B"',
      ])
      expect(await wrong({ size: 1, either: true })).toEqual([
        'spec.either: FieldValueTypeInvalid: Invalid value: "boolean": spec.either in body must be of type integer,string: "boolean"',
      ])
      expect(await wrong({ size: 1, list: ['a', 'b', 'c'] })).toEqual([
        'spec.list: FieldValueTooMany: Too many: 3: must have at most 2 items',
      ])
      expect(await wrong({ size: 1, list: ['a', 1] })).toEqual([
        'spec.list[1]: FieldValueTypeInvalid: Invalid value: "integer": spec.list[1] in body must be of type string: "integer"',
      ])
      expect(await wrong({ size: 1, when: 'noon' })).toEqual([
        'spec.when: FieldValueTypeInvalid: Invalid value: "noon": spec.when in body must be of type date-time: "noon"',
      ])
      expect(
        await api.post(path, thing({ size: 9, name: 'abcd', kind: 'A', either: '50%', list: [], when: '2026-01-01T00:00:00Z' })),
      ).toMatchObject({ status: 201 })
      const { body } = await api.post(path, thing({ size: 0 }, 'b'))
      expect(body.message).toBe(
        'Thing.' +
          path.split('/')[2] +
          ' "b" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1',
      )
    })

    test('what was invalid before and did not change is not judged again', async (world) => {
      const { api } = world
      const { path, definition, thing } = await defineThings(world, {
        properties: { a: { type: 'string' }, b: { type: 'string' }, list: { type: 'array', items: { type: 'string' } } },
      })
      await api.ok(api.post(path, thing({ a: 'long enough', b: 'x', list: ['long'] })))
      const strict = {
        a: { type: 'string', maxLength: 3 },
        b: { type: 'string' },
        list: { type: 'array', items: { type: 'string', maxLength: 3 } },
      }
      await change(
        world,
        definition,
        strict,
        async () => (await api.post(path, thing({ a: 'too long' }, 'b'), { dryRun: 'All' })).status === 422,
      )
      expect((await api.ok(api.merge(`${path}/a`, { spec: { b: 'y' } }))).spec).toMatchObject({ a: 'long enough', b: 'y' })
      expect((await api.merge(`${path}/a`, { metadata: { labels: { l: '1' } } })).status).toBe(200)
      expect((await api.merge(`${path}/a/status`, { status: { ok: true } })).status).toBe(200)
      expect(await api.merge(`${path}/a`, { spec: { a: 'changed' } })).toMatchObject(invalidAt('spec.a'))
      // A list without keys is one value: a change anywhere in it has all of it judged.
      expect(await api.merge(`${path}/a`, { spec: { list: ['long', 'x'] } })).toMatchObject(invalidAt('spec.list[0]'))
      expect((await api.merge(`${path}/a`, { spec: { a: 'ok' } })).status).toBe(200)
    })

    test('status and the rest are written apart', async (world) => {
      const { api } = world
      const { path, thing } = await defineThings(world, { properties: { n: { type: 'integer' } } })
      const made = await api.ok(api.post(path, { ...thing({ n: 1 }), status: { phase: 'Lie' } }))
      expect(made.status).toBeUndefined()
      const one = `${path}/a`
      const main = await api.ok(api.merge(one, { spec: { n: 2 }, status: { phase: 'Lie' } }))
      expect([main.spec, main.status, main.metadata.generation]).toEqual([{ n: 2 }, undefined, 2])
      const apart = await api.ok(
        api.merge(`${one}/status`, {
          metadata: { labels: { l: '1' }, annotations: { a: '1' } },
          spec: { n: 3 },
          status: { phase: 'Ready' },
        }),
      )
      expect([apart.spec, apart.status, apart.metadata.generation]).toEqual([{ n: 2 }, { phase: 'Ready' }, 2])
      // Of custom resources not even metadata is written with the status.
      expect([apart.metadata.labels, apart.metadata.annotations]).toEqual([undefined, undefined])
      expect(Number(apart.metadata.resourceVersion)).toBeGreaterThan(Number(main.metadata.resourceVersion))
      expect((await api.ok(api.merge(one, { metadata: { labels: { l: '1' } } }))).metadata.generation).toBe(2)
      expect(await api.put(one, thing({ n: 4 }))).toMatchObject(invalidAt('metadata.resourceVersion'))
      expect(await api.strategic(one, { spec: { n: 4 } })).toMatchObject(refused(415, 'UnsupportedMediaType'))
      const stale = await api.merge(`${one}/status`, {
        metadata: { resourceVersion: made.metadata.resourceVersion },
        status: { phase: 'Stale' },
      })
      expect(stale).toMatchObject(refused(409, 'Conflict'))
    })

    test('without a status of their own they have no such path, and all counts as their generation', async (world) => {
      const { api } = world
      const { path, thing } = await defineThings(world, {}, { subresources: undefined })
      const made = await api.ok(api.post(path, { ...thing({}), status: { phase: 'Kept' } }))
      expect(made.status).toEqual({ phase: 'Kept' })
      expect((await api.merge(`${path}/a/status`, {})).status).toBe(404)
      expect((await api.ok(api.merge(`${path}/a`, { status: { phase: 'New' } }))).metadata.generation).toBe(2)
    })

    test('are applied by server-side apply, with the owners that their schema tells', async (world) => {
      const { api } = world
      const { path, group } = await defineThings(world, {
        properties: {
          items: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['k'],
            items: object({ k: { type: 'string' }, v: { type: 'string' } }, { required: ['k'] }),
          },
        },
      })
      const applied = (items: readonly object[], fieldManager: string) =>
        api.apply(`${path}/a`, { apiVersion: `${group}/v1`, kind: 'Thing', metadata: { name: 'a' }, spec: { items } }, { fieldManager })
      await api.ok(applied([{ k: 'a', v: '1' }], 'one'))
      const both = await api.ok(applied([{ k: 'b', v: '2' }], 'two'))
      expect(both.spec.items).toEqual([
        { k: 'a', v: '1' },
        { k: 'b', v: '2' },
      ])
      expect((await applied([{ k: 'a', v: '9' }], 'two')).status).toBe(409)
      expect((await api.ok(applied([], 'one'))).spec.items).toEqual([{ k: 'b', v: '2' }])
      expect(await api.merge(`${path}/a`, { spec: { items: [{ k: 'a' }, { k: 'a' }] } })).toMatchObject(invalidAt('spec.items[1]'))
    })
  })
}
