/** What follows from the failures that the nodes' records remember (design §4.8, and the policy's `failure`). */
import { ANNOTATION_RETRY } from '../api/names.ts'
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

/** What has failed stays so until drover.io/retry has a new value, or the Plan's spec was edited (design §4.8). */
export function isArmed({ plan }: PlanState, past: Pick<Outcome, 'retrySeen' | 'generation'>): boolean {
  const retry = plan.metadata.annotations[ANNOTATION_RETRY]
  return (retry !== undefined && retry !== past.retrySeen) || plan.metadata.generation !== past.generation
}

/** How long to wait after so many tries in vain, in milliseconds. */
export function backoffMs({ rules }: PlanState, tries: number): number {
  const { baseMs, capMs } = rules.failure.backoff
  return Math.min(baseMs * 2 ** (tries - 1), capMs)
}

/** Wall-clock time of the next attempt that the policy grants; undefined = it takes a person. */
export function nextAttempt(state: PlanState, past: Outcome): number | undefined {
  const at = Date.parse(past.at)
  if (past.attempts > state.rules.failure.retries || Number.isNaN(at)) return undefined
  return at + backoffMs(state, past.attempts)
}
