import { describe, expect, test } from '@jest/globals'
import { modelOf } from '../../src/cli/demo/model.ts'
import { HASH, NEW, node, plan, planOf } from './fixtures.ts'

const complete = { conditions: [{ type: 'Complete', status: 'True', reason: 'Complete' }] }

describe('modelOf', () => {
  test('sorts servers before agents, then by name', () => {
    const model = modelOf([], [node('b', 'agent'), node('z', 'server'), node('a', 'agent')], planOf)
    expect(model.nodes.map((row) => row.name)).toEqual(['z', 'a', 'b'])
  })

  test('Plans stand in the order of their nodes', () => {
    const model = modelOf(
      [plan('agent-plan', {}), plan('other', {}), plan('server-plan', {})],
      [node('a', 'agent'), node('s', 'server')],
      planOf,
    )
    expect(model.plans.map((row) => row.name)).toEqual(['server-plan', 'agent-plan', 'other'])
  })

  test('takes phase, since and what a node waits for from nodeStatuses', () => {
    const status = {
      nodeStatuses: [{ name: 'a', phase: 'Draining', since: '2026-01-01T00:00:10Z', message: 'Pod x, PodDisruptionBudget y' }],
    }
    const [row] = modelOf([plan('agent-plan', status)], [node('a', 'agent', { cordoned: true })], planOf).nodes
    expect(row).toEqual({
      name: 'a',
      role: 'agent',
      version: 'v1.33.4+rke2r1',
      plan: 'agent-plan',
      phase: 'Draining',
      sinceMs: Date.UTC(2026, 0, 1, 0, 0, 10),
      waitsFor: 'Pod x, PodDisruptionBudget y',
      cordoned: true,
      ready: true,
    })
  })

  test('a node that the status leaves out is done when it carries the hash in force, and only then', () => {
    const nodes = [node('done', 'agent', { done: HASH, version: NEW }), node('old', 'agent', { done: 'another' }), node('new', 'agent')]
    const model = modelOf([plan('agent-plan', {})], nodes, planOf)
    expect(model.nodes.map((row) => [row.name, row.phase])).toEqual([
      ['done', 'Done'],
      ['new', 'Pending'],
      ['old', 'Pending'],
    ])
    expect(model.done).toBe(1)
  })

  test('an unresolved Plan has no hash, and so nothing is done', () => {
    const model = modelOf([plan('agent-plan', { latestHash: '' })], [node('a', 'agent', { done: '' })], planOf)
    expect(model.nodes[0]!.phase).toBe('Pending')
  })

  test('a waiting node shows what holds its Plan', () => {
    const conditions = [{ type: 'Complete', status: 'False', reason: 'WaitingForPlan', message: 'server-plan is not complete' }]
    const model = modelOf([plan('agent-plan', { conditions })], [node('a', 'agent')], planOf)
    expect(model.nodes[0]!.waitsFor).toBe('WaitingForPlan: server-plan is not complete')
    expect(model.plans[0]!.note).toBe('WaitingForPlan: server-plan is not complete')
  })

  test('what one node waits for holds no other', () => {
    const conditions = [{ type: 'Complete', status: 'False', reason: 'Pulling', message: 'the image is being pulled on node b' }]
    const model = modelOf([plan('agent-plan', { conditions })], [node('a', 'agent')], planOf)
    expect(model.nodes[0]!.waitsFor).toBe('')
    expect(model.plans[0]!.note).toBe('Pulling: the image is being pulled on node b')
  })

  test('work going on holds nobody', () => {
    const conditions = [{ type: 'Complete', status: 'False', reason: 'SyncJob', message: 'Jobs are running' }]
    expect(modelOf([plan('agent-plan', { conditions })], [node('a', 'agent')], planOf).nodes[0]!.waitsFor).toBe('')
  })

  test('what is wrong is shown before what is stuck and what is incomplete', () => {
    const conditions = [
      { type: 'Complete', status: 'False', reason: 'NotReady', message: 'not ready' },
      { type: 'Stalled', status: 'True', reason: 'Error', message: 'stuck' },
      { type: 'LatestResolved', status: 'False', reason: 'Error', message: 'channel answers 404' },
    ]
    expect(modelOf([plan('agent-plan', { conditions })], [], planOf).plans[0]!.note).toBe('Error: channel answers 404')
    expect(modelOf([plan('agent-plan', { conditions: conditions.slice(0, 2) })], [], planOf).plans[0]!.note).toBe('Error: stuck')
  })

  test('is complete when every Plan is, for its current generation, and every node is done', () => {
    const nodes = [node('s', 'server', { done: HASH }), node('a', 'agent', { done: HASH })]
    const plans = [plan('server-plan', complete), plan('agent-plan', complete)]
    expect(modelOf(plans, nodes, planOf).complete).toBe(true)
    expect(modelOf([plans[0]!, plan('agent-plan', {})], nodes, planOf).complete).toBe(false)
    expect(modelOf([plans[0]!, plan('agent-plan', { ...complete, observedGeneration: 1 }, 2)], nodes, planOf).complete).toBe(false)
    expect(modelOf(plans, [...nodes, node('b', 'agent')], planOf).complete).toBe(false)
    expect(modelOf(plans, [], planOf).complete).toBe(false)
  })

  test('names failed nodes', () => {
    const status = { nodeStatuses: [{ name: 'a', phase: 'Failed', message: 'NodeLost' }] }
    expect(modelOf([plan('agent-plan', status)], [node('a', 'agent')], planOf).failed).toEqual(['a'])
  })

  test('objects without status, spec or labels are shown, not thrown at', () => {
    const model = modelOf([{ metadata: { name: 'agent-plan' } }], [{ metadata: { name: 'a' } }], planOf)
    expect(model.nodes[0]).toMatchObject({ name: 'a', role: 'agent', version: '', phase: 'Pending', ready: false })
  })
})
