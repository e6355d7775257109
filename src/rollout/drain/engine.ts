import type { PlanState } from '../plan-state.ts'

/** The policy wants SUC's way of draining: kubectl, in the upgrade Job. Of an attempt that has begun, its record says so (`work.kubectl`). */
export function drainsByJob({ conduct, rules, plan }: Pick<PlanState, 'conduct' | 'rules' | 'plan'>): boolean {
  return conduct.clearsNodes && rules.drain.engine === 'Job' && plan.spec.drain !== undefined
}
