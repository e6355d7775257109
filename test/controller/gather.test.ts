import { describe, expect, test } from '@jest/globals'
import { createGather } from '../../src/controller/gather.ts'
import { createMemory } from '../../src/controller/memory.ts'
import type { Client } from '../../src/kube/client/client.ts'
import type { Need } from '../../src/rollout/world.ts'
import { settings } from '../rollout/build.ts'

/** A `gather` on its own: all reads are answered at once and listed, and time is a number. */
function bench(pods: object[] = [], object: (path: string) => object | Promise<object> = () => ({})) {
  const reads: string[] = []
  const time = { mono: 0 }
  const memory = createMemory()
  const client = {
    list: async (path: string, options?: { query?: { fieldSelector?: string } }) => {
      reads.push(options?.query?.fieldSelector ?? path)
      return { items: path.endsWith('/pods') ? pods : [] }
    },
    get: async (path: string) => {
      reads.push(path)
      return object(path)
    },
    create: async () => ({}),
  } as unknown as Client
  const process = { clock: { mono: () => time.mono, wall: () => time.mono }, log: { debug() {}, error() {} } }
  const caches = { plans: { subscribe: () => undefined } }
  const gather = createGather(process as never, client, settings, caches as never, memory, {} as never, () => undefined)
  const fetch = async (...needs: Need[]): Promise<string[]> => {
    const before = reads.length
    gather.fetch(needs)
    for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
    return reads.slice(before)
  }
  return { fetch, memory, time }
}

const drain = (node: string): Need => ({ kind: 'drain', node, maxAgeMs: 2000 })
const BUDGETS = '/apis/policy/v1/poddisruptionbudgets'

describe('what is read for drains', () => {
  test('nodes that are looked at together share the list of budgets; later ones have a new one', async () => {
    const { fetch, memory, time } = bench()
    expect(await fetch(drain('a'), drain('b'))).toEqual(['spec.nodeName=a', BUDGETS, 'spec.nodeName=b'])
    expect([...memory.drains.keys()]).toEqual(['a', 'b'])
    time.mono += 2000
    expect(await fetch(drain('a'))).toEqual(['spec.nodeName=a', BUDGETS])
  })

  test('a DaemonSet is asked for once in five minutes', async () => {
    const owner = { controller: true, kind: 'DaemonSet', name: 'canal', apiVersion: 'apps/v1', uid: 'd' }
    const { fetch, time } = bench([{ metadata: { name: 'canal-x', namespace: 'kube-system', ownerReferences: [owner] } }])
    const path = '/apis/apps/v1/namespaces/kube-system/daemonsets/canal'
    expect(await fetch(drain('a'))).toContain(path)
    time.mono += 200_000
    expect(await fetch(drain('a'))).not.toContain(path)
    time.mono += 200_000
    expect(await fetch(drain('a'))).toContain(path)
  })
})

test('an answer that nobody has asked for in an hour is forgotten, and read again when it is wanted', async () => {
  const { fetch, memory, time } = bench()
  const secret: Need = { kind: 'secret', name: 's', maxAgeMs: Number.POSITIVE_INFINITY }
  const dryRun: Need = { kind: 'dryRun', key: 'k', namespace: 'n', pod: {}, maxAgeMs: Number.POSITIVE_INFINITY }
  expect(await fetch(secret, dryRun)).toHaveLength(1)
  time.mono += 3_000_000
  expect(await fetch(secret)).toEqual([])
  time.mono += 3_000_000
  await fetch()
  expect([memory.secrets.size, memory.dryRuns.size]).toEqual([1, 0])
  time.mono += 3_600_000
  await fetch()
  expect(memory.secrets.size).toBe(0)
  expect(await fetch(secret)).toHaveLength(1)
})

describe('what gates check', () => {
  const gate = (name: string): Need => ({
    kind: 'gate',
    key: name,
    namespace: 'n',
    check: { kind: 'object', apiVersion: 'v1', of: 'ConfigMap', namespace: 'n', name, expect: [] },
    maxAgeMs: 10_000,
  })
  const kinds = { resources: [{ name: 'configmaps', kind: 'ConfigMap', namespaced: true }] }

  test('is read when it is asked for and too old, and longer after it could not be read', async () => {
    let known = true
    const { fetch, memory, time } = bench([], () => (known ? kinds : {}))
    expect(await fetch(gate('a'), gate('a'))).toEqual(['/api/v1', '/api/v1/namespaces/n/configmaps/a'])
    expect(memory.gates.get('a')).toMatchObject({ ok: true, value: { met: true } })
    time.mono += 9_999
    expect(await fetch(gate('a'))).toEqual([])
    time.mono += 1
    expect(await fetch(gate('a'))).toHaveLength(1)
    time.mono += 600_000
    known = false
    const tries: number[] = []
    for (let second = 0; second <= 120; second++) {
      if ((await fetch(gate('a'))).length > 0) tries.push(second)
      time.mono += 1000
    }
    expect(memory.gates.get('a')).toMatchObject({ ok: false, error: 'the API server does not know ConfigMap of v1' })
    expect(tries).toEqual([0, 5, 15, 35, 65, 95])
    time.mono += 3_600_000
    await fetch()
    expect(memory.gates.size).toBe(0)
  })

  test('keeps nothing else waiting when it is not answered', async () => {
    const { fetch } = bench([], (path) => (path === '/api/v1' ? kinds : new Promise<object>(() => undefined)))
    const read = await fetch(...Array.from({ length: 20 }, (_, n) => gate(`g${n}`)), drain('a'))
    expect(read.filter((path) => path.includes('configmaps'))).toHaveLength(4)
    expect(read).toContain('spec.nodeName=a')
  })
})
