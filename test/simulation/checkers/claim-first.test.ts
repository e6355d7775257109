import { describe, expect, test } from '@jest/globals'
import { claimFirst } from '../../../src/simulation/checkers/claim-first.ts'
import { NAMESPACE, story, working } from './story.ts'

function begun() {
  const s = story(claimFirst)
  s.node('a')
  s.plan('p')
  s.plan('q')
  return s
}

describe('promise 2', () => {
  test('claim, cordon, evict, run', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.pod('app', { node: 'a' })
    s.write({ user: 'drover-1', verb: 'create', resource: 'pods', subresource: 'eviction', name: 'app', namespace: NAMESPACE })
    s.job('j', { plan: 'p', node: 'a' })
    s.job('j', { plan: 'p', node: 'a', parallelism: 1 })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(4)
  })

  test('an image pull pod and the label of a node that needs no work touch nothing', () => {
    const s = begun()
    s.pod('pull', { node: 'a', labels: { 'drover.io/role': 'pull' } })
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'h1' } })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(0)
  })

  test.each([
    ['cordon', (s: ReturnType<typeof begun>) => s.patchNode('a', { unschedulable: true, record: working('p') })],
    ['prepare', (s: ReturnType<typeof begun>) => s.job('prep', { plan: 'p', node: 'a', role: 'prepare', parallelism: 1 })],
    ['run', (s: ReturnType<typeof begun>) => s.job('j', { plan: 'p', node: 'a', parallelism: 1 })],
    [
      'evict',
      (s: ReturnType<typeof begun>) => {
        s.pod('app', { node: 'a' })
        s.write({ user: 'drover-1', verb: 'create', resource: 'pods', subresource: 'eviction', name: 'app', namespace: NAMESPACE })
      },
    ],
  ])('%s without a claim is caught', (what, act) => {
    const s = begun()
    act(s)
    expect(s.said[0]).toMatch(new RegExp(`^${what} of a for`))
  })

  test('work of a Plan that was deleted may be driven on only past the point of no return', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { record: working('p', { startedAt: 't', jobUID: 'uid-j' }) })
    s.deletePlan('p')
    s.job('j', { plan: 'p', node: 'a', parallelism: 1 })
    expect(s.said).toEqual([])
  })

  test('work before the point of no return ends with its Plan', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.deletePlan('p')
    // A watch may be late to tell.
    s.job('j', { plan: 'p', node: 'a', parallelism: 1 })
    expect(s.said).toEqual([])
    s.wait(200_000)
    s.job('j2', { plan: 'p', node: 'a', parallelism: 1 })
    expect(s.said).toHaveLength(1)
  })

  test('of an etcd member the Plan is read anew at the point of no return', () => {
    const s = begun()
    s.node('s', { role: 'server' })
    s.claim('p', ['s'])
    s.patchNode('s', { unschedulable: true, record: working('p') })
    s.deletePlan('p')
    s.patchNode('s', { record: working('p', { startedAt: 't', jobUID: 'j' }) })
    expect(s.said).toEqual(['begin of s for system-upgrade/p, which does not hold it in status.applying'])
  })

  test('a slot is not given back while the record shows live work', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: { ...working('p'), nodeUID: 'uid-a' } })
    s.claim('p', [])
    expect(s.said).toEqual(['system-upgrade/p gives back the slot of a, whose record shows live work'])
  })

  test('a second Plan on a busy node is caught, by record and by Job', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.claim('q', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.job('j', { plan: 'p', node: 'a', parallelism: 1 })
    s.job('k', { plan: 'q', node: 'a', parallelism: 1 })
    expect(s.said).toEqual([
      'run of a for system-upgrade/q while system-upgrade/p works on it',
      'run of a for system-upgrade/q while a Job of system-upgrade/p runs there',
    ])
  })
})
