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
    const all = nodesUnder(state, context)
    if (domains === 'Sequential') {
      const other = [...all.values()].find((one) => one.labels[topologyKey] !== domain && context.ledger.disrupted(one))
      if (other !== undefined)
        return hold('BudgetReached', `node ${other.name} is in flight in another domain than ${named}; domains go one after the other`, {
          blockedBy: `Node//${other.name}`,
        })
    }
    if (maxUnavailable === undefined) continue
    const same = new Map([...all].filter(([, one]) => one.labels[topologyKey] === domain))
    const found = exceeds(maxUnavailable, same, node, context, `RolloutPolicy ${state.rules.policy?.name} allows, of ${named},`)
    if (found !== undefined) return found
  }
  return undefined
}

const ofWave: NodeGate = (state, node, context) => {
  const wave = state.disruptive ? waveOf(state, node) : undefined
  if (wave?.spec.maxUnavailable === undefined) return undefined
  const nodes = new Map([...state.selected].filter(([name]) => wave.members.has(name)))
  return exceeds(wave.spec.maxUnavailable, nodes, node, context, `wave ${wave.spec.name} allows`)
}

export const BUDGET_GATES: readonly NodeGate[] = [ofCluster, ofPolicy, ofWave, ofDomain]

/** Percentages are rounded down and mean at least one node; 0 means none that is available. */
function exceeds(
  limit: IntOrPercent,
  nodes: ReadonlyMap<string, NodeView>,
  node: NodeView,
  context: Context,
  allows: string,
): Hold | undefined {
  // A node that is unavailable anyway costs nothing. Strict takes NotReady nodes too, and several that fail so would hold each other for ever.
  if (context.conduct.mode === 'native' && context.cluster.unavailable.has(node.name)) return undefined
  const allowed = limitOf(limit, nodes.size)
  let taken = 0
  for (const name of context.ledger.unavailable()) if (name !== node.name && nodes.has(name)) taken++
  return taken + 1 <= allowed ? undefined : hold('BudgetReached', `${taken} nodes are unavailable or in flight; ${allows} ${allowed}`)
}

/** The nodes of all Plans under the same policy, each once. */
function nodesUnder(state: PlanState, context: Context): ReadonlyMap<string, NodeView> {
  let byPolicy = unions.get(context)
  if (byPolicy === undefined) unions.set(context, (byPolicy = new Map()))
  const uid = state.rules.policy?.uid ?? ''
  let union = byPolicy.get(uid)
  if (union === undefined) {
    byPolicy.set(uid, (union = new Map()))
    for (const other of context.states.values())
      if (other.rules.policy?.uid === uid) for (const node of other.selected.values()) union.set(node.name, node)
  }
  return union
}

/** Worked out once a pass. */
const unions = new WeakMap<Context, Map<string, Map<string, NodeView>>>()
