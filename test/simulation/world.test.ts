import { describe, expect, test } from '@jest/globals'
import { parseSettings } from '../../src/controller/settings.ts'
import { decodePlan } from '../../src/api/decode-plan.ts'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import type { Json } from '../../src/base/json.ts'
import { faultsOf } from '../../src/rollout/policy/rules.ts'
import { mergePatch } from '../../src/sandbox/server/patch/merge.ts'
import { makeScenario } from '../../src/simulation/world.ts'

const SEEDS = Array.from({ length: 400 }, (_, i) => i + 1)

describe('makeScenario', () => {
  test('the same seed makes the same world, another seed another', () => {
    expect(makeScenario(7)).toEqual(makeScenario(7))
    expect(JSON.stringify(makeScenario(8))).not.toBe(JSON.stringify(makeScenario(7)))
  })

  test('every Plan and every policy decodes and every environment is understood', () => {
    for (const seed of SEEDS) {
      const { plans, policies, env } = makeScenario(seed)
      for (const policy of policies) {
        const view = decodePolicy(policy as unknown as Json)
        expect(view?.ok === true ? faultsOf(view.policy) : view).toEqual([])
      }
      for (const plan of plans) expect(decodePlan(plan as unknown as Json)).toMatchObject({ ok: true })
      expect(parseSettings(env, []).warnings).toEqual([])
    }
  })

  test('every edit of a policy leaves one that decodes: a person would try in vain for minutes, and all others wait', () => {
    let edits = 0
    for (const seed of SEEDS) {
      const { policies, happenings } = makeScenario(seed)
      for (const { action } of happenings) {
        if (action.do !== 'editPolicy') continue
        edits += 1
        const policy = policies.find(({ metadata }) => metadata.name === action.policy) as unknown as Json
        const edited = mergePatch(policy, { spec: action.spec as Json })
        expect([seed, action, decodePolicy(edited)]).toEqual([seed, action, expect.objectContaining({ ok: true })])
      }
    }
    expect(edits).toBeGreaterThan(20)
  })

  test('machines have names of their own; there is always a server, sometimes forty agents', () => {
    const sizes = SEEDS.map((seed) => {
      const { machines } = makeScenario(seed)
      expect(new Set(machines.map((spec) => spec.name)).size).toBe(machines.length)
      expect(machines[0]?.role).toBe('server')
      return machines.length
    })
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual(40)
  })

  test('everything that happens, happens before the calm', () => {
    for (const seed of SEEDS) {
      const { happenings, calmMs } = makeScenario(seed)
      for (const { atMs } of happenings) expect(atMs).toBeLessThan(calmMs)
    }
  })

  test('every kind of happening comes up', () => {
    const kinds = new Set(SEEDS.flatMap((seed) => makeScenario(seed).happenings.map(({ action }) => action.do)))
    expect(kinds.size).toBe(41)
  })
})
