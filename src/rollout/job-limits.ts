import type { Plan } from '../api/plan.ts'
import type { JobSettings } from '../base/settings.ts'
import { parseDuration } from '../kube/objects/duration.ts'

const SECOND_NS = 1_000_000_000n

/**
 * Seconds after which Kubernetes ends a Job of the Plan; undefined = never. The Plan's value, or the setting where it has none or a negative
 * one; 0 = none; never above the maximum if one is set (SUC's rule).
 */
export function jobDeadlineSeconds(plan: Plan, settings: JobSettings): number | undefined {
  const { activeDeadlineSeconds, activeDeadlineSecondsMax: max } = settings
  const asked = plan.spec.jobActiveDeadlineSecs
  const wanted = asked === undefined || asked < 0 ? activeDeadlineSeconds : asked === 0 ? undefined : asked
  if (max <= 0) return wanted
  return wanted === undefined ? max : Math.min(wanted, max)
}

/** Seconds that a finished Job is kept: the setting, or a minute more than the Plan's postCompleteDelay if that is longer (SUC's rule). */
export function jobTtlSeconds(plan: Plan, settings: JobSettings): number {
  const delay = parseDuration(plan.spec.postCompleteDelay ?? '')
  if (!delay.ok) return settings.ttlSecondsAfterFinish
  const atLeast = delay.ns + 60n * SECOND_NS
  return atLeast > BigInt(settings.ttlSecondsAfterFinish) * SECOND_NS ? Number(atLeast / SECOND_NS) : settings.ttlSecondsAfterFinish
}
