import { describe, expect, test } from '@jest/globals'
import { itEnds } from '../../../src/simulation/checkers/it-ends.ts'
import type { Truth } from '../../../src/simulation/checkers/excuses.ts'
import { HASH, NAMESPACE, story, working } from './story.ts'

const truth: Truth = { namespace: NAMESPACE, well: (node) => node !== 'broken', namespaceHeld: () => false }
const DONE = { 'plan.upgrade.cattle.io/p': HASH }

function begun(options: Parameters<ReturnType<typeof story>['plan']>[2] = {}, spec = {}) {
  const s = story((mirror) => itEnds(mirror, truth))
  s.node('s', { role: 'server', version: 'v1.33.4+rke2r1' })
  s.patchNode('s', { labels: DONE })
  s.node('a')
  s.plan('p', spec, options)
  return s
}
const end = (s: ReturnType<typeof begun>, stillWriting = false) => s.see({ kind: 'end', mono: 1e9, stillWriting })

describe('promise 11', () => {
  test('all done, nothing cordoned', () => {
    const s = begun()
    s.patchNode('a', { labels: DONE, version: 'v1.33.4+rke2r1' })
    end(s)
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBeGreaterThan(0)
  })

  test('a node that nothing holds is not done', () => {
    const s = begun()
    end(s)
    expect(s.said).toEqual(['a is not done by system-upgrade/p and nothing holds it'])
  })

  test('our cordon stays', () => {
    const s = begun()
    s.patchNode('a', { labels: DONE, unschedulable: true, record: working('p') })
    end(s)
    expect(s.said).toEqual(['a still carries our cordon'])
  })

  test('writes without end', () => {
    const s = begun({}, { nodeSelector: { matchLabels: { none: '1' } } })
    end(s, true)
    expect(s.said).toEqual(['a controller still writes though nothing changes any more'])
  })

  test.each<[string, (s: ReturnType<typeof begun>) => void]>([
    ['paused', (s) => s.plan('p', {}, { annotations: { 'drover.io/paused': 'true' } })],
    ['aborted', (s) => s.plan('p', {}, { annotations: { 'drover.io/abort': HASH.slice(0, 8) } })],
    ['no concurrency', (s) => s.plan('p', { concurrency: 0 })],
    ['disabled', (s) => s.patchNode('a', { labels: { 'plan.upgrade.cattle.io/p': 'disabled' } }, 'person')],
    ['foreign cordon', (s) => s.patchNode('a', { unschedulable: true }, 'person')],
    ['not Ready', (s) => s.patchNode('a', { ready: 'False' }, 'system:node:a')],
    ['downgrade', (s) => s.patchNode('a', { version: 'v1.34.1+rke2r1' }, 'system:node:a')],
    ['above its server', (s) => s.patchNode('s', { version: 'v1.33.2+rke2r1' }, 'system:node:s')],
    ['pinned image', (s) => s.plan('p', { upgrade: { image: 'rancher/rke2-upgrade:v1.33.1-rke2r1' } })],
  ])('%s excuses', (_, hold) => {
    const s = begun()
    hold(s)
    end(s)
    expect(s.said).toEqual([])
  })

  test('a failed node that is held keeps its slot, and with it the others of its Plan waiting; a failed one that nothing holds does not', () => {
    for (const held of [true, false]) {
      const s = begun()
      s.node('b')
      s.claim('p', ['a'])
      s.patchNode('a', { record: { past: { [`${NAMESPACE}/p`]: { hash: HASH, result: 'Failed' } } } })
      if (held) s.patchNode('a', { unschedulable: true }, 'person')
      end(s)
      expect(s.said).toHaveLength(held ? 0 : 2)
    }
  })

  test('our cordon may stay on a node that is held on its way', () => {
    const s = begun()
    s.claim('p', ['a'])
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { ready: 'False' }, 'system:node:a')
    end(s)
    expect(s.said).toEqual([])
  })
})
