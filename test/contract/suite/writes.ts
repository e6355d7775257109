import { describe, expect } from '@jest/globals'
import type { Contract } from './contract.ts'
import { invalidAt, job, pod, refused } from './contract.ts'

const PAST = '1999-01-01T00:00:00Z'

/** Creating, replacing, and what guards both. */
export function writes(test: Contract): void {
  describe('create', () => {
    test('gives identity, and nobody chooses his own', async ({ api, at, namespace, clock }) => {
      const chosen = { name: 'a', uid: 'mine', generation: 9, creationTimestamp: PAST, deletionTimestamp: PAST, selfLink: '/x' }
      const made = await api.ok(api.post(at.jobs, { ...job('a', 'exit 0', { suspend: true }), metadata: chosen, status: { succeeded: 1 } }))
      expect(made.metadata).toMatchObject({ name: 'a', namespace, generation: 1 })
      expect(made.metadata.uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(Math.abs(Date.parse(made.metadata.creationTimestamp) - clock.wall())).toBeLessThan(60_000)
      expect(made.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      expect(made.metadata.deletionTimestamp).toBeUndefined()
      expect(made.metadata.selfLink).toBeUndefined()
      expect(made.status).toEqual({})
      expect(await api.post(at.jobs, job('a'))).toMatchObject(
        refused(409, 'AlreadyExists', { message: 'jobs.batch "a" already exists', details: { name: 'a', group: 'batch', kind: 'jobs' } }),
      )
      expect(await api.post(at.configmaps, { metadata: { name: 'b', resourceVersion: '7' } })).toMatchObject({
        status: 500,
        body: { message: 'resourceVersion should not be set on objects to be created' },
      })
    })

    test('makes a name when asked to, of at most 63 characters', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { generateName: 'web-' } }))
      expect(made.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
      expect(made.metadata.generateName).toBe('web-')
      const long = await api.ok(api.post(at.configmaps, { metadata: { generateName: 'x'.repeat(80) } }))
      expect(long.metadata.name).toMatch(/^x{58}[a-z0-9]{5}$/)
      expect(await api.post(at.configmaps, { metadata: {} })).toMatchObject(invalidAt('metadata.name'))
      expect(await api.post(at.configmaps, {})).toMatchObject(
        refused(422, 'Invalid', { message: expect.stringContaining('name or generateName is required') }),
      )
    })

    test('needs a namespace', async ({ api }) => {
      expect(await api.post('/api/v1/namespaces/no-such-place/configmaps', { metadata: { name: 'a' } })).toMatchObject(
        refused(404, 'NotFound', {
          message: 'namespaces "no-such-place" not found',
          details: { name: 'no-such-place', kind: 'namespaces' },
        }),
      )
    })

    test('a pod needs the account that it runs as', async ({ api, at, namespace }) => {
      expect(await api.post(at.pods, pod('a', 'exit 0', { serviceAccountName: 'stranger' }))).toMatchObject(
        refused(403, 'Forbidden', {
          message: `pods "a" is forbidden: error looking up service account ${namespace}/stranger: serviceaccount "stranger" not found`,
          details: { name: 'a', kind: 'pods' },
        }),
      )
    })

    test('limits of names', async ({ api, at, namespace }) => {
      const named = (name: string) => api.post(at.configmaps, { metadata: { name } })
      for (const name of ['A', 'a_b', '-a', 'a-', 'a..b', 'a/b', 'x'.repeat(254)])
        expect([name, await named(name)]).toMatchObject([name, invalidAt('metadata.name')])
      for (const name of ['a', '0', 'a.b', 'a-b.c', 'x'.repeat(253)]) expect([name, (await named(name)).status]).toEqual([name, 201])
      expect(await api.post('/api/v1/namespaces', { metadata: { name: 'a.b' } })).toMatchObject(invalidAt('metadata.name'))
      expect(await api.post('/api/v1/namespaces', { metadata: { name: `${namespace}-${'x'.repeat(63)}` } })).toMatchObject(
        invalidAt('metadata.name', 'metadata.labels'),
      )
      // A Job's name becomes a label of its pods.
      expect(await api.post(at.jobs, job('x'.repeat(64)))).toMatchObject(
        refused(422, 'Invalid', { message: expect.stringContaining('must be no more than 63 bytes') }),
      )
      expect((await api.post(at.jobs, job('x'.repeat(63), 'exit 0', { suspend: true }))).status).toBe(201)
    })

    test('limits of labels and annotations', async ({ api, at }) => {
      let made = 0
      const labelled = (metadata: object) => api.post(at.configmaps, { metadata: { name: `c${made++}`, ...metadata } })
      for (const labels of [
        { 'a/b/c': 'x' },
        { 'Example.com/a': 'x' },
        { [`a/${'x'.repeat(64)}`]: 'x' },
        { [`${'x'.repeat(254)}/a`]: 'x' },
        { a: 'x'.repeat(64) },
        { a: '-x' },
        { a: 'x y' },
      ])
        expect([labels, await labelled({ labels })]).toMatchObject([labels, invalidAt('metadata.labels')])
      for (const labels of [{ a: '' }, { a: 'A.b_c-d' }, { 'example.com/A_b': 'x' }, { ['x'.repeat(63)]: 'x'.repeat(63) }])
        expect([labels, (await labelled({ labels })).status]).toEqual([labels, 201])
      expect(await labelled({ annotations: { a: 'x'.repeat(262_144) } })).toMatchObject(invalidAt('metadata.annotations'))
      expect((await labelled({ annotations: { a: 'x'.repeat(262_143) } })).status).toBe(201)
      expect(await labelled({ annotations: { 'a b': 'x' } })).toMatchObject(invalidAt('metadata.annotations'))
      expect((await labelled({ annotations: { 'Example.com/Any': 'any text\n' } })).status).toBe(201)
    })

    test('owners and finalizers must be whole', async ({ api, at }) => {
      const owner = { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }
      const owned = (ownerReferences: readonly object[]) => api.post(at.configmaps, { metadata: { name: 'a', ownerReferences } })
      expect(await owned([{ ...owner, uid: '' }])).toMatchObject(invalidAt('metadata.ownerReferences.uid'))
      expect(await owned([{ ...owner, name: '' }])).toMatchObject(invalidAt('metadata.ownerReferences.name'))
      expect(
        await owned([
          { ...owner, controller: true },
          { ...owner, uid: 'v', controller: true },
        ]),
      ).toMatchObject(invalidAt('metadata.ownerReferences'))
      const finalized = (name: string) => api.post(at.configmaps, { metadata: { name: 'b', finalizers: [name] } })
      expect(await finalized('not qualified')).toMatchObject(refused(422, 'Invalid'))
      expect(await finalized('unqualified')).toMatchObject(invalidAt('metadata.finalizers[0]'))
    })
  })

  describe('replace', () => {
    test('with the version that was read, or not at all', async ({ api, at }) => {
      const first = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' }, data: { n: '1' } }))
      const path = `${at.configmaps}/a`
      const second = await api.ok(api.put(path, { ...first, data: { n: '2' } }))
      expect(second.data).toEqual({ n: '2' })
      expect(Number(second.metadata.resourceVersion)).toBeGreaterThan(Number(first.metadata.resourceVersion))
      expect(await api.put(path, { ...first, data: { n: '3' } })).toMatchObject(
        refused(409, 'Conflict', {
          message:
            'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
          details: { name: 'a', kind: 'configmaps' },
        }),
      )
      const other = { ...second, metadata: { ...second.metadata, uid: '00000000-0000-4000-8000-000000000000' } }
      expect(await api.put(path, other)).toMatchObject(
        refused(409, 'Conflict', { message: expect.stringContaining('Precondition failed: UID in precondition: 00000000-') }),
      )
      // Without a version the last one wins.
      expect((await api.ok(api.put(path, { metadata: { name: 'a' }, data: { n: '4' } }))).data).toEqual({ n: '4' })
      expect(await api.put(`${at.configmaps}/none`, { metadata: { name: 'none' } })).toMatchObject(refused(404, 'NotFound'))
    })

    test('a Lease that exists is not replaced blindly', async ({ api, at }) => {
      await api.ok(api.post(at.leases, { metadata: { name: 'a' }, spec: {} }))
      expect(await api.put(`${at.leases}/a`, { metadata: { name: 'a' }, spec: {} })).toMatchObject(invalidAt('metadata.resourceVersion'))
    })

    test('that changes nothing leaves the version as it is', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' }, data: { n: '1' } }))
      const again = await api.ok(api.put(`${at.configmaps}/a`, made))
      expect(again.metadata.resourceVersion).toBe(made.metadata.resourceVersion)
      const patched = await api.ok(api.merge(`${at.configmaps}/a`, { data: { n: '1', none: null } }))
      expect(patched).toEqual(made)
    })

    test('what the server keeps is kept, whatever a client says of it', async ({ api, at }) => {
      const made = await api.ok(api.post(at.jobs, job('a', 'exit 0', { suspend: true })))
      const lies = { creationTimestamp: PAST, generation: 77, selfLink: '/x' }
      const after = await api.ok(api.merge(`${at.jobs}/a`, { metadata: { ...lies, labels: { a: 'b' } } }))
      expect(after.metadata).toMatchObject({ creationTimestamp: made.metadata.creationTimestamp, generation: 1, labels: { a: 'b' } })
      expect(await api.merge(`${at.jobs}/a`, { metadata: { deletionTimestamp: PAST } })).toMatchObject(
        refused(422, 'Invalid', {
          message: expect.stringContaining('metadata.deletionTimestamp: Invalid value: "1999-01-01T00:00:00Z": field is immutable'),
        }),
      )
      expect(await api.merge(`${at.jobs}/a`, { metadata: { name: 'b' } })).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.merge(`${at.jobs}/a`, { metadata: { namespace: 'default' } })).toMatchObject(refused(400, 'BadRequest'))
    })

    test('the generation counts changes of the spec, not of metadata or status', async ({ api, at, until }) => {
      await api.ok(api.post(at.jobs, job('a', 'exit 0', { suspend: true })))
      const path = `${at.jobs}/a`
      const generation = async (patch: object, sub = '') => (await api.ok(api.merge(`${path}${sub}`, patch))).metadata.generation
      expect(await generation({ metadata: { labels: { a: 'b' } } })).toBe(1)
      expect(await generation({ spec: { parallelism: 2 } })).toBe(2)
      expect(await generation({ spec: { parallelism: 2 } })).toBe(2)
      await until('the Job says that it is suspended', async () => (await api.get(path)).body.status.conditions !== undefined)
      expect((await api.get(path)).body.metadata.generation).toBe(2)
    })
  })

  describe('preconditions of patches', () => {
    test('version and uid', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
      const path = `${at.configmaps}/a`
      const { uid, resourceVersion } = made.metadata
      await api.ok(api.merge(path, { metadata: { uid, resourceVersion }, data: { n: '1' } }))
      const stale = refused(409, 'Conflict', { message: expect.stringContaining('the object has been modified') })
      for (const patch of [api.merge, api.strategic])
        expect(await patch(path, { metadata: { resourceVersion }, data: { n: '2' } })).toMatchObject(stale)
      expect(await api.merge(path, { metadata: { uid: 'other' }, data: { n: '2' } })).toMatchObject(
        refused(422, 'Invalid', { message: 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "other": field is immutable' }),
      )
      // A stale precondition counts even when there is nothing to change.
      expect(await api.merge(path, { metadata: { resourceVersion } })).toMatchObject(stale)
      expect((await api.get(path)).body.data).toEqual({ n: '1' })
    })
  })

  describe('a dry run', () => {
    const query = { dryRun: 'All' }
    test('answers as the write would and stores nothing', async ({ api, at }) => {
      const made = await api.ok(api.post(at.pods, pod('a'), query))
      expect(made.spec).toMatchObject({ restartPolicy: 'Never', dnsPolicy: 'ClusterFirst', serviceAccountName: 'default' })
      expect(made.metadata.uid).toEqual(expect.any(String))
      expect(made.metadata.resourceVersion).toBeUndefined()
      expect((await api.get(`${at.pods}/a`)).status).toBe(404)
      expect(await api.post(at.pods, { metadata: { name: 'a' }, spec: { containers: [] } }, query)).toMatchObject(
        invalidAt('spec.containers'),
      )
      const stored = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
      const changed = await api.ok(api.merge(`${at.configmaps}/a`, { data: { n: '1' } }, query))
      expect(changed.data).toEqual({ n: '1' })
      expect(changed.metadata.resourceVersion).toBe(stored.metadata.resourceVersion)
      expect((await api.put(`${at.configmaps}/a`, { metadata: { name: 'a' }, data: {} }, query)).status).toBe(200)
      expect((await api.delete(`${at.configmaps}/a`, undefined, query)).status).toBe(200)
      expect((await api.delete(`${at.configmaps}/a`, { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] })).status).toBe(200)
      expect((await api.delete(at.configmaps, undefined, query)).status).toBe(200)
      expect(await api.ok(api.get(`${at.configmaps}/a`))).toEqual(stored)
      expect(await api.post(at.configmaps, { metadata: { name: 'a' } }, query)).toMatchObject(refused(409, 'AlreadyExists'))
    })

    test('is All or nothing', async ({ api, at }) => {
      expect(await api.post(at.configmaps, { metadata: { name: 'a' } }, { dryRun: 'Some' })).toMatchObject(invalidAt('dryRun'))
    })
  })

  describe('the status', () => {
    test('of built-in types is written apart from the rest', async ({ api, at, nodes }) => {
      const path = `/api/v1/nodes/${nodes[1]}`
      const before = await api.ok(api.get(path))
      const main = await api.ok(api.merge(path, { metadata: { labels: { side: 'main' } }, status: { phase: 'Running' } }))
      expect(main.metadata.labels.side).toBe('main')
      expect(main.status.phase).toBeUndefined()
      const apart = await api.ok(api.merge(`${path}/status`, { spec: { podCIDR: '10.0.0.0/24' }, status: { phase: 'Running' } }))
      expect(apart.status.phase).toBe('Running')
      expect(apart.spec).toEqual(before.spec)
      await api.ok(api.merge(`${path}/status`, { status: { phase: null } }))
      expect((await api.get(`${path}/status`)).body).toMatchObject({ kind: 'Node', metadata: { name: nodes[1] } })
      expect(await api.post(at.configmaps, { metadata: { name: 'a' } })).toMatchObject({ status: 201 })
      expect(await api.merge(`${at.configmaps}/a/status`, {})).toMatchObject(refused(404, 'NotFound'))
    })

    test('writes of the status of a Node may set labels and annotations, too', async ({ api, nodes }) => {
      const path = `/api/v1/nodes/${nodes[1]}`
      const apart = await api.ok(api.merge(`${path}/status`, { metadata: { annotations: { 'example.com/side': 'status' } } }))
      expect(apart.metadata.annotations['example.com/side']).toBe('status')
      await api.ok(api.merge(path, { metadata: { annotations: { 'example.com/side': null } } }))
    })
  })
}
