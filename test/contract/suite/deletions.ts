import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { job, refused } from './contract.ts'

const options = (more: object): object => ({ kind: 'DeleteOptions', apiVersion: 'v1', ...more })

/** A Deployment's worth of ownership without any controller but the garbage collector: `b` is owned by `a`. */
async function family({ api, at }: World, more: object = {}): Promise<readonly [Tree, Tree]> {
  const owner = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
  const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: owner.metadata.uid, ...more }]
  return [owner, await api.ok(api.post(at.configmaps, { metadata: { name: 'b', ownerReferences } }))]
}

/** Deleting: preconditions, finalizers, propagation, owners, namespaces. */
export function deletions(test: Contract): void {
  describe('a delete', () => {
    test('answers with a Status that names what went', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
      expect(await api.delete(`${at.configmaps}/a`)).toMatchObject({
        status: 200,
        body: { kind: 'Status', apiVersion: 'v1', status: 'Success', details: { name: 'a', kind: 'configmaps', uid: made.metadata.uid } },
      })
      expect(await api.delete(`${at.configmaps}/a`)).toMatchObject(
        refused(404, 'NotFound', { message: 'configmaps "a" not found', details: { name: 'a', kind: 'configmaps' } }),
      )
    })

    test('by uid and version, or not at all', async ({ api, at }) => {
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
      const path = `${at.configmaps}/a`
      const { uid, resourceVersion } = made.metadata
      expect(await api.delete(path, options({ preconditions: { uid: 'other' } }))).toMatchObject(
        refused(409, 'Conflict', {
          message: `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
          details: { name: 'a', kind: 'ConfigMap' },
        }),
      )
      await api.ok(api.merge(path, { data: { x: '1' } }))
      expect(await api.delete(path, options({ preconditions: { uid, resourceVersion } }))).toMatchObject(
        refused(409, 'Conflict', {
          message: expect.stringContaining(
            `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (`,
          ),
        }),
      )
      expect((await api.delete(path, options({ preconditions: { uid } }))).status).toBe(200)
    })

    test('waits for finalizers, and marks only once', async ({ api, at }) => {
      await api.ok(api.post(at.configmaps, { metadata: { name: 'a', finalizers: ['example.com/wait'] } }))
      const path = `${at.configmaps}/a`
      const marked = await api.ok(api.delete(path))
      expect(marked).toMatchObject({
        kind: 'ConfigMap',
        metadata: { deletionTimestamp: expect.any(String), deletionGracePeriodSeconds: 0, finalizers: ['example.com/wait'] },
      })
      const again = await api.ok(api.delete(path))
      expect(again.metadata.resourceVersion).toBe(marked.metadata.resourceVersion)
      expect(await api.merge(path, { metadata: { finalizers: ['example.com/wait', 'example.com/more'] } })).toMatchObject(
        refused(422, 'Invalid', { message: expect.stringContaining('no new finalizers can be added if the object is being deleted') }),
      )
      expect((await api.merge(path, { data: { x: '1' } })).status).toBe(200)
      expect((await api.merge(path, { metadata: { finalizers: null } })).status).toBe(200)
      expect((await api.get(path)).status).toBe(404)
    })

    test('of a collection goes by selectors', async ({ api, at }) => {
      for (const [name, kind] of [
        ['a', 'x'],
        ['b', 'y'],
        ['c', 'x'],
      ])
        await api.ok(api.post(at.configmaps, { metadata: { name, labels: { kind } } }))
      const gone = await api.ok(api.delete(at.configmaps, undefined, { labelSelector: 'kind=x' }))
      expect(gone.kind).toBe('ConfigMapList')
      expect(gone.items.map((item: Tree) => item.metadata.name).toSorted()).toEqual(['a', 'c'])
      const left = (await api.ok(api.get(at.configmaps, { labelSelector: 'kind' }))).items
      expect(left.map((item: Tree) => item.metadata.name)).toEqual(['b'])
    })

    test('with a policy that does not exist is refused', async ({ api, at }) => {
      await api.ok(api.post(at.configmaps, { metadata: { name: 'a' } }))
      expect(await api.delete(`${at.configmaps}/a`, options({ propagationPolicy: 'Sideways' }))).toMatchObject(
        refused(422, 'Invalid', { details: { group: 'meta.k8s.io', kind: 'DeleteOptions', causes: [{ field: 'propagationPolicy' }] } }),
      )
      expect((await api.get(`${at.configmaps}/a`)).status).toBe(200)
    })
  })

  describe('owners', () => {
    test('that go in the background are followed by what they own', async (world) => {
      const { api, at, until } = world
      await family(world)
      await api.ok(api.delete(`${at.configmaps}/a`, options({ propagationPolicy: 'Background' })))
      expect((await api.get(`${at.configmaps}/a`)).status).toBe(404)
      await until('b follows', async () => (await api.get(`${at.configmaps}/b`)).status === 404)
    })

    test('that go in the foreground wait for what blocks them', async (world) => {
      const { api, at, until } = world
      await family(world, { blockOwnerDeletion: true })
      await api.ok(api.merge(`${at.configmaps}/b`, { metadata: { finalizers: ['example.com/wait'] } }))
      const marked = await api.ok(api.delete(`${at.configmaps}/a`, options({ propagationPolicy: 'Foreground' })))
      expect(marked.metadata).toMatchObject({ finalizers: ['foregroundDeletion'], deletionTimestamp: expect.any(String) })
      await until('b is to go', async () => (await api.get(`${at.configmaps}/b`)).body.metadata.deletionTimestamp !== undefined)
      expect((await api.get(`${at.configmaps}/a`)).status).toBe(200)
      await api.ok(api.merge(`${at.configmaps}/b`, { metadata: { finalizers: null } }))
      await until('both are gone', async () => (await api.get(`${at.configmaps}/a`)).status === 404)
    })

    test('that go as orphans leave what they own, without a trace of them', async (world) => {
      const { api, at, until } = world
      await family(world)
      const marked = await api.ok(api.delete(`${at.configmaps}/a`, options({ propagationPolicy: 'Orphan' })))
      expect(marked.metadata.finalizers).toEqual(['orphan'])
      await until('a is gone', async () => (await api.get(`${at.configmaps}/a`)).status === 404)
      expect((await api.ok(api.get(`${at.configmaps}/b`))).metadata.ownerReferences).toBeUndefined()
    })

    test('that are others of the same name are no owners', async (world) => {
      const { api, at, until } = world
      const [owner] = await family(world)
      const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: '00000000-0000-4000-8000-000000000000' }]
      await api.ok(api.post(at.configmaps, { metadata: { name: 'c', ownerReferences } }))
      await until('c is collected', async () => (await api.get(`${at.configmaps}/c`)).status === 404)
      expect((await api.get(`${at.configmaps}/b`)).status).toBe(200)
      const both = [
        { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: owner.metadata.uid },
        ...ownerReferences.map((each) => ({ ...each, name: 'gone' })),
      ]
      await api.ok(api.post(at.configmaps, { metadata: { name: 'd', ownerReferences: both } }))
      await until('d forgets the one that is gone', async () => {
        const { body } = await api.get(`${at.configmaps}/d`)
        return body.metadata?.ownerReferences?.length === 1
      })
    })

    test('a Job deleted without a word leaves its pods; with Background it takes them along', async (world) => {
      const { api, at, until } = world
      for (const name of ['plain', 'back']) await api.ok(api.post(at.jobs, job(name, 'sleep 600')))
      const podsOf = async (name: string): Promise<readonly Tree[]> =>
        (await api.ok(api.get(at.pods, { labelSelector: `job-name=${name}` }))).items
      for (const name of ['plain', 'back']) await until('its pod runs', async () => (await podsOf(name))[0]?.status.phase === 'Running')
      await api.ok(api.delete(`${at.jobs}/back`, options({ propagationPolicy: 'Background' })))
      await api.ok(api.delete(`${at.jobs}/plain`))
      await until('the Job is gone', async () => (await api.get(`${at.jobs}/plain`)).status === 404)
      await until('its pod is gone', async () => (await podsOf('back')).length === 0)
      // batch/v1 orphans by default, as it always did.
      expect(await podsOf('plain')).toMatchObject([{ status: { phase: 'Running' } }])
    })

    test('a Node may own what is in a namespace', async (world) => {
      const { api, at, until, unique } = world
      const node = await api.ok(api.post('/api/v1/nodes', { metadata: { name: unique('n') }, spec: { unschedulable: true } }))
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: node.metadata.name, uid: node.metadata.uid }]
      await api.ok(api.post(at.leases, { metadata: { name: 'a', ownerReferences } }))
      await api.ok(api.delete(`/api/v1/nodes/${node.metadata.name}`))
      await until('the Lease goes with its Node', async () => (await api.get(`${at.leases}/a`)).status === 404)
    })
  })

  describe('a namespace', () => {
    test('is emptied, refuses what is new meanwhile, and goes', async ({ api, until, unique, at: own }) => {
      const name = unique('ns')
      const path = `/api/v1/namespaces/${name}`
      const made = await api.ok(api.post('/api/v1/namespaces', { metadata: { name } }))
      expect(made).toMatchObject({
        metadata: { labels: { 'kubernetes.io/metadata.name': name } },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      })
      const configmaps = own.configmaps.replace(/namespaces\/[^/]+/, `namespaces/${name}`)
      await api.ok(api.post(configmaps, { metadata: { name: 'a', finalizers: ['example.com/wait'] } }))
      const answer = await api.delete(path)
      expect(answer).toMatchObject({
        status: 200,
        body: { kind: 'Namespace', status: { phase: 'Terminating' }, metadata: { deletionTimestamp: expect.any(String) } },
      })
      expect(await api.post(configmaps, { metadata: { name: 'b' } })).toMatchObject(
        refused(403, 'Forbidden', {
          message: `configmaps "b" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
          details: {
            name: 'b',
            kind: 'configmaps',
            causes: [{ reason: 'NamespaceTerminating', message: `namespace ${name} is being terminated`, field: 'metadata.namespace' }],
          },
        }),
      )
      await until('what is in it is to go', async () => (await api.get(`${configmaps}/a`)).body.metadata.deletionTimestamp !== undefined)
      expect((await api.get(path)).status).toBe(200)
      await api.ok(api.merge(`${configmaps}/a`, { metadata: { finalizers: null } }))
      await until('it is gone', async () => (await api.get(path)).status === 404)
      expect(await api.post(configmaps, { metadata: { name: 'b' } })).toMatchObject(refused(404, 'NotFound'))
    })

    test('of the system stays', async ({ api }) => {
      for (const name of ['default', 'kube-system', 'kube-public'])
        expect(await api.delete(`/api/v1/namespaces/${name}`)).toMatchObject(
          refused(403, 'Forbidden', { message: `namespaces "${name}" is forbidden: this namespace may not be deleted` }),
        )
    })

    test('gets an account and the trust of the cluster', async ({ api, at, until }) => {
      expect((await api.get(`${at.serviceaccounts}/default`)).status).toBe(200)
      const { data } = await until('the trust is there', async () => {
        const answer = await api.get(`${at.configmaps}/kube-root-ca.crt`)
        return answer.status === 200 && answer.body
      })
      expect(Object.keys(data)).toEqual(['ca.crt'])
    })
  })
}
