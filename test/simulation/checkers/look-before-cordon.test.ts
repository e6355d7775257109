import { describe, expect, test } from '@jest/globals'
import { lookBeforeCordon } from '../../../src/simulation/checkers/look-before-cordon.ts'
import { HASH, NAMESPACE, story, working } from './story.ts'

function begun(done: { pull?: string; dryRun?: boolean }) {
  const s = story(lookBeforeCordon)
  s.node('a')
  s.plan('p')
  s.claim('p', ['a'])
  if (done.pull !== undefined) {
    s.pod('pull', { node: done.pull, labels: { 'drover.io/role': 'pull' }, image: 'rancher/rke2-upgrade:v1.33.4-rke2r1', phase: 'Pending' })
    s.pod('pull', {
      node: done.pull,
      labels: { 'drover.io/role': 'pull' },
      image: 'rancher/rke2-upgrade:v1.33.4-rke2r1',
      phase: 'Failed',
      imageID: 'sha256:1',
    })
  }
  const labels = { 'upgrade.cattle.io/plan': 'p', 'plan.upgrade.cattle.io/p': HASH }
  if (done.dryRun === true)
    s.write({
      user: 'drover-1',
      verb: 'create',
      resource: 'pods',
      namespace: NAMESPACE,
      name: 'x',
      dryRun: true,
      body: { metadata: { labels } },
      status: 201,
    })
  s.patchNode('a', { unschedulable: true, record: working('p') })
  return s
}

describe('promise 7', () => {
  test('pulled on the node and tried', () => {
    const s = begun({ pull: 'a', dryRun: true })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })
  test('not pulled', () => {
    expect(begun({ dryRun: true }).said).toEqual(['cordon of a for system-upgrade/p before rancher/rke2-upgrade was pulled there'])
  })
  test('pulled on another node', () => {
    expect(begun({ pull: 'b', dryRun: true }).said).toHaveLength(1)
  })
  test('no dry run', () => {
    expect(begun({ pull: 'a' }).said).toEqual(['cordon of a for system-upgrade/p before its pod passed a dry run'])
  })
})
