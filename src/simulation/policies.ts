import { seededRandom } from '../base/random.ts'
import type { MachineSpec } from '../sandbox/machines/machine.ts'
import type { WorkloadSpec } from '../sandbox/standard-cluster.ts'
import { type Dice, dice } from './dice.ts'
import type { PlanDraft } from './plans.ts'
import { type Action, type Happening, NAMESPACE, type PlanObject, type PolicyObject, type Surroundings } from './scenario.ts'
import { withDrains } from './policy-drains.ts'
import { withSurroundings } from './policy-surroundings.ts'
import { WEBHOOKS } from './webhooks.ts'
import type { Draft } from './world.ts'

export interface PolicyDraft {
  readonly policies: readonly PolicyObject[]
  readonly happenings: readonly Happening[]
  /** The same machines, in zones. */
  readonly machines: readonly MachineSpec[]
  /** The same Plans, labelled for selectors, most of them in more of a hurry. */
  readonly plans: readonly PlanObject[]
  /** Names of batch Jobs. */
  readonly batches: readonly string[]
  /** More of them, for drains to work on. */
  readonly workloads: readonly WorkloadSpec[]
  readonly surroundings: Surroundings
}

const MINUTE = 60_000
const ZONE = 'topology.kubernetes.io/zone'
const ZONES = ['a', 'b', 'c'] as const
const LABELS = { rollout: 'careful' }
/** Worlds begin here; exclusions are dates. */
const BEGIN = Date.UTC(2026, 0, 1)
const PART_OF_WORLDS = 0.4
/** Of these, one world in so many tells webhooks. By number, so that the others stay what they are. */
const WEBHOOKS_EVERY = 7
/** In the first hour closed for eight minutes of every twenty, then open for all the time that a world lasts. */
const WINDOWS = [
  { start: '*/20 0 * * *', duration: '12m' },
  { start: '0 1 * * *', duration: '22h' },
]
const BERLIN_WINDOWS = [
  { start: '*/20 1 * * *', duration: '12m', timeZone: 'Europe/Berlin' },
  { start: '0 2 * * *', duration: '22h', timeZone: 'Europe/Berlin' },
]

/** RolloutPolicies of a world, and what people do to them. Thrown with dice of their own: whatever is added here leaves the rest of a seed as it is. */
export function makePolicies(draft: Draft, { plans, target }: PlanDraft, chaos: boolean, strict: boolean): PolicyDraft {
  const d = dice(seededRandom(draft.seed ^ 0x9011c))
  // Strict compatibility knows no policies.
  if (strict || !d.chance(PART_OF_WORLDS))
    return { policies: [], happenings: [], machines: draft.machines, plans, batches: [], workloads: [], surroundings: {} }
  const machines = draft.machines.map((spec) => (d.chance(0.95) ? { ...spec, labels: { ...spec.labels, [ZONE]: d.pick(ZONES) } } : spec))
  const hurried = plans.map((plan) => ({
    ...plan,
    metadata: { ...plan.metadata, labels: LABELS },
    spec: d.chance(0.7) ? { ...plan.spec, concurrency: d.pick([3, 5, 8]) } : plan.spec,
  }))
  const names = plans.map((plan) => plan.metadata.name)
  const policies = makeObjects(d, names, target).map((one) => (draft.seed % WEBHOOKS_EVERY === 0 ? telling(one, draft.seed) : one))
  const happenings = chaos && d.chance(0.7) ? makeHappenings(d, draft, policies, names) : []
  const drains = withDrains(draft.seed, { policies, happenings, machines, plans: hurried, batches: [], workloads: [], surroundings: {} })
  return withSurroundings(draft, drains, chaos)
}

function makeObjects(d: Dice, planNames: readonly string[], target: string): readonly PolicyObject[] {
  switch (d.pick(['names', 'names', 'selector', 'default', 'two'] as const)) {
    case 'names':
      return [policy('careful', { planNames, ...makeSpec(d, planNames, target) })]
    case 'selector':
      return [policy('careful', { planSelector: { matchLabels: LABELS }, ...makeSpec(d, planNames, target) })]
    case 'default':
      return [policy('default', makeSpec(d, planNames, target))]
    case 'two':
      return [
        policy('first', { planNames: planNames.slice(0, 1), ...makeSpec(d, planNames, target) }),
        policy('default', makeSpec(d, planNames, target)),
      ]
  }
}

/** One that answers in some way, and one whose Secret does not exist. */
function telling(one: PolicyObject, seed: number): PolicyObject {
  const url = dice(seededRandom(seed ^ 0x3007)).pick(Object.values(WEBHOOKS))
  return { ...one, spec: { ...one.spec, notify: [{ url }, { secretRef: { name: 'gone', key: 'url' } }] } }
}

function policy(name: string, spec: Readonly<Record<string, unknown>>): PolicyObject {
  return { apiVersion: 'drover.io/v1alpha1', kind: 'RolloutPolicy', metadata: { name, namespace: NAMESPACE }, spec }
}

