import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { release } from '../../src/controller/release.ts'
import { ApiError } from '../../src/kube/client/api-error.ts'
import type { Client } from '../../src/kube/client/client.ts'
import { aPlan, aWork } from '../rollout/build.ts'

type Answer = (path: string, call: string) => JsonObject | number

/** An API server of answers: lists as given, and for each other call an object or the status of a refusal. */
function serverOf(
  { kured, ...lists }: { nodes?: JsonObject[]; jobs?: JsonObject[]; plans?: JsonObject[]; kured?: () => JsonObject | number },
  answer: Answer,
) {
  const calls: string[] = []
  const options: unknown[] = []
  const call = async (verb: string, path: string, given?: unknown): Promise<JsonObject> => {
    calls.push(`${verb} ${path.split('/').at(-1)}`)
    options.push(given)
    const said = answer(path, `${verb} ${path.split('/').at(-1)}`)
    if (typeof said !== 'number') return said
    throw new ApiError(`${verb} ${path}`, { status: said, body: { message: 'as the test wants' } })
  }
  const client = {
    list: async (path: string) => ({
      items: lists[path.split('/').at(-1) as keyof typeof lists] ?? [],
    }),
    get: async (path: string) => {
      if (!path.endsWith('/daemonsets/kured')) return call('GET', path)
      const said = kured?.() ?? 404
      if (typeof said === 'number') throw new ApiError(`GET ${path}`, { status: said, body: { message: 'as the test wants' } })
      return said
    },
    mergePatch: (path: string, body: unknown) => call('PATCH', path, body),
    delete: (path: string, given: unknown) => call('DELETE', path, given),
  } as unknown as Client
  return { calls, options, run: (all = false) => release(client, { namespace: 's', controllerName: 'c', all }) }
}

const record = (name: string, work?: object) => ({
  v: 1,
  nodeUID: `uid-${name}`,
  cordon: { at: '2026-03-02T11:00:00Z', plan: 's/p' },
  work,
})
const node = (name: string, version = '1', work?: object): JsonObject => ({
  metadata: {
    name,
    uid: `uid-${name}`,
    resourceVersion: version,
    annotations: { 'drover.io/node-upgrade': JSON.stringify(record(name, work)) },
  },
  spec: {},
  status: {},
})
const job = (name: string, on: string, parallelism: number, more: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
  metadata: {
    name,
    namespace: 's',
    uid: `uid-${name}`,
    resourceVersion: '5',
    labels: { 'upgrade.cattle.io/node': on },
    annotations: { 'drover.io/attempt': 'uid-p/1/' },
    ...metadata,
  },
  spec: { parallelism },
  status: {},
  ...more,
})

describe('a node that changes meanwhile', () => {
  test('is read and tried again, and the others have their turn', async () => {
    let conflicts = 2
    const { calls, options, run } = serverOf({ nodes: [node('a'), node('b')] }, (_, call) => {
      if (call === 'GET a') return node('a', String(10 - conflicts))
      return call === 'PATCH a' && conflicts-- > 0 ? 409 : {}
    })
    const { done, left } = await run()
    expect(left).toEqual([])
    expect(done).toEqual(['node a: released', 'node b: released'])
    expect(calls).toEqual(['PATCH a', 'GET a', 'PATCH a', 'GET a', 'PATCH a', 'PATCH b'])
    expect((options[4] as { metadata: { resourceVersion: string } }).metadata.resourceVersion).toBe('10')
  })

  test('again and again, or cannot be written at all, is named, and the others have their turn', async () => {
    const { calls, run } = serverOf({ nodes: [node('a'), node('b'), node('c'), node('d')] }, (path, call) => {
      if (call.startsWith('GET')) return node(path.endsWith('a') ? 'a' : 'x')
      return call === 'PATCH a' ? 409 : call === 'PATCH b' ? 403 : call === 'PATCH c' ? 404 : {}
    })
    const { done, left } = await run()
    expect(left.map((line) => line.split(':')[0])).toEqual(['node a', 'node b'])
    expect(left[1]).toContain('as the test wants')
    expect(done).toEqual(['node d: released'])
    expect(calls.filter((call) => call === 'PATCH a')).toHaveLength(4)
  })

  test('and has got past the point of no return by then is left alone', async () => {
    const work = aWork(aPlan('p'), { plan: 's/p', startedAt: '2026-03-02T11:01:00Z', jobUID: 'uid-j' })
    const { calls, run } = serverOf({ nodes: [node('a')], jobs: [job('j', 'a', 0)] }, (_, call) =>
      call === 'GET a' ? node('a', '2', work) : call === 'PATCH a' ? 409 : {},
    )
    const { done, left } = await run()
    expect(done).toEqual([])
    expect(left).toEqual([expect.stringContaining('upgrades it right now')])
    expect(calls).toEqual(['PATCH a', 'GET a'])
  })
})

