/** `etcdSnapshot`: who waits for a recent snapshot, which one counts, and what is asked for. */
import { describe, expect, test } from '@jest/globals'
import { listSnapshots } from '../../../src/controller/list-snapshots.ts'
import { ApiError } from '../../../src/kube/client/api-error.ts'
import type { Client } from '../../../src/kube/client/client.ts'
import { decide } from '../../../src/rollout/decide.ts'
import type { Decision, Fresh, NodeView, SnapshotView, World } from '../../../src/rollout/world.ts'
import { etcdSnapshot } from '../../etcd-snapshots.ts'
import { actions, aNode, aPlan, aPolicy, aRecord, aServer, aWork, aWorld, hashOf, holdsOn, NOW, remembering } from '../build.ts'

const PLAN = 'system-upgrade/p'
const HOUR = 3_600_000

const policy = (etcdSnapshotSpec: object) => aPolicy({ etcdSnapshot: etcdSnapshotSpec })

const snapshot = (age: number, more: Partial<SnapshotView> = {}): SnapshotView => ({
  name: `etcd-${age / HOUR}`,
  node: 's1',
  createdAt: NOW.wall - age,
  usable: true,
  ...more,
})
const seen = (value: readonly SnapshotView[] | 'unknown', at = NOW.mono): Fresh<readonly SnapshotView[] | 'unknown'> => ({
  at,
  ok: true,
  value,
})

function decided(
  spec: object,
  found: Fresh<readonly SnapshotView[] | 'unknown'> | undefined,
  nodes: readonly NodeView[] = [aServer('s1'), aServer('s2'), aServer('s3'), aNode('a')],
  more: Partial<World> & { view?: ReturnType<typeof aPlan> } = {},
): Decision {
  const { view = aPlan('p'), ...rest } = more
  return decide(
    aWorld({
      ...rest,
      plans: [remembering(view)],
      policies: [policy(spec)],
      nodes,
      observed: { snapshots: found === undefined ? new Map() : new Map([['etcd', found]]) },
    }),
  )
}

const asks = (decision: Decision) => decision.needs.some(({ kind }) => kind === 'snapshots')
const held = (decision: Decision, node = 's1') => holdsOn(decision, PLAN, node).includes('NoRecentEtcdSnapshot')
const message = (decision: Decision) => decision.reports.get(PLAN)?.nodes.get('s1')?.holds[0]?.message
const warnings = (decision: Decision) => actions(decision, 'event').filter(({ reason }) => reason === 'NoRecentEtcdSnapshot')

describe('etcdSnapshot.policy Require', () => {
  const require = { policy: 'Require' }

  test.each([
    ['none', [], true],
    ['one of now', [snapshot(0)], false],
    ['one that is just young enough', [snapshot(24 * HOUR)], false],
    ['one that is a moment too old', [snapshot(24 * HOUR + 1)], true],
    ['one that is not usable', [snapshot(HOUR, { usable: false })], true],
    ['an old one and a young one', [snapshot(30 * HOUR), snapshot(HOUR)], false],
    ['one of a clock that is a little ahead', [snapshot(-60_000)], false],
    ['one of next week', [snapshot(-168 * HOUR)], true],
  ] as [string, SnapshotView[], boolean][])('with %s: servers wait: %s', (_name, list, waits) => {
    const decision = decided(require, seen(list))
    expect([held(decision), held(decision, 's3'), held(decision, 'a')]).toEqual([waits, waits, false])
    expect(warnings(decision)).toEqual([])
  })

  test('maxAge is what counts as recent', () => {
    expect(held(decided({ ...require, maxAge: '1h' }, seen([snapshot(2 * HOUR)])))).toBe(true)
    expect(held(decided({ ...require, maxAge: '3h' }, seen([snapshot(2 * HOUR)])))).toBe(false)
  })

  test('the message says what there is', () => {
    expect(message(decided(require, seen([])))).toBe(
      'no etcd snapshot is younger than 24h0m0s: there is none that could be restored; take one with etcd-snapshot save',
    )
    expect(message(decided(require, seen([snapshot(HOUR, { usable: false })])))).toContain(
      'none that could be restored, and 1 that could not',
    )
    expect(message(decided(require, seen([snapshot(48 * HOUR), snapshot(30 * HOUR)])))).toContain(
      'the newest, etcd-30 of node s1, is from 2026-03-01T06:00:00Z',
    )
    expect(message(decided(require, undefined))).toBe('the etcd snapshots have not been listed yet')
    expect(message(decided(require, seen([snapshot(0)], NOW.mono - 300_001)))).toBe('the etcd snapshots have not been listed yet')
    const unknown = decided(require, seen('unknown'))
    expect(unknown.reports.get(PLAN)?.nodes.get('s1')?.holds[0]).toMatchObject({ reason: 'NoRecentEtcdSnapshot', endedBy: 'person' })
    const down = decided(require, { at: NOW.mono, ok: false, error: 'timed out' })
    expect(message(down)).toBe('the etcd snapshots cannot be listed: timed out')
    const refused = decided(require, { at: NOW.mono, ok: false, error: 'forbidden', refused: true })
    expect(holdsOn(refused, PLAN, 's1')).toEqual(['Refused'])
  })

  test('a server that has been taken goes on', () => {
    const view = aPlan('p', {}, { status: { applying: ['s1'] } })
    const taken = aServer('s1', {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('s1', { work: aWork(view), cordon: { at: '2026-03-02T11:59:00Z', plan: PLAN } }),
    })
    const decision = decided(require, seen([]), [taken, aServer('s2'), aServer('s3')], { view })
    expect(held(decision)).toBe(false)
    // It is at the point of no return, where members must be seen to live.
    expect(holdsOn(decision, PLAN, 's1')).toEqual(['HeartbeatMissing'])
  })

  test.each([
    ['without a server that is to be taken', [aNode('a')]],
    ['in a cluster without etcd', [aServer('s1', { etcd: false }), aNode('a')]],
    ['when its servers are done', [aServer('s1', { labels: { 'plan.upgrade.cattle.io/p': hashOf(aPlan('p')) } }), aNode('a')]],
  ])('nothing is asked for, and nobody held, %s', (_name, nodes) => {
    const decision = decided(require, undefined, nodes)
    expect([asks(decision), nodes.some(({ name }) => held(decision, name))]).toEqual([false, false])
  })

  test('nothing is asked for by a Plan that disrupts nothing', () => {
    const view = aPlan('p', { cordon: false, upgrade: { image: 'script' }, version: 'v2' })
    const decision = decided(require, undefined, undefined, { view })
    expect([asks(decision), held(decision)]).toEqual([false, false])
  })
})

