import { seededRandom } from '../base/random.ts'
import type { WorkloadSpec } from '../sandbox/standard-cluster.ts'
import { BATCH_LABELS } from './batches.ts'
import { type Dice, dice } from './dice.ts'
import type { PolicyDraft } from './policies.ts'
import type { PlanObject, PolicyObject } from './scenario.ts'

/** Of the worlds with policies. */
const PART_OF_WORLDS = 0.65

/** Rules for drains, Plans that drain, and batch pods that have to be waited for. With dice of their own, too. */
export function withDrains(seed: number, draft: PolicyDraft): PolicyDraft {
  const d = dice(seededRandom(seed ^ 0xd4a19))
  if (!d.chance(PART_OF_WORLDS)) return draft
  return {
    ...draft,
    policies: draft.policies.map((policy) => ruled(d, policy)),
    plans: draft.plans.map((plan) => draining(d, plan)),
    batches: d.some(['batch-1', 'batch-2'], 0.9),
    workloads: d.chance(0.9) ? [stubborn(d.int(2, 6))] : [],
  }
}

/** A budget that lets none of its pods go, until people lift it. */
const stubborn = (replicas: number): WorkloadSpec => ({ name: 'stubborn', replicas, minAvailable: replicas, graceSeconds: 5 })

/** Fail is what Plans without a policy do. */
const ENDS = ['Release', 'Release', 'Release', 'Quarantine', 'Quarantine', 'Quarantine', 'Proceed', 'Proceed', 'Proceed'] as const

function ruled(d: Dice, policy: PolicyObject): PolicyObject {
  const timeout = d.pick(['40s', '1m', '90s'])
  const onTimeout = d.pick(ENDS)
  const drain = {
    timeout,
    onTimeout,
    ...(d.chance(0.6) ? { maxBlockedNodes: d.pick([0, 1, 2, '50%']) } : {}),
    // Where nodes are held for their forecast, hardly anything refuses to go.
    ...(d.chance(0.2) ? { forecast: onTimeout === 'Proceed' ? 'Off' : d.pick(['Enforce', 'Off']) } : {}),
    ...(d.chance(0.85) ? { rules: makeRules(d) } : {}),
  }
  const failure = { ...(policy.spec['failure'] as object | undefined), backoff: { base: d.pick(['30s', '2m']), cap: '3m' } }
  return { ...policy, spec: { ...policy.spec, drain, failure } }
}

function makeRules(d: Dice): readonly object[] {
  const app = (i: number) => ({ matchLabels: { app: `app-${i}` } })
  return [
    ...(d.chance(0.8)
      ? [{ podSelector: { matchLabels: BATCH_LABELS }, behavior: 'WaitCompleted', ...(d.chance(0.25) ? { timeout: '30s' } : {}) }]
      : []),
    ...(d.chance(0.6) ? [{ podSelector: app(1), order: d.pick([100, -5]) }] : []),
    ...(d.chance(0.3) ? [{ podSelector: app(2), behavior: 'Skip' }] : []),
    ...(d.chance(0.2) ? [{ podSelector: {}, behavior: 'Evict', order: 7 }] : []),
  ]
}

function draining(d: Dice, plan: PlanObject): PlanObject {
  if (!d.chance(0.85)) return plan
  const { cordon: _cordon, ...spec } = plan.spec
  return {
    ...plan,
    spec: { ...spec, drain: { deleteEmptydirData: true, ...(spec['drain'] as object | undefined), force: d.chance(0.95) } },
  }
}