test('Jobs that did not start and prepare runs go; an upgrade that runs, an ended Job and a Job of others stay', async () => {
  const foreign = job('foreign', 'a', 0, {}, { annotations: {} })
  const prepare = job('prepare', 'a', 1, {}, { labels: { 'drover.io/role': 'prepare', 'drover.io/node': 'a' } })
  const ended = job('ended', 'a', 0, { status: { conditions: [{ type: 'Complete', status: 'True' }] } })
  const { calls, options, run } = serverOf(
    { nodes: [node('a')], jobs: [job('paused', 'a', 0), job('running', 'a', 1), prepare, ended, foreign] },
    () => ({}),
  )
  const { done } = await run()
  expect(calls).toEqual(['PATCH a', 'DELETE paused', 'DELETE prepare'])
  expect(options[1]).toMatchObject({ uid: 'uid-paused', resourceVersion: '5' })
  expect(done).toEqual(['node a: released', 'Job paused: removed', 'Job prepare: removed'])
})

test('the Job that a failure left suspended goes only when failures are forgotten, and never while a pod of it is left', async () => {
  const failed = job('failed', 'a', 1, { spec: { parallelism: 1, suspend: true } })
  const ending = job('ending', 'a', 1, { spec: { parallelism: 1, suspend: true }, status: { active: 1 } })
  const server = (): ReturnType<typeof serverOf> => serverOf({ jobs: [failed, ending] }, () => ({}))
  const [some, all] = [server(), server()]
  await some.run()
  expect(some.calls).toEqual([])
  await all.run(true)
  expect(all.calls).toEqual(['DELETE failed'])
})

test('what only Drover writes into the status of Plans goes, once; the rest stays as it is', async () => {
  const sucs = [{ type: 'Complete', status: 'False', reason: 'SyncJob' }]
  const told = { leadingHold: { reason: 'Paused' }, nodeCounts: { done: 1 }, nodeStatuses: [], observedGeneration: 2 }
  const plan = (name: string, status: JsonObject): JsonObject => ({
    apiVersion: 'upgrade.cattle.io/v1',
    kind: 'Plan',
    metadata: { name, namespace: 's', uid: `uid-${name}`, resourceVersion: '3' },
    spec: { upgrade: { image: 'i' } },
    status,
  })
  const conditions = [...sucs, ...['Ready', 'Reconciling', 'Stalled'].map((type) => ({ type, status: 'False' }))]
  const { calls, options, run } = serverOf(
    {
      plans: [
        plan('ours', { applying: [], conditions, ...told }),
        plan('theirs', { applying: [], conditions: sucs, observedGeneration: -1 }),
      ],
    },
    () => ({}),
  )
  const { done } = await run()
  expect(calls).toEqual(['PATCH status'])
  expect(options[0]).toEqual({
    metadata: { uid: 'uid-ours', resourceVersion: '3' },
    status: { applying: [], conditions: sucs, leadingHold: null, nodeCounts: null, nodeStatuses: null, observedGeneration: null },
  })
  expect(done).toEqual([expect.stringContaining('Plan s/ours')])
})

test('a request to hooks goes with the record of the work that asked', async () => {
  const asking = node('a') as { metadata: { annotations: Record<string, string> } }
  asking.metadata.annotations['drover.io/hook-request'] = 'before/0123abcd/1/20260302T110000Z'
  const { options, run } = serverOf({ nodes: [asking as unknown as JsonObject, node('b')] }, () => ({}))
  await run()
  expect(options).toMatchObject([
    { metadata: { annotations: { 'drover.io/hook-request': null } } },
    { metadata: { annotations: expect.not.objectContaining({ 'drover.io/hook-request': null }) } },
  ])
})

