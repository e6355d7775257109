import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { pod, refused } from './contract.ts'

const namesOf = (list: Tree): readonly string[] => list.items.map((item: Tree) => item.metadata.name)

async function configMaps({ api, at }: World, count: number): Promise<void> {
  for (let index = 0; index < count; index++)
    await api.ok(api.post(at.configmaps, { metadata: { name: `c${index}`, labels: { parity: index % 2 === 0 ? 'even' : 'odd' } } }))
}

/** Lists: pages, selectors, moments in time. */
export function lists(test: Contract): void {
  describe('lists', () => {
    test('have a moment, and items without kind and version', async (world) => {
      const { api, at } = world
      await configMaps(world, 2)
      const list = await api.ok(api.get(at.configmaps, { labelSelector: 'parity' }))
      expect(list).toMatchObject({ kind: 'ConfigMapList', apiVersion: 'v1' })
      expect(namesOf(list)).toEqual(['c0', 'c1'])
      expect(Object.keys(list.items[0])).not.toContain('kind')
      expect(Object.keys(list.items[0])).not.toContain('apiVersion')
      expect(Number(list.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(list.items[1].metadata.resourceVersion))
      expect(await api.ok(api.get(at.leases))).toMatchObject({ kind: 'LeaseList', items: [] })
    })

    test('pages show one moment, whatever is written meanwhile', async (world) => {
      const { api, at } = world
      await configMaps(world, 5)
      const query = { labelSelector: 'parity', limit: '2' }
      const first = await api.ok(api.get(at.configmaps, query))
      expect(namesOf(first)).toEqual(['c0', 'c1'])
      // With a selector the server does not count what is left.
      expect(first.metadata.remainingItemCount).toBeUndefined()
      await api.ok(api.delete(`${at.configmaps}/c2`))
      await api.ok(api.post(at.configmaps, { metadata: { name: 'c9', labels: { parity: 'odd' } } }))
      const second = await api.ok(api.get(at.configmaps, { ...query, continue: first.metadata.continue }))
      expect(namesOf(second)).toEqual(['c2', 'c3'])
      expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
      const third = await api.ok(api.get(at.configmaps, { ...query, continue: second.metadata.continue }))
      expect(namesOf(third)).toEqual(['c4'])
      expect(third.metadata.continue).toBeUndefined()
      expect(third.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    })

    test('without a selector the first page says how many are left', async (world) => {
      const { api, at } = world
      for (const name of ['a', 'b', 'c', 'd']) await api.ok(api.post(at.leases, { metadata: { name } }))
      const page = await api.ok(api.get(at.leases, { limit: '3' }))
      expect(page.metadata).toMatchObject({ remainingItemCount: 1, continue: expect.any(String) })
      const exact = await api.ok(api.get(at.leases, { limit: '4' }))
      expect(exact.metadata.continue).toBeUndefined()
      expect(exact.metadata.remainingItemCount).toBeUndefined()
    })

    test('a limit counts what was selected, not what was looked at', async (world) => {
      const { api, at } = world
      await configMaps(world, 6)
      const query = { labelSelector: 'parity=odd', limit: '2' }
      const first = await api.ok(api.get(at.configmaps, query))
      expect(namesOf(first)).toEqual(['c1', 'c3'])
      const second = await api.ok(api.get(at.configmaps, { ...query, continue: first.metadata.continue }))
      expect(namesOf(second)).toEqual(['c5'])
      expect(second.metadata.continue).toBeUndefined()
      const byName = await api.ok(api.get(at.configmaps, { fieldSelector: 'metadata.name=c4', limit: '1' }))
      expect(namesOf(byName)).toEqual(['c4'])
      expect(byName.metadata.continue).toBeUndefined()
    })

    test('label selectors', async (world) => {
      const { api, at } = world
      await configMaps(world, 4)
      await api.ok(api.post(at.configmaps, { metadata: { name: 'plain' } }))
      const select = async (labelSelector: string): Promise<readonly string[]> =>
        namesOf(await api.ok(api.get(at.configmaps, { labelSelector }))).filter((name) => name !== 'kube-root-ca.crt')
      expect(await select('parity=even')).toEqual(['c0', 'c2'])
      expect(await select('parity==even')).toEqual(['c0', 'c2'])
      expect(await select('parity!=even')).toEqual(['c1', 'c3', 'plain'])
      expect(await select('parity in (even, odd)')).toEqual(['c0', 'c1', 'c2', 'c3'])
      expect(await select('parity notin (even)')).toEqual(['c1', 'c3', 'plain'])
      expect(await select('!parity')).toEqual(['plain'])
      expect(await select('parity,parity!=odd')).toEqual(['c0', 'c2'])
      expect(await select('parity=')).toEqual([])
      for (const wrong of ['a b', 'a in b', '=x', 'a=b=c', 'a=%', 'a in ()x', '-a'])
        expect([wrong, await api.get(at.configmaps, { labelSelector: wrong })]).toMatchObject([wrong, refused(400, 'BadRequest')])
    })

    test('field selectors', async ({ api, at, nodes, namespace }) => {
      await api.ok(api.post(at.pods, pod('bound', 'sleep 600', { nodeName: nodes[0] })))
      await api.ok(api.post(at.pods, pod('free', 'sleep 600', { nodeSelector: { nowhere: 'x' } })))
      const select = async (fieldSelector: string): Promise<readonly string[]> => namesOf(await api.ok(api.get(at.pods, { fieldSelector })))
      expect(await select(`spec.nodeName=${nodes[0]}`)).toEqual(['bound'])
      expect(await select('spec.nodeName=')).toEqual(['free'])
      expect(await select(`spec.nodeName!=${nodes[0]}`)).toEqual(['free'])
      expect(await select('metadata.name=free,status.phase=Pending')).toEqual(['free'])
      expect(await select('metadata.name==free')).toEqual(['free'])
      const everywhere = await api.ok(api.get('/api/v1/pods', { fieldSelector: `metadata.namespace=${namespace}` }))
      expect(namesOf(everywhere)).toEqual(['bound', 'free'])
      expect(namesOf(await api.ok(api.get('/api/v1/nodes', { fieldSelector: 'spec.unschedulable=false' })))).toEqual(
        expect.arrayContaining([...nodes]),
      )
      expect(await api.get(at.pods, { fieldSelector: 'spec.hostname=x' })).toMatchObject(
        refused(400, 'BadRequest', { message: 'field label not supported: spec.hostname' }),
      )
      expect(await api.get(at.pods, { fieldSelector: 'nonsense' })).toMatchObject(refused(400, 'BadRequest'))
      // Without the API's own kinds, only name and namespace can be asked for.
      expect(await api.get(at.leases, { fieldSelector: 'spec.holderIdentity=x' })).toMatchObject(refused(400, 'BadRequest'))
    })

    test('queries that make no sense', async ({ api, at }) => {
      expect(await api.get(at.pods, { limit: 'x' })).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.get(at.pods, { resourceVersion: 'x' })).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.get(at.pods, { continue: 'x' })).toMatchObject(refused(400, 'BadRequest'))
      const listOptions = (field: string): object =>
        refused(422, 'Invalid', { details: { group: 'meta.k8s.io', kind: 'ListOptions', causes: [{ field }] } })
      expect(await api.get(at.pods, { resourceVersionMatch: 'Exact' })).toMatchObject(listOptions('resourceVersionMatch'))
      expect(await api.get(at.pods, { resourceVersionMatch: 'Near', resourceVersion: '1' })).toMatchObject(
        listOptions('resourceVersionMatch'),
      )
      expect(await api.get(at.pods, { resourceVersionMatch: 'Exact', resourceVersion: '0' })).toMatchObject(
        listOptions('resourceVersionMatch'),
      )
    })

    test('a moment of the past, of the present, of the future', async (world) => {
      const { api, at } = world
      await configMaps(world, 1)
      const then = (await api.ok(api.get(at.configmaps))).metadata.resourceVersion
      await api.ok(api.post(at.configmaps, { metadata: { name: 'later' } }))
      const past = await api.ok(api.get(at.configmaps, { resourceVersion: then, resourceVersionMatch: 'Exact' }))
      expect(namesOf(past)).not.toContain('later')
      expect(past.metadata.resourceVersion).toBe(then)
      const notOlder = await api.ok(api.get(at.configmaps, { resourceVersion: then, resourceVersionMatch: 'NotOlderThan' }))
      expect(Number(notOlder.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(then))
      expect(namesOf(await api.ok(api.get(at.configmaps)))).toContain('later')
      const future = String(Number(then) + 1_000_000)
      expect(await api.get(at.configmaps, { resourceVersion: future })).toMatchObject(
        refused(504, 'Timeout', {
          message: expect.stringMatching(`^Timeout: Too large resource version: ${future}, current: \\d+$`),
          details: { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }], retryAfterSeconds: 1 },
        }),
      )
      expect(await api.get(`${at.configmaps}/c0`, { resourceVersion: future })).toMatchObject(refused(504, 'Timeout'))
      expect(await api.get(`${at.configmaps}/c0`, { resourceVersion: '0' })).toMatchObject({ status: 200 })
    })

    test('a page whose moment is forgotten: 410, with a token to read on from the present', async (world) => {
      const { api, at, server, until } = world
      await configMaps(world, 5)
      const query = { labelSelector: 'parity', limit: '2' }
      const first = await api.ok(api.get(at.configmaps, query))
      await api.ok(api.delete(`${at.configmaps}/c2`))
      server.forget()
      const expired = await until('the token expires', async () => {
        const answer = await api.get(at.configmaps, { ...query, continue: first.metadata.continue })
        return answer.status !== 200 && answer
      })
      expect(expired).toMatchObject(
        refused(410, 'Expired', {
          message:
            'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
          metadata: { continue: expect.any(String) },
        }),
      )
      const rest = await api.ok(api.get(at.configmaps, { ...query, continue: expired.body.metadata.continue }))
      expect(namesOf(rest)).toEqual(['c3', 'c4'])
      expect(rest.metadata.resourceVersion).not.toBe(first.metadata.resourceVersion)
      const exact = { resourceVersion: first.metadata.resourceVersion, resourceVersionMatch: 'Exact' }
      expect(await api.get(at.configmaps, exact)).toMatchObject(
        refused(410, 'Expired', { message: 'The resourceVersion for the provided list is too old.' }),
      )
    })
  })
}
