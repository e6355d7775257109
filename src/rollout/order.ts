/** SUC's choice of nodes (v0.20): those that hold a slot, then candidates in an order that is random across Plans but fixed for one run. */
import { hash } from 'node:crypto'
import { LABEL_HOSTNAME, planLabel } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { type Selector, addRequirements, compileLabelSelector, makeRequirement, matchesSelector } from '../kube/objects/selector.ts'

export interface OrderNode {
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
}

/** Value of the Plan's label on a node that keeps this node out of the Plan. */
const DISABLED = 'disabled'

/** Where a node stands in the order of a run: SHA-256, in hex, over node UID, Plan UID and hash. Depends on the run, so no node is always first. */
export function orderKey(nodeUID: string, planUID: string, latestHash: string): string {
  return hash('sha256', nodeUID + planUID + latestHash, 'hex')
}

/**
 * The nodes in the order in which a run takes them. `cache` keeps keys by node UID; it must be of this Plan and hash alone. With it, another
 * pass over 5,000 nodes costs a sort and no hashing.
 */
export function candidateOrder<Node extends { readonly uid: string }>(
  planUID: string,
  latestHash: string,
  nodes: readonly Node[],
  cache: Map<string, string> = new Map(),
): Node[] {
  const keyed = nodes.map((node) => {
    let key = cache.get(node.uid)
    if (key === undefined) {
      key = orderKey(node.uid, planUID, latestHash)
      cache.set(node.uid, key)
    }
    return { node, key }
  })
  return keyed.sort((a, b) => compareText(a.key, b.key)).map(({ node }) => node)
}

type Eligible = { readonly ok: true; readonly selector: Selector } | { readonly ok: false; readonly error: string }

/** What a node's labels must satisfy to be chosen: the Plan's selector, a hostname label, and neither disabled nor done with this hash. */
function eligibleNodes(plan: Plan, latestHash: string): Eligible {
  const selector = compileLabelSelector(plan.spec.nodeSelector)
  if (!selector.ok) return selector
  const hasHostname = makeRequirement(LABEL_HOSTNAME, 'exists', [])
  if (!hasHostname.ok) return hasHostname
  const notDone = makeRequirement(planLabel(plan.metadata.name), 'notin', [DISABLED, latestHash])
  if (!notDone.ok) return notDone
  return { ok: true, selector: addRequirements(selector.selector, hasHostname.requirement, notDone.requirement) }
}

/** Why no node can be chosen: a selector that Kubernetes does not take, in its words. */
export function selectionError(plan: Plan, latestHash: string): string | undefined {
  const eligible = eligibleNodes(plan, latestHash)
  return eligible.ok ? undefined : eligible.error
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
