import { describe, expect, test } from '@jest/globals'
import { neverTwice } from '../../../src/simulation/checkers/never-twice.ts'
import { NAMESPACE, story, working } from './story.ts'

function begun() {
  const s = story(neverTwice)
  s.node('a')
  s.plan('p')
  s.claim('p', ['a'])
  s.job('j', { plan: 'p', node: 'a', parallelism: 1, uid: '1' })
  s.pod('j-1', { node: 'a', job: { name: 'j', uid: '1' } })
  return s
}

describe('promise 9', () => {
  test('a second pod of the same Job is the same disruption', () => {
    const s = begun()
    s.pod('j-1', { node: 'a', phase: 'Failed', job: { name: 'j', uid: '1' } })
    s.pod('j-2', { node: 'a', job: { name: 'j', uid: '1' } })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })

  test('a second Job that runs a pod is caught', () => {
    const s = begun()
    s.job('j', { plan: 'p', node: 'a', parallelism: 1, uid: '2' })
    s.pod('j-2', { node: 'a', job: { name: 'j', uid: '2' } })
    expect(s.said).toHaveLength(1)
    expect(s.said[0]).toMatch(/^a runs a second Job of system-upgrade\/p for hash h1/)
  })

  test('a second Job after a retry is asked for', () => {
    const s = begun()
    s.plan('p', {}, { annotations: { 'drover.io/retry': '1' } })
    s.job('j', { plan: 'p', node: 'a', parallelism: 1, uid: '2' })
    s.pod('j-2', { node: 'a', job: { name: 'j', uid: '2' } })
    expect(s.said).toEqual([])
  })

  test('a second Job after a person deleted the first is no fault', () => {
    for (const user of ['person', 'drover-1']) {
      const s = begun()
      s.write({ user, verb: 'delete', resource: 'jobs', name: 'j', namespace: NAMESPACE, before: s.mirror.jobs.get(`${NAMESPACE}/j`) })
      s.job('j', { plan: 'p', node: 'a', parallelism: 1, uid: '2' })
      s.pod('j-2', { node: 'a', job: { name: 'j', uid: '2' } })
      expect(s.said).toHaveLength(user === 'person' ? 0 : 1)
    }
  })

  test("a second Job after a person took the node's label away is asked for", () => {
    const s = begun()
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'h1' } })
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': '' } }, 'person')
    s.job('j', { plan: 'p', node: 'a', parallelism: 1, uid: '2' })
    s.pod('j-2', { node: 'a', job: { name: 'j', uid: '2' } })
    expect(s.said).toEqual([])
  })

  test('a second cordon needs a cause outside', () => {
    const s = begun()
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { unschedulable: false, record: {} })
    s.see({ kind: 'outside', mono: 1, what: 'paused', plan: 'p' })
    s.patchNode('a', { unschedulable: true, record: working('p') })
    expect(s.said).toEqual([])
    s.patchNode('a', { unschedulable: false, record: {} })
    s.patchNode('a', { unschedulable: true, record: working('p') })
    expect(s.said).toHaveLength(1)
  })
})
