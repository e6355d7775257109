/** Which nodes a Plan means. */
import { planLabel } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { compileLabelSelector, matchesSelector } from '../kube/objects/selector.ts'
import type { NodeView } from './world.ts'

/** Nodes that the selector matches and that are not switched off by the label value `disabled`; by name. */
export function selectedNodes(plan: Plan, nodes: readonly NodeView[]): ReadonlyMap<string, NodeView> {
  const selected = new Map<string, NodeView>()
  const compiled = compileLabelSelector(plan.spec.nodeSelector)
  if (!compiled.ok || compiled.selector.nothing) return selected
  const label = planLabel(plan.metadata.name)
  for (const node of nodes) {
    if (node.labels[label] !== 'disabled' && matchesSelector(compiled.selector, node.labels)) selected.set(node.name, node)
  }
  return selected
}
