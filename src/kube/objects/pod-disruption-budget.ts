/** PodDisruptionBudgets (policy/v1): which ones speak for a pod, and what they allow, as the Eviction API reads them. */
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { compileLabelSelector, matchesSelector } from './selector.ts'

/** Budgets of the pod's namespace that select it. A missing selector selects none, an empty one all. */
export function budgetsFor(pod: Pod, budgets: readonly PodDisruptionBudget[]): PodDisruptionBudget[] {
  return budgets.filter((budget) => {
    if (budget.metadata?.namespace !== pod.metadata?.namespace) return false
    const compiled = compileLabelSelector(budget.spec?.selector)
    return compiled.ok && matchesSelector(compiled.selector, pod.metadata?.labels)
  })
}

/** Pods that may go now. 0 while the status is older than the budget, which the Eviction API answers with 429 too. */
export function disruptionsAllowed(budget: PodDisruptionBudget): number {
  if ((budget.status?.observedGeneration ?? 0) < (budget.metadata?.generation ?? 0)) return 0
  return Math.max(0, budget.status?.disruptionsAllowed ?? 0)
}

/** Pods that were never up, are over, or are going already, are evicted without asking any budget. */
export function ignoresBudgets(pod: Pod): boolean {
  const phase = pod.status?.phase
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending' || pod.metadata?.deletionTimestamp !== undefined
}

/**
 * Whether this budget lets the pod go now. A running pod that is not ready goes without using the budget up when the budget's
 * `unhealthyPodEvictionPolicy` is AlwaysAllow, or (IfHealthyBudget, the default) when enough others are healthy.
 */
export function allowsEviction(pod: Pod, budget: PodDisruptionBudget): boolean {
  return ignoresBudgets(pod) || evictsUnready(pod, budget) || disruptionsAllowed(budget) > 0
}

/** Whether the pod may go on account of not being ready, whatever `disruptionsAllowed` says. */
function evictsUnready(pod: Pod, budget: PodDisruptionBudget): boolean {
  if (pod.status?.phase !== 'Running' || podReady(pod)) return false
  if (budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true
  const [healthy, desired] = [budget.status?.currentHealthy ?? 0, budget.status?.desiredHealthy ?? 0]
  return desired > 0 && healthy >= desired
}

function podReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false
}
