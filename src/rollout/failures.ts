/** What follows from the failures that the nodes' records remember (design §4.8, and the policy's `failure`). */
import { hold, type Hold } from '../api/reasons.ts'
import type { Outcome } from '../api/record.ts'
import { scaleIntOrPercent } from '../kube/objects/int-or-percent.ts'
import type { Context } from './gates/gate.ts'
import type { PlanState } from './plan-state.ts'
import { recordOf } from './verdict.ts'
import type { NodeView } from './world.ts'

/** From `maxFailures` failed nodes of a hash on, a Plan under a policy takes no node that has not failed itself. */
export function tooManyFailures(state: PlanState, { cluster }: Pick<Context, 'cluster'>): Hold | undefined {
  const { policy, failure } = state.rules
  if (policy === undefined || state.hash === '') return undefined
  const limit = Math.max(1, scaleIntOrPercent(failure.maxFailures, state.selected.size, 'down'))
  const failed = state.plan.status.applying.flatMap((hostname) =>
    (cluster.byHostname.get(hostname) ?? []).filter((node) => hasFailed(state, node)),
  )
  if (failed.length < limit) return undefined
  return hold(
    'MaxFailuresExceeded',
    `${failed.length} node${failed.length === 1 ? '' : 's'} failed (${failed[0]?.name}${failed.length > 1 ? ', …' : ''}); RolloutPolicy ${policy.name} stops at ${limit}: put them right and set drover.io/retry on the Plan`,
    { blockedBy: `Node//${failed[0]?.name}` },
  )
}

function hasFailed(state: PlanState, node: NodeView): boolean {
  const record = recordOf(node)
  return record.work === undefined && record.past?.[state.key]?.hash === state.hash
}

/** Wall-clock time of the next attempt that the policy grants; undefined = it takes a person. */
export function nextAttempt({ rules }: PlanState, past: Outcome): number | undefined {
  const { retries, backoff } = rules.failure
  const at = Date.parse(past.at)
  if (past.attempts > retries || Number.isNaN(at)) return undefined
  return at + Math.min(backoff.baseMs * 2 ** (past.attempts - 1), backoff.capMs)
}
