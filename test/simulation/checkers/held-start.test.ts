import { describe, expect, test } from '@jest/globals'
import { heldStart } from '../../../src/simulation/checkers/held-start.ts'
import { HASH, story, working } from './story.ts'

const STARTED = { record: working('p', { startedAt: 't', jobUID: 'uid-j' }) }

function claimed(role: 'server' | 'agent' = 'server') {
  const s = story(heldStart)
  s.node('a', { role })
  s.plan('p')
  s.claim('p', ['a'])
  s.patchNode('a', { unschedulable: true, record: working('p') })
  return s
}

describe('the point of no return', () => {
  test('nobody holds', () => {
    const s = claimed()
    s.job('j', { plan: 'p', node: 'a' })
    s.patchNode('a', STARTED)
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(1)
  })

  test.each([
    ['paused', { 'drover.io/paused': 'true' }],
    [HASH, { 'drover.io/abort': HASH }],
  ])('a Plan stopped (%s) before the Job was made', (how, annotations) => {
    const s = claimed()
    s.plan('p', {}, { annotations })
    s.job('j', { plan: 'p', node: 'a' })
    s.patchNode('a', STARTED)
    expect(s.said).toEqual([`begin of a for system-upgrade/p, stopped by people (${how}) 20 ms before`])
  })

  test('a Plan paused after the Job was made, an abort of another hash, a pause taken back', () => {
    const late = claimed()
    late.job('j', { plan: 'p', node: 'a' })
    late.plan('p', {}, { annotations: { 'drover.io/paused': 'true' } })
    late.patchNode('a', STARTED)
    const other = claimed()
    other.plan('p', {}, { annotations: { 'drover.io/abort': 'other' } })
    other.job('j', { plan: 'p', node: 'a' })
    other.patchNode('a', STARTED)
    const back = claimed()
    back.plan('p', {}, { annotations: { 'drover.io/paused': 'true' } })
    back.plan('p')
    back.job('j', { plan: 'p', node: 'a' })
    back.patchNode('a', STARTED)
    expect([late, other, back].flatMap((s) => s.said)).toEqual([])
  })

  test('an agent: only what a watch must have shown by now', () => {
    const s = claimed('agent')
    s.plan('p', {}, { annotations: { 'drover.io/paused': 'true' } })
    s.job('j', { plan: 'p', node: 'a' })
    s.patchNode('a', STARTED)
    expect(s.said).toEqual([])
    const late = claimed('agent')
    late.plan('p', {}, { annotations: { 'drover.io/paused': 'true' } })
    late.wait(200_000)
    late.job('j', { plan: 'p', node: 'a' })
    late.patchNode('a', STARTED)
    expect(late.said).toHaveLength(1)
  })

  test('a held node', () => {
    const s = claimed('agent')
    s.patchNode('a', { annotations: { 'drover.io/hold': 'true' } }, 'person')
    s.patchNode('a', STARTED)
    expect(s.said).toEqual(['begin of a, which people hold'])
  })
})
