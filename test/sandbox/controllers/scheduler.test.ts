import { describe, expect, test } from '@jest/globals'
import { NODES, PODS } from '../../../src/sandbox/kinds.ts'
import { bench, conditionOf, createPod, pinned, podOf, podsOf } from '../cluster/helpers.ts'

const image = { name: 'main', image: 'nginx' }

describe('scheduler', () => {
  test('a cordoned node takes nobody but those who tolerate it; uncordoned, it takes who waited', async () => {
    const it = await bench({ servers: 1, agents: 2 })
    const { affinity } = pinned('agent-1')
    await it.sandbox.finish(it.client.patch(NODES, undefined, 'agent-1', { spec: { unschedulable: true } }))
    await it.sandbox.run(() => false, 1000)
    expect(it.sandbox.server.peek('nodes', 'agent-1')).toMatchObject({
      spec: { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] },
    })
    await createPod(it, 'waits', { containers: [image], affinity: affinity ?? {} })
    await createPod(it, 'bears', { containers: [image], ...pinned('agent-1') })
    await it.sandbox.run(() => false, 10_000)
    expect(podOf(it.sandbox, 'bears')?.spec?.nodeName).toBe('agent-1')
    const waiting = podOf(it.sandbox, 'waits')
    expect(waiting?.spec?.nodeName).toBeUndefined()
    expect(waiting?.status?.phase).toBe('Pending')
    expect(conditionOf(waiting, 'PodScheduled')).toBe('False/Unschedulable')
    expect(waiting?.status?.conditions?.[0]?.message).toBe(
      "0/3 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match Pod's node affinity/selector.",
    )
    await it.sandbox.finish(it.client.patch(NODES, undefined, 'agent-1', { spec: { unschedulable: null } }))
    expect(await it.sandbox.run(() => conditionOf(podOf(it.sandbox, 'waits'), 'Ready') === 'True/', 30_000)).toBe(true)
    expect(conditionOf(podOf(it.sandbox, 'waits'), 'PodScheduled')).toBe('True/')
    await it.sandbox.stop()
  })

  test('a pod for a label that no node has waits until one gets it', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    await createPod(it, 'choosy', { containers: [image], nodeSelector: { disk: 'fast' } })
    await it.sandbox.run(() => false, 20_000)
    expect(conditionOf(podOf(it.sandbox, 'choosy'), 'PodScheduled')).toBe('False/Unschedulable')
    await it.sandbox.finish(it.client.patch(NODES, undefined, 'agent-1', { metadata: { labels: { disk: 'fast' } } }))
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'choosy')?.spec?.nodeName === 'agent-1', 10_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('required anti-affinity: one a node, the rest wait until a place is free', async () => {
    const it = await bench({ servers: 1, agents: 1, workloads: [{ name: 'one', replicas: 2, spread: true }] })
    const placed = () => podsOf(it.sandbox).map((pod) => pod.spec?.nodeName)
    expect(new Set(placed())).toEqual(new Set(['agent-1', 'server-1']))
    await it.sandbox.finish(
      it.client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }, 'default', 'one', {
        spec: { replicas: 3 },
      }),
    )
    await it.sandbox.run(() => false, 20_000)
    expect(placed().filter((name) => name === undefined)).toHaveLength(1)
    const victim = podsOf(it.sandbox).find((pod) => pod.spec?.nodeName === 'agent-1')
    await it.sandbox.finish(
      it.client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }, 'default', 'one', {
        spec: { replicas: 2 },
      }),
    )
    await it.sandbox.finish(it.client.delete(PODS, 'default', victim?.metadata.name ?? '', {}))
    expect(await it.sandbox.run(() => podsOf(it.sandbox).length === 2 && placed().every((name) => name !== undefined), 60_000)).toBe(true)
    expect(new Set(placed()).size).toBe(2)
    await it.sandbox.stop()
  })

  test('three workloads of one a node, placed in the same moment, have one on each node', async () => {
    const workloads = ['a', 'b', 'c'].map((name) => ({ name, replicas: 3, spread: true }))
    const { sandbox } = await bench({ servers: 0, agents: 3, workloads })
    const placed = podsOf(sandbox).map((pod) => `${pod.metadata.labels?.['app']} ${pod.spec?.nodeName}`)
    expect(placed.toSorted()).toEqual(workloads.flatMap(({ name }) => [1, 2, 3].map((node) => `${name} agent-${node}`)))
    await sandbox.stop()
  })

  test('the place of a pod that is deleted on its way there goes to the one that waits for it', async () => {
    const it = await bench({ servers: 0, agents: 1 })
    const alone = [{ topologyKey: 'kubernetes.io/hostname', labelSelector: {} }]
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: alone } }
    for (let i = 0; i < 8; i++)
      it.sandbox.faults.once('serverError', ({ resource, name }) => resource === 'pods/binding' && name === 'first')
    await createPod(it, 'first', { containers: [image], affinity })
    await createPod(it, 'second', { containers: [image], affinity })
    await it.sandbox.run(() => false, 1000)
    expect(podOf(it.sandbox, 'first')?.spec?.nodeName).toBeUndefined()
    expect(conditionOf(podOf(it.sandbox, 'second'), 'PodScheduled')).toBe('False/Unschedulable')
    await it.sandbox.finish(it.client.delete(PODS, 'default', 'first', {}))
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'second')?.spec?.nodeName === 'agent-1', 60_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('twenty pods made at once are spread', async () => {
    const { sandbox } = await bench({ servers: 0, agents: 5, workloads: [{ name: 'web', replicas: 20 }] })
    const load = new Map<string, number>()
    for (const pod of podsOf(sandbox)) load.set(pod.spec?.nodeName ?? '', (load.get(pod.spec?.nodeName ?? '') ?? 0) + 1)
    expect([...load.values()]).toEqual([4, 4, 4, 4, 4])
    await sandbox.stop()
  })

  test.each(['serverError', 'answerLost'] as const)('a binding that meets %s is made all the same, once', async (kind) => {
    const it = await bench({ servers: 0, agents: 2 })
    it.sandbox.faults.once(kind, ({ resource }) => resource === 'pods/binding')
    await createPod(it, 'one', { containers: [image] })
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'one')?.status?.phase === 'Running', 60_000)).toBe(true)
    expect(it.sandbox.faults.counts[kind]).toBe(1)
    expect(it.sandbox.history.filter(({ ref, status }) => ref.subresource === 'binding' && status < 300)).toHaveLength(1)
    await it.sandbox.stop()
  })
})
