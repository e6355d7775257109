import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { allowsEviction, budgetsFor, ignoresBudgets } from '../../kube/objects/pod-disruption-budget.ts'
import { type DrainPod, podName } from './pods.ts'

/** A pod that the Eviction API would not let go now. */
export interface Obstacle {
  readonly pod: DrainPod
  /** `NoDisruptionAllowed` ends when other pods become healthy; `SeveralBudgets` only when a person changes a budget. */
  readonly cause: 'NoDisruptionAllowed' | 'SeveralBudgets'
  /** The PodDisruptionBudgets in the way. */
  readonly budgets: readonly PodDisruptionBudget[]
  readonly message: string
}

/**
 * Which of the pods to be evicted cannot go now, and which PodDisruptionBudget stands in the way. Each pod is looked at alone: of two pods
 * under a budget with room for one, neither is an obstacle, since the second may go once the first is back elsewhere. Not to be asked with
 * `disableEviction`, which asks no budget.
 */
export function forecast(pods: readonly DrainPod[], budgets: readonly PodDisruptionBudget[]): Obstacle[] {
  const obstacles: Obstacle[] = []
  for (const pod of pods) {
    if (ignoresBudgets(pod)) continue
    const inForce = budgetsFor(pod, budgets)
    const [budget, another] = inForce
    if (budget === undefined) continue
    if (another !== undefined) {
      const names = inForce.map(budgetName).join(', ')
      const message = `pod ${podName(pod)} is under several PodDisruptionBudgets (${names}); the Eviction API refuses such pods`
      obstacles.push({ pod, cause: 'SeveralBudgets', budgets: inForce, message })
    } else if (!allowsEviction(pod, budget)) {
      obstacles.push({ pod, cause: 'NoDisruptionAllowed', budgets: inForce, message: blocked(pod, budget) })
    }
  }
  return obstacles
}

function blocked(pod: DrainPod, budget: PodDisruptionBudget): string {
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {}
  return (
    `pod ${podName(pod)} cannot be evicted now: PodDisruptionBudget ${budgetName(budget)} allows no disruption ` +
    `(${currentHealthy} healthy, ${desiredHealthy} required)`
  )
}

function budgetName(budget: PodDisruptionBudget): string {
  return `${budget.metadata?.namespace ?? ''}/${budget.metadata?.name ?? ''}`
}
