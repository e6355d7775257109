import { describe, expect, test } from '@jest/globals'
import { decodePolicy } from '../../../src/api/decode-policy.ts'
import type { Plan } from '../../../src/api/plan.ts'
import type { PolicyView } from '../../../src/api/policy.ts'
import { rulesFor } from '../../../src/rollout/policy/rules.ts'
import { selectPolicy } from '../../../src/rollout/policy/select.ts'
import { aPlan, settings } from '../build.ts'

function policy(name: string, spec: object = {}, namespace = 'system-upgrade'): PolicyView {
  const view = decodePolicy({ metadata: { name, namespace, uid: `uid-${name}` }, spec } as never)
  if (view === undefined) throw new Error('no policy')
  return view
}

const { plan } = aPlan('server-plan')
const labelled: Plan = { ...plan, metadata: { ...plan.metadata, labels: { team: 'a' } } }

function chosen(policies: readonly PolicyView[], of: Plan = labelled): string | undefined {
  const selected = selectPolicy(of, policies)
  return selected.ok ? selected.policy?.metadata.name : `${selected.hold.reason}: ${selected.hold.message}`
}

const byName = policy('by-name', { planNames: ['server-plan'] })
const bySelector = policy('by-selector', { planSelector: { matchLabels: { team: 'a' } } })
const fallback = policy('default')

describe('which policy applies', () => {
  test('one that names the Plan, before one that selects it, before the one called default', () => {
    expect(chosen([fallback, bySelector, byName])).toBe('by-name')
    expect(chosen([fallback, bySelector])).toBe('by-selector')
    expect(chosen([fallback])).toBe('default')
    expect(chosen([])).toBeUndefined()
  })

  test('none that means others', () => {
    expect(
      chosen([policy('x', { planNames: ['agent-plan'] }), policy('y', { planSelector: { matchLabels: { team: 'b' } } })]),
    ).toBeUndefined()
    expect(chosen([policy('z')])).toBeUndefined()
    expect(chosen([policy('default', {}, 'elsewhere')])).toBeUndefined()
  })

  test('an empty selector means every Plan, a missing one none', () => {
    expect(chosen([policy('all', { planSelector: {} })])).toBe('all')
    expect(chosen([policy('none', {})])).toBeUndefined()
  })

  test('two with equal right hold the Plan, by name', () => {
    expect(chosen([byName, policy('also', { planNames: ['server-plan'] })])).toMatch(/^PolicyConflict: RolloutPolicies also and by-name /)
    expect(chosen([bySelector, policy('also', { planSelector: {} })])).toMatch(/^PolicyConflict: RolloutPolicies also and by-selector /)
    // The higher right decides.
    expect(chosen([byName, bySelector, policy('also', { planSelector: {} })])).toBe('by-name')
  })

  test('one that cannot be read holds the Plans that it means, and no other', () => {
    expect(chosen([policy('broken', { planNames: ['server-plan'], soak: 'long' })])).toMatch(
      /^PolicyUnreadable: RolloutPolicy broken .*spec\.soak/,
    )
    expect(chosen([policy('broken', { planNames: ['agent-plan'], soak: 'long' })])).toBeUndefined()
    expect(chosen([policy('default', { soak: 'long' })])).toMatch(/^PolicyUnreadable/)
    expect(chosen([policy('broken', { planNames: 7 }), bySelector])).toMatch(/^PolicyUnreadable/)
    expect(chosen([policy('broken', { planSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] }, soak: 'long' })])).toMatch(
      /^PolicyUnreadable/,
    )
  })
})

describe('rules', () => {
  test("without a policy are the controller's", () => {
    const rules = rulesFor(plan, [], settings)
    expect(rules).toMatchObject({ policy: undefined, problem: undefined, minReadyMs: 10_000, timeoutMs: 900_000, soakMs: undefined })
  })

  test('with one are its own where it speaks', () => {
    const rules = rulesFor(plan, [policy('default', { verify: { minReadySeconds: 30 }, soak: '5m' })], settings)
    expect(rules).toMatchObject({
      policy: { name: 'default', uid: 'uid-default' },
      minReadyMs: 30_000,
      timeoutMs: 900_000,
      soakMs: 300_000,
    })
    expect(rules.problem).toBeUndefined()
  })

  test.each([
    [{ windows: [{ start: '0 25 * * *', duration: '1h' }] }, 'spec.windows[0].start'],
    [{ windows: [{ start: '0 22 * * *', duration: '1h', timeZone: 'Mars' }] }, 'spec.windows[0].timeZone'],
    [{ failure: { maxFailures: 0 } }, 'spec.failure.maxFailures: must be at least 1'],
    [{ failure: { maxFailures: '0%' } }, 'spec.failure.maxFailures: must be at least 1'],
    [{ planSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } }, 'spec.planSelector: '],
  ])('%j shows as a problem', (spec, error) => {
    expect(rulesFor(plan, [policy('default', spec)], settings).problem).toMatchObject({
      reason: 'PolicyUnreadable',
      endedBy: 'person',
      message: expect.stringContaining(error),
    })
  })

  test('policies that cannot be listed hold every Plan', () => {
    expect(rulesFor(plan, undefined, settings).problem?.reason).toBe('PolicyUnreadable')
  })
})
