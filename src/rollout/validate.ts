import type { Plan } from '../api/plan.ts'
import { parseDuration } from '../kube/objects/duration.ts'
import { compileLabelSelector } from '../kube/objects/selector.ts'
import { parseWindow } from './window.ts'

/**
 * What SUC says is wrong with a Plan (the message of Validated False/Error), or undefined. The first fault in SUC's order is told: the two delete
 * fields (both given, even as false), podSelector, window, delay, then all missing Secrets at once. Secrets with `ignoreUpdates` may be missing.
 */
export function validatePlan(plan: Plan, secretExists: (name: string) => boolean): string | undefined {
  return validateSpec(plan) ?? missingSecrets(plan, secretExists)
}

/** The part of `validatePlan` that needs nothing but the Plan. */
function validateSpec({ spec }: Plan): string | undefined {
  const { drain } = spec
  if (drain?.deleteEmptydirData !== undefined && drain.deleteLocalData !== undefined) {
    return 'spec.drain cannot specify both deleteEmptydirData and deleteLocalData'
  }
  if (drain?.podSelector !== undefined) {
    const selector = compileLabelSelector(drain.podSelector)
    if (!selector.ok) return selector.error
    if (selector.selector.nothing) return 'spec.drain.podSelector is not selectable'
  }
  if (spec.window !== undefined) {
    const window = parseWindow(spec.window)
    if (!window.ok) return window.error
  }
  const delay = parseDuration(spec.postCompleteDelay ?? '0')
  return delay.ok && delay.ns < 0n ? 'spec.postCompleteDelay is negative' : undefined
}

function missingSecrets({ spec }: Plan, secretExists: (name: string) => boolean): string | undefined {
  const missing = (spec.secrets ?? []).filter((secret) => secret.ignoreUpdates !== true && !secretExists(secret.name))
  return missing.length === 0 ? undefined : missing.map(({ name }) => `secrets "${name}" not found`).join(', ')
}
