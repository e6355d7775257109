import { describe, expect, test } from '@jest/globals'
import { doneMeansDone } from '../../../src/simulation/checkers/done-means-done.ts'
import { HASH, story, working } from './story.ts'

const DONE = { 'plan.upgrade.cattle.io/p': HASH }

function begun(spec = {}, options = {}) {
  const s = story(doneMeansDone)
  s.node('a')
  s.plan('p', spec, options)
  s.claim('p', ['a'])
  s.patchNode('a', { unschedulable: true, record: working('p', { startedAt: 't', jobUID: 'uid-j' }) })
  s.job('j', { plan: 'p', node: 'a', parallelism: 1 })
  return s
}

describe('promise 4', () => {
  test('Ready, at the target, changed since the claim, a heartbeat', () => {
    const s = begun()
    s.patchNode('a', { version: 'v1.33.4+rke2r1', beat: '1' }, 'system:node:a')
    s.patchNode('a', { labels: DONE })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })

  test("the Job's word alone is not enough", () => {
    const s = begun()
    s.job('j', { plan: 'p', node: 'a', parallelism: 1, end: 'Complete' })
    s.patchNode('a', { beat: '1' }, 'system:node:a')
    s.patchNode('a', { labels: DONE })
    expect(s.said).toEqual(['label of a as done by system-upgrade/p: its kubelet is at v1.33.3+rke2r1, not at v1.33.4-rke2r1'])
  })

  test('not Ready', () => {
    const s = begun()
    s.patchNode('a', { version: 'v1.33.4+rke2r1', beat: '1' }, 'system:node:a')
    s.patchNode('a', { ready: 'Unknown' }, 'system:kube-controller-manager')
    s.patchNode('a', { labels: DONE })
    expect(s.said).toContain('label of a as done by system-upgrade/p: the node is not Ready')
  })

  test('a pod of the Job still runs', () => {
    const s = begun()
    s.patchNode('a', { version: 'v1.33.4+rke2r1', beat: '1' }, 'system:node:a')
    s.pod('j-1', { node: 'a', labels: { 'upgrade.cattle.io/plan': 'p' } })
    s.patchNode('a', { labels: DONE })
    expect(s.said).toEqual(['label of a as done by system-upgrade/p: its pod j-1 still runs'])
  })

  test('no heartbeat since the work began', () => {
    const s = story(doneMeansDone)
    s.node('a', { version: 'v1.33.4+rke2r1' })
    s.plan('p')
    s.claim('p', ['a'])
    s.patchNode('a', { record: working('p', { from: 'v1.33.4+rke2r1', startedAt: 't', jobUID: 'j' }) })
    s.patchNode('a', { labels: DONE })
    expect(s.said).toEqual(['label of a as done by system-upgrade/p: no heartbeat since the work began'])
  })

  test('a version that changed before the claim proves nothing', () => {
    const s = story(doneMeansDone)
    s.node('a', { version: 'v1.33.4+rke2r1' })
    s.plan('p')
    s.claim('p', ['a'])
    s.patchNode('a', { record: working('p', { startedAt: 't', jobUID: 'j' }) })
    s.patchNode('a', { beat: '1' }, 'system:node:a')
    s.patchNode('a', { labels: DONE })
    expect(s.said).toEqual(['label of a as done by system-upgrade/p: it was not seen to change from v1.33.3+rke2r1 since the claim'])
  })

  test('any other Plan: the Job must have succeeded, even if it is gone by now', () => {
    const script = { upgrade: { image: 'registry/os-patch' }, version: 'bookworm' }
    const bad = begun(script, { version: 'bookworm' })
    bad.patchNode('a', { beat: '1' }, 'system:node:a')
    bad.patchNode('a', { labels: DONE })
    expect(bad.said).toEqual(['label of a as done by system-upgrade/p: no Job for that hash succeeded'])
    const good = begun(script, { version: 'bookworm' })
    good.job('j', { plan: 'p', node: 'a', parallelism: 1, end: 'Complete' })
    good.patchNode('a', { beat: '1' }, 'system:node:a')
    good.patchNode('a', { labels: DONE })
    expect(good.said).toEqual([])
  })

  test('a hash that the Plan never had', () => {
    const s = begun()
    s.patchNode('a', { beat: '1', version: 'v1.33.4+rke2r1' }, 'system:node:a')
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'other' } })
    expect(s.said).toEqual([])
    s.see({ kind: 'end', mono: 1, stillWriting: false })
    expect(s.said).toEqual(['label of a as done by system-upgrade/p with hash other, which the Plan never had'])
  })

  test('a hash that the status shows only later is judged then', () => {
    const s = story(doneMeansDone)
    s.node('a')
    s.plan('p')
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'later' } })
    expect(s.said).toEqual([])
    s.plan('p', {}, { hash: 'later' })
    expect(s.said).toEqual([
      'label of a as done by system-upgrade/p: its kubelet was at v1.33.3+rke2r1, and the hash turned out to be for v1.33.4-rke2r1',
    ])
  })
})
