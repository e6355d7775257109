/** Whether a Plan's status says that all is done. */
import type { PlanCondition } from '../api/plan.ts'
import type { PlanView } from './world.ts'

export const saysComplete = (conditions: readonly PlanCondition[]): boolean =>
  conditions.some(({ type, status }) => type === 'Complete' && status === 'True')

/** As the Plan reads now; a status of SUC's does not say for which generation. */
export function isComplete({ plan }: PlanView): boolean {
  if (plan === undefined) return false
  const { conditions, observedGeneration = plan.metadata.generation } = plan.status
  return observedGeneration === plan.metadata.generation && saysComplete(conditions)
}
