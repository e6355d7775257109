/** SUC's choice of nodes (v0.20): those that hold a slot, then candidates in an order that is random across Plans but fixed for one run. */
import { hash } from 'node:crypto'
import { LABEL_HOSTNAME, planLabel } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { type Selector, addRequirements, compileLabelSelector, makeRequirement } from '../kube/objects/selector.ts'

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

export type Eligible = { readonly ok: true; readonly selector: Selector } | { readonly ok: false; readonly error: string }

/** What a node's labels must satisfy to be chosen: the Plan's selector, a hostname label, and neither disabled nor done with this hash. */
export function eligibleNodes(plan: Plan, latestHash: string): Eligible {
  const selector = compileLabelSelector(plan.spec.nodeSelector)
  if (!selector.ok) return selector
  const hasHostname = makeRequirement(LABEL_HOSTNAME, 'exists', [])
  if (!hasHostname.ok) return hasHostname
  const notDone = makeRequirement(planLabel(plan.metadata.name), 'notin', [DISABLED, latestHash])
  if (!notDone.ok) return notDone
  return { ok: true, selector: addRequirements(selector.selector, hasHostname.requirement, notDone.requirement) }
}

/** Why no node can be chosen: a selector that Kubernetes does not take, in its words. SUC asks for the nodes in `status.applying` by one, too. */
export function selectionError(plan: Plan, latestHash: string): string | undefined {
  const eligible = eligibleNodes(plan, latestHash)
  if (!eligible.ok) return eligible.error
  const { applying } = plan.status
  const known = applying.length === 0 ? undefined : makeRequirement(LABEL_HOSTNAME, 'in', applying)
  return known === undefined || known.ok ? undefined : known.error
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
