/**
 * Who is in flight, over all Plans of all namespaces, and what this pass has already given away (design §3: in flight = `applying` ∪ nodes
 * with live work in their record). Gates count here, so two candidates of one pass never get the same slot.
 */
import type { PlanKey } from '../api/record.ts'
import { isDisruptive } from './plan-state.ts'
import { slotName } from './slot-name.ts'
import type { NodeView, World } from './world.ts'

export interface Holder {
  readonly plan: PlanKey
  /** Nothing runs: the Plan failed on the node, and a person has to set drover.io/retry on it. */
  readonly failed: boolean
}

export interface Ledger {
  /** Slots of a Plan, by hostname: its `applying` and the hostnames of nodes that work for it. */
  slots(plan: PlanKey): ReadonlySet<string>
  /** Plans that work on the node, or keep it cordoned after a failure, other than the given one. */
  othersOn(node: NodeView, plan: PlanKey): readonly Holder[]
  /** The node is in flight for a disruptive Plan. */
  disrupted(node: NodeView): boolean
  /** The Plan that works on the node, or has failed there and disrupts nodes; a failure that disrupts nothing counts for its own Plan only. */
  inFlight(node: NodeView): Holder | undefined
  /** Names of the nodes that are not available: NotReady, unschedulable, or in flight for a disruptive Plan. */
  unavailable(): ReadonlySet<string>
  take(plan: PlanKey, node: NodeView, disruptive: boolean): void
  release(plan: PlanKey, hostname: string): void
}

export function createLedger(world: World): Ledger {
  const slots = new Map<PlanKey, Set<string>>()
  const holders = new Map<string, Set<PlanKey>>()
  const disruptive = new Set<PlanKey>()
  const failures = new Set<string>()
  let unavailable: Set<string> | undefined
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
    const { work, past } = node.record.record
    for (const plan of Object.keys(past ?? {})) if (work?.plan !== plan) failures.add(`${plan} ${slotName(node)}`)
    if (work === undefined) continue
    add(work.plan, slotName(node))
    if (work.disruptive) disruptive.add(work.plan)
  }
  const none: ReadonlySet<string> = new Set()
  const holdersOf = (node: NodeView) => holders.get(slotName(node))
  const failedOn = (node: NodeView, plan: PlanKey) => failures.has(`${plan} ${slotName(node)}`)
  const cordonedFor = (node: NodeView) => (node.record?.ok === true ? node.record.record.cordon?.plan : undefined)
  const disrupted = (node: NodeView): boolean => {
    for (const plan of holdersOf(node) ?? []) if (disruptive.has(plan)) return true
    return false
  }
  return {
    slots: (plan) => slots.get(plan) ?? none,
    othersOn(node, plan) {
      const others: Holder[] = []
      for (const other of holdersOf(node) ?? []) {
        if (other === plan) continue
        const failed = failedOn(node, other)
        if (!failed || cordonedFor(node) === other) others.push({ plan: other, failed })
      }
      return others
    },
    inFlight(node) {
      for (const plan of holdersOf(node) ?? []) {
        const failed = failedOn(node, plan)
        if (!failed || disruptive.has(plan)) return { plan, failed }
      }
      return undefined
    },
    disrupted,
    unavailable() {
      unavailable ??= new Set(
        world.nodes.filter((node) => node.ready !== 'True' || node.unschedulable || disrupted(node)).map((node) => node.name),
      )
      return unavailable
    },
    take(plan, node, isDisruptivePlan) {
      unavailable = undefined
      failures.delete(`${plan} ${slotName(node)}`)
      if (isDisruptivePlan) disruptive.add(plan)
      add(plan, slotName(node))
    },
    release(plan, hostname) {
      unavailable = undefined
      slots.get(plan)?.delete(hostname)
      holders.get(hostname)?.delete(plan)
    },
  }
}
