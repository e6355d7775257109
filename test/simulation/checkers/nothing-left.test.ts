import { describe, expect, test } from '@jest/globals'
import type { Truth } from '../../../src/simulation/checkers/excuses.ts'
import { nothingLeft } from '../../../src/simulation/checkers/nothing-left.ts'
import { HASH, NAMESPACE, story, working } from './story.ts'

const truth: Truth = { namespace: NAMESPACE, well: () => true, namespaceHeld: () => false }

function begun() {
  const s = story((mirror) => nothingLeft(mirror, truth))
  s.node('a')
  s.plan('p')
  return s
}
const end = (s: ReturnType<typeof begun>) => s.see({ kind: 'end', mono: 1, stillWriting: false })

describe('promise 12', () => {
  test('a clean end', () => {
    const s = begun()
    s.patchNode('a', { record: {}, labels: { 'plan.upgrade.cattle.io/p': HASH } })
    end(s)
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })

  test.each<[string, (s: ReturnType<typeof begun>) => void]>([
    ['system-upgrade/p holds a slot for gone, which is gone', (s) => s.claim('p', ['gone'])],
    ['system-upgrade/p holds a slot for a, where nothing goes on', (s) => s.claim('p', ['a'])],
    [
      'system-upgrade/p holds a slot for a, which is done',
      (s) => {
        s.claim('p', ['a'])
        s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': HASH } })
      },
    ],
    [
      'a carries work of system-upgrade/p, which is gone',
      (s) => {
        s.claim('p', ['a'])
        s.patchNode('a', { record: working('p') })
        s.deletePlan('p')
      },
    ],
    ['a carries the in-flight label without work', (s) => s.patchNode('a', { labels: { 'drover.io/in-flight': 'true' } })],
    ['pull pod pull was left on a', (s) => s.pod('pull', { node: 'a', labels: { 'drover.io/role': 'pull' }, phase: 'Failed' })],
    ['Job prep was left though no work goes on', (s) => s.job('prep', { plan: 'p', node: 'a', role: 'prepare', attempt: '1' })],
    ['Job j was left though no work goes on', (s) => s.job('j', { plan: 'p', node: 'a', attempt: '1' })],
    ['Job j still runs though no work goes on', (s) => s.job('j', { plan: 'p', node: 'a', parallelism: 1, attempt: '1' })],
  ])('%s', (message, leave) => {
    const s = begun()
    leave(s)
    end(s)
    expect(s.said).toEqual([message])
  })

  test('an image pulled ahead for a node that is still to be done is of use', () => {
    const s = begun()
    s.pod('pull', { node: 'a', labels: { 'drover.io/role': 'pull', 'drover.io/plan': 'p' }, phase: 'Failed' })
    end(s)
    expect(s.said).toEqual([])
    s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': HASH } })
    end(s)
    expect(s.said).toEqual(['pull pod pull was left on a'])
  })

  test('a failed node keeps its slot', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { record: { past: { [`${NAMESPACE}/p`]: { hash: HASH, result: 'Failed' } } } })
    end(s)
    expect(s.said).toEqual([])
  })
})
