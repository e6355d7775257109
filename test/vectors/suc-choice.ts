/** SUC's choice of nodes as one function, to hold ours against. */
import { LABEL_HOSTNAME, planLabel } from '../../src/api/names.ts'
import type { Plan } from '../../src/api/plan.ts'
import { type Selector, addRequirements, compileLabelSelector, makeRequirement, matchesSelector } from '../../src/kube/objects/selector.ts'
import { candidateOrder } from '../../src/rollout/order.ts'

export interface OrderNode {
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
}

type Eligible = { readonly ok: true; readonly selector: Selector } | { readonly ok: false; readonly error: string }

/** What a node's labels must satisfy to be chosen: the Plan's selector, a hostname label, and neither disabled nor done with this hash. */
function eligibleNodes(plan: Plan, latestHash: string): Eligible {
  const selector = compileLabelSelector(plan.spec.nodeSelector)
  if (!selector.ok) return selector
  const hasHostname = makeRequirement(LABEL_HOSTNAME, 'exists', [])
  if (!hasHostname.ok) return hasHostname
  const notDone = makeRequirement(planLabel(plan.metadata.name), 'notin', ['disabled', latestHash])
  if (!notDone.ok) return notDone
  return { ok: true, selector: addRequirements(selector.selector, hasHostname.requirement, notDone.requirement) }
}

/**
 * The nodes that SUC would work on now, by name, and their hostname labels (what goes into `status.applying`). Nodes that hold a slot stay
 * even above the concurrency. `error` is Kubernetes' text about a selector that cannot be used.
 */
export function selectNodes<Node extends OrderNode>(
  plan: Plan,
  latestHash: string,
  nodes: readonly Node[],
):
  | { readonly ok: true; readonly nodes: readonly Node[]; readonly hostnames: readonly string[] }
  | { readonly ok: false; readonly error: string } {
  const eligible = eligibleNodes(plan, latestHash)
  if (!eligible.ok) return eligible
  const applying = plan.status.applying
  if (applying.length > 0) {
    const known = makeRequirement(LABEL_HOSTNAME, 'in', applying)
    if (!known.ok) return known
  }

  const willing = nodes.filter((node) => matchesSelector(eligible.selector, node.labels))
  const holdsSlot = (node: Node): boolean => applying.includes(hostname(node))
  const kept = willing.filter(holdsSlot)
  const free = Math.max(0, (plan.spec.concurrency ?? 0) - kept.length)
  const candidates = free === 0 ? [] : willing.filter((node) => !holdsSlot(node))
  const taken = candidateOrder(plan.metadata.uid, latestHash, candidates).slice(0, free)
  const chosen = [...kept, ...taken].sort((a, b) => compareText(a.name, b.name))
  return { ok: true, nodes: chosen, hostnames: chosen.map(hostname) }
}

function hostname(node: OrderNode): string {
  return node.labels[LABEL_HOSTNAME] ?? ''
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
