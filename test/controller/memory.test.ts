import { describe, expect, test } from '@jest/globals'
import { hold } from '../../src/api/reasons.ts'
import { createMemory, remember } from '../../src/controller/memory.ts'
import type { Decision, World } from '../../src/rollout/world.ts'
import { aNode, aPlan, aRecord, aWork, aWorld, NOW } from '../rollout/build.ts'

const decision = (more: Partial<Decision> = {}): Decision => ({
  steps: [],
  needs: [],
  reports: new Map(),
  facts: new Set(),
  notices: [],
  lookAt: undefined,
  ...more,
})

describe('a confirmed claim', () => {
  const view = aPlan('p', {}, { status: { applying: ['a'] } })
  const claim = `${view.uid}/h/uid-a`
  const after = (world: World) => {
    const memory = createMemory()
    memory.confirmed.add(claim)
    remember(memory, decision(), world)
    return [...memory.confirmed]
  }

  test('stands until its node has work', () => {
    expect(after(aWorld({ plans: [view], nodes: [aNode('a')] }))).toEqual([claim])
    expect(after(aWorld({ plans: [view], nodes: [aNode('a', { record: aRecord('a', { work: aWork(view) }) })] }))).toEqual([])
  })

  test('is forgotten with its slot, its node and its Plan', () => {
    expect(after(aWorld({ plans: [aPlan('p')], nodes: [aNode('a')] }))).toEqual([])
    expect(after(aWorld({ plans: [view], nodes: [aNode('a', { uid: 'another' })] }))).toEqual([])
    expect(after(aWorld({ plans: [], nodes: [aNode('a')] }))).toEqual([])
  })
})

test('what was found on a node goes with the node', () => {
  const memory = createMemory()
  memory.rechecks.set('a', hold('NodeHeld', 'held')).set('gone', hold('NodeHeld', 'held'))
  remember(memory, decision(), aWorld({ nodes: [aNode('a')] }))
  expect([...memory.rechecks.keys()]).toEqual(['a'])
})

test('a setback is told for as long as its step is asked for, and a minute longer', () => {
  const memory = createMemory()
  const world = (mono: number) => aWorld({ now: { wall: NOW.wall, mono } })
  memory.setbacks.set('a', { plan: undefined, node: 'a', hold: hold('Refused', 'no'), at: 1000 })
  remember(memory, decision(), world(60_000))
  expect(memory.setbacks.size).toBe(1)
  remember(memory, decision({ steps: [{ about: 'a', actions: [] }] }), world(999_000))
  expect(memory.setbacks.size).toBe(1)
  remember(memory, decision(), world(999_000))
  expect(memory.setbacks.size).toBe(0)
})
