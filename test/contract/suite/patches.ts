import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { invalidAt, job, pod, refused } from './contract.ts'

async function configMap({ api, at }: World, data: object): Promise<string> {
  await api.ok(api.post(at.configmaps, { metadata: { name: 'a', labels: { a: '1', b: '2' } }, data }))
  return `${at.configmaps}/a`
}

/** The kinds of patches, apart from server-side apply. */
export function patches(test: Contract): void {
  describe('a merge patch', () => {
    test('sets, removes with null, replaces lists', async (world) => {
      const { api, at } = world
      const path = await configMap(world, { x: '1', y: '2' })
      const after = await api.ok(api.merge(path, { metadata: { labels: { a: null, c: '3' } }, data: { x: null, z: '3' } }))
      expect(after.metadata.labels).toEqual({ b: '2', c: '3' })
      expect(after.data).toEqual({ y: '2', z: '3' })
      await api.ok(
        api.post(at.pods, pod('p', 'sleep 600', { nodeSelector: { nowhere: 'x' } }, { finalizers: ['example.com/a', 'example.com/b'] })),
      )
      const listed = await api.ok(api.merge(`${at.pods}/p`, { metadata: { finalizers: ['example.com/b'] } }))
      expect(listed.metadata.finalizers).toEqual(['example.com/b'])
      await api.ok(api.merge(`${at.pods}/p`, { metadata: { finalizers: null } }))
      expect((await api.get(`${at.pods}/p`)).body.metadata.finalizers).toBeUndefined()
    })

    test('that is no object, or of the wrong types, is refused', async (world) => {
      const { api } = world
      const path = await configMap(world, {})
      expect((await api.merge(path, [])).status).toBe(400)
      expect(await api.merge(path, { data: 'x' })).toMatchObject(invalidAt('patch'))
      expect(await api.merge(path, { metadata: { labels: { a: 1 } } })).toMatchObject(invalidAt('patch'))
      expect(await api.strategic(path, { metadata: { labels: { a: 1 } } })).toMatchObject(invalidAt('patch'))
      expect(await api.merge(`${path}x`, {})).toMatchObject(refused(404, 'NotFound'))
    })
  })

  describe('a strategic merge patch', () => {
    const path = ({ at }: World): string => `${at.deployments}/d`
    const container = (name: string, image = 'busybox:1'): object => ({ name, image })
    async function deployment(world: World): Promise<void> {
      const labels = { app: 'd' }
      const spec = { containers: [container('a'), container('b')], tolerations: [{ key: 'x', operator: 'Exists' }] }
      const body = {
        metadata: { name: 'd' },
        spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      }
      await world.api.ok(world.api.post(world.at.deployments, body))
    }
    const patched = async (world: World, spec: object): Promise<Tree> =>
      (await world.api.ok(world.api.strategic(path(world), { spec: { template: { spec } } }))).spec.template.spec
    const images = (spec: Tree): readonly string[] => spec.containers.map((each: Tree) => `${each.name} ${each.image}`)

    test('merges lists by their keys and replaces those that have none', async (world) => {
      await deployment(world)
      const spec = await patched(world, {
        containers: [container('b', 'busybox:2'), container('c')],
        tolerations: [{ key: 'y', operator: 'Exists' }],
      })
      // What the patch names comes in its order; what it does not name keeps its place.
      expect([...images(spec)].sort()).toEqual(['a busybox:1', 'b busybox:2', 'c busybox:1'])
      expect(spec.tolerations).toEqual([{ key: 'y', operator: 'Exists' }])
    })

    test('deletes an item, and replaces a list or map as a whole', async (world) => {
      await deployment(world)
      expect(images(await patched(world, { containers: [{ name: 'a', $patch: 'delete' }] }))).toEqual(['b busybox:1'])
      expect(images(await patched(world, { containers: [{ $patch: 'replace' }, container('z')] }))).toEqual(['z busybox:1'])
      await patched(world, { nodeSelector: { a: '1', b: '2' } })
      expect((await patched(world, { nodeSelector: { $patch: 'replace', c: '3' } })).nodeSelector).toEqual({ c: '3' })
      expect((await patched(world, { nodeSelector: null })).nodeSelector).toBeUndefined()
    })

    test('sets of scalars: added to, and taken from', async ({ api, at }) => {
      const finalizers = ['example.com/a', 'example.com/b']
      await api.ok(api.post(at.configmaps, { metadata: { name: 'a', finalizers } }))
      const one = `${at.configmaps}/a`
      const more = await api.ok(api.strategic(one, { metadata: { finalizers: ['example.com/c'] } }))
      expect((more.metadata.finalizers as string[]).toSorted()).toEqual([...finalizers, 'example.com/c'])
      const less = await api.ok(api.strategic(one, { metadata: { '$deleteFromPrimitiveList/finalizers': finalizers } }))
      expect(less.metadata.finalizers).toEqual(['example.com/c'])
      await api.ok(api.merge(one, { metadata: { finalizers: null } }))
    })

    test('taints of a Node are one list', async ({ api, nodes }) => {
      const node = `/api/v1/nodes/${nodes[1]}`
      const before = (await api.ok(api.get(node))).spec.taints
      const taint = (key: string): object => ({ key, value: 'x', effect: 'PreferNoSchedule' })
      await api.ok(api.strategic(node, { spec: { taints: [taint('a')] } }))
      expect((await api.ok(api.strategic(node, { spec: { taints: [taint('b')] } }))).spec.taints).toMatchObject([{ key: 'b' }])
      expect(await api.strategic(node, { spec: { taints: [taint('b'), taint('b')] } })).toMatchObject(
        refused(422, 'Invalid', { message: expect.stringContaining('taints must be unique by key and effect pair') }),
      )
      await api.ok(api.strategic(node, { spec: { taints: before ?? null } }))
    })

    test('does not exist for custom resources', async ({ api }) => {
      // The definition itself is a built-in type and takes one.
      expect(await api.strategic('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/none.example.com', {})).toMatchObject(
        refused(404, 'NotFound'),
      )
    })
  })

  describe('a JSON patch', () => {
    test('does its operations in order, all or none', async (world) => {
      const { api } = world
      const path = await configMap(world, { x: '1' })
      const after = await api.ok(
        api.json(path, [
          { op: 'test', path: '/data/x', value: '1' },
          { op: 'add', path: '/data/y', value: '2' },
          { op: 'replace', path: '/data/x', value: '3' },
          { op: 'copy', from: '/data/x', path: '/data/z' },
          { op: 'move', from: '/data/y', path: '/data/w' },
          { op: 'remove', path: '/metadata/labels/a' },
        ]),
      )
      expect(after.data).toEqual({ x: '3', z: '3', w: '2' })
      expect(after.metadata.labels).toEqual({ b: '2' })
      const failing = await api.json(path, [
        { op: 'replace', path: '/data/x', value: '4' },
        { op: 'test', path: '/data/w', value: 'other' },
      ])
      expect(failing).toMatchObject(refused(422, 'Invalid', { message: 'the server rejected our request due to an error in our request' }))
      expect((await api.get(path)).body.data.x).toBe('3')
    })

    test('a test of what is not there passes only for null', async (world) => {
      const { api } = world
      const path = await configMap(world, { x: '1' })
      expect((await api.json(path, [{ op: 'test', path: '/data/none', value: 'x' }])).status).toBe(422)
      expect((await api.json(path, [{ op: 'test', path: '/data/none', value: null }])).status).toBe(200)
      expect((await api.json(path, [{ op: 'test', path: '/metadata/annotations', value: null }])).status).toBe(200)
    })

    test('keys with slashes, indexes, and the place after the last', async (world) => {
      const { api, at } = world
      await api.ok(
        api.post(at.configmaps, { metadata: { name: 'a', annotations: { 'example.com/x': '1' }, finalizers: ['example.com/b'] } }),
      )
      const path = `${at.configmaps}/a`
      const after = await api.ok(
        api.json(path, [
          { op: 'test', path: '/metadata/annotations/example.com~1x', value: '1' },
          { op: 'replace', path: '/metadata/annotations/example.com~1x', value: '2' },
          { op: 'add', path: '/metadata/finalizers/0', value: 'example.com/a' },
          { op: 'add', path: '/metadata/finalizers/-', value: 'example.com/c' },
        ]),
      )
      expect(after.metadata.annotations).toEqual({ 'example.com/x': '2' })
      expect(after.metadata.finalizers).toEqual(['example.com/a', 'example.com/b', 'example.com/c'])
      await api.ok(api.json(path, [{ op: 'remove', path: '/metadata/finalizers' }]))
    })

    test('operations that do not apply', async (world) => {
      const { api } = world
      const path = await configMap(world, { x: '1' })
      const wrong = [
        { op: 'remove', path: '/data/none' },
        { op: 'add', path: '/none/there', value: '1' },
        { op: 'add', path: '/metadata/annotations/a', value: '1' },
        { op: 'add', path: '/data/x/y', value: '1' },
      ]
      for (const operation of wrong)
        expect([operation, await api.json(path, [operation])]).toMatchObject([operation, refused(422, 'Invalid')])
      expect((await api.json(path, { op: 'test' })).status).toBe(400)
      // RFC 6902 says otherwise; the server takes it for an addition.
      expect((await api.ok(api.json(path, [{ op: 'replace', path: '/data/none', value: '1' }]))).data.none).toBe('1')
      expect((await api.json(path, [{ op: 'nope', path: '/data/x' }])).status).toBe(422)
      // A precondition on the version, as compare-and-swap.
      const { resourceVersion } = (await api.get(path)).body.metadata
      const swap = (version: string) =>
        api.json(path, [
          { op: 'test', path: '/metadata/resourceVersion', value: version },
          { op: 'replace', path: '/data/x', value: version },
        ])
      expect((await swap(resourceVersion)).status).toBe(200)
      expect((await swap(resourceVersion)).status).toBe(422)
      expect(await api.json(path, [{ op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion }])).toMatchObject(
        refused(409, 'Conflict'),
      )
    })

    test('raises the parallelism of a Job by its uid', async ({ api, at }) => {
      const made = await api.ok(api.post(at.jobs, job('j', 'sleep 600', { parallelism: 0, completions: 1 })))
      const raise = (uid: string) =>
        api.json(`${at.jobs}/j`, [
          { op: 'test', path: '/metadata/uid', value: uid },
          { op: 'replace', path: '/spec/parallelism', value: 1 },
        ])
      expect((await raise('other')).status).toBe(422)
      expect((await api.ok(raise(made.metadata.uid))).spec.parallelism).toBe(1)
    })
  })
}
