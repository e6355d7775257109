/** Which RolloutPolicy applies to a Plan: one that names it, before one that selects it, before the one called `default` (design §6). */
import type { Plan } from '../../api/plan.ts'
import type { PolicyMetadata, PolicySpec, PolicyView, RolloutPolicy } from '../../api/policy.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import { compileLabelSelector, matchesSelector } from '../../kube/objects/selector.ts'

/** `contenders`: the policies with equal right, in the order of their names. */
export type Selected =
  | { readonly ok: true; readonly policy: RolloutPolicy | undefined }
  | { readonly ok: false; readonly hold: Hold; readonly contenders: readonly PolicyView[] }

const DEFAULT_POLICY = 'default'

type Whom = Pick<PolicySpec, 'planNames' | 'planSelector'>

/** A policy that cannot be read holds the Plans that it may mean: it never passes for none. */
export function selectPolicy(plan: Plan, policies: readonly PolicyView[]): Selected {
  const near = policies.filter((view) => metadataOf(view).namespace === plan.metadata.namespace)
  const ranks = near.map((view) => rankOf(view, plan))
  const best = Math.min(...ranks)
  if (!Number.isFinite(best)) return { ok: true, policy: undefined }
  const chosen = near.filter((_view, index) => ranks[index] === best)
  const [first] = chosen
  if (chosen.length > 1) {
    const nameOf = (view: PolicyView): string => metadataOf(view).name
    const contenders = chosen.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
    const names = contenders.map(nameOf).join(' and ')
    return {
      ok: false,
      contenders,
      hold: hold('PolicyConflict', `RolloutPolicies ${names} apply to this Plan with equal right; let one of them go`),
    }
  }
  if (first === undefined || first.ok) return { ok: true, policy: first?.policy }
  return { ok: false, contenders: [], hold: unreadable(first.metadata, first.error) }
}

export function metadataOf(view: PolicyView): PolicyMetadata {
  return view.ok ? view.policy.metadata : view.metadata
}

function unreadable({ namespace, name }: PolicyMetadata, error: string): Hold {
  return hold('PolicyUnreadable', `RolloutPolicy ${name} cannot be read: ${error}`, { blockedBy: `RolloutPolicy/${namespace}/${name}` })
}

/** 0 names the Plan, 1 selects it, 2 is the default, infinite = not meant. */
function rankOf(view: PolicyView, plan: Plan): number {
  const whom: Whom | undefined = view.ok ? view.policy.spec : view.selects
  // Whom it means cannot be read either: it may be this one.
  if (whom === undefined) return 0
  if (whom.planNames.includes(plan.metadata.name)) return 0
  if (whom.planSelector !== undefined) {
    const compiled = compileLabelSelector(whom.planSelector)
    // A selector that Kubernetes would refuse may mean anybody.
    if (!compiled.ok || matchesSelector(compiled.selector, plan.metadata.labels)) return 1
  }
  return metadataOf(view).name === DEFAULT_POLICY ? 2 : Number.POSITIVE_INFINITY
}
