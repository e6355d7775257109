import { describe, expect, test } from '@jest/globals'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import type { PolicySpec } from '../../src/api/policy.ts'

const metadata = { name: 'careful', namespace: 'system-upgrade', uid: 'u', generation: 3 }

function specOf(spec: object): PolicySpec {
  const view = decodePolicy({ metadata, spec } as never)
  if (view?.ok !== true) throw new Error(view?.error ?? 'no policy')
  return view.policy.spec
}

function errorOf(spec: object): string {
  const view = decodePolicy({ metadata, spec } as never)
  return view === undefined ? 'no policy' : view.ok ? 'accepted' : view.error
}

test('an empty policy changes nothing', () => {
  expect(specOf({})).toEqual({
    planNames: [],
    paused: false,
    budget: { spread: [] },
    after: [],
    windows: [],
    exclusions: [],
    versionPath: { allow: [], stepThroughMinors: false },
    verify: { version: 'Auto', reboot: 'Auto' },
    waves: [],
    failure: {
      retries: 0,
      backoff: { baseMs: 300_000, capMs: 86_400_000 },
      maxFailures: { kind: 'count', count: 1 },
      uncordonOnFailure: 'IfUnchanged',
    },
    drain: {
      engine: 'Controller',
      forecast: 'Warn',
      volumeDetachMs: 0,
      rules: [],
      onTimeout: 'Fail',
      maxBlockedNodes: { kind: 'count', count: 1 },
    },
    etcdSnapshot: { maxAgeMs: 86_400_000, policy: 'Off' },
    gates: [],
    hooks: { before: [], after: [] },
    coordinate: { kured: false },
    managedElsewhere: 'Hold',
    notify: [],
  })
  expect(decodePolicy({ metadata })).toMatchObject({ ok: true, policy: { metadata } })
})

test('every field is read', () => {
  expect(
    specOf({
      planNames: ['server-plan'],
      planSelector: { matchLabels: { 'rancher-managed': 'true' } },
      paused: true,
      budget: {
        maxUnavailable: '10%',
        spread: [{ topologyKey: 'topology.kubernetes.io/zone', maxUnavailable: 1, domains: 'Sequential' }],
        alreadyUnavailable: 'Include',
      },
      after: ['server-plan'],
      windows: [{ start: '0 22 * * SAT', duration: '6h', timeZone: 'Europe/Berlin' }],
      exclusions: [{ from: '2026-12-18T00:00:00Z', to: '2027-01-04T00:00:00+01:00', reason: 'freeze' }],
      lead: '45m',
      versionPath: { allow: ['v1.33.4+rke2r1>v1.32.9+rke2r1'], stepThroughMinors: true },
      verify: { version: 'Kubelet', reboot: 'Required', minReadySeconds: 0, timeout: '30m' },
      soak: '1h30m',
      waves: [
        { name: 'canary', size: 1, maxUnavailable: '50%', soak: '30m', approval: 'Manual' },
        { name: 'a', nodeSelector: { matchLabels: { zone: 'a' } } },
      ],
      failure: { retries: 2, backoff: { base: '1m', cap: '1h' }, maxFailures: '5%', uncordonOnFailure: 'Never' },
      drain: { forecast: 'Enforce', volumeDetachTimeout: '2m', timeout: '30m', onTimeout: 'Release', maxBlockedNodes: '10%' },
      etcdSnapshot: { maxAge: '1h', policy: 'Require' },
      coordinate: { kured: true },
      managedElsewhere: 'Ignore',
      notify: [{ url: 'https://hooks.example.com/x', events: ['NodeFailed'] }],
    }),
  ).toEqual({
    planNames: ['server-plan'],
    planSelector: { matchLabels: { 'rancher-managed': 'true' } },
    paused: true,
    budget: {
      maxUnavailable: { kind: 'percent', percent: 10 },
      spread: [{ topologyKey: 'topology.kubernetes.io/zone', maxUnavailable: { kind: 'count', count: 1 }, domains: 'Sequential' }],
      alreadyUnavailable: 'Include',
    },
    after: ['server-plan'],
    windows: [{ start: '0 22 * * SAT', durationMs: 21_600_000, timeZone: 'Europe/Berlin' }],
    exclusions: [{ fromMs: Date.parse('2026-12-18T00:00:00Z'), toMs: Date.parse('2027-01-03T23:00:00Z'), reason: 'freeze' }],
    leadMs: 2_700_000,
    versionPath: { allow: [{ from: 'v1.33.4-rke2r1', to: 'v1.32.9-rke2r1' }], stepThroughMinors: true },
    verify: { version: 'Kubelet', reboot: 'Required', minReadyMs: 0, timeoutMs: 1_800_000 },
    soakMs: 5_400_000,
    waves: [
      {
        name: 'canary',
        size: { kind: 'count', count: 1 },
        maxUnavailable: { kind: 'percent', percent: 50 },
        soakMs: 1_800_000,
        approval: 'Manual',
      },
      { name: 'a', nodeSelector: { matchLabels: { zone: 'a' } }, soakMs: 0, approval: 'None' },
    ],
    failure: {
      retries: 2,
      backoff: { baseMs: 60_000, capMs: 3_600_000 },
      maxFailures: { kind: 'percent', percent: 5 },
      uncordonOnFailure: 'Never',
    },
    drain: {
      engine: 'Controller',
      forecast: 'Enforce',
      volumeDetachMs: 120_000,
      rules: [],
      timeoutMs: 1_800_000,
      onTimeout: 'Release',
      maxBlockedNodes: { kind: 'percent', percent: 10 },
    },
    etcdSnapshot: { maxAgeMs: 3_600_000, policy: 'Require' },
    // Gates and hooks are read in decode-gates.test.ts.
    gates: [],
    hooks: { before: [], after: [] },
    coordinate: { kured: true },
    managedElsewhere: 'Ignore',
    notify: [{ to: { kind: 'url', url: 'https://hooks.example.com/x' }, events: ['NodeFailed'] }],
  })
})

