import { describe, expect, test } from '@jest/globals'
import { limits } from '../../../src/simulation/checkers/limits.ts'
import { NAMESPACE, story, working } from './story.ts'

const begun = (maxUnavailable?: string) =>
  story((mirror) =>
    limits(mirror, {
      namespace: NAMESPACE,
      well: () => true,
      namespaceHeld: () => false,
      ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
    }),
  )

describe('promise 1', () => {
  test('two nodes one after the other at concurrency 1 are fine', () => {
    const s = begun()
    s.node('a')
    s.node('b')
    s.plan('p')
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { unschedulable: false, record: {} })
    s.claim('p', ['b'])
    s.patchNode('b', { unschedulable: true, record: working('p') })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(2)
  })

  test('a second node in `applying` at concurrency 1 is caught at its first touch, not at the claim', () => {
    const s = begun()
    s.node('a')
    s.node('b')
    s.plan('p')
    s.claim('p', ['a'])
    s.claim('p', ['a', 'b'], 'drover-2')
    s.patchNode('a', { unschedulable: true, record: working('p') })
    expect(s.said).toEqual([])
    s.patchNode('b', { unschedulable: true, record: working('p') }, 'drover-2')
    expect(s.said).toEqual(['cordon of b for system-upgrade/p: 2 nodes in flight (a, b), concurrency 1'])
  })

  test('a node that left `applying` counts while its record holds live work', () => {
    const s = begun()
    s.node('a')
    s.node('b')
    s.plan('p')
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.claim('p', ['b'])
    s.job('j', { plan: 'p', node: 'b', parallelism: 1 })
    expect(s.said).toHaveLength(1)
  })

  test('a concurrency that was lowered after the claim does not make the claim wrong', () => {
    const s = begun()
    s.node('a')
    s.node('b')
    s.plan('p', { concurrency: 2 })
    s.claim('p', ['a', 'b'])
    s.plan('p', { concurrency: 1 })
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('b', { unschedulable: true, record: working('p') })
    expect(s.said).toEqual([])
  })

  test('a node that failed keeps its slot from others, but for Plans under a policy', () => {
    for (const [planNames, broken] of [
      [['q'], 1],
      [['p'], 0],
    ] as const) {
      const s = begun()
      s.policy('careful', { planNames })
      s.node('a')
      s.node('b')
      s.plan('p')
      s.claim('p', ['a'])
      s.patchNode('a', { unschedulable: true, record: working('p') })
      s.patchNode('a', { record: { past: { [`${NAMESPACE}/p`]: { hash: 'h1', result: 'Failed' } } } })
      s.claim('p', ['a', 'b'])
      s.patchNode('b', { unschedulable: true, record: working('p') })
      expect(s.said).toHaveLength(broken)
    }
  })

  test("the cluster's budget counts nodes that are down for any cause", () => {
    for (const [budget, broken] of [
      ['2', 0],
      ['1', 1],
      ['50%', 1],
      ['100%', 0],
    ] as const) {
      const s = begun(budget)
      for (const name of ['a', 'b', 'c']) s.node(name)
      s.plan('p', { concurrency: 2 })
      s.patchNode('b', { ready: 'Unknown' }, 'system:kube-controller-manager')
      s.wait(200_000)
      s.claim('p', ['a'])
      s.patchNode('a', { unschedulable: true, record: working('p') })
      expect(s.said).toHaveLength(broken)
    }
  })

  test('the budget is no matter of Plans that disrupt nothing, nor of a node that is down anyway', () => {
    const s = begun('1')
    for (const name of ['a', 'b']) s.node(name)
    s.plan('script', { cordon: false, upgrade: { image: 'registry/script' } })
    s.plan('p')
    for (const name of ['a', 'b']) s.patchNode(name, { ready: 'Unknown' }, 'system:kube-controller-manager')
    s.wait(200_000)
    s.claim('script', ['a'])
    s.patchNode('a', { record: { work: working('script').work as never } })
    s.claim('p', ['b'])
    s.patchNode('b', { unschedulable: true, record: working('p') })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(2)
  })
})