describe("kured's lock", () => {
  const entry = (nodeID: string) => ({ nodeID, created: '2026-03-02T11:00:00Z', TTL: 3.6e12 })
  const ours = entry('drover/s/c')
  const started = aWork(aPlan('p'), { plan: 's/p', startedAt: '2026-03-02T11:01:00Z', jobUID: 'uid-j' })
  const daemonSet = (lock: unknown, resourceVersion = '7'): JsonObject => ({
    metadata: { name: 'kured', uid: 'uid-kured', resourceVersion, annotations: { 'weave.works/kured-node-lock': JSON.stringify(lock) } },
    spec: { template: { spec: { containers: [] } } },
  })
  const given = { metadata: { uid: 'uid-kured', resourceVersion: '7', annotations: { 'weave.works/kured-node-lock': null } } }

  test.each([
    ['one', ours],
    ['several', { ...ours, maxOwners: 2, locks: [entry('drover/s/c/1'), entry('drover/s/c/2')] }],
  ])('is given back where Drover holds it, as %s', async (_, lock) => {
    const { calls, options, run } = serverOf({ nodes: [node('a')], kured: () => daemonSet(lock) }, () => daemonSet({}))
    expect(await run()).toEqual({ done: ['node a: released', "kured's lock: given back"], left: [] })
    expect(calls).toEqual(['PATCH a', 'PATCH kured'])
    expect(options[1]).toEqual(given)
  })

  test.each([
    ['a node', entry('agent-1')],
    ['another controller', entry('drover/s/c2')],
    ['a controller of another namespace', entry('drover/t/c')],
    ['nobody', { nodeID: '' }],
    ['what cannot be read', 'drover/s/c'],
  ])('of %s is nothing of ours', async (_, lock) => {
    const { calls, run } = serverOf({ kured: () => daemonSet(lock) }, () => ({}))
    expect([await run(), calls]).toEqual([{ done: [], left: [] }, []])
  })

  test('in which a node stands beside us is left, and told', async () => {
    const { calls, run } = serverOf({ kured: () => daemonSet({ ...ours, locks: [ours, entry('agent-1')] }) }, () => ({}))
    const { done, left } = await run()
    expect([done, calls]).toEqual([[], []])
    expect(left).toEqual([expect.stringMatching(/^kured's lock: .*agent-1 holds it, too.*by itself/)])
  })

  test('that a node of kured took meanwhile stays its own', async () => {
    const locks = [daemonSet(ours), daemonSet(entry('agent-1'), '8')]
    const { calls, run } = serverOf({ kured: () => locks.shift()! }, () => 409)
    expect([await run(), calls]).toEqual([{ done: [], left: [] }, ['PATCH kured']])
  })

  test('whose DaemonSet changes again and again is told', async () => {
    const { calls, run } = serverOf({ kured: () => daemonSet(ours) }, () => 409)
    const { done, left } = await run()
    expect([done, calls]).toEqual([[], Array(4).fill('PATCH kured')])
    expect(left).toEqual([expect.stringMatching(/^kured's lock: .*run it again/)])
  })

  test.each([
    ['read', { kured: () => 403 }],
    ['written', { kured: () => daemonSet(ours) }],
  ])('that cannot be %s is told', async (_, lists) => {
    const { run } = serverOf(lists, () => 403)
    expect(await run()).toEqual({ done: [], left: [expect.stringMatching(/^kured's lock: .*as the test wants.*by itself/)] })
  })

  test.each([
    ['upgrades', started, false],
    ['is to be forgotten while it upgrades', started, true],
  ])('is kept for a node that %s', async (_, work, all) => {
    const { calls, run } = serverOf({ nodes: [node('a', '1', work)], kured: () => daemonSet(ours) }, () => ({}))
    const { left } = await run(all)
    expect(left.at(-1)).toMatch(/^kured's lock: kept for node a;.*run it again/)
    expect(calls).not.toContain('PATCH kured')
  })

  test('is kept for a node whose record cannot be read, and not for one of another namespace', async () => {
    const unreadable = node('a') as { metadata: { annotations: Record<string, string> } }
    unreadable.metadata.annotations['drover.io/node-upgrade'] = '{'
    const first = serverOf({ nodes: [unreadable as unknown as JsonObject], kured: () => daemonSet(ours) }, () => ({}))
    expect((await first.run()).left.at(-1)).toMatch(/^kured's lock: kept/)
    const foreign = { ...started, plan: 't/p' }
    const second = serverOf({ nodes: [node('a', '1', foreign)], kured: () => daemonSet(ours) }, () => daemonSet({}))
    expect((await second.run()).done).toEqual(["kured's lock: given back"])
  })
})