describe('what cannot be read is named by its field', () => {
  test.each([
    [{ pause: true }, 'spec: Unrecognized key: "pause"'],
    [{ budget: { maxUnavailable: '110%' } }, 'spec.budget.maxUnavailable: "110%" is more than 100%'],
    [{ budget: { maxUnavailable: -1 } }, 'spec.budget.maxUnavailable: -1 is neither'],
    [{ budget: { spread: [{}] } }, 'spec.budget.spread[0].topologyKey: must be text'],
    [{ budget: { alreadyUnavailable: 'skip' } }, 'spec.budget.alreadyUnavailable: Invalid option'],
    [{ versionPath: { stepThroughMinors: 'yes' } }, 'spec.versionPath.stepThroughMinors: must be true or false'],
    [{ etcdSnapshot: { maxAge: '0s' } }, 'spec.etcdSnapshot.maxAge: must be above 0'],
    [{ etcdSnapshot: { policy: 'require' } }, 'spec.etcdSnapshot.policy: Invalid option'],
    [{ soak: '10' }, 'spec.soak: time: missing unit in duration "10"; write e.g. 90s'],
    [{ soak: '-5m' }, 'spec.soak: must not be negative'],
    [{ windows: [{ start: '0 22 * * SAT' }] }, 'spec.windows[0].duration: must be text'],
    [{ exclusions: [{ from: 'tomorrow', to: '2027-01-04T00:00:00Z' }] }, 'spec.exclusions[0].from: "tomorrow" is no time such as'],
    [{ exclusions: [{ from: '2027-01-04T00:00:00Z', to: '2026-12-18T00:00:00Z' }] }, 'spec.exclusions[0]: from must be before to'],
    [{ versionPath: { allow: ['v1.33.4'] } }, 'spec.versionPath.allow[0]: "v1.33.4" must name two versions'],
    [{ versionPath: { allow: ['1.33>1.32'] } }, 'spec.versionPath.allow[0]: "1.33>1.32" must name two versions'],
    [{ verify: { minReadySeconds: -1 } }, 'spec.verify.minReadySeconds: '],
    [{ failure: { backoff: { base: '2h', cap: '1h' } } }, 'spec.failure.backoff: base must not be longer than cap'],
    [{ failure: { retries: 1.5 } }, 'spec.failure.retries: '],
    [{ waves: [{ name: 'a' }] }, 'spec.waves[0]: needs a size or a nodeSelector'],
    [
      {
        waves: [
          { name: 'a', size: 1 },
          { name: 'a', size: 1 },
        ],
      },
      'spec.waves: two waves have the same name',
    ],
    [{ waves: [{ name: 'a/b', size: 1 }] }, 'spec.waves[0].name: must be letters'],
    [{ paused: 'yes' }, 'spec.paused: must be true or false'],
    [{ planNames: 'server-plan' }, 'spec.planNames: '],
  ])('%j', (spec, error) => {
    expect(errorOf(spec)).toContain(error)
  })

  test.each([
    [{ budget: {} }, 'spec.budget: '],
    [{ failure: { backoff: {} } }, 'spec.failure.backoff: '],
    // Null is missing.
    [{ drain: { timeout: null, rules: null } }, 'spec.drain: '],
  ])('%j: a group that says nothing may have lost what it said', (spec, field) => {
    expect(errorOf(spec)).toBe(
      `${field}is empty: a field that is not known may have been removed from it by the API server, so check the spelling, or remove the group`,
    )
  })

  test('a group that is null is missing, and one that says the default says something', () => {
    const { budget, coordinate, hooks } = specOf({ budget: null, coordinate: { kured: false }, hooks: { before: [] } })
    expect({ budget, coordinate, hooks }).toEqual({
      budget: { spread: [] },
      coordinate: { kured: false },
      hooks: { before: [], after: [] },
    })
  })

  test('whom it means is kept where that can be read', () => {
    expect(decodePolicy({ metadata, spec: { planNames: ['a'], soak: 'long' } })).toMatchObject({ ok: false, selects: { planNames: ['a'] } })
    expect(decodePolicy({ metadata, spec: { planNames: 'a', soak: 'long' } })).toMatchObject({ ok: false, selects: undefined })
    expect(decodePolicy({ metadata, spec: 'nonsense' })).toMatchObject({ ok: false, selects: undefined })
  })

  test('what has no name is no policy', () => {
    expect(decodePolicy({ metadata: {} })).toBeUndefined()
    expect(decodePolicy(null)).toBeUndefined()
    expect(decodePolicy('text')).toBeUndefined()
  })
})
