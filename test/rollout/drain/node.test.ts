import { expect, test } from '@jest/globals'
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
