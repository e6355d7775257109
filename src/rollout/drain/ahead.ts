/** Looking before the cordon (design §2, promise 7): whether the node may be drained at all, and what would stand in the way (policy `drain.forecast`). */
import { type Hold, hold } from '../../api/reasons.ts'
import { planWarning } from '../events.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView, Phase } from '../world.ts'
import { forecast } from './forecast.ts'
import { lookAtPods } from './look.ts'
import { type DrainPod, evictionGraceSeconds, podName } from './pods.ts'

/** What was seen may be so old. */
const MAX_AGE_MS = 60_000
/** While it holds the node. */
const HELD_MAX_AGE_MS = 20_000
/** A pod that forbids the drain is for a person, who wants to see soon that it is gone. */
const FORBIDDEN_MAX_AGE_MS = 5000

export interface Foreseen {
  /** `unknown`: it is being looked at. `no`: told of the node. */
  readonly drains: 'yes' | 'no' | 'unknown'
  /** What stands in the way and keeps nobody from beginning (`Warn`). */
  readonly warning?: Hold
}

/** Says of the node, in that phase, why it is not to be drained now. */
export function foresee({ state, node }: { readonly state: PlanState; readonly node: NodeView }, phase: Phase, pass: Pass): Foreseen {
  const say = (found: Hold) => pass.node(state.key, node.name, phase, found)
  const looked = lookAtPods(state, node, undefined, pass)
  if (!looked.ok) {
    say(looked.hold)
    return { drains: 'unknown' }
  }
  const forbidden = looked.refused.length > 0
  pass.need({ kind: 'drain', node: node.name, maxAgeMs: forbidden ? FORBIDDEN_MAX_AGE_MS : MAX_AGE_MS })
  if (forbidden) {
    say(hold('DrainImpossible', looked.refused.join('; ')))
    return { drains: 'no' }
  }
  const mode = state.rules.drain.forecast
  const options = state.plan.spec.drain ?? {}
  // Deletions ask nobody.
  if (mode === 'Off' || options.disableEviction === true) return { drains: 'yes' }
  const evict = looked.verdicts.flatMap(({ pod, action }) => (action === 'evict' ? [pod] : []))
  const [first, ...more] = forecast(evict, looked.budgets)
  if (first !== undefined) {
    const others = more.length === 0 ? '' : `; and ${more.length} more`
    const budget = first.budgets[0]?.metadata
    const blockedBy = `PodDisruptionBudget/${budget?.namespace ?? ''}/${budget?.name ?? ''}`
    return obstacle(state, node, `${first.message}${others}`, blockedBy, say, pass)
  }
  if (mode === 'Warn') return { drains: 'yes' }
  return tryOut(state, node, evict, say, pass)
}

function obstacle(
  state: PlanState,
  node: NodeView,
  message: string,
  blockedBy: string | undefined,
  say: (found: Hold) => void,
  pass: Pass,
): Foreseen {
  if (pass.isNew(`forecast ${state.key} ${node.name} ${message}`))
    pass.step(`forecast ${node.name}`, [planWarning(state.ref, node, 'DrainForecast', message)])
  const more = blockedBy === undefined ? {} : { blockedBy }
  if (state.rules.drain.forecast !== 'Enforce')
    return { drains: 'yes', warning: hold('DrainBlocked', `node ${node.name}: ${message}`, more) }
  say(hold('DrainForecastBlocked', `node ${node.name} is not cordoned: ${message}`, more))
  pass.need({ kind: 'drain', node: node.name, maxAgeMs: HELD_MAX_AGE_MS })
  return { drains: 'no' }
}

/** Budgets are not all that may refuse: each eviction is tried as a dry run. */
function tryOut(state: PlanState, node: NodeView, evict: readonly DrainPod[], say: (found: Hold) => void, pass: Pass): Foreseen {
  if (evict.length === 0) return { drains: 'yes' }
  const tried = pass.world.observed.tries.get(node.name)
  const uids = evict.map((pod) => pod.metadata?.uid ?? '')
  const asked = tried?.ok === true && uids.every((uid) => tried.value.asked.has(uid))
  const grace = evictionGraceSeconds(state.plan.spec.drain ?? {})
  pass.need({
    kind: 'tries',
    node: node.name,
    pods: evict.map(({ metadata }) => ({ namespace: metadata?.namespace ?? '', name: metadata?.name ?? '', uid: metadata?.uid ?? '' })),
    ...(grace === undefined ? {} : { graceSeconds: grace }),
    maxAgeMs: asked || tried?.ok === false ? HELD_MAX_AGE_MS : 0,
  })
  if (tried?.ok === false) {
    say(hold('DrainForecastBlocked', `the evictions on node ${node.name} could not be tried: ${tried.error}`))
    return { drains: 'unknown' }
  }
  if (!asked) {
    say(hold('DrainForecastBlocked', `the evictions on node ${node.name} are being tried`))
    return { drains: 'unknown' }
  }
  const refused = evict.find((pod) => tried.value.refused.has(pod.metadata?.uid ?? ''))
  if (refused === undefined) return { drains: 'yes' }
  const why = tried.value.refused.get(refused.metadata?.uid ?? '')
  return obstacle(state, node, `pod ${podName(refused)} could not be evicted: ${why}`, undefined, say, pass)
}
