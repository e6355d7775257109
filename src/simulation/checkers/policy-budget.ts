import { type Admission, type PolicyRule, policyChecker } from './admission.ts'
import { isDisruptive, selectedBy, type Truth, plansOf } from './excuses.ts'
import type { Checker } from './fact.ts'
import { isDown } from './limits.ts'
import type { Mirror } from './mirror.ts'
import { ruleFor, shareOf } from './policy-seen.ts'
import { recordOf, type SeenNode, type SeenPlan } from './seen.ts'

/**
 * Promise 1 under a policy. With this node no more nodes of all Plans under the policy are unavailable, from whatever cause, than it allows, nor within
 * the node's domain; and where domains go one after the other, nothing is worked on in another one. Nodes that are unavailable anyway cost nothing.
 */
export function policyBudget(mirror: Mirror, truth: Truth): Checker {
  return policyChecker('1 policy budget', mirror, ({ budget }, admission, rule) => {
    const spread = budget?.spread ?? []
    if ((budget?.maxUnavailable === undefined && spread.length === 0) || !isDisruptive(admission.plan)) return null
    if (isUnsettled(mirror, admission)) return null
    const { node, write } = admission
    const union = nodesUnder(rule, mirror, truth)
    const [all, ...domains] = [
      { name: rule.policy.metadata.name, nodes: union, limit: budget?.maxUnavailable },
      ...spread.map(({ topologyKey, maxUnavailable }) => ({
        name: `domain ${node.metadata.labels?.[topologyKey]}`,
        nodes: union.filter((other) => domainOf(other, topologyKey) === domainOf(node, topologyKey)),
        limit: maxUnavailable,
      })),
    ]
    for (const { name, nodes, limit } of [all, ...domains]) {
      const over = limit === undefined ? undefined : overLimit(mirror, node, nodes, write.mono, (of) => shareOf(limit, of))
      if (over !== undefined) return `${name}: ${over}`
    }
    for (const { topologyKey } of spread.filter(({ domains }) => domains === 'Sequential')) {
      const other = union.find((one) => domainOf(one, topologyKey) !== domainOf(node, topologyKey) && isDisrupted(mirror, one))
      if (other !== undefined) return `${other.metadata.name} of another ${topologyKey} is being worked on`
    }
    return undefined
  })
}

/** Plans that changed after the claim was confirmed, and Nodes that came or changed so recently that nobody need have known. */
export function isUnsettled(mirror: Mirror, { claimed, write }: Admission): boolean {
  return mirror.plansChanged() >= claimed || nodesChangedAfter(mirror, mirror.policies.known(write.mono))
}

export function nodesChangedAfter(mirror: Mirror, since: number): boolean {
  return mirror.nodeGone() >= since || [...mirror.nodes.values()].some(({ metadata }) => mirror.node(metadata.uid).settled >= since)
}

/** Nodes known to be unavailable, those that we hold down, and this one: more than the limit allows? */
export function overLimit(
  mirror: Mirror,
  node: SeenNode,
  nodes: readonly SeenNode[],
  mono: number,
  limit: (nodes: number) => number,
): string | undefined {
  if (isDown(mirror, node, mono, mono)) return undefined
  const known = mirror.policies.known(mono)
  const down = nodes.filter(
    (other) => other.metadata.uid !== node.metadata.uid && (isDown(mirror, other, known) || isDisrupted(mirror, other)),
  )
  const allowed = limit(nodes.length)
  if (down.length + 1 <= allowed) return undefined
  return `${down.length + 1} nodes unavailable (${down.map(({ metadata }) => metadata.name).join(', ')} and this one), ${allowed} allowed`
}

function isDisrupted(mirror: Mirror, node: SeenNode): boolean {
  const record = recordOf(node)
  if (record?.work === undefined || record.nodeUID !== node.metadata.uid) return false
  const plan = mirror.plans.get(record.work.plan)
  return plan !== undefined && isDisruptive(plan)
}

export function domainOf(node: SeenNode, topologyKey: string): string | undefined {
  return node.metadata.labels?.[topologyKey]
}

/** The nodes of all Plans under the policy, each once. */
export function nodesUnder({ policy, among }: PolicyRule, mirror: Mirror, truth: Truth): readonly SeenNode[] {
  const union = new Set<SeenNode>()
  for (const plan of plansOf(mirror, truth)) {
    const rule = ruleFor(plan, among)
    if (rule.kind !== 'policy' || rule.policy.metadata.name !== policy.metadata.name) continue
    for (const node of membersOf(plan, mirror)) union.add(node)
  }
  return [...union]
}

/** Selected, and not switched off. */
export function membersOf(plan: SeenPlan, mirror: Mirror): readonly SeenNode[] {
  return selectedBy(plan, mirror).filter(({ metadata }) => metadata.labels?.[`plan.upgrade.cattle.io/${plan.metadata.name}`] !== 'disabled')
}
