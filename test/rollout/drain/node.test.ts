import { expect, test } from '@jest/globals'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { decide } from '../../../src/rollout/decide.ts'
import { aNode, aPlan, aRecord, aWork, aWorld, NOW } from '../build.ts'

test('a drain that is done keeps its view, and looks again only after a minute', () => {
  const view = aPlan('p', { drain: { force: true } }, { status: { applying: ['a'] } })
  const record = aRecord('a', { cordon: { at: '2026-03-02T11:59:00Z', plan: view.key }, work: aWork(view) })
  const node = aNode('a', { unschedulable: true, cordonOwner: 'drover', record })
  const empty = { at: NOW.mono, ok: true, value: { pods: [], budgets: [], daemonSets: new Set<string>() } } as const
  const world = aWorld({ plans: [view], nodes: [node], observed: { drains: new Map([['a', empty]]) } })
  expect(decide(world).needs).toContainEqual({ kind: 'drain', node: 'a', maxAgeMs: 60_000 })
})

test("skipWaitForDeleteTimeout counts from when the pod was seen going: a clock that is ahead of the API server's ends nothing", () => {
  const view = aPlan('p', { drain: { force: true, skipWaitForDeleteTimeout: 60 } }, { status: { applying: ['a'] } })
  const record = aRecord('a', { cordon: { at: '2026-03-02T11:59:00Z', plan: view.key }, work: aWork(view) })
  const node = aNode('a', { unschedulable: true, cordonOwner: 'drover', record })
  // By our clock it should have been gone ten minutes ago.
  const going: Pod = {
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: 'web-1',
      deletionTimestamp: new Date(NOW.wall - 600_000).toISOString(),
      deletionGracePeriodSeconds: 30,
    },
    spec: { containers: [] },
  }
  const looked = (afterMs: number): readonly string[] => {
    const now = { wall: NOW.wall + afterMs, mono: NOW.mono + afterMs }
    const drains = new Map([
      ['a', { at: now.mono, ok: true, value: { pods: [going], budgets: [], daemonSets: new Set<string>() } } as const],
    ])
    const since = new Map([['going web-1', NOW]])
    const world = aWorld({ plans: [view], nodes: [node], observed: { drains }, now, since })
    return (
      decide(world)
        .reports.get(view.key)
        ?.nodes.get('a')
        ?.holds.map(({ message }) => message) ?? []
    )
  }
  expect(looked(0)).toEqual([expect.stringContaining('shop/web')])
  expect(looked(90_000)).toEqual([expect.stringContaining('shop/web')])
  expect(looked(90_001)).not.toContainEqual(expect.stringContaining('shop/web'))
})
