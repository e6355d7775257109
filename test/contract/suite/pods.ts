import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { invalidAt, pod, refused, script } from './contract.ts'

const phase = ({ api, at, until }: World, name: string, wanted: string): Promise<Tree> =>
  until(`${name} is ${wanted}`, async () => {
    const { body } = await api.get(`${at.pods}/${name}`)
    return body.status?.phase === wanted && body
  })

const log = async ({ api, at }: World, name: string, query: Readonly<Record<string, string>> = {}): Promise<string> =>
  api.ok(api.get(`${at.pods}/${name}/log`, query))

/** Pods: their defaults, their life on a node, their end, what they said. */
export function pods(test: Contract): void {
  describe('a pod', () => {
    test('gets what the server and its admission fill in', async (world) => {
      const { api, at } = world
      const made = await api.ok(
        api.post(at.pods, {
          metadata: { name: 'a' },
          spec: {
            containers: [
              { name: 'c', image: 'registry.example/app' },
              { name: 'd', image: 'registry.example:5000/app:1' },
            ],
          },
        }),
      )
      expect(made.spec).toMatchObject({
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 30,
        dnsPolicy: 'ClusterFirst',
        securityContext: {},
        schedulerName: 'default-scheduler',
        serviceAccountName: 'default',
        serviceAccount: 'default',
        enableServiceLinks: true,
        preemptionPolicy: 'PreemptLowerPriority',
        priority: 0,
        tolerations: [
          { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
          { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
        ],
      })
      expect(made.spec.containers.map((each: Tree) => each.imagePullPolicy)).toEqual(['Always', 'IfNotPresent'])
      expect(made.spec.containers[0]).toMatchObject({
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        resources: {},
      })
      expect(made.status).toMatchObject({ phase: 'Pending', qosClass: 'BestEffort' })
      // The account's token comes as a volume.
      const [mount] = made.spec.containers[0].volumeMounts
      expect(mount).toMatchObject({ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true })
      expect(made.spec.volumes.map((each: Tree) => each.name)).toEqual([mount.name])
    })

    test('without a token when it or its account says so', async ({ api, at }) => {
      const made = await api.ok(api.post(at.pods, pod('a', 'exit 0', { automountServiceAccountToken: false })))
      expect(made.spec.volumes).toBeUndefined()
      expect(made.spec.containers[0].volumeMounts).toBeUndefined()
    })

    test('has a generation that counts changes of its spec', async ({ api, at }) => {
      const made = await api.ok(api.post(at.pods, pod('a', 'sleep 600', { nodeSelector: { nowhere: 'x' } })))
      expect(made.metadata.generation).toBe(1)
      const changed = await api.ok(api.merge(`${at.pods}/a`, { spec: { activeDeadlineSeconds: 600 } }))
      expect(changed.metadata.generation).toBe(2)
      expect((await api.ok(api.merge(`${at.pods}/a`, { metadata: { labels: { a: 'b' } } }))).metadata.generation).toBe(2)
    })

    test('may not change but for its images and a few more', async ({ api, at }) => {
      await api.ok(api.post(at.pods, pod('a', 'sleep 600', { nodeSelector: { nowhere: 'x' } })))
      const path = `${at.pods}/a`
      expect(await api.merge(path, { spec: { hostNetwork: true } })).toMatchObject(
        refused(422, 'Invalid', {
          message: expect.stringContaining('Forbidden: pod updates may not change fields other than `spec.containers[*].image`'),
          details: { causes: [{ reason: 'FieldValueForbidden', field: 'spec' }] },
        }),
      )
      expect((await api.strategic(path, { spec: { containers: [{ name: 'main', image: 'busybox:2' }] } })).status).toBe(200)
      const tolerations = [...(await api.get(path)).body.spec.tolerations, { key: 'a', operator: 'Exists' }]
      expect((await api.merge(path, { spec: { tolerations } })).status).toBe(200)
      expect((await api.merge(path, { spec: { tolerations: [] } })).status).toBe(422)
    })

    test('that is wrong is refused', async ({ api, at }) => {
      const post = (spec: object) => api.post(at.pods, pod('a', 'exit 0', spec))
      expect(await post({ containers: [] })).toMatchObject(invalidAt('spec.containers'))
      expect(await post({ containers: [script('x'), script('x')] })).toMatchObject(invalidAt('spec.containers[1].name'))
      expect(await post({ restartPolicy: 'Sometimes' })).toMatchObject(invalidAt('spec.restartPolicy'))
      expect(await post({ terminationGracePeriodSeconds: -1, activeDeadlineSeconds: 0 })).toMatchObject(refused(422, 'Invalid'))
      expect(await post({ tolerations: [{ key: 'a', operator: 'Exists', value: 'b' }] })).toMatchObject(
        invalidAt('spec.tolerations[0].operator'),
      )
      expect(await post({ tolerations: [{ key: 'a', operator: 'Exists', effect: 'Whenever' }] })).toMatchObject(
        invalidAt('spec.tolerations[0].effect'),
      )
      expect(await post({ volumes: [{ name: 'V', emptyDir: {} }] })).toMatchObject(invalidAt('spec.volumes[0].name'))
    })

    test('runs on a node and ends', async (world) => {
      const { api, at, nodes } = world
      await api.ok(api.post(at.pods, pod('a', 'echo one; echo two; exit 0')))
      const done = await phase(world, 'a', 'Succeeded')
      expect(nodes).toContain(done.spec.nodeName)
      expect(done.status.containerStatuses).toMatchObject([
        { name: 'main', ready: false, restartCount: 0, state: { terminated: { exitCode: 0, reason: 'Completed' } } },
      ])
      expect(await log(world, 'a')).toBe('one\ntwo\n')
      expect(await log(world, 'a', { tailLines: '1' })).toBe('two\n')
      expect(await log(world, 'a', { container: 'main' })).toBe('one\ntwo\n')
      await api.ok(api.post(at.pods, pod('b', 'echo bad; exit 3')))
      expect((await phase(world, 'b', 'Failed')).status.containerStatuses).toMatchObject([
        { state: { terminated: { exitCode: 3, reason: 'Error' } } },
      ])
    })

    test('has a log that can be asked for in vain', async (world) => {
      const { api, at } = world
      await api.ok(api.post(at.pods, pod('waits', 'exit 0', { nodeSelector: { nowhere: 'x' } })))
      await api.ok(
        api.post(
          at.pods,
          pod('two', 'exit 0', { nodeSelector: { nowhere: 'x' }, containers: [script('x'), script('y', { name: 'other' })] }),
        ),
      )
      expect(await api.get(`${at.pods}/none/log`)).toMatchObject(refused(404, 'NotFound', { message: 'pods "none" not found' }))
      expect(await api.get(`${at.pods}/two/log`)).toMatchObject(
        refused(400, 'BadRequest', { message: 'a container name must be specified for pod two, choose one of: [main other]' }),
      )
      expect(await api.get(`${at.pods}/waits/log`, { container: 'x' })).toMatchObject(
        refused(400, 'BadRequest', { message: 'container x is not valid for pod waits' }),
      )
      expect(await api.get(`${at.pods}/waits/log`, { tailLines: '-1' })).toMatchObject(refused(422, 'Invalid'))
      // Without a node there is nobody to ask.
      expect(await api.get(`${at.pods}/waits/log`)).toMatchObject({ status: 204, body: '' })
    })

    test('that is deleted says so until its kubelet lets it go', async (world) => {
      const { api, at, until, watch } = world
      await api.ok(api.post(at.pods, pod('a', 'sleep 600', { terminationGracePeriodSeconds: 7 })))
      await phase(world, 'a', 'Running')
      const watching = await watch(at.pods, {
        fieldSelector: 'metadata.name=a',
        resourceVersion: (await api.get(at.pods)).body.metadata.resourceVersion,
      })
      const answer = await api.delete(`${at.pods}/a`)
      expect(answer.status).toBe(200)
      expect(answer.body).toMatchObject({ kind: 'Pod', metadata: { deletionGracePeriodSeconds: 7, deletionTimestamp: expect.any(String) } })
      await until('it is gone', async () => (await api.get(`${at.pods}/a`)).status === 404)
      await until('the watch says so', async () => watching.said().at(-1) === 'DELETED a')
      const marked = watching.events.find((event) => event.object.metadata.deletionTimestamp !== undefined)
      expect(marked).toMatchObject({ type: 'MODIFIED', object: { metadata: { deletionGracePeriodSeconds: 7 } } })
    })

    test('that is bound nowhere goes at once; grace 0 needs no kubelet', async (world) => {
      const { api, at } = world
      await api.ok(api.post(at.pods, pod('free', 'sleep 600', { nodeSelector: { nowhere: 'x' } })))
      expect(await api.delete(`${at.pods}/free`)).toMatchObject({ status: 200, body: { kind: 'Pod', metadata: { name: 'free' } } })
      expect((await api.get(`${at.pods}/free`)).status).toBe(404)
      await api.ok(api.post(at.pods, pod('a', 'sleep 600')))
      await phase(world, 'a', 'Running')
      const now = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0 }
      expect((await api.delete(`${at.pods}/a`, now)).status).toBe(200)
      expect((await api.get(`${at.pods}/a`)).status).toBe(404)
      expect(await api.delete(`${at.pods}/a`)).toMatchObject(refused(404, 'NotFound'))
    })

    test('bound by its creator to a node ignores that the node is cordoned', async (world) => {
      const { api, at, nodes } = world
      const path = `/api/v1/nodes/${nodes[1]}`
      await api.ok(api.merge(path, { spec: { unschedulable: true } }))
      await api.ok(api.post(at.pods, pod('a', 'exit 0', { nodeName: nodes[1] })))
      await phase(world, 'a', 'Succeeded')
      await api.ok(api.merge(path, { spec: { unschedulable: null } }))
    })

    test('is bound once', async (world) => {
      const { api, at, nodes } = world
      await api.ok(api.post(at.pods, pod('a', 'exit 0', { schedulerName: 'nobody' })))
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'a' },
        target: { apiVersion: 'v1', kind: 'Node', name: nodes[0] },
      }
      expect(await api.post(`${at.pods}/a/binding`, binding)).toMatchObject({ status: 201, body: { kind: 'Status', status: 'Success' } })
      expect(await api.post(`${at.pods}/a/binding`, binding)).toMatchObject(
        refused(409, 'Conflict', {
          message: `Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "${nodes[0]}"`,
        }),
      )
      await phase(world, 'a', 'Succeeded')
    })

    test('of a command that does not exist has pulled its image', async (world) => {
      const { api, at } = world
      const command = ['/drover-pull-only']
      await api.ok(api.post(at.pods, pod('pull', '', { containers: [{ name: 'main', image: 'busybox:1', command }] })))
      const pulled = await phase(world, 'pull', 'Failed')
      expect(pulled.status.containerStatuses[0]).toMatchObject({
        imageID: expect.stringMatching(/./),
        state: { terminated: { exitCode: 128, reason: 'StartError' } },
      })
    })
  })
}
