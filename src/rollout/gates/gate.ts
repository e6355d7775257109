/** A gate answers one question: may this go on? Undefined = yes. Adding a gate is one small function in one of the two lists. */
import type { Hold } from '../../api/reasons.ts'
import type { Conduct } from '../conduct.ts'
import { isServer } from '../is-server.ts'
import type { Ledger } from '../ledger.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView, World } from '../world.ts'

export interface Context {
  readonly world: World
  readonly conduct: Conduct
  readonly ledger: Ledger
  /** States of all Plans of our namespace that can be read. */
  readonly states: ReadonlyMap<string, PlanState>
  readonly cluster: Cluster
  /** What a gate needs is asked for here. */
  readonly pass: Pass
}

/** Facts about all nodes, gathered once a pass. */
export interface Cluster {
  readonly servers: readonly NodeView[]
  readonly etcdMembers: readonly NodeView[]
  readonly byHostname: ReadonlyMap<string, readonly NodeView[]>
  readonly byName: ReadonlyMap<string, NodeView>
  /** Nodes that are NotReady or unschedulable, whoever caused it. */
  readonly unavailable: ReadonlySet<string>
}

export type PlanGate = (state: PlanState, context: Context) => Hold | undefined
export type NodeGate = (state: PlanState, node: NodeView, context: Context) => Hold | undefined

export function surveyCluster(nodes: readonly NodeView[]): Cluster {
  const byHostname = new Map<string, NodeView[]>()
  const byName = new Map<string, NodeView>()
  const unavailable = new Set<string>()
  for (const node of nodes) {
    byName.set(node.name, node)
    if (node.ready !== 'True' || node.unschedulable) unavailable.add(node.name)
    if (node.hostname === undefined) continue
    const same = byHostname.get(node.hostname)
    if (same === undefined) byHostname.set(node.hostname, [node])
    else same.push(node)
  }
  return {
    servers: nodes.filter(isServer),
    etcdMembers: nodes.filter((node) => node.etcd),
    byHostname,
    byName,
    unavailable,
  }
}

/** What a person wrote into an annotation that holds something, for a message. */
export const reasonGiven = (value: string): string => (value === '' || value === 'true' ? '' : ` (${value})`)
