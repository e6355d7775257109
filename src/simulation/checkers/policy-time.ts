import { policyChecker } from './admission.ts'
import type { Truth } from './excuses.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isOpen } from './policy-seen.ts'

const STEP_MS = 5_000

/** No node is taken outside the policy's windows, or within its exclusions, by the clock of the controller that takes it. */
export function policyTime(mirror: Mirror, truth: Truth): Checker {
  return policyChecker('1 policy windows', mirror, (spec, { write }, { policy }) => {
    if ((spec.windows ?? []).length === 0 && (spec.exclusions ?? []).length === 0) return null
    const now = truth.wall?.(write.user, write.mono) ?? 0
    for (let ago = 0; ago <= mirror.policies.slack(write.mono); ago += STEP_MS) if (isOpen(policy, now - ago)) return undefined
    return `nothing was open at ${new Date(now).toISOString()}`
  })
}
