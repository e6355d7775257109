import { describe, expect, test } from '@jest/globals'
import type { ConfigMap } from 'kubernetes-types/core/v1.d.ts'
import { createClient } from '../../../src/sandbox/client.ts'
import { createSandbox } from '../../../src/sandbox/cluster.ts'
import { createFaults, type FaultKind } from '../../../src/sandbox/faults.ts'
import { CONFIG_MAPS, DEPLOYMENTS } from '../../../src/sandbox/kinds.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { watchCache } from '../../../src/sandbox/watch-cache.ts'
import { bench, createJob, jobOf, newJob, podsOf } from './helpers.ts'

const setUp = () => {
  const sandbox = createSandbox({ seed: 3 })
  const stop = new AbortController()
  const make = (user: string) => createClient(sandbox.as(user), sandbox.clock, seededRandom(5), stop.signal)
  const writer = make('writer')
  const reader = make('reader')
  const cache = watchCache<ConfigMap>(reader, CONFIG_MAPS, {
    indexes: { colour: (map) => (map.data?.['colour'] === undefined ? [] : [map.data['colour']]) },
  })
  const put = (name: string, colour: string) =>
    sandbox.finish(
      (async () => {
        const object = { metadata: { name, namespace: 'default' }, data: { colour } }
        const answer = await writer.create<ConfigMap>(CONFIG_MAPS, object)
        if (!answer.ok) await writer.patch(CONFIG_MAPS, 'default', name, { data: { colour } })
      })(),
    )
  // Every namespace also has a map of the cluster's own.
  const own = ({ metadata }: { metadata: { name: string } }): boolean => metadata.name !== 'kube-root-ca.crt'
  const shown = () =>
    [...cache.all()]
      .filter(own)
      .map((map) => `${map.metadata.name}=${map.data?.['colour'] ?? ''}`)
      .sort()
  const stored = () =>
    sandbox.server
      .peekAll('configmaps')
      .filter(own)
      .map((map) => `${map.metadata.name}=${(map as unknown as ConfigMap).data?.['colour'] ?? ''}`)
      .sort()
  return { sandbox, writer, cache, own, put, shown, stored, end: () => stop.abort() }
}

describe('watchCache', () => {
  test('follows additions, changes and deletions, and its index with them', async () => {
    const it = setUp()
    const changes: string[] = []
    it.cache.onChange(({ before, after }) => {
      const map = after ?? before
      if (map !== undefined && it.own(map)) changes.push(`${before?.data?.['colour'] ?? '-'}>${after?.data?.['colour'] ?? '-'}`)
    })
    await it.put('a', 'red')
    it.cache.start()
    await it.sandbox.finish(it.cache.synced)
    await it.put('b', 'red')
    await it.put('a', 'blue')
    await it.sandbox.finish(it.writer.delete(CONFIG_MAPS, 'default', 'b'))
    await it.sandbox.run(() => false, 1000)
    expect(it.shown()).toEqual(['a=blue'])
    expect(it.cache.by('colour', 'red')).toEqual([])
    expect(it.cache.by('colour', 'blue').map(({ metadata }) => metadata.name)).toEqual(['a'])
    expect(it.cache.count('colour', 'blue')).toBe(1)
    expect(changes).toEqual(['->red', '->red', 'red>blue', 'red>-'])
    it.end()
  })

  test('a write that was learnt is not undone by an older event, nor one that is gone brought back', async () => {
    const it = setUp()
    it.cache.start()
    await it.sandbox.finish(it.cache.synced)
    it.sandbox.faults.rates = { watchLag: 1 }
    const first = await it.sandbox.finish(
      it.writer.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: 'a', namespace: 'default' }, data: { colour: 'red' } }),
    )
    const second = await it.sandbox.finish(it.writer.patch<ConfigMap>(CONFIG_MAPS, 'default', 'a', { data: { colour: 'blue' } }))
    if (second.ok) it.cache.learn(second.object)
    expect(it.shown()).toEqual(['a=blue'])
    const seen: string[] = []
    it.cache.onChange(() => seen.push(it.shown().join()))
    await it.sandbox.run(() => false, 20_000)
    expect(seen).not.toContain('a=red')
    await it.sandbox.finish(it.writer.delete(CONFIG_MAPS, 'default', 'a'))
    await it.sandbox.run(() => it.cache.size === 0, 20_000)
    if (first.ok) it.cache.learn(first.object)
    expect(it.shown()).toEqual([])
    it.end()
  })

  test.each<FaultKind>(['watchCut', 'watchLag', 'watchSilent', 'serverError', 'throttled', 'resetBefore', 'answerLost'])(
    'ends up with what is stored under %s',
    async (kind) => {
      const it = setUp()
      it.sandbox.faults.rates = { [kind]: 0.3 }
      it.cache.start()
      for (let i = 0; i < 60; i++) await it.put(`m${i % 7}`, `c${i}`)
      expect(it.sandbox.faults.counts[kind]).toBeGreaterThan(0)
      it.sandbox.faults.rates = {}
      await it.sandbox.finish(it.writer.delete(CONFIG_MAPS, 'default', 'm3'))
      // A silent watch is given up when its time is over.
      expect(await it.sandbox.run(() => it.shown().join() === it.stored().join(), 700_000)).toBe(true)
      expect(it.stored()).toHaveLength(6)
      it.end()
    },
  )
})

