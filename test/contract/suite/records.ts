import { describe, expect } from '@jest/globals'
import type { Contract } from './contract.ts'
import { invalidAt, refused } from './contract.ts'

/** Leases and Events: what leaders and reporters write. */
export function records(test: Contract): void {
  describe('a Lease', () => {
    const time = '2026-01-02T03:04:05.678901Z'
    const held = (holderIdentity: string, more: object = {}): object => ({
      holderIdentity,
      leaseDurationSeconds: 15,
      acquireTime: time,
      renewTime: time,
      leaseTransitions: 0,
      ...more,
    })

    test('keeps microseconds, and is taken by whoever saw its last version', async ({ api, at }) => {
      const made = await api.ok(api.post(at.leases, { metadata: { name: 'l' }, spec: held('one') }))
      expect(made.spec).toEqual(held('one'))
      const path = `${at.leases}/l`
      const take = (holder: string) => api.put(path, { ...made, spec: held(holder, { leaseTransitions: 1 }) })
      const answers = await Promise.all([take('two'), take('three')])
      // Both saw the same version: one wins.
      expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, 409])
      const winner = answers.find((answer) => answer.status === 200)
      expect((await api.ok(api.get(path))).spec).toEqual(winner?.body.spec)
      expect(answers.find((answer) => answer.status === 409)).toMatchObject(
        refused(409, 'Conflict', {
          message:
            'Operation cannot be fulfilled on leases.coordination.k8s.io "l": the object has been modified; please apply your changes to the latest version and try again',
          details: { name: 'l', group: 'coordination.k8s.io', kind: 'leases' },
        }),
      )
    })

    test('by patch with the version as precondition', async ({ api, at }) => {
      const { metadata } = await api.ok(api.post(at.leases, { metadata: { name: 'l' }, spec: held('one') }))
      const renew = () =>
        api.merge(`${at.leases}/l`, {
          metadata: { resourceVersion: metadata.resourceVersion },
          spec: { renewTime: '2026-01-02T03:04:06.000000Z' },
        })
      expect((await api.ok(renew())).spec.renewTime).toBe('2026-01-02T03:04:06.000000Z')
      expect((await renew()).status).toBe(409)
    })

    test('two creations of one name: one wins', async ({ api, at }) => {
      const make = (holder: string) => api.post(at.leases, { metadata: { name: 'l' }, spec: held(holder) })
      const answers = await Promise.all([make('one'), make('two'), make('three')])
      expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([201, 409, 409])
    })

    test('is checked', async ({ api, at }) => {
      const post = (spec: object) => api.post(at.leases, { metadata: { name: 'l' }, spec })
      expect(await post({ leaseDurationSeconds: 0 })).toMatchObject(invalidAt('spec.leaseDurationSeconds'))
      expect(await post({ leaseTransitions: -1 })).toMatchObject(invalidAt('spec.leaseTransitions'))
      expect(await post({ renewTime: 'noon' })).toMatchObject(refused(400, 'BadRequest'))
      expect(await post({ renewTime: '2026-01-02T03:04:05Z' })).toMatchObject(refused(400, 'BadRequest'))
    })
  })

  describe('a Secret', () => {
    test('takes text and keeps bytes; its type stays, and all of it when it is immutable', async ({ api, at }) => {
      const made = await api.ok(api.post(at.secrets, { metadata: { name: 's' }, stringData: { a: 'text' }, data: { b: 'Yg==' } }))
      expect(made).toMatchObject({ type: 'Opaque', data: { a: 'dGV4dA==', b: 'Yg==' } })
      expect(made.stringData).toBeUndefined()
      const path = `${at.secrets}/s`
      expect(await api.post(at.secrets, { metadata: { name: 't' }, data: { a: 'no bytes' } })).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.merge(path, { type: 'example.com/other' })).toMatchObject(invalidAt('type'))
      await api.ok(api.merge(path, { immutable: true }))
      expect(await api.merge(path, { data: { a: 'Yg==' } })).toMatchObject(invalidAt('data'))
      expect(await api.merge(path, { immutable: false })).toMatchObject(invalidAt('immutable'))
      expect((await api.merge(path, { metadata: { labels: { a: 'b' } } })).status).toBe(200)
    })
  })

  describe('an Event', () => {
    const event = (namespace: string, more: object = {}): object => ({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e' },
      involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace },
      reason: 'Tried',
      message: 'once',
      type: 'Normal',
      source: { component: 'contract' },
      firstTimestamp: '2026-01-02T03:04:05Z',
      lastTimestamp: '2026-01-02T03:04:05Z',
      count: 1,
      ...more,
    })

    test('is made once and counted up', async ({ api, at, namespace }) => {
      const made = await api.ok(api.post(at.events, event(namespace)))
      expect(made).toMatchObject({ reason: 'Tried', count: 1, type: 'Normal', source: { component: 'contract' } })
      const counted = await api.ok(api.merge(`${at.events}/e`, { count: 2, lastTimestamp: '2026-01-02T03:05:05Z', message: 'twice' }))
      expect(counted).toMatchObject({ count: 2, message: 'twice', firstTimestamp: '2026-01-02T03:04:05Z' })
      const strategic = await api.ok(api.strategic(`${at.events}/e`, { count: 3 }))
      expect(strategic.count).toBe(3)
      const found = await api.ok(api.get(at.events, { fieldSelector: 'involvedObject.name=a,reason=Tried,type=Normal' }))
      expect(found.items).toHaveLength(1)
      expect((await api.ok(api.get(at.events, { fieldSelector: 'involvedObject.kind=Pod' }))).items).toHaveLength(0)
      expect(await api.merge(`${at.events}/gone`, { count: 4 })).toMatchObject(
        refused(404, 'NotFound', { message: 'events "gone" not found' }),
      )
    })

    test('stands in the namespace of what it is about; about the cluster, in default', async ({ api, at, namespace, unique }) => {
      expect(await api.post(at.events, event('elsewhere'))).toMatchObject(invalidAt('involvedObject.namespace'))
      const about = { apiVersion: 'v1', kind: 'Node', name: 'n' }
      expect(await api.post(at.events, event(namespace, { involvedObject: about }))).toMatchObject(invalidAt('involvedObject.namespace'))
      const inDefault = event('default', { metadata: { name: unique('e') }, involvedObject: about })
      expect((await api.post('/api/v1/namespaces/default/events', inDefault)).status).toBe(201)
    })
  })
}
