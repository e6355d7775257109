import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract } from './contract.ts'
import { job, pod, refused } from './contract.ts'
import { defineThings } from './things.ts'

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'
const METADATA = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'

const columns = (table: Tree): readonly string[] =>
  table.columnDefinitions.filter((each: Tree) => each.priority === 0).map((each: Tree) => each.name)

/** Other shapes of objects than their own: tables, and metadata alone. */
export function output(test: Contract): void {
  describe('metadata alone', () => {
    test('of an object, a list, a write, a watch', async (world) => {
      const { api, at, watch, until } = world
      const made = await api.ok(api.post(at.secrets, { metadata: { name: 'a' }, data: { x: 'c2VjcmV0' } }))
      const one = await api.ok(api.get(`${at.secrets}/a`, {}, METADATA))
      expect(one).toEqual({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: made.metadata })
      const list = await api.ok(api.get(at.secrets, {}, METADATA_LIST))
      expect(list).toMatchObject({
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { resourceVersion: expect.any(String) },
      })
      expect(list.items).toEqual(
        [{ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: made.metadata }].map(({ metadata }) =>
          expect.objectContaining({ metadata }),
        ),
      )
      const patched = await api.ok(
        api.send({
          method: 'PATCH',
          path: `${at.secrets}/a`,
          body: { metadata: { labels: { l: '1' } } },
          contentType: 'application/merge-patch+json',
          accept: METADATA,
        }),
      )
      expect(patched).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'a', labels: { l: '1' } } })
      expect(Object.keys(patched)).not.toContain('data')
      const watching = await watch(at.secrets, { allowWatchBookmarks: 'true' }, METADATA)
      await until('the first event', async () => watching.events.length > 0)
      expect(watching.events[0]).toMatchObject({
        type: 'ADDED',
        object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'a' } },
      })
      expect(JSON.stringify([one, list, patched, watching.events])).not.toContain('c2VjcmV0')
    })

    test('of a list is a list, of an object an object, and a watch streams objects', async (world) => {
      const { api, at, watch, until } = world
      await api.ok(api.post(at.secrets, { metadata: { name: 'a' } }))
      expect(await api.get(at.secrets, {}, METADATA)).toMatchObject(
        refused(406, 'NotAcceptable', {
          message: 'you requested PartialObjectMetadata, but the requested object is a list (*core.SecretList)',
        }),
      )
      expect(await api.get(`${at.secrets}/a`, {}, METADATA_LIST)).toMatchObject(
        refused(406, 'NotAcceptable', {
          message: 'you requested PartialObjectMetadataList, but the requested object is not a list (*core.Secret)',
        }),
      )
      // In the shape of a list the stream ends where its first event would stand.
      const mute = await watch(at.secrets, {}, METADATA_LIST)
      await until('the end', async () => mute.end !== 'open')
      expect([mute.status, mute.events, mute.end]).toEqual([200, [], 'closed'])
    })

    test('falls back when the client lets it', async ({ api, at }) => {
      expect(await api.get(at.secrets, {}, `${METADATA_LIST},application/json`)).toMatchObject({
        body: { kind: 'PartialObjectMetadataList' },
      })
      expect((await api.get(at.secrets, {}, 'application/json;as=Nothing;v=v1;g=meta.k8s.io')).status).toBe(406)
      expect(await api.get(at.secrets, {}, 'application/json;as=Nothing;v=v1;g=meta.k8s.io,application/json')).toMatchObject({
        body: { kind: 'SecretList' },
      })
    })
  })

  describe('tables', () => {
    test('of nodes, pods, Jobs', async (world) => {
      const { api, at, nodes, until } = world
      const table = await api.ok(api.get('/api/v1/nodes', {}, TABLE))
      expect(table).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata: { resourceVersion: expect.any(String) } })
      expect(columns(table)).toEqual(['Name', 'Status', 'Roles', 'Age', 'Version'])
      const row = table.rows.find((each: Tree) => each.cells[0] === nodes[0])
      expect(row.cells.slice(0, 3)).toEqual([nodes[0], 'Ready', expect.stringContaining('control-plane')])
      expect(row.cells[4]).toBe('v1.33.3+rke2r1')
      expect(row.object).toMatchObject({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: nodes[0] } })

      await api.ok(api.post(at.pods, pod('p', 'exit 0')))
      await until('it is over', async () => (await api.get(`${at.pods}/p`)).body.status.phase === 'Succeeded')
      const pods = await api.ok(api.get(at.pods, { includeObject: 'None' }, TABLE))
      expect(columns(pods)).toEqual(['Name', 'Ready', 'Status', 'Restarts', 'Age'])
      expect(pods.rows[0].cells.slice(0, 4)).toEqual(['p', '0/1', 'Completed', '0'])
      expect(pods.rows[0].object ?? null).toBeNull()

      await api.ok(api.post(at.jobs, job('j', 'exit 0', { suspend: true })))
      await until('it says so', async () => (await api.get(`${at.jobs}/j`)).body.status.conditions !== undefined)
      const one = await api.ok(api.get(`${at.jobs}/j`, { includeObject: 'Object' }, TABLE))
      expect(columns(one)).toEqual(['Name', 'Status', 'Completions', 'Duration', 'Age'])
      expect(one.rows[0].cells.slice(0, 4)).toEqual(['j', 'Suspended', '0/1', ''])
      expect(one.rows[0].object).toMatchObject({ kind: 'Job', spec: { suspend: true } })
    })

    test('of custom resources, by their columns', async (world) => {
      const { api } = world
      const additionalPrinterColumns = [
        { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
        { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
        { name: 'Tags', type: 'string', jsonPath: '.spec.tags' },
        { name: 'More', type: 'string', jsonPath: '.spec.more', priority: 1 },
      ]
      const { path, thing } = await defineThings(
        world,
        { properties: { size: { type: 'integer' }, tags: { type: 'array', items: { type: 'string' } }, more: { type: 'string' } } },
        { additionalPrinterColumns },
      )
      await api.ok(api.post(path, thing({ size: 3, tags: ['a', 'b'] })))
      await api.ok(
        api.merge(`${path}/a/status`, {
          status: {
            conditions: [
              { type: 'Other', status: 'False' },
              { type: 'Ready', status: 'True' },
            ],
          },
        }),
      )
      await api.ok(api.post(path, thing({}, 'b')))
      const table = await api.ok(api.get(path, {}, TABLE))
      expect(columns(table)).toEqual(['Name', 'Size', 'Ready', 'Tags'])
      expect(table.rows.map((row: Tree) => row.cells)).toEqual([
        ['a', 3, 'True', '["a","b"]', null],
        ['b', null, null, null, null],
      ])
    })

    test('of a watch: only the first names its columns', async (world) => {
      const { api, at, watch, until } = world
      for (const name of ['a', 'b']) await api.ok(api.post(at.configmaps, { metadata: { name } }))
      const watching = await watch(at.configmaps, { labelSelector: '!x' }, TABLE)
      await until('both', async () => watching.events.length >= 2)
      const [first, second] = watching.events
      expect([first.type, first.object.kind, Array.isArray(first.object.columnDefinitions)]).toEqual(['ADDED', 'Table', true])
      expect(second.object.columnDefinitions ?? null).toBeNull()
      expect(second.object.rows).toHaveLength(1)
    })
  })
}
