import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { invalidAt, pod, refused } from './contract.ts'

const pathOf = (name: string): string => `/api/v1/nodes/${name}`
const ready = (node: Tree): Tree => node.status.conditions.find((each: Tree) => each.type === 'Ready')
const taintsOf = (node: Tree): readonly string[] => (node.spec.taints ?? []).map((taint: Tree) => `${taint.key}:${taint.effect}`).toSorted()

const until = ({ api, until: ask }: World, what: string, name: string, holds: (node: Tree) => boolean): Promise<Tree> =>
  ask(what, async () => {
    const { body } = await api.get(pathOf(name))
    return holds(body) && body
  })

/** Nodes: cordons, taints, silence. */
export function nodes(test: Contract): void {
  describe('a Node', () => {
    test('that is cordoned is tainted, takes no pods, and loses the taint with the cordon', async (world) => {
      const { api, at, nodes: names } = world
      const name = names[1]
      await api.ok(api.merge(pathOf(name), { spec: { unschedulable: true } }))
      const cordoned = await until(world, 'the taint is there', name, (node) => taintsOf(node).length > 0)
      expect(taintsOf(cordoned)).toEqual(['node.kubernetes.io/unschedulable:NoSchedule'])
      expect(cordoned.spec.taints[0].timeAdded).toEqual(expect.any(String))
      const pinned = { nodeSelector: { 'kubernetes.io/hostname': name } }
      await api.ok(api.post(at.pods, pod('waits', 'exit 0', pinned)))
      const tolerations = [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' }]
      await api.ok(api.post(at.pods, pod('bears', 'exit 0', { ...pinned, tolerations })))
      await world.until('the one that bears it runs', async () => (await api.get(`${at.pods}/bears`)).body.status.phase === 'Succeeded')
      const waits = await api.ok(api.get(`${at.pods}/waits`))
      expect(waits.spec.nodeName).toBeUndefined()
      expect(waits.status.conditions).toMatchObject([{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }])
      await api.ok(api.merge(pathOf(name), { spec: { unschedulable: null } }))
      const free = await until(world, 'the taint is gone', name, (node) => taintsOf(node).length === 0)
      expect(free.spec.taints).toBeUndefined()
      await world.until('the other runs, too', async () => (await api.get(`${at.pods}/waits`)).body.status.phase === 'Succeeded')
    })

    test('whose machine falls silent is Unknown and tainted, its pods are not Ready; it comes back', async (world) => {
      const { api, at, nodes: names, server } = world
      const name = names[1]
      await api.ok(api.post(at.pods, pod('p', 'sleep 6000', { nodeName: name })))
      const isReady = (body: Tree): string => body.status?.conditions?.find((each: Tree) => each.type === 'Ready')?.status
      await world.until('the pod is Ready', async () => isReady((await api.get(`${at.pods}/p`)).body) === 'True')
      const before = await api.ok(api.get(pathOf(name)))
      server.power(name, false)
      const silent = await until(world, 'it is Unknown', name, (node) => ready(node).status === 'Unknown')
      expect(ready(silent)).toMatchObject({ reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' })
      expect(ready(silent).lastHeartbeatTime).toBe(ready(before).lastHeartbeatTime)
      const tainted = await until(world, 'it is tainted', name, (node) => taintsOf(node).length >= 2)
      expect(taintsOf(tainted)).toEqual(['node.kubernetes.io/unreachable:NoExecute', 'node.kubernetes.io/unreachable:NoSchedule'])
      // Nobody knows better: the pod still "runs", but is not Ready.
      await world.until('the pod is not Ready', async () => isReady((await api.get(`${at.pods}/p`)).body) === 'False')
      expect((await api.get(`${at.pods}/p`)).body.status.phase).toBe('Running')
      server.power(name, true)
      await until(world, 'it is back', name, (node) => ready(node).status === 'True' && taintsOf(node).length === 0)
    })

    test('keeps its status apart from its spec, and may be made by anybody who may', async ({ api, unique }) => {
      const status = { nodeInfo: { kubeletVersion: 'v1.33.3+rke2r1' } }
      const made = await api.ok(api.post('/api/v1/nodes', { metadata: { name: unique('n') }, status }))
      // A kubelet registers with its status in one write.
      expect(made.status.nodeInfo.kubeletVersion).toBe('v1.33.3+rke2r1')
      expect((await api.delete(pathOf(unique('n')))).status).toBe(200)
      expect(await api.get(pathOf(unique('n')))).toMatchObject(refused(404, 'NotFound'))
    })

    test('takes no taint without effect', async ({ api, unique }) => {
      const post = (taint: object) => api.post('/api/v1/nodes', { metadata: { name: unique('n') }, spec: { taints: [taint] } })
      expect(await post({ key: 'a' })).toMatchObject(invalidAt('metadata.taints[0].effect'))
      expect(await post({ key: 'a', effect: 'Sometimes' })).toMatchObject(invalidAt('metadata.taints[0].effect'))
    })
  })
}