test('watchCache lists again when its place in the history is gone', async () => {
  const it = setUp()
  it.cache.start()
  await it.put('a', 'red')
  await it.put('b', 'red')
  await it.sandbox.run(() => it.cache.size === 2, 5000)
  it.sandbox.faults.once('watchCut', ({ user }) => user === 'reader')
  it.sandbox.faults.once('watchGone', ({ user }) => user === 'reader')
  await it.put('a', 'blue')
  await it.sandbox.finish(it.writer.delete(CONFIG_MAPS, 'default', 'b'))
  expect(await it.sandbox.run(() => it.shown().join() === 'a=blue', 5000)).toBe(true)
  expect(it.sandbox.faults.counts.watchGone).toBe(1)
  expect(it.sandbox.server.requests.total({ user: 'reader', verb: 'list' })).toBe(2)
  it.end()
})

describe('the client', () => {
  test('tries again when throttled, and says so when nothing helps', async () => {
    const it = setUp()
    it.sandbox.faults.once('throttled', ({ verb }) => verb === 'create')
    await it.put('a', 'red')
    expect(it.stored()).toEqual(['a=red'])
    it.sandbox.faults.rates = { resetBefore: 1 }
    await expect(it.sandbox.finish(it.writer.get(CONFIG_MAPS, 'default', 'a'))).rejects.toThrow()
    it.end()
  })

  test('lists all pages', async () => {
    const it = setUp()
    for (let i = 0; i < 7; i++) await it.put(`m${i}`, 'x')
    const { items } = await it.sandbox.finish(it.writer.list(CONFIG_MAPS, 'default', { limit: '3' }))
    expect(items.filter(it.own).map(({ metadata }) => metadata.name)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6'])
    it.end()
  })
})

describe('a cluster whose own parts meet every fault', () => {
  test.each([1, 2, 3])('seed %i: no Job ever has two pods alive, and all ends well', async (seed) => {
    const faults = createFaults({ random: seededRandom(seed) })
    const it = await bench(
      { servers: 1, agents: 3, workloads: [{ name: 'web', replicas: 6, maxUnavailable: 1 }] },
      { seed, faults, exposeCluster: true },
    )
    faults.rates = { conflict: 0.05, throttled: 0.05, serverError: 0.05, resetBefore: 0.05, answerLost: 0.1, watchLag: 0.2, watchCut: 0.02 }
    faults.exposed = ({ user }) => user !== 'admin'
    it.sandbox.programs.set('test/once', async (_pod, _machine, io) => {
      await io.clock.sleep(3000)
      return 0
    })
    let most = 0
    it.sandbox.server.onWrite(() => {
      const alive = new Map<string, number>()
      for (const pod of podsOf(it.sandbox)) {
        const job = pod.metadata.labels?.['job-name']
        if (job !== undefined && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed')
          alive.set(job, (alive.get(job) ?? 0) + 1)
      }
      most = Math.max(most, ...alive.values())
    })
    for (let i = 0; i < 20; i++) await createJob(it, newJob(`j${i}`, { image: 'test/once' }))
    await it.sandbox.finish(it.client.patch(DEPLOYMENTS, 'default', 'web', { spec: { replicas: 9 } }))
    const done = () => Array.from({ length: 20 }, (_, i) => jobOf(it.sandbox, `j${i}`)).every((job) => job.status?.succeeded === 1)
    expect(await it.sandbox.run(done, 600_000)).toBe(true)
    expect(most).toBe(1)
    faults.rates = {}
    const web = () => podsOf(it.sandbox).filter((pod) => pod.metadata.labels?.['app'] === 'web')
    expect(await it.sandbox.run(() => web().length === 9 && web().every((pod) => pod.status?.phase === 'Running'), 700_000)).toBe(true)
    expect(faults.counts.answerLost).toBeGreaterThan(5)
    await it.sandbox.stop()
  })
})
