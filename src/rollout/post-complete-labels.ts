import { planLabel } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { expandVariables } from '../kube/objects/expand.ts'

/**
 * The labels that a finished node gets: the Plan's postCompleteLabels with `$(LATEST_HASH)` and `$(LATEST_VERSION)` filled in, and the Plan's
 * own label, which wins. Both are those of the node's run (contract, correction 17).
 */
export function doneLabels(
  plan: { readonly metadata: Pick<Plan['metadata'], 'name'>; readonly spec: Pick<Plan['spec'], 'postCompleteLabels'> },
  latestVersion: string,
  latestHash: string,
): Record<string, string> {
  const known = new Map([
    ['LATEST_HASH', latestHash],
    ['LATEST_VERSION', latestVersion],
  ])
  const expanded = Object.entries(plan.spec.postCompleteLabels ?? {}).map(([key, value]) => [
    key,
    expandVariables(value, (name) => known.get(name)),
  ])
  return { ...Object.fromEntries(expanded), [planLabel(plan.metadata.name)]: latestHash }
}
