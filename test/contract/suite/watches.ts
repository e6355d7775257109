import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { refused } from './contract.ts'
import { defineThings } from './things.ts'

const SECOND = 1000

async function said({ until }: World, watching: { readonly events: readonly Tree[] }, count: number): Promise<void> {
  await until(`${count} events`, async () => watching.events.length >= count)
}

/** Watches: what they say, from when on, and how they end. */
export function watches(test: Contract): void {
  describe('watches', () => {
    test('say what happens after a moment, in order, each with the version of its write', async (world) => {
      const { api, at, watch } = world
      await api.ok(api.post(at.leases, { metadata: { name: 'a' } }))
      const { resourceVersion } = (await api.ok(api.get(at.leases))).metadata
      const watching = await watch(at.leases, { resourceVersion })
      await api.ok(api.post(at.leases, { metadata: { name: 'b' } }))
      const changed = await api.ok(api.merge(`${at.leases}/a`, { spec: { holderIdentity: 'x' } }))
      await api.ok(api.delete(`${at.leases}/a`))
      await said(world, watching, 3)
      expect(watching.said()).toEqual(['ADDED b', 'MODIFIED a', 'DELETED a'])
      expect(watching.events[0].object).toMatchObject({ kind: 'Lease', apiVersion: 'coordination.k8s.io/v1' })
      expect(watching.events[1].object).toEqual(changed)
      // The last state, but the version of the deletion.
      expect(watching.events[2].object.spec).toEqual({ holderIdentity: 'x' })
      expect(Number(watching.events[2].object.metadata.resourceVersion)).toBeGreaterThan(Number(changed.metadata.resourceVersion))
    })

    test('without a moment they begin with what is there', async (world) => {
      const { api, at, watch } = world
      for (const name of ['b', 'a']) await api.ok(api.post(at.leases, { metadata: { name } }))
      for (const query of [{}, { resourceVersion: '0' }]) {
        const watching = await watch(at.leases, query)
        await said(world, watching, 2)
        expect([...watching.said()].sort()).toEqual(['ADDED a', 'ADDED b'])
      }
    })

    test('resume after any write without loss or repetition', async (world) => {
      const { api, at, watch } = world
      const first = await api.ok(api.post(at.leases, { metadata: { name: 'a' } }))
      const second = await api.ok(api.post(at.leases, { metadata: { name: 'b' } }))
      await api.ok(api.post(at.leases, { metadata: { name: 'c' } }))
      const fromFirst = await watch(at.leases, { resourceVersion: first.metadata.resourceVersion })
      const fromSecond = await watch(at.leases, { resourceVersion: second.metadata.resourceVersion })
      await said(world, fromFirst, 2)
      await said(world, fromSecond, 1)
      expect(fromFirst.said()).toEqual(['ADDED b', 'ADDED c'])
      expect(fromSecond.said()).toEqual(['ADDED c'])
    })

    test('with a selection, entering it is ADDED and leaving it is DELETED', async (world) => {
      const { api, at, watch } = world
      await api.ok(api.post(at.leases, { metadata: { name: 'a' } }))
      const { resourceVersion } = (await api.ok(api.get(at.leases))).metadata
      const watching = await watch(at.leases, { resourceVersion, labelSelector: 'in=yes' })
      const label = (value: string | null) => api.ok(api.merge(`${at.leases}/a`, { metadata: { labels: { in: value } } }))
      await label('yes')
      await label('no')
      await label('yes')
      await api.ok(api.merge(`${at.leases}/a`, { spec: { holderIdentity: 'x' } }))
      const out = await label(null)
      await said(world, watching, 5)
      expect(watching.said()).toEqual(['ADDED a', 'DELETED a', 'ADDED a', 'MODIFIED a', 'DELETED a'])
      // It leaves as it last was in the selection, but for the version.
      expect(watching.events[4].object.metadata.labels).toEqual({ in: 'yes' })
      expect(watching.events[4].object.metadata.resourceVersion).toBe(out.metadata.resourceVersion)
      const one = await watch(at.leases, { fieldSelector: 'metadata.name=b' })
      await api.ok(api.post(at.leases, { metadata: { name: 'c' } }))
      await api.ok(api.post(at.leases, { metadata: { name: 'b' } }))
      await said(world, one, 1)
      expect(one.said()).toEqual(['ADDED b'])
    })

    test('of one object by its path are none: it is read', async ({ api, at, watch, until }) => {
      expect(await watch(`${at.leases}/a`)).toMatchObject(refused(404, 'NotFound'))
      const made = await api.ok(api.post(at.leases, { metadata: { name: 'a' } }))
      const watching = await watch(`${at.leases}/a`)
      await until('the end', async () => watching.end !== 'open')
      expect(watching.events).toEqual([made])
      expect(watching.end).toBe('closed')
    })

    test('a moment that is forgotten: the stream opens and says 410', async (world) => {
      const { api, at, watch, until } = world
      const { resourceVersion } = (await api.ok(api.get(at.leases))).metadata
      // Of a resource that did not exist then, the server remembers nothing so old.
      const { path } = await defineThings(world)
      const watching = await watch(path, { resourceVersion })
      expect(watching.status).toBe(200)
      await until('the end', async () => watching.end !== 'open')
      expect(watching.events).toMatchObject([
        {
          type: 'ERROR',
          object: {
            kind: 'Status',
            status: 'Failure',
            reason: 'Expired',
            code: 410,
            message: expect.stringMatching(new RegExp(`^too old resource version: ${resourceVersion} \\(\\d+\\)$`)),
          },
        },
      ])
      expect(watching.end).toBe('closed')
    })

    test('initial events end with a marked bookmark, whose version can be resumed from', async (world) => {
      const { api, at, watch, until } = world
      for (const name of ['a', 'b']) await api.ok(api.post(at.leases, { metadata: { name } }))
      const query = { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: 'true' }
      const watching = await watch(at.leases, query)
      const bookmark = await until('the bookmark', async () => watching.events.find((event) => event.type === 'BOOKMARK'))
      expect(watching.said().slice(0, 3)).toEqual(['ADDED a', 'ADDED b', 'BOOKMARK'])
      expect(bookmark.object).toMatchObject({
        kind: 'Lease',
        apiVersion: 'coordination.k8s.io/v1',
        metadata: { resourceVersion: expect.stringMatching(/^\d+$/), annotations: { 'k8s.io/initial-events-end': 'true' } },
      })
      await api.ok(api.post(at.leases, { metadata: { name: 'c' } }))
      const resumed = await watch(at.leases, { resourceVersion: bookmark.object.metadata.resourceVersion })
      await said(world, resumed, 1)
      expect(resumed.said()).toEqual(['ADDED c'])
    })

    test('who asks for initial events in the wrong way is refused', async ({ watch, at }) => {
      expect(await watch(at.leases, { sendInitialEvents: 'true' })).toMatchObject({ status: 422, body: { reason: 'Invalid' } })
      expect(await watch(at.leases, { sendInitialEvents: 'true', resourceVersionMatch: 'Exact', resourceVersion: '1' })).toMatchObject({
        status: 422,
      })
      expect(await watch(at.leases, { resourceVersionMatch: 'NotOlderThan', resourceVersion: '1' })).toMatchObject({ status: 422 })
      expect(await watch(at.leases, { labelSelector: 'a b' })).toMatchObject(refused(400, 'BadRequest'))
    })

    test('a quiet watch gets a bookmark before its time is over, then ends in order', async (world) => {
      const { api, at, watch, until, clock } = world
      await api.ok(api.post(at.leases, { metadata: { name: 'a' } }))
      const { resourceVersion } = (await api.ok(api.get(at.leases))).metadata
      const began = clock.mono()
      const watching = await watch(at.leases, { resourceVersion, allowWatchBookmarks: 'true', timeoutSeconds: '4' })
      await until('the end', async () => watching.end !== 'open')
      expect(watching.end).toBe('closed')
      expect(clock.mono() - began).toBeGreaterThanOrEqual(3.5 * SECOND)
      expect(watching.events.length).toBeGreaterThan(0)
      for (const { type, object } of watching.events) {
        expect(type).toBe('BOOKMARK')
        expect(Number(object.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(resourceVersion))
      }
    })
  })
}
