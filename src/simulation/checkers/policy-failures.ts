import { policyChecker } from './admission.ts'
import { type Checker, type Fact, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isUnsettled, membersOf } from './policy-budget.ts'
import { shareOf } from './policy-seen.ts'
import { recordOf, type SeenNode, type SeenPlan } from './seen.ts'

/** From maxFailures failed nodes of a hash on (1 if the policy does not say), no node is taken that has not failed itself. */
export function policyFailures(mirror: Mirror): Checker {
  /** When a failure was written down, by node UID and Plan. */
  const since = new Map<string, number>()
  return policyChecker(
    '1 policy failures',
    mirror,
    ({ failure }, admission) => {
      const { plan, key, hash, write } = admission
      if (admission.again || isUnsettled(mirror, admission)) return null
      const limit = Math.max(1, shareOf(failure?.maxFailures ?? 1, membersOf(plan, mirror).length))
      const known = mirror.policies.known(write.mono)
      const failed = failedNodes(plan, hash, mirror).filter(({ metadata }) => (since.get(`${metadata.uid}|${key}`) ?? 0) < known)
      return failed.length >= limit ? `${failed.length} nodes have failed, ${limit} stop it` : undefined
    },
    (fact: Fact) => {
      if (fact.kind !== 'write' || fact.write.ref.resource !== 'nodes' || !took(fact.write) || whoIs(fact.write.user) !== 'drover') return
      const { metadata } = fact.write.after as SeenNode
      const before = recordOf(fact.write.before as SeenNode | undefined)?.past ?? {}
      for (const [key, outcome] of Object.entries(recordOf(fact.write.after as SeenNode)?.past ?? {}))
        if (JSON.stringify(outcome) !== JSON.stringify(before[key])) since.set(`${metadata.uid}|${key}`, fact.write.mono)
    },
  )
}

/** Nodes that hold a slot of the Plan after a failure for this hash. */
export function failedNodes(plan: SeenPlan, hash: string | undefined, mirror: Mirror): readonly SeenNode[] {
  const key = `${plan.metadata.namespace}/${plan.metadata.name}`
  return (plan.status?.applying ?? []).flatMap((hostname) => {
    const node = mirror.nodeByHostname(hostname)
    const record = recordOf(node)
    return node !== undefined && record?.work === undefined && record?.past?.[key]?.hash === hash ? [node] : []
  })
}
