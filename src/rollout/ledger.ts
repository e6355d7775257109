/**
 * Who is in flight, over all Plans of all namespaces, and what this pass has already given away (design §3: in flight = `applying` ∪ nodes
 * with live work in their record). Gates count here, so two candidates of one pass never get the same slot.
 */
import type { PlanKey } from '../api/record.ts'
import { isDisruptive } from './plan-state.ts'
import type { NodeView, World } from './world.ts'

export interface Ledger {
  /** Slots of a Plan, by hostname: its `applying` and the hostnames of nodes that work for it. */
  slots(plan: PlanKey): ReadonlySet<string>
  /** Plans that hold the node, other than the given one. */
  othersOn(node: NodeView, plan: PlanKey): readonly PlanKey[]
  /** The node is in flight for a disruptive Plan. */
  disrupted(node: NodeView): boolean
  /** The node is in flight for any Plan. */
  inFlight(node: NodeView): boolean
  take(plan: PlanKey, node: NodeView, disruptive: boolean): void
  release(plan: PlanKey, hostname: string): void
}

export function createLedger(world: World): Ledger {
  const slots = new Map<PlanKey, Set<string>>()
  const holders = new Map<string, Set<PlanKey>>()
  const disruptive = new Set<PlanKey>()
  const add = (plan: PlanKey, hostname: string) => {
    let own = slots.get(plan)
    if (own === undefined) slots.set(plan, (own = new Set()))
    own.add(hostname)
    let on = holders.get(hostname)
    if (on === undefined) holders.set(hostname, (on = new Set()))
    on.add(plan)
  }
  for (const view of world.plans) {
    if (view.plan === undefined) {
      // Nobody can say what it does to its nodes: they count as disrupted.
      disruptive.add(view.key)
      for (const hostname of view.applying) add(view.key, hostname)
      continue
    }
    if (isDisruptive(view.plan)) disruptive.add(view.key)
    for (const hostname of view.plan.status.applying) add(view.key, hostname)
  }
  for (const node of world.nodes) {
    if (node.record?.ok !== true) continue
    const { work } = node.record.record
    if (work === undefined) continue
    add(work.plan, node.hostname ?? node.name)
    if (work.disruptive) disruptive.add(work.plan)
  }
  const none: ReadonlySet<string> = new Set()
  const holdersOf = (node: NodeView) => holders.get(node.hostname ?? node.name)
  return {
    slots: (plan) => slots.get(plan) ?? none,
    othersOn: (node, plan) => [...(holdersOf(node) ?? [])].filter((other) => other !== plan),
    inFlight: (node) => (holdersOf(node)?.size ?? 0) > 0,
    disrupted(node) {
      for (const plan of holdersOf(node) ?? []) if (disruptive.has(plan)) return true
      return false
    },
    take(plan, node, isDisruptivePlan) {
      if (isDisruptivePlan) disruptive.add(plan)
      add(plan, node.hostname ?? node.name)
    },
    release(plan, hostname) {
      slots.get(plan)?.delete(hostname)
      holders.get(hostname)?.delete(plan)
    },
  }
}
