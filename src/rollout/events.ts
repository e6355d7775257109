/** Events as steps carry them: one on a node begins with its Plan, one on a Plan about a node begins with that node. */
import type { PlanKey } from '../api/record.ts'
import type { PlanState } from './plan-state.ts'
import type { Action, NodeView, Ref } from './world.ts'

type Event = Extract<Action, { do: 'event' }>

export const planEvent = (plan: Ref, type: Event['type'], reason: string, message: string): Event => ({
  do: 'event',
  on: { kind: 'Plan', ...plan },
  type,
  reason,
  message,
})

export const nodeEvent = (node: NodeView, plan: PlanKey, type: Event['type'], reason: string, message: string): Event => ({
  do: 'event',
  on: { kind: 'Node', namespace: '', name: node.name, uid: node.uid },
  type,
  reason,
  message: `Plan ${plan}: ${message}`,
})

/** A Warning on the Plan about one of its nodes. */
export const planWarning = (plan: Ref, node: NodeView, reason: string, message: string): Event =>
  planEvent(plan, 'Warning', reason, `Node ${node.name}: ${message}`)

/** The same Warning on the node and on its Plan. */
export const warnings = (
  node: NodeView,
  { key, ref }: Pick<PlanState, 'key' | 'ref'>,
  reason: string,
  message: string,
): readonly Event[] => [nodeEvent(node, key, 'Warning', reason, message), planWarning(ref, node, reason, message)]
