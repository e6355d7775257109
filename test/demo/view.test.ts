import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { modelOf } from '../../src/cli/demo/model.ts'
import { changes, duration, frame, progressBar } from '../../src/cli/demo/view.ts'
import { HASH, NEW, node, plan, planOf } from './fixtures.ts'

const now = Date.UTC(2026, 0, 1, 0, 1, 0)
const plain = { width: 120, color: false }
const ESCAPE = '\u001b['

const draining = {
  nodeStatuses: [
    { name: 'agent-1', phase: 'Draining', since: '2026-01-01T00:00:18Z', message: 'PodDisruptionBudget default/ledger allows none' },
  ],
}
const nodes = [
  node('server-1', 'server', { done: HASH, version: NEW }),
  node('agent-1', 'agent', { cordoned: true }),
  node('agent-2', 'agent', { ready: false }),
]
const model = modelOf(
  [plan('server-plan', { conditions: [{ type: 'Complete', status: 'True' }] }), plan('agent-plan', draining)],
  nodes,
  planOf,
)

describe('frame', () => {
  test('shows one line a node with everything it is asked for', () => {
    expect(frame(model, 61_000, now, plain)).toEqual([
      'server-plan  v1.33.5-rke2r1  1/1',
      'agent-plan  v1.33.5-rke2r1  0/2',
      '',
      'NODE      ROLE    VERSION         PHASE                SINCE  WAITS FOR',
      'server-1  server  v1.33.5+rke2r1  Done',
      'agent-1   agent   v1.33.4+rke2r1  Draining (cordoned)  42s    PodDisruptionBudget default/ledger allows none',
      'agent-2   agent   v1.33.4+rke2r1  Pending (not ready)',
      '',
      `[${'█'.repeat(13)}${'░'.repeat(27)}] 1/3 nodes upgraded  1m01s`,
    ])
  })

  test('what a node under way waits for is never lost for want of room', () => {
    const lines = frame(model, 0, now, { width: 80, color: false })
    expect(lines).toContain('agent-1: PodDisruptionBudget default/ledger allows none')
    expect(frame(model, 0, now, plain).join('')).not.toContain('agent-1: ')
    const narrow = frame(model, 0, now, { width: 40, color: false })
    expect(narrow.slice(-3, -1).join(' ')).toBe('agent-1: PodDisruptionBudget default/ledger allows none')
  })

  test('without colour there is no escape sequence; with colour there is', () => {
    expect(frame(model, 0, now, plain).join('')).not.toContain(ESCAPE)
    expect(frame(model, 0, now, { ...plain, color: true }).join('')).toContain(ESCAPE)
  })

  test('control characters in a message reach no terminal', () => {
    const status = { nodeStatuses: [{ name: 'agent-1', phase: 'Draining', message: 'a\n\u001b[2Jb' }] }
    const text = frame(modelOf([plan('agent-plan', status)], nodes, planOf), 0, now, plain).join('')
    expect(text).toContain('a  [2Jb')
  })

  test('no line is wider than the terminal', () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: 200 }), fc.string({ maxLength: 200 }), (width, message) => {
        const status = { nodeStatuses: [{ name: 'agent-1', phase: 'Draining', message }] }
        const lines = frame(modelOf([plan('agent-plan', status)], nodes, planOf), 0, now, { width, color: false })
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width)
      }),
    )
  })
})

test('the progress bar is empty at first and full at the end', () => {
  const of = (done: number) => progressBar({ ...model, done }, 0, { width: 40, color: false })
  expect(of(0)).not.toContain('█')
  expect(of(3)).not.toContain('░')
})

describe('changes', () => {
  test('everything at first, nothing without a change', () => {
    expect(changes(undefined, model, 5000)).toHaveLength(5)
    expect(changes(model, model, 5000)).toEqual([])
  })

  test('a new phase names the old one and what is waited for', () => {
    const before = modelOf([plan('agent-plan', {})], nodes, planOf)
    const after = modelOf([plan('agent-plan', draining)], nodes, planOf)
    expect(changes(before, after, 65_000)).toEqual([
      ' 1m05s  agent-1 (agent, v1.33.4+rke2r1): Pending -> Draining (cordoned), waits for: PodDisruptionBudget default/ledger allows none',
    ])
  })

  test('what holds a whole Plan is said once', () => {
    const conditions = [{ type: 'Complete', status: 'False', reason: 'WaitingForPlan', message: 'server-plan first' }]
    const held = modelOf([plan('agent-plan', { conditions })], [node('a', 'agent')], planOf)
    expect(held.nodes[0]!.waitsFor).toBe('WaitingForPlan: server-plan first')
    expect(changes(modelOf([plan('agent-plan', {})], [node('a', 'agent')], planOf), held, 0)).toEqual([
      '    0s  agent-plan: WaitingForPlan: server-plan first (target v1.33.5-rke2r1)',
    ])
  })

  test('a Plan that becomes complete is a change', () => {
    const complete = { conditions: [{ type: 'Complete', status: 'True' }] }
    expect(changes(modelOf([plan('agent-plan', {})], [], planOf), modelOf([plan('agent-plan', complete)], [], planOf), 0)).toEqual([
      '    0s  agent-plan: complete (target v1.33.5-rke2r1)',
    ])
  })

  test('since alone is no change', () => {
    const later = { nodeStatuses: [{ ...draining.nodeStatuses[0]!, since: '2026-01-01T00:00:30Z' }] }
    expect(changes(modelOf([plan('agent-plan', draining)], nodes, planOf), modelOf([plan('agent-plan', later)], nodes, planOf), 0)).toEqual(
      [],
    )
  })
})

test.each([
  [-5, '0s'],
  [999, '0s'],
  [59_999, '59s'],
  [60_000, '1m00s'],
  [3_605_000, '60m05s'],
])('%d ms read as %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})
