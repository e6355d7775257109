import { describe, expect, test } from '@jest/globals'
import { BUDGETS, DEPLOYMENTS, JOBS, NAMESPACES, NODES, PODS } from '../../../src/sandbox/kinds.ts'
import { apply } from '../../../src/sandbox/standard-cluster.ts'
import { type Bench, bench, conditionOf, createJob, createPod, newJob, nodeOf, podsOf } from '../cluster/helpers.ts'

const evict = ({ sandbox, client }: Bench, name: string) =>
  sandbox.finish(
    client.post(PODS, 'default', name, 'eviction', { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'default' } }),
  )
const budget = ({ sandbox }: Bench, name: string) =>
  (sandbox.server.peek('poddisruptionbudgets.policy', name, 'default') as { status?: Readonly<Record<string, number>> } | undefined)?.status

describe('disruption budgets', () => {
  test.each([
    [{ minAvailable: 2 }, { desiredHealthy: 2, disruptionsAllowed: 3 }],
    [{ minAvailable: '50%' }, { desiredHealthy: 3, disruptionsAllowed: 2 }],
    [{ maxUnavailable: 1 }, { desiredHealthy: 4, disruptionsAllowed: 1 }],
    [{ maxUnavailable: '30%' }, { desiredHealthy: 3, disruptionsAllowed: 2 }],
    [{ maxUnavailable: 0 }, { desiredHealthy: 5, disruptionsAllowed: 0 }],
    [{ minAvailable: 9 }, { desiredHealthy: 9, disruptionsAllowed: 0 }],
  ])('%j over five pods', async (limit, expected) => {
    const it = await bench({ servers: 0, agents: 2, workloads: [{ name: 'web', replicas: 5, ...limit }] })
    await it.sandbox.run(() => false, 1000)
    expect(budget(it, 'web')).toMatchObject({ expectedPods: 5, currentHealthy: 5, ...expected })
    await it.sandbox.stop()
  })

  test('an eviction is granted, refused while its replacement is not ready, granted again after', async () => {
    const it = await bench({ servers: 0, agents: 3, workloads: [{ name: 'web', replicas: 3, maxUnavailable: 1, readyAfterMs: 10_000 }] })
    const [first, second] = podsOf(it.sandbox)
    expect(await evict(it, first?.metadata.name ?? '')).toMatchObject({ ok: true })
    expect(budget(it, 'web')?.['disruptionsAllowed']).toBe(0)
    // The client's own patience ends after some 20 s; by then the replacement is ready.
    const at = it.sandbox.clock.mono()
    expect(await evict(it, second?.metadata.name ?? '')).toMatchObject({ ok: true })
    expect(it.sandbox.clock.mono() - at).toBeGreaterThan(9000)
    const refused = it.sandbox.history.filter(({ ref, status }) => ref.subresource === 'eviction' && status === 429)
    expect(refused.length).toBeGreaterThan(0)
    await it.sandbox.run(() => false, 1000)
    expect(await it.sandbox.run(() => budget(it, 'web')?.['currentHealthy'] === 3, 60_000)).toBe(true)
    expect(podsOf(it.sandbox)).toHaveLength(3)
    await it.sandbox.stop()
  })

  test('an emptied node stays empty while cordoned, but for its daemons', async () => {
    const it = await bench({
      servers: 0,
      agents: 2,
      workloads: [
        { name: 'web', replicas: 4 },
        { name: 'log', replicas: 0, kind: 'DaemonSet' },
      ],
    })
    await it.sandbox.finish(it.client.patch(NODES, undefined, 'agent-1', { spec: { unschedulable: true } }))
    await it.sandbox.run(() => (nodeOf(it.sandbox, 'agent-1').spec?.taints ?? []).length > 0, 5000)
    for (const pod of podsOf(it.sandbox)) if (pod.spec?.nodeName === 'agent-1') await evict(it, pod.metadata.name)
    await it.sandbox.run(() => false, 30_000)
    expect(
      podsOf(it.sandbox)
        .filter((pod) => pod.spec?.nodeName === 'agent-1')
        .map((pod) => pod.metadata.labels?.['app']),
    ).toEqual(['log'])
    expect(
      podsOf(it.sandbox).filter((pod) => pod.metadata.labels?.['app'] === 'web' && conditionOf(pod, 'Ready') === 'True/'),
    ).toHaveLength(4)
    await it.sandbox.stop()
  })
})

describe('workloads', () => {
  test('a Deployment scales both ways and follows its template', async () => {
    const it = await bench({ servers: 0, agents: 2, workloads: [{ name: 'web', replicas: 2 }] })
    const images = () =>
      podsOf(it.sandbox)
        .filter((pod) => pod.metadata.deletionTimestamp === undefined)
        .map((pod) => pod.spec?.containers[0]?.image)
    await it.sandbox.finish(it.client.patch(DEPLOYMENTS, 'default', 'web', { spec: { replicas: 4 } }))
    expect(await it.sandbox.run(() => images().length === 4, 10_000)).toBe(true)
    await it.sandbox.finish(it.client.patch(DEPLOYMENTS, 'default', 'web', { spec: { replicas: 1 } }))
    expect(await it.sandbox.run(() => images().length === 1, 10_000)).toBe(true)
    await it.sandbox.finish(
      it.client.patch(DEPLOYMENTS, 'default', 'web', { spec: { template: { spec: { containers: [{ name: 'main', image: 'app:2' }] } } } }),
    )
    expect(await it.sandbox.run(() => images().join() === 'app:2', 10_000)).toBe(true)
    await it.sandbox.stop()
  })
})

