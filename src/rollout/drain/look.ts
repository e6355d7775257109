/** What runs on a node, each pod judged for the drain: the same for the forecast and for every pass of the drain. */
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView } from '../world.ts'
import { type DrainVerdict, filterPods, refusals } from './pods.ts'
import { withoutReturned } from './returned.ts'

const VIEW_POLL_MS = 2000

export type Looked =
  | {
      readonly ok: true
      readonly verdicts: readonly DrainVerdict[]
      /** Why the drain is forbidden; empty = it is not. */
      readonly refused: readonly string[]
      readonly budgets: readonly PodDisruptionBudget[]
    }
  /** It is not known, or not since `since`; asked for already. */
  | { readonly ok: false; readonly hold: Hold }

/** `since`: monotonic time before which what was seen does not count; undefined = whatever is known will do. */
export function lookAt(state: PlanState, node: NodeView, since: number | undefined, pass: Pass): Looked {
  const view = pass.world.observed.drains.get(node.name)
  const stale = view === undefined || (since !== undefined && view.at < since)
  if (stale || !view.ok) {
    pass.need({ kind: 'drain', node: node.name, maxAgeMs: stale ? 0 : VIEW_POLL_MS })
    if (view?.ok !== false) return { ok: false, hold: hold('Draining', `reading the pods of node ${node.name}`) }
    const reason = view.refused === true ? 'Refused' : 'Draining'
    return { ok: false, hold: hold(reason, `what runs on node ${node.name} cannot be read: ${view.error}`) }
  }
  const { pods, daemonSets, budgets } = view.value
  const found = filterPods({
    pods: since === undefined ? pods : withoutReturned(pods, `draining ${state.key} ${node.uid}`, pass),
    drain: state.plan.spec.drain ?? {},
    daemonSetExists: (namespace, name) => daemonSets.has(`${namespace}/${name}`),
    nowMs: pass.now.wall,
  })
  return found.ok
    ? { ok: true, verdicts: found.verdicts, refused: refusals(found.verdicts), budgets }
    : { ok: true, verdicts: [], refused: [found.error], budgets }
}
