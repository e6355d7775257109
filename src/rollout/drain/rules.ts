/** The policy's word on single pods (`drain.rules`), over kubectl's choice: who is left alone, who may come to its own end, and who goes first. */
import type { DrainRule } from '../../api/policy.ts'
import { compileLabelSelector, matchesSelector, type Selector } from '../../kube/objects/selector.ts'
import type { DrainPod, DrainVerdict } from './pods.ts'

/** `complete`: it is waited for, until that wall-clock time at the latest; undefined = without a limit of its own. */
export type Completing = { readonly pod: DrainPod; readonly action: 'complete'; readonly untilMs: number | undefined }
/** Lower orders are gone before the next begins. */
export type RuledVerdict = (DrainVerdict | Completing) & { readonly order: number }

/** How far a drain has come; undefined before the cordon. */
export interface DrainClock {
  /** Wall-clock milliseconds from which the rules' timeouts count. */
  readonly startedAtMs: number
  /** Nobody is waited for any more. */
  readonly over: boolean
  readonly nowMs: number
}

/** The first rule that selects a pod counts for it. A rule never makes a pod go that the drain would leave alone. */
export function applyRules(verdicts: readonly DrainVerdict[], rules: readonly DrainRule[], clock: DrainClock | undefined): RuledVerdict[] {
  return verdicts.map((verdict) => {
    const rule = rules.find(({ podSelector }) => selects(podSelector, verdict.pod))
    return { ...judge(verdict, rule, clock), order: rule?.order ?? 0 }
  })
}

function judge(verdict: DrainVerdict, rule: DrainRule | undefined, clock: DrainClock | undefined): DrainVerdict | Completing {
  const { pod, action } = verdict
  if (rule === undefined || rule.behavior === 'Evict' || action === 'leave' || action === 'wait') return verdict
  if (rule.behavior === 'Skip') return { pod, action: 'leave', reason: 'a rule of the RolloutPolicy skips it' }
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return verdict
  const limitMs = rule.timeoutMs ?? 0
  const untilMs = clock === undefined || limitMs === 0 ? undefined : clock.startedAtMs + limitMs
  const waits = clock === undefined || !(clock.over || (untilMs !== undefined && clock.nowMs >= untilMs))
  return waits ? { pod, action: 'complete', untilMs } : verdict
}

/** Compiled once for each selector that the watch shows. */
const compiled = new WeakMap<DrainRule['podSelector'], Selector | undefined>()

function selects(podSelector: DrainRule['podSelector'], pod: DrainPod): boolean {
  if (!compiled.has(podSelector)) {
    const result = compileLabelSelector(podSelector)
    compiled.set(podSelector, result.ok ? result.selector : undefined)
  }
  const selector = compiled.get(podSelector)
  return selector !== undefined && matchesSelector(selector, pod.metadata?.labels)
}
