import { describe, expect } from '@jest/globals'
import type { Contract } from './contract.ts'
import { ownersOf, refused } from './contract.ts'

/** Who owns which field (managedFields), and server-side apply. */
export function ownership(test: Contract): void {
  describe('the owner of spec.unschedulable', () => {
    const cordoned = ['f:spec', 'f:unschedulable'] as const
    const drover = { fieldManager: 'drover' }

    test('is who set it, until somebody unsets it; setting it again changes no owner', async ({ api, nodes }) => {
      const path = `/api/v1/nodes/${nodes[1]}`
      await api.ok(api.merge(path, { spec: { unschedulable: null } }))
      const ours = await api.ok(api.merge(path, { spec: { unschedulable: true } }, drover))
      expect(ownersOf(ours, ...cordoned)).toEqual(['drover/Update'])

      const again = await api.ok(
        api.merge(
          path,
          { spec: { unschedulable: true }, metadata: { annotations: { 'example.com/a': '1' } } },
          { fieldManager: 'kubectl' },
        ),
      )
      expect(ownersOf(again, ...cordoned)).toEqual(['drover/Update'])
      const json = [{ op: 'replace', path: '/spec/unschedulable', value: true }]
      expect(ownersOf(await api.ok(api.json(path, json, { fieldManager: 'other' })), ...cordoned)).toEqual(['drover/Update'])
      const put = await api.ok(
        api.put(path, { ...again, metadata: { ...again.metadata, resourceVersion: undefined } }, { fieldManager: 'another' }),
      )
      expect(ownersOf(put, ...cordoned)).toEqual(['drover/Update'])

      const free = await api.ok(api.strategic(path, { spec: { unschedulable: null } }, { fieldManager: 'kubectl-uncordon' }))
      expect(free.spec.unschedulable).toBeUndefined()
      expect(ownersOf(free, ...cordoned)).toEqual([])
      const theirs = await api.ok(api.strategic(path, { spec: { unschedulable: true } }, { fieldManager: 'kubectl' }))
      expect(ownersOf(theirs, ...cordoned)).toEqual(['kubectl/Update'])
      const ourLabel = await api.ok(
        api.merge(path, { spec: { unschedulable: true }, metadata: { labels: { 'example.com/mark': 'x' } } }, drover),
      )
      expect(ownersOf(ourLabel, ...cordoned)).toEqual(['kubectl/Update'])
      expect(ownersOf(ourLabel, 'f:metadata', 'f:labels', 'f:example.com/mark')).toEqual(['drover/Update'])

      const off = await api.ok(api.merge(path, { spec: { unschedulable: false } }, drover))
      // False is not stored: nobody owns what is not there.
      expect(off.spec.unschedulable).toBeUndefined()
      expect(ownersOf(off, ...cordoned)).toEqual([])
      await api.ok(api.merge(path, { metadata: { labels: { 'example.com/mark': null }, annotations: { 'example.com/a': null } } }))
    })
  })

  describe('managedFields', () => {
    test('name the manager, the operation, the version, the time, the subresource', async ({ api, at, nodes }) => {
      const made = await api.ok(
        api.post(at.configmaps, { metadata: { name: 'a', labels: { l: '1' } }, data: { x: '1' } }, { fieldManager: 'maker' }),
      )
      expect(made.metadata.managedFields).toEqual([
        {
          manager: 'maker',
          operation: 'Update',
          apiVersion: 'v1',
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
          fieldsType: 'FieldsV1',
          fieldsV1: { 'f:data': { '.': {}, 'f:x': {} }, 'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } } },
        },
      ])
      const more = await api.ok(api.merge(`${at.configmaps}/a`, { data: { x: '2', y: '3' } }, { fieldManager: 'changer' }))
      expect(ownersOf(more, 'f:data', 'f:x')).toEqual(['changer/Update'])
      expect(ownersOf(more, 'f:data', 'f:y')).toEqual(['changer/Update'])
      expect(ownersOf(more, 'f:metadata', 'f:labels', 'f:l')).toEqual(['maker/Update'])
      const less = await api.ok(api.merge(`${at.configmaps}/a`, { data: { x: null, y: null } }, { fieldManager: 'cleaner' }))
      expect(ownersOf(less, 'f:data', 'f:x')).toEqual([])
      const status = await api.ok(
        api.merge(`/api/v1/nodes/${nodes[1]}/status`, { status: { phase: 'Running' } }, { fieldManager: 'prober' }),
      )
      expect(ownersOf(status, 'f:status', 'f:phase')).toEqual(['prober/Update/status'])
      await api.ok(api.merge(`/api/v1/nodes/${nodes[1]}/status`, { status: { phase: null } }))
    })

    test('a manager that says nothing is named by its user agent; one too long is refused', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' }, data: { x: '1' } }))
      expect(ownersOf(made, 'f:data', 'f:x')).toEqual(['admin/Update'])
      expect(await api.merge(`${at.configmaps}/a`, { data: { x: '2' } }, { fieldManager: 'm'.repeat(129) })).toMatchObject(
        refused(422, 'Invalid'),
      )
    })

    test('an empty list forgets them all', async ({ api, at }) => {
      await api.ok(api.post(at.configmaps, { metadata: { name: 'a' }, data: { x: '1' } }))
      const bare = await api.ok(api.merge(`${at.configmaps}/a`, { metadata: { managedFields: [{}] } }))
      expect(bare.metadata.managedFields).toBeUndefined()
    })
  })

  describe('server-side apply', () => {
    const config = (data: object, more: object = {}): object => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a', ...more },
      data,
    })
    const by = (fieldManager: string, force?: string) => ({ fieldManager, ...(force === undefined ? {} : { force }) })

    test('creates, changes, and takes away what is no longer applied', async ({ api, at }) => {
      const path = `${at.configmaps}/a`
      const made = await api.apply(path, config({ x: '1', y: '2' }), by('one'))
      expect(made.status).toBe(201)
      expect(made.body.metadata.managedFields).toMatchObject([
        { manager: 'one', operation: 'Apply', fieldsV1: { 'f:data': { 'f:x': {}, 'f:y': {} } } },
      ])
      const changed = await api.apply(path, config({ x: '3' }), by('one'))
      expect([changed.status, changed.body.data]).toEqual([200, { x: '3' }])
      const same = await api.ok(api.apply(path, config({ x: '3' }), by('one')))
      expect(same.metadata.resourceVersion).toBe(changed.body.metadata.resourceVersion)
    })

    test('does not take what another owns, unless forced', async ({ api, at }) => {
      const path = `${at.configmaps}/a`
      await api.ok(api.apply(path, config({ x: '1', y: '2' }), by('one')))
      expect(await api.apply(path, config({ x: '9' }), by('two'))).toMatchObject(
        refused(409, 'Conflict', {
          message: 'Apply failed with 1 conflict: conflict with "one": .data.x',
          details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.x' }] },
        }),
      )
      // The same value is owned together, and stays while one of them applies it.
      const shared = await api.ok(api.apply(path, config({ x: '1' }), by('two')))
      expect(ownersOf(shared, 'f:data', 'f:x').toSorted()).toEqual(['one/Apply', 'two/Apply'])
      expect((await api.ok(api.apply(path, config({ y: '2' }), by('one')))).data).toEqual({ x: '1', y: '2' })
      const forced = await api.ok(api.apply(path, config({ x: '1', y: '9' }), by('two', 'true')))
      expect(forced.data).toEqual({ x: '1', y: '9' })
      expect(ownersOf(forced, 'f:data', 'f:y')).toEqual(['two/Apply'])
    })

    test('conflicts with plain updates, too', async ({ api, at }) => {
      const path = `${at.configmaps}/a`
      await api.ok(api.post(at.configmaps, config({ x: '1' }), by('maker')))
      const answer = await api.apply(path, config({ x: '2' }), by('applier'))
      expect(answer).toMatchObject(
        refused(409, 'Conflict', {
          message: 'Apply failed with 1 conflict: conflict with "maker" using v1: .data.x',
          details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "maker" using v1', field: '.data.x' }] },
        }),
      )
      const update = await api.ok(api.merge(path, { data: { z: '1' } }, by('maker')))
      expect(ownersOf(update, 'f:data', 'f:z')).toEqual(['maker/Update'])
    })

    test('needs a manager and a whole identity', async ({ api, at }) => {
      const path = `${at.configmaps}/a`
      expect(await api.apply(path, config({}))).toMatchObject(refused(422, 'Invalid', { details: { causes: [{ field: 'fieldManager' }] } }))
      expect((await api.apply(path, { metadata: { name: 'a' } }, by('one'))).status).toBe(400)
      const owned = config({}, { managedFields: [{ manager: 'one', operation: 'Apply' }] })
      expect(await api.apply(path, owned, by('one'))).toMatchObject(
        refused(400, 'BadRequest', { message: expect.stringContaining('metadata.managedFields must be nil') }),
      )
      expect((await api.apply(path, config({}), by('one'))).status).toBe(201)
      expect(await api.apply(path, config({}, { name: 'b' }), by('one'))).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.merge(path, {}, { force: 'true' })).toMatchObject(
        refused(422, 'Invalid', { details: { causes: [{ field: 'force' }] } }),
      )
    })

    test('of lists by their keys, and of the status apart', async ({ api, nodes }) => {
      const path = `/api/v1/nodes/${nodes[1]}`
      const node = (more: object): object => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodes[1] }, ...more })
      const condition = (type: string, status: string): object => ({ type, status })
      const status = (conditions: readonly object[]): object => node({ status: { conditions } })
      await api.ok(api.apply(`${path}/status`, status([condition('ExampleA', 'True')]), by('one')))
      const two = await api.ok(api.apply(`${path}/status`, status([condition('ExampleB', 'True')]), by('two')))
      const types = (object: { status: { conditions: readonly { type: string }[] } }): readonly string[] =>
        object.status.conditions.map(({ type }) => type)
      expect(types(two)).toEqual(expect.arrayContaining(['Ready', 'ExampleA', 'ExampleB']))
      expect(ownersOf(two, 'f:status', 'f:conditions', 'k:{"type":"ExampleA"}')).toEqual(['one/Apply/status'])
      await api.ok(api.apply(`${path}/status`, node({ status: {} }), by('one')))
      const rest = await api.ok(api.apply(`${path}/status`, node({ status: {} }), by('two')))
      expect(types(rest)).not.toContain('ExampleA')
      expect(types(rest)).toContain('Ready')
      const label = await api.ok(api.apply(path, node({ metadata: { name: nodes[1], labels: { 'example.com/applied': 'x' } } }), by('one')))
      expect(label.metadata.labels['example.com/applied']).toBe('x')
      const without = await api.ok(api.apply(path, node({}), by('one')))
      expect(without.metadata.labels['example.com/applied']).toBeUndefined()
      expect(without.metadata.labels['kubernetes.io/hostname']).toBe(nodes[1])
    })
  })
}
