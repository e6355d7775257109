import { policyChecker } from './admission.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isUnsettled, membersOf } from './policy-budget.ts'
import type { SeenPlan } from './seen.ts'

/** Nodes are taken only when the Plans that the policy names in `after` are complete for the same version. */
export function policyAfter(mirror: Mirror): Checker {
  return policyChecker('1 policy after', mirror, ({ after = [] }, admission) => {
    const { plan } = admission
    const others = after.filter((name) => name !== plan.metadata.name)
    if (others.length === 0 || isUnsettled(mirror, admission)) return null
    const waits = others.find((name) => waitsFor(plan, mirror.plans.get(`${plan.metadata.namespace}/${name}`), mirror))
    return waits === undefined ? undefined : `Plan ${waits} is not complete for its version`
  })
}

export function waitsFor(plan: SeenPlan, other: SeenPlan | undefined, mirror: Mirror): boolean {
  if (other === undefined || other.status?.latestVersion !== plan.status?.latestVersion) return true
  const members = membersOf(other, mirror)
  const label = `plan.upgrade.cattle.io/${other.metadata.name}`
  return members.length === 0 || members.some(({ metadata }) => metadata.labels?.[label] !== other.status?.latestHash)
}
