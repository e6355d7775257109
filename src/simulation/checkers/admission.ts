import { type Checker, type Fact, type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import type { Rule, SeenPolicy } from './policy-seen.ts'
import { hostnameOf, recordOf, type SeenNode, type SeenPlan } from './seen.ts'

/** A node is taken: its record begins to show work that is to be done (not what somebody else had started, which is adopted). */
export interface Admission {
  readonly write: HistoryWrite
  readonly node: SeenNode
  readonly key: string
  readonly plan: SeenPlan
  readonly hash: string
  /** When it was claimed: Plans were read anew after that. */
  readonly claimed: number
  /** The Plan has failed there before. */
  readonly again: boolean
}

export function admissionOf(write: HistoryWrite, mirror: Mirror): Admission | undefined {
  if (write.ref.resource !== 'nodes' || whoIs(write.user) !== 'drover' || !took(write)) return undefined
  const before = recordOf(write.before as SeenNode | undefined)
  const node = write.after as SeenNode | undefined
  const work = recordOf(node)?.work
  if (node === undefined || work === undefined || work.startedAt !== undefined) return undefined
  if (before?.work?.plan === work.plan && before.work.claimedAt === work.claimedAt) return undefined
  const plan = mirror.plans.get(work.plan)
  const claim = mirror.plan(work.plan).claims.get(hostnameOf(node) ?? '')
  if (plan === undefined || plan.metadata.uid !== work.planUID) return undefined
  const again = before?.past?.[work.plan] !== undefined
  return { write, node, key: work.plan, plan, hash: work.hash ?? '', claimed: claim?.mono ?? write.mono, again }
}

/**
 * A promise about admissions that a policy's word forbids. It is broken where each policy that the controller may go by forbids it.
 * `says` is null when the policy has no word on the matter, undefined when it allows it.
 */
export function admissionChecker(
  promise: string,
  mirror: Mirror,
  says: (rule: Rule, admission: Admission) => string | null | undefined,
  more: (fact: Fact) => void = () => undefined,
): Checker {
  let checks = 0
  return {
    promise,
    checks: () => checks,
    see(fact) {
      const admission = fact.kind === 'write' ? admissionOf(fact.write, mirror) : undefined
      const broken = admission === undefined ? [] : judge(admission)
      more(fact)
      return broken
    },
  }

  function judge(admission: Admission): readonly string[] {
    const words = mirror.policies.rules(admission.plan, admission.write.mono).map((rule) => says(rule, admission))
    if (words.some((word) => word !== null)) checks += 1
    const forbidden = words.every((word) => typeof word === 'string')
    return forbidden ? [`${admission.node.metadata.name} is taken for ${admission.key}: ${words.at(-1)}`] : []
  }
}

export type PolicyRule = Extract<Rule, { kind: 'policy' }>

/** The same, for what a readable policy says. */
export function policyChecker(
  promise: string,
  mirror: Mirror,
  says: (spec: NonNullable<SeenPolicy['spec']>, admission: Admission, rule: PolicyRule) => string | null | undefined,
  more?: (fact: Fact) => void,
): Checker {
  return admissionChecker(
    promise,
    mirror,
    (rule, admission) => (rule.kind === 'policy' ? says(rule.policy.spec ?? {}, admission, rule) : null),
    more,
  )
}
