/** What runs on a node, each pod judged for the drain: the same for the forecast and for every pass of the drain. */
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView } from '../world.ts'
import { filterPods, refusals } from './pods.ts'
import { withoutReturned } from './returned.ts'
import { applyRules, type RuledVerdict } from './rules.ts'

const VIEW_POLL_MS = 2000

export type Looked =
  | {
      readonly ok: true
      readonly verdicts: readonly RuledVerdict[]
      /** Why the drain is forbidden; empty = it is not. */
      readonly refused: readonly string[]
      readonly budgets: readonly PodDisruptionBudget[]
    }
  /** It is not known, or not since `since`; asked for already. */
  | { readonly ok: false; readonly hold: Hold }

/** A drain under way. */
export interface Begun {
  /** Monotonic time before which what was seen does not count. */
  readonly since: number
  /** Wall-clock time from which its timeouts count. */
  readonly startedAtMs: number
  readonly over: boolean
}

/** Without `begun`, before the cordon, whatever is known will do. */
export function lookAtPods(state: PlanState, node: NodeView, begun: Begun | undefined, pass: Pass): Looked {
  const view = pass.world.observed.drains.get(node.name)
  const stale = view === undefined || (begun !== undefined && view.at < begun.since)
  if (stale || !view.ok) {
    pass.need({ kind: 'drain', node: node.name, maxAgeMs: stale ? 0 : VIEW_POLL_MS })
    if (view?.ok !== false) return { ok: false, hold: hold('Draining', `reading the pods of node ${node.name}`) }
    const reason = view.refused === true ? 'Refused' : 'Draining'
    return { ok: false, hold: hold(reason, `what runs on node ${node.name} cannot be read: ${view.error}`) }
  }
  const { pods, daemonSets, budgets } = view.value
  const found = filterPods({
    pods: begun === undefined ? pods : withoutReturned(pods, `draining ${state.key} ${node.uid}`, pass),
    drain: state.plan.spec.drain ?? {},
    daemonSetExists: (namespace, name) => daemonSets.has(`${namespace}/${name}`),
    goingMs: (pod) => pass.now.mono - pass.fact(`going ${pod.metadata?.uid ?? ''}`).mono,
  })
  if (!found.ok) return { ok: true, verdicts: [], refused: [found.error], budgets }
  const clock = begun === undefined ? undefined : { ...begun, nowMs: pass.now.wall }
  const verdicts = applyRules(found.verdicts, state.rules.drain.rules, clock)
  return { ok: true, verdicts, refused: refusals(verdicts.flatMap((verdict) => (verdict.action === 'complete' ? [] : [verdict]))), budgets }
}