function makeSpec(d: Dice, planNames: readonly string[], target: string): Readonly<Record<string, unknown>> {
  const budget = {
    ...(d.chance(0.6) ? { maxUnavailable: d.chance(0.04) ? 0 : d.pick([1, 2, '10%', '34%', '50%']) } : {}),
    ...(d.chance(0.4) ? { spread: [makeSpread(d)] } : {}),
    ...(d.chance(0.3) ? { alreadyUnavailable: d.pick(['Skip', 'Last', 'Include']) } : {}),
  }
  return {
    ...(d.chance(0.7) && Object.keys(budget).length > 0 ? { budget } : {}),
    ...(d.chance(0.25) ? { windows: d.chance(0.3) ? BERLIN_WINDOWS : WINDOWS } : {}),
    ...(d.chance(0.15) ? { exclusions: [makeExclusion(d)] } : {}),
    ...(d.chance(0.2) ? { soak: d.pick(['20s', '2m']) } : {}),
    ...(d.chance(0.4) ? { waves: makeWaves(d) } : {}),
    ...(d.chance(0.5) ? { failure: makeFailure(d) } : {}),
    ...(d.chance(0.3) ? { verify: { minReadySeconds: d.pick([0, 5]), timeout: '4m' } } : {}),
    ...(planNames.includes('server-plan') && d.chance(0.25) ? { after: ['server-plan'] } : {}),
    // RKE2's way to etcd 3.6 is barred for members as old as these.
    ...(target.startsWith('v1.34.') && d.chance(0.8)
      ? { versionPath: { allow: [`v1.33.3+${target.replace(/.*\+/, '')}>${target}`] } }
      : {}),
  }
}

function makeSpread(d: Dice): object {
  const domains = d.pick(['Any', 'Sequential'])
  const limit = domains === 'Any' || d.chance(0.5) ? { maxUnavailable: d.pick([1, 2, '50%']) } : {}
  return { topologyKey: ZONE, domains, ...limit }
}

function makeExclusion(d: Dice): object {
  const from = d.int(0, 25) * MINUTE
  const time = (ms: number) => new Date(BEGIN + ms).toISOString()
  return { from: time(from), to: time(from + d.int(8, 15) * MINUTE), reason: 'freeze' }
}

function makeWaves(d: Dice): readonly object[] {
  const soak = () => (d.chance(0.4) ? { soak: d.pick(['1m', '4m']) } : {})
  const approval = () => (d.chance(0.4) ? { approval: 'Manual' } : {})
  return d.pick([
    () => [{ name: 'canary', size: 1, ...soak(), ...approval() }],
    () => [
      { name: 'some', size: '25%', ...soak() },
      { name: 'more', size: '50%', maxUnavailable: 1, ...approval() },
    ],
    () => [{ name: 'zone-a', nodeSelector: { matchLabels: { [ZONE]: 'a' } }, ...soak(), ...approval() }],
    () => [
      { name: 'two-of-b', size: 2, nodeSelector: { matchExpressions: [{ key: ZONE, operator: 'In', values: ['b'] }] }, ...approval() },
    ],
  ])()
}

function makeFailure(d: Dice): object {
  return {
    retries: d.pick([0, 1, 2]),
    backoff: { base: d.pick(['30s', '1m']), cap: '3m' },
    maxFailures: d.pick([1, 1, 2, 3, '50%']),
    ...(d.chance(0.4) ? { uncordonOnFailure: d.pick(['IfUnchanged', 'Never', 'Always']) } : {}),
  }
}

function makeHappenings(d: Dice, draft: Draft, policies: readonly PolicyObject[], planNames: readonly string[]): readonly Happening[] {
  return Array.from({ length: d.int(1, 4) }, (): Happening => {
    const { metadata, spec } = d.pick(policies)
    const { name } = metadata
    const undoAfterMs = d.pick([20_000, 4 * MINUTE, 10 * MINUTE])
    const action = d.pick<() => Action>([
      () => ({ do: 'pausePolicy', policy: name, undoAfterMs }),
      () => ({ do: 'editPolicy', policy: name, spec: { budget: limitOf(spec['budget'], d.pick([1, 2, '50%', null])) } }),
      () => ({
        do: 'editPolicy',
        policy: name,
        spec: d.pick([{ soak: '1m' }, { waves: null }, { failure: { retries: 1, maxFailures: 2 } }]),
      }),
      () => ({ do: 'deletePolicy', policy: name, ...(d.chance(0.7) ? { againAfterMs: undoAfterMs } : { plans: planNames }) }),
      () => ({ do: 'breakPolicy', policy: name, windows: spec['windows'] ?? null, undoAfterMs }),
      () => ({ do: 'rivalPolicy', policy: policyRival(spec, planNames), undoAfterMs }),
    ])()
    return { atMs: Math.floor(draft.calmMs * 0.9 * d.random() ** 2), action }
  })
}

/** As a merge patch. A budget that would say nothing any more goes as a whole. */
function limitOf(budget: unknown, maxUnavailable: number | string | null): object | null {
  const others = Object.keys((budget ?? {}) as object).filter((field) => field !== 'maxUnavailable')
  return maxUnavailable === null && others.length === 0 ? null : { maxUnavailable }
}

/** Another policy that means Plans by name. */
function policyRival(spec: Readonly<Record<string, unknown>>, planNames: readonly string[]): PolicyObject {
  return policy('rival', { planNames: planNames.slice(0, 1), budget: spec['budget'] ?? { maxUnavailable: 1 } })
}
