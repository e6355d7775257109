import { describe, expect, test } from '@jest/globals'
import type { Checker } from '../../../src/simulation/checkers/fact.ts'
import type { Mirror } from '../../../src/simulation/checkers/mirror.ts'
import { policyAfter } from '../../../src/simulation/checkers/policy-after.ts'
import { policyBudget } from '../../../src/simulation/checkers/policy-budget.ts'
import { policyFailures } from '../../../src/simulation/checkers/policy-failures.ts'
import { policyTime } from '../../../src/simulation/checkers/policy-time.ts'
import { policyWaves } from '../../../src/simulation/checkers/policy-waves.ts'
import { policyWord } from '../../../src/simulation/checkers/policy-word.ts'
import { HASH, NAMESPACE, story, working } from './story.ts'

const LAG = 181_000
const MIDNIGHT = Date.UTC(2026, 0, 1)
const truth = { namespace: NAMESPACE, well: () => true, namespaceHeld: () => false, wall: (_: string, mono: number) => MIDNIGHT + mono }

/** Nodes a to d, in zones of two; the Plan p over all of them; the policy stood before the controllers came. */
function begun(make: (mirror: Mirror) => Checker, spec: object) {
  const s = story(make)
  for (const name of ['a', 'b', 'c', 'd']) {
    s.node(name)
    s.patchNode(name, { labels: { zone: name < 'c' ? 'one' : 'two' } }, 'person')
  }
  s.policy('careful', { planNames: ['p'], ...spec })
  s.plan('p', { concurrency: 4 })
  s.wait(1000)
  s.start()
  return {
    ...s,
    take(name: string, plan = 'p') {
      s.claim(plan, [...(s.mirror.plans.get(`${NAMESPACE}/${plan}`)?.status?.applying ?? []), name])
      const record = working(plan, { claimedAt: name })
      s.patchNode(name, { unschedulable: true, record: { ...record, nodeUID: `uid-${name}` } })
    },
    done(name: string) {
      s.patchNode(name, { unschedulable: false, record: {}, labels: { 'plan.upgrade.cattle.io/p': HASH } })
    },
  }
}

describe("promise 1 under a policy's word", () => {
  test('paused, contradicted, unreadable: no node is taken once that must be known', () => {
    for (const [change, words] of [
      [{ paused: true }, 'careful is paused'],
      [{ windows: [{ start: '* * * * *', duration: '1h', timeZone: 'Nowhere/Land' }] }, 'a window of careful cannot be read'],
    ] as const) {
      const s = begun(policyWord, {})
      s.take('a')
      s.policy('careful', { planNames: ['p'], ...change })
      s.take('b')
      expect(s.said).toEqual([])
      s.wait(LAG)
      s.take('c')
      expect(s.said).toEqual([`c is taken for ${NAMESPACE}/p: ${words}`])
    }
    const s = begun(policyWord, {})
    s.policy('rival', { planNames: ['p'] })
    s.wait(LAG)
    s.take('a')
    expect(s.said).toEqual([`a is taken for ${NAMESPACE}/p: careful and rival contradict each other`])
  })

  test('a policy that is gone holds the hash that began under it, until people say otherwise', () => {
    for (const [annotations, broken] of [
      [{}, 1],
      [{ 'drover.io/policy': 'none' }, 0],
    ] as const) {
      const s = begun(policyWord, {})
      s.take('a')
      s.deletePolicy('careful')
      s.wait(LAG)
      s.plan('p', { concurrency: 4 }, { annotations })
      s.take('b')
      expect(s.said).toHaveLength(broken)
    }
    const never = begun(policyWord, {})
    never.deletePolicy('careful')
    never.wait(LAG)
    never.take('a')
    expect(never.said).toEqual([])
  })
})

describe("promise 1 under a policy's budget", () => {
  test('numbers and percentages, over all nodes and within a domain', () => {
    for (const [budget, broken] of [
      [{ maxUnavailable: 2 }, 0],
      [{ maxUnavailable: 1 }, 1],
      [{ maxUnavailable: '25%' }, 1],
      [{ maxUnavailable: '50%' }, 0],
      [{ maxUnavailable: '0%' }, 2],
      [{ spread: [{ topologyKey: 'zone', maxUnavailable: 1 }] }, 1],
      [{ spread: [{ topologyKey: 'rack', maxUnavailable: 3 }] }, 0],
      [{ spread: [{ topologyKey: 'zone', domains: 'Sequential' }] }, 0],
    ] as const) {
      const s = begun((mirror) => policyBudget(mirror, truth), { budget })
      s.take('a')
      s.take('b')
      expect({ budget, said: s.said }).toEqual({ budget, said: s.said.slice(0, broken) })
      expect(s.said).toHaveLength(broken)
    }
  })

  test('nodes of other Plans under it, and nodes that are down, count; sequential domains do not overlap', () => {
    const s = begun((mirror) => policyBudget(mirror, truth), { planSelector: {}, budget: { maxUnavailable: 1 } })
    s.plan('q', { nodeSelector: {} })
    s.take('a', 'q')
    s.take('b')
    expect(s.said).toEqual([`b is taken for ${NAMESPACE}/p: careful: 2 nodes unavailable (a and this one), 1 allowed`])
    const down = begun((mirror) => policyBudget(mirror, truth), { budget: { maxUnavailable: 1 } })
    down.patchNode('d', { ready: 'Unknown' }, 'system:kube-controller-manager')
    down.wait(LAG)
    down.take('a')
    expect(down.said).toHaveLength(1)
    const overlap = begun((mirror) => policyBudget(mirror, truth), { budget: { spread: [{ topologyKey: 'zone', domains: 'Sequential' }] } })
    overlap.take('a')
    overlap.take('c')
    expect(overlap.said).toEqual([`c is taken for ${NAMESPACE}/p: a of another zone is being worked on`])
  })
})

