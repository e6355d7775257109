import { describe, expect, test } from '@jest/globals'
import { quorum } from '../../../src/simulation/checkers/quorum.ts'
import { story, working } from './story.ts'

function begun(servers: number) {
  const s = story(quorum)
  for (let i = 1; i <= servers; i += 1) s.node(`s${i}`, { role: 'server' })
  s.plan('p', { concurrency: 5 })
  s.claim('p', ['s1', 's2', 's3'])
  return s
}
type S = ReturnType<typeof begun>
const beatAll = (s: S, names: readonly string[]) =>
  names.forEach((name) =>
    s.write({ user: `system:node:${name}`, verb: 'update', resource: 'leases', namespace: 'kube-node-lease', name, before: {}, after: {} }),
  )
const cordon = (s: S, name: string) => s.patchNode(name, { unschedulable: true, record: working('p') })

describe('promise 5', () => {
  test('one of three', () => {
    const s = begun(3)
    cordon(s, 's1')
    s.patchNode('s1', { record: working('p', { startedAt: 't' }) })
    s.job('j', { plan: 'p', node: 's1', parallelism: 1 })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(3)
  })

  test('a second of three, at once', () => {
    const s = begun(3)
    cordon(s, 's1')
    cordon(s, 's2')
    expect(s.said).toEqual(['cordon of etcd member s2: 1 of 3 remain, 2 are needed (s1 is being worked on)'])
  })

  test('two of five are fine, three are not', () => {
    const s = begun(5)
    cordon(s, 's1')
    cordon(s, 's2')
    expect(s.said).toEqual([])
    cordon(s, 's3')
    expect(s.said).toHaveLength(1)
  })

  test('another member not Ready for long, silent, or cordoned by a person', () => {
    for (const trouble of ['notReady', 'cordoned', 'silent'] as const) {
      const s = begun(3)
      if (trouble === 'notReady') s.patchNode('s2', { ready: 'Unknown' }, 'system:kube-controller-manager')
      if (trouble === 'cordoned') s.patchNode('s2', { unschedulable: true }, 'person')
      s.wait(300_000)
      beatAll(s, trouble === 'silent' ? ['s1', 's3'] : ['s1', 's2', 's3'])
      cordon(s, 's1')
      // Silence is looked for at the point of no return only: until then nothing is lost.
      s.patchNode('s1', { record: working('p', { startedAt: 't' }) })
      expect(s.said).toHaveLength(trouble === 'silent' ? 1 : 2)
    }
  })

  test('a member that fell just now could not be known at the cordon, but must be at the point of no return', () => {
    const s = begun(3)
    s.patchNode('s2', { ready: 'Unknown' }, 'system:kube-controller-manager')
    s.wait(40_000)
    cordon(s, 's1')
    expect(s.said).toEqual([])
    s.patchNode('s1', { record: working('p', { startedAt: 't' }) })
    expect(s.said).toEqual(['begin of etcd member s1: 1 of 3 remain, 2 are needed (s2 is not Ready)'])
  })

  test('a member that was cordoned before the Job was made had to be seen', () => {
    const s = begun(3)
    cordon(s, 's1')
    s.patchNode('s2', { unschedulable: true }, 'person')
    s.job('j', { plan: 'p', node: 's1' })
    s.patchNode('s1', { record: working('p', { startedAt: 't' }) })
    expect(s.said).toEqual(['begin of etcd member s1: 1 of 3 remain, 2 are needed (s2 is cordoned)'])
  })

  test('of two members the other must be well', () => {
    const s = begun(2)
    cordon(s, 's1')
    expect(s.said).toEqual([])
    cordon(s, 's2')
    expect(s.said).toHaveLength(1)
  })

  test('an agent is no member', () => {
    const s = begun(1)
    s.node('a')
    cordon(s, 's1')
    cordon(s, 'a')
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })

  test('a member where a Plan works that disrupts nothing is not down', () => {
    const s = begun(3)
    s.plan('script', { cordon: false, upgrade: { image: 'registry/script' } })
    s.patchNode('s2', { record: { ...working('script', { startedAt: 't' }), cordon: undefined as never } })
    cordon(s, 's1')
    expect(s.said).toEqual([])
  })
})
