/** Everything that would hold one node under one Plan, for a person who asks; a pass itself stops at the first. */
import type { PlanKey } from '../api/record.ts'
import { type Hold, hold } from '../api/reasons.ts'
import { createContext } from './decide.ts'
import { checkPlan } from './gates/plan-gates.ts'
import { createPass } from './pass.ts'
import { slotName } from './slot-name.ts'
import type { World } from './world.ts'

/** Holds of the Plan, then of the node; undefined when the Plan does not select the node, or cannot be read. */
export function allHolds(world: World, plan: PlanKey, node: string): readonly Hold[] | undefined {
  const { context } = createContext(world, createPass(world))
  const state = context.states.get(plan)
  const view = state?.selected.get(node)
  if (state === undefined || view === undefined) return undefined
  const ofNode = state.conduct.nodeGates.map((gate) => gate(state, view, context)).filter((found) => found !== undefined)
  const slots = context.ledger.slots(plan)
  const limit = state.plan.spec.concurrency ?? 0
  const full = limit > 0 && slots.size >= limit && !slots.has(slotName(view))
  const turn = full ? [hold('ConcurrencyReached', `all ${limit} slots are taken by ${[...slots].join(', ')}`)] : []
  return [...checkPlan(state.conduct.planGates, state, context), ...ofNode, ...turn]
}