describe('waves', () => {
  const waves = [{ name: 'canary', nodeSelector: { matchLabels: { zone: 'one' } }, soak: '1m', approval: 'Manual' }]
  const laidOut = (members: readonly string[], more: object = {}) => ({
    'drover.io/rollout': JSON.stringify({ v: 1, waves: { hash: HASH, of: [{ name: 'canary', members, ...more }] } }),
  })
  const begin = () => {
    const s = begun((mirror) => policyWaves(mirror, truth), { waves })
    s.annotate('p', laidOut(['a', 'b']))
    return s
  }

  test('whoever is in none comes after the wave is done, has soaked and is approved', () => {
    const s = begin()
    s.take('a')
    expect(s.said).toEqual([])
    s.done('a')
    s.take('c')
    expect(s.said).toEqual([`c is taken for ${NAMESPACE}/p: wave canary is not done: b`])
    s.done('b')
    s.annotate('p', laidOut(['a', 'b'], { doneAt: 'now' }))
    s.wait(30_000)
    s.take('d')
    expect(s.said.at(-1)).toBe(`d is taken for ${NAMESPACE}/p: wave canary still soaks`)
    s.wait(31_000)
    s.take('d')
    s.patchNode('d', { record: {} })
    s.take('d')
    expect(s.said.at(-1)).toBe(`d is taken for ${NAMESPACE}/p: wave canary is not approved`)
    const before = s.said.length
    s.annotate('p', { ...laidOut(['a', 'b'], { doneAt: 'now' }), 'drover.io/approve': `${HASH.slice(0, 8)}/canary` })
    s.patchNode('d', { record: {} })
    s.take('d')
    expect(s.said).toHaveLength(before)
  })

  test('members are whom the policy means, and stay', () => {
    const s = begun((mirror) => policyWaves(mirror, truth), { waves })
    s.annotate('p', laidOut(['a', 'c']))
    expect(s.said).toHaveLength(1)
    s.annotate('p', laidOut(['a', 'b']))
    expect(s.said.at(-1)).toBe('the waves of p change though its hash does not')
  })
})

describe('windows, after, failures', () => {
  test('outside the windows and within exclusions', () => {
    for (const [spec, broken] of [
      [{ windows: [{ start: '*/20 0 * * *', duration: '12m' }] }, [0, 0, 1]],
      [{ windows: [{ start: '*/20 1 * * *', duration: '12m', timeZone: 'Europe/Berlin' }] }, [0, 0, 1]],
      [{ exclusions: [{ from: '2026-01-01T00:02:00Z', to: '2026-01-01T01:00:00Z' }] }, [0, 1, 2]],
    ] as const) {
      const s = begun((mirror) => policyTime(mirror, truth), spec)
      for (const [index, name] of ['a', 'b', 'c'].entries()) {
        s.take(name)
        expect({ spec, name, said: s.said.length }).toEqual({ spec, name, said: broken[index] })
        s.wait(8 * 60_000)
      }
    }
  })

  test('Plans that go before', () => {
    const s = begun(policyAfter, { after: ['p', 'servers'] })
    s.take('a')
    expect(s.said).toEqual([`a is taken for ${NAMESPACE}/p: Plan servers is not complete for its version`])
    s.plan('servers')
    s.take('b')
    for (const name of ['a', 'b', 'c', 'd']) s.patchNode(name, { labels: { 'plan.upgrade.cattle.io/servers': HASH } })
    s.take('c')
    expect(s.said).toHaveLength(2)
  })

  test('from maxFailures on only what has failed is taken', () => {
    for (const [failure, broken] of [
      [undefined, 1],
      [{ maxFailures: 2 }, 0],
    ] as const) {
      const s = begun(policyFailures, { failure })
      s.take('a')
      s.patchNode('a', { record: { past: { [`${NAMESPACE}/p`]: { hash: HASH, result: 'Failed' } } } })
      s.wait(LAG)
      s.take('b')
      expect(s.said).toHaveLength(broken)
      s.patchNode('b', { record: {} })
      const before = s.said.length
      s.patchNode('a', { record: { ...working('p'), past: { [`${NAMESPACE}/p`]: { hash: HASH, result: 'Failed' } } } })
      expect(s.said).toHaveLength(before)
    }
  })
})