test('etcdSnapshot.policy Off, the default, asks for nothing and holds nobody', () => {
  for (const spec of [{}, { policy: 'Off', maxAge: '1h' }])
    expect([asks(decided(spec, undefined)), held(decided(spec, undefined))]).toEqual([false, false])
})

describe('etcdSnapshot.policy Warn', () => {
  const warn = { policy: 'Warn' }

  test('says once that there is no recent snapshot, and holds nobody', () => {
    const first = decided(warn, seen([]))
    expect([asks(first), held(first)]).toEqual([true, false])
    expect(warnings(first)).toMatchObject([
      { type: 'Warning', on: { kind: 'Plan', name: 'p' }, message: expect.stringContaining('no etcd snapshot is younger') },
    ])
    const since = new Map([...first.facts].map((fact) => [fact, { wall: NOW.wall - 1000, mono: NOW.mono - 1000 }]))
    expect(warnings(decided(warn, seen([]), undefined, { since }))).toEqual([])
  })

  test('says nothing before the list is known, or with a recent snapshot', () => {
    expect(warnings(decided(warn, undefined))).toEqual([])
    expect(warnings(decided(warn, seen([snapshot(HOUR)])))).toEqual([])
  })

  test('says why the list cannot be had', () => {
    const refused = decided(warn, { at: NOW.mono, ok: false, error: 'forbidden', refused: true })
    expect(warnings(refused).map((event) => event.message)).toEqual(['the etcd snapshots cannot be listed: forbidden'])
    expect(holdsOn(refused, PLAN, 's1')).not.toContain('Refused')
  })
})

describe('the list', () => {
  const client = (pages: (object[] | Error)[]): Client =>
    ({
      async *pages() {
        for (const [index, page] of pages.entries()) {
          if (page instanceof Error) throw page
          yield { items: page, resourceVersion: '1', first: index === 0, last: index === pages.length - 1 }
        }
      },
    }) as unknown as Client

  test('is read page by page; a snapshot without a size, a time, or the word that it is ready is not usable', async () => {
    const time = '2026-03-02T00:00:00Z'
    const found = await listSnapshots(
      client([
        [etcdSnapshot('good', time), etcdSnapshot('empty', time, { size: '0', readyToUse: true })],
        [
          etcdSnapshot('failed', time, { readyToUse: true }),
          etcdSnapshot('writing', time, { size: '5Mi', readyToUse: false }),
          etcdSnapshot('newer', '2026-03-02T06:00:00Z', { size: '5Mi', readyToUse: true }),
          etcdSnapshot('timeless', 'yesterday'),
          { metadata: { name: 'bare' } },
        ],
      ]),
    )
    expect(found === 'unknown' ? found : found.map(({ name, usable }) => [name, usable])).toEqual([
      ['newer', true],
      ['good', true],
      ['empty', false],
      ['failed', false],
      ['writing', false],
      ['timeless', false],
      ['bare', false],
    ])
    expect(found[0]).toEqual({ name: 'newer', node: 'server-1', createdAt: Date.parse('2026-03-02T06:00:00Z'), usable: true })
  })

  test('keeps the newest of many', async () => {
    const many = Array.from({ length: 500 }, (_, hour) => etcdSnapshot(`s${hour}`, new Date(hour * HOUR).toISOString()))
    const found = await listSnapshots(client([many.slice(0, 250), many.slice(250)]))
    expect(found.length).toBe(100)
    expect((found[0] as SnapshotView).name).toBe('s499')
  })

  test('of a kind that is not known is no error; any other is', async () => {
    const status = (code: number) => new ApiError('GET /x', { status: code, body: { kind: 'Status', message: 'x' } })
    expect(await listSnapshots(client([status(404)]))).toBe('unknown')
    await expect(listSnapshots(client([status(500)]))).rejects.toThrow()
  })
})
