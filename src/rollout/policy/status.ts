/** What a RolloutPolicy's status says: whom it governs, and whether it can. A mirror for readers; nothing decides by it. */
import type { PolicyCondition, PolicyStatus, PolicyView } from '../../api/policy.ts'
import { formatTime } from '../../base/clock.ts'
import type { PlanState } from '../plan-state.ts'
import type { Moment, Step } from '../world.ts'
import { faultsOf } from './rules.ts'
import { metadataOf } from './select.ts'

/** Longest list of Plans in the status. */
const MAX_PLANS = 100

/** One write for each policy of the namespace whose status says something else than it should. */
export function tellPolicies(
  policies: readonly PolicyView[],
  namespace: string,
  states: Iterable<PlanState>,
  now: Moment,
): readonly Step[] {
  const all = [...states]
  return policies.flatMap((view) => {
    const metadata = metadataOf(view)
    if (metadata.namespace !== namespace) return []
    const status = policyStatus(view, all, now)
    if (JSON.stringify(status) === JSON.stringify(view.status)) return []
    const { name, uid, resourceVersion } = metadata
    return [
      {
        about: `policy ${namespace}/${name}`,
        actions: [{ do: 'writePolicyStatus', policy: { namespace, name, uid }, resourceVersion, status }],
      },
    ]
  })
}

function policyStatus(view: PolicyView, states: readonly PlanState[], now: Moment): PolicyStatus {
  const { name, uid, generation } = metadataOf(view)
  const plans = states.filter(({ rules }) => rules.policy?.uid === uid).map(({ plan }) => plan.metadata.name)
  const contested = states.filter(({ rules }) => rules.contenders.includes(name)).map(({ plan }) => plan.metadata.name)
  const faults = view.ok ? faultsOf(view.policy) : [view.error]
  const ready: Omit<PolicyCondition, 'lastTransitionTime'> =
    faults.length > 0
      ? { type: 'Ready', status: 'False', reason: 'PolicyUnreadable', message: faults.join(', ') }
      : contested.length > 0
        ? {
            type: 'Ready',
            status: 'False',
            reason: 'PolicyConflict',
            message: `another policy applies with equal right to ${contested.join(', ')}`,
          }
        : { type: 'Ready', status: 'True', reason: plans.length === 0 ? 'NoPlans' : 'InForce', message: '' }
  const before = view.status.conditions.find(({ type }) => type === 'Ready')
  const lastTransitionTime = before?.status === ready.status ? before.lastTransitionTime : formatTime(now.wall)
  return { observedGeneration: generation, plans: plans.toSorted().slice(0, MAX_PLANS), conditions: [{ ...ready, lastTransitionTime }] }
}
