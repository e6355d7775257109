import { admissionChecker, admissionOf } from './admission.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import type { SeenPlan } from './seen.ts'

/**
 * No node is taken while the Plan's policy is paused, cannot be read or is contradicted by another; nor when one was in force for this hash and none is,
 * before the Plan is complete, unless the Plan carries people's word that it may go on without.
 */
export function policyWord(mirror: Mirror): Checker {
  /** The hash for which a node was last taken under a policy, by Plan UID. */
  const governed = new Map<string, string>()
  return admissionChecker(
    '1 policy in force',
    mirror,
    (rule, { plan, hash }) => {
      if (rule.kind === 'conflict' || rule.kind === 'unreadable') return rule.why
      if (rule.kind === 'policy') return rule.policy.spec?.paused === true ? `${rule.policy.metadata.name} is paused` : undefined
      const gone = governed.get(plan.metadata.uid) === hash && plan.metadata.annotations?.['drover.io/policy'] !== 'none'
      if (gone) return 'its policy is gone'
      return null
    },
    (fact) => {
      if (fact.kind !== 'write') return
      const admission = admissionOf(fact.write, mirror)
      const under = admission === undefined ? [] : mirror.policies.rules(admission.plan, fact.write.mono)
      if (admission !== undefined && under.length > 0 && under.every(({ kind }) => kind === 'policy'))
        governed.set(admission.plan.metadata.uid, admission.hash)
      const plan = fact.write.ref.resource === 'plans' ? (fact.write.after as SeenPlan | undefined) : undefined
      if (plan !== undefined && isComplete(plan)) governed.delete(plan.metadata.uid)
    },
  )
}

function isComplete({ status }: SeenPlan): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Complete' && value === 'True') === true
}