describe('cleaning up', () => {
  test('deleting an owner in the background takes what it owns; orphaning leaves it', async () => {
    const it = await bench({
      servers: 0,
      agents: 1,
      workloads: [
        { name: 'web', replicas: 2 },
        { name: 'keep', replicas: 1 },
      ],
    })
    it.sandbox.programs.set('test/wait', () => new Promise(() => {}))
    await createJob(it, newJob('job', { image: 'test/wait' }))
    await it.sandbox.run(() => podsOf(it.sandbox).length === 4, 10_000)
    await it.sandbox.finish(it.client.delete(DEPLOYMENTS, 'default', 'web', { propagation: 'Background' }))
    await it.sandbox.finish(it.client.delete(JOBS, 'default', 'job', { propagation: 'Foreground' }))
    await it.sandbox.finish(it.client.delete(DEPLOYMENTS, 'default', 'keep', { propagation: 'Orphan' }))
    await it.sandbox.run(() => false, 60_000)
    expect(podsOf(it.sandbox).map((pod) => pod.metadata.labels?.['app'])).toEqual(['keep'])
    const sets = it.sandbox.server
      .peekAll('replicasets.apps')
      .map(({ metadata }) => [metadata.labels?.['app'], metadata['ownerReferences']])
    expect(sets).toEqual([['keep', undefined]])
    expect(it.sandbox.server.peekAll('deployments.apps')).toEqual([])
    expect(it.sandbox.server.peek('jobs.batch', 'job', 'default')).toBeUndefined()
    await it.sandbox.stop()
  })

  test('a dependent of a custom resource goes with it, and one whose owner never was goes at once', async () => {
    const it = await bench({ servers: 0, agents: 1 })
    const group = 'example.io'
    const crd = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'things.example.io' },
      spec: {
        group,
        scope: 'Namespaced',
        names: { plural: 'things', kind: 'Thing', singular: 'thing', listKind: 'ThingList' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    }
    await it.sandbox.finish(apply(it.sandbox, crd))
    await it.sandbox.run(() => false, 2000)
    const thing = { apiVersion: 'example.io/v1', kind: 'Thing', plural: 'things', namespaced: true }
    const made = await it.sandbox.finish(it.client.create(thing, { metadata: { name: 'owner', namespace: 'default' } }))
    const ownedBy = (uid: string) => [{ apiVersion: 'example.io/v1', kind: 'Thing', name: 'owner', uid, controller: true }]
    const job = newJob('owned', { image: 'nginx' }, { parallelism: 0 })
    const lost = newJob('lost', { image: 'nginx' }, { parallelism: 0 })
    await createJob(it, { ...job, metadata: { ...job.metadata, ownerReferences: ownedBy(made.ok ? made.object.metadata.uid : '') } })
    await createJob(it, { ...lost, metadata: { ...lost.metadata, ownerReferences: ownedBy('no-such-uid') } })
    await it.sandbox.run(() => false, 5000)
    expect(it.sandbox.server.peekAll('jobs.batch').map(({ metadata }) => metadata.name)).toEqual(['owned'])
    await it.sandbox.finish(it.client.delete(thing, 'default', 'owner', {}))
    await it.sandbox.run(() => false, 5000)
    expect(it.sandbox.server.peekAll('jobs.batch')).toEqual([])
    await it.sandbox.stop()
  })

  test('a namespace takes everything in it', async () => {
    const it = await bench({
      servers: 0,
      agents: 1,
      workloads: [{ name: 'web', namespace: 'system-upgrade', replicas: 2, maxUnavailable: 1 }],
    })
    await it.sandbox.finish(it.client.delete(NAMESPACES, undefined, 'system-upgrade'))
    expect(await it.sandbox.run(() => it.sandbox.server.peek('namespaces', 'system-upgrade') === undefined, 60_000)).toBe(true)
    expect(podsOf(it.sandbox, 'system-upgrade')).toEqual([])
    expect((await it.sandbox.finish(it.client.list(BUDGETS))).items).toEqual([])
    await it.sandbox.stop()
  })

  test('pods without a controller on a tainted node are evicted when they do not bear it', async () => {
    const it = await bench({ servers: 0, agents: 1 })
    await createPod(it, 'weak', { containers: [{ name: 'main', image: 'nginx' }] })
    await createPod(it, 'strong', { containers: [{ name: 'main', image: 'nginx' }], tolerations: [{ operator: 'Exists' }] })
    await createPod(it, 'patient', {
      containers: [{ name: 'main', image: 'nginx' }],
      tolerations: [{ key: 'out', operator: 'Exists', tolerationSeconds: 20 }],
    })
    await it.sandbox.run(() => podsOf(it.sandbox).every((pod) => conditionOf(pod, 'Ready') === 'True/'), 10_000)
    await it.sandbox.finish(it.client.patch(NODES, undefined, 'agent-1', { spec: { taints: [{ key: 'out', effect: 'NoExecute' }] } }))
    const names = () =>
      podsOf(it.sandbox)
        .map((pod) => pod.metadata.name)
        .sort()
    await it.sandbox.run(() => false, 10_000)
    expect(names()).toEqual(['patient', 'strong'])
    await it.sandbox.run(() => false, 20_000)
    expect(names()).toEqual(['strong'])
    await it.sandbox.stop()
  })
})
