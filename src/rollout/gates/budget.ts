/** How many nodes may be unavailable at once, from whatever cause: in the cluster, under a policy, and within a domain of it. */
import { hold, type Hold } from '../../api/reasons.ts'
import { type IntOrPercent, limitOf, parseIntOrPercent } from '../../kube/objects/int-or-percent.ts'
import type { PlanState } from '../plan-state.ts'
import { waveOf } from '../policy/waves.ts'
import type { NodeView } from '../world.ts'
import type { Context, NodeGate } from './gate.ts'

const ofCluster: NodeGate = (state, node, context) => {
  const limit = context.world.settings.clusterMaxUnavailable
  if (limit === undefined || !state.disruptive) return undefined
  const parsed = parseIntOrPercent(limit)
  if (!parsed.ok) return hold('BudgetReached', `DROVER_CLUSTER_MAX_UNAVAILABLE ${limit}: ${parsed.error}`)
  return exceeds(parsed.value, context.cluster.byName, node, context, 'the cluster allows')
}

const ofPolicy: NodeGate = (state, node, context) => {
  const { maxUnavailable } = state.rules.budget
  if (maxUnavailable === undefined || !state.disruptive) return undefined
  return exceeds(maxUnavailable, nodesUnder(state, context), node, context, `RolloutPolicy ${state.rules.policy?.name} allows`)
}

const ofDomain: NodeGate = (state, node, context) => {
  if (!state.disruptive) return undefined
  for (const { topologyKey, maxUnavailable, domains } of state.rules.budget.spread) {
    const domain = node.labels[topologyKey]
    const named = domain === undefined ? `nodes without label ${topologyKey}` : `${topologyKey}=${domain}`
    if (domains === 'Sequential') {
      const other = inAnotherDomain(topologyKey, domain, nodesUnder(state, context), context)
      if (other !== undefined)
        return hold('BudgetReached', `node ${other} is in flight in another domain than ${named}; domains go one after the other`, {
          blockedBy: `Node//${other}`,
        })
    }
    if (maxUnavailable === undefined) continue
    const same = domainsUnder(state, topologyKey, context).get(domain) ?? NOBODY
    const found = exceeds(maxUnavailable, same, node, context, `RolloutPolicy ${state.rules.policy?.name} allows, of ${named},`)
    if (found !== undefined) return found
  }
  return undefined
}

/** Only what is unavailable can be in flight, and that is little. */
function inAnotherDomain(topologyKey: string, domain: string | undefined, all: Nodes, { ledger }: Context): string | undefined {
  for (const name of ledger.unavailable()) {
    const one = all.get(name)
    if (one !== undefined && one.labels[topologyKey] !== domain && ledger.disrupted(one)) return name
  }
  return undefined
}

const ofWave: NodeGate = (state, node, context) => {
  const wave = state.disruptive ? waveOf(state, node) : undefined
  if (wave?.spec.maxUnavailable === undefined) return undefined
  const { members } = wave
  const { name: called, maxUnavailable } = wave.spec
  const nodes = onceAPass(context, `wave ${state.key} ${called}`, () => new Map([...state.selected].filter(([name]) => members.has(name))))
  return exceeds(maxUnavailable, nodes, node, context, `wave ${called} allows`)
}

export const BUDGET_GATES: readonly NodeGate[] = [ofCluster, ofPolicy, ofWave, ofDomain]

/** Percentages are rounded down and mean at least one node; 0 means none that is available. */
function exceeds(limit: IntOrPercent, nodes: Nodes, node: NodeView, context: Context, allows: string): Hold | undefined {
  // A node that is unavailable anyway costs nothing. Strict takes NotReady nodes too, and several that fail so would hold each other for ever.
  if (context.conduct.mode === 'native' && context.cluster.unavailable.has(node.name)) return undefined
  const allowed = limitOf(limit, nodes.size)
  let taken = 0
  for (const name of context.ledger.unavailable()) if (name !== node.name && nodes.has(name)) taken++
  return taken + 1 <= allowed ? undefined : hold('BudgetReached', `${taken} nodes are unavailable or in flight; ${allows} ${allowed}`)
}

/** By name. */
type Nodes = ReadonlyMap<string, NodeView>

const NOBODY: Nodes = new Map()

/** The nodes of all Plans under the same policy, each once. */
function nodesUnder({ rules }: PlanState, context: Context): Nodes {
  const uid = rules.policy?.uid ?? ''
  return onceAPass(context, `policy ${uid}`, () => {
    const union = new Map<string, NodeView>()
    for (const other of context.states.values())
      if (other.rules.policy?.uid === uid) for (const node of other.selected.values()) union.set(node.name, node)
    return union
  })
}

/** The same by the value of a label; undefined = without it. */
function domainsUnder(state: PlanState, topologyKey: string, context: Context): ReadonlyMap<string | undefined, Nodes> {
  return onceAPass(context, `domains ${state.rules.policy?.uid ?? ''} ${topologyKey}`, () => {
    const domains = new Map<string | undefined, Map<string, NodeView>>()
    for (const node of nodesUnder(state, context).values()) {
      const domain = node.labels[topologyKey]
      let same = domains.get(domain)
      if (same === undefined) domains.set(domain, (same = new Map()))
      same.set(node.name, node)
    }
    return domains
  })
}

/** Every candidate asks for it, and it is the same for all of a pass. The key names what it is, and so its type. */
function onceAPass<T>(context: Context, key: string, work: () => T): T {
  let known = worked.get(context)
  if (known === undefined) worked.set(context, (known = new Map()))
  if (!known.has(key)) known.set(key, work())
  return known.get(key) as T
}

const worked = new WeakMap<Context, Map<string, unknown>>()
