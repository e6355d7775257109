import { type Fact, took } from './fact.ts'
import { type Rule, ruleFor, type SeenPolicy } from './policy-seen.ts'
import type { SeenPlan } from './seen.ts'

/** What has been seen through a watch may be as old as this. In milliseconds. */
export const WATCH_LAG_MS = 180_000

/** All sets of RolloutPolicies that there have been, and how much of that a controller may still go by. */
export interface PolicyPast {
  /** As they are now. */
  readonly now: ReadonlyMap<string, SeenPolicy>
  /** What a controller that acts at that moment may take for the rule of a Plan. */
  rules(plan: SeenPlan, mono: number): readonly Rule[]
  /** How old that which a controller goes by may be: a late watch, and a process that stood still in between. In milliseconds. */
  slack(mono: number): number
  /** What was so by then has to be known to whoever acts at `mono`: controllers list what there is when they start. */
  known(mono: number): number
  /** Most retries that any of them has granted. */
  readonly mostRetries: number
  /** Whether one of them has ever allowed exactly this step. */
  allows(from: string, to: string): boolean
}

export function policyPast(): PolicyPast & { take(fact: Fact): void } {
  let sets: { readonly since: number; readonly policies: ReadonlyMap<string, SeenPolicy> }[] = [{ since: 0, policies: new Map() }]
  let start = 0
  const stalls: { readonly from: number; readonly ms: number }[] = []
  const steps = new Set<string>()
  let mostRetries = 0
  const latest = () => sets.at(-1)?.policies ?? new Map<string, SeenPolicy>()

  const slack = (mono: number) =>
    WATCH_LAG_MS + stalls.filter(({ from, ms }) => from <= mono && mono <= from + ms + WATCH_LAG_MS).reduce((sum, { ms }) => sum + ms, 0)

  const known = (mono: number) => Math.max(start, mono - slack(mono))

  return {
    known,
    get now() {
      return latest()
    },
    get mostRetries() {
      return mostRetries
    },
    slack,
    allows: (from, to) => steps.has(`${from}>${to}`.replaceAll('+', '-')),
    rules(plan, mono) {
      const possible = sets.filter((_, index) => (sets[index + 1]?.since ?? Number.POSITIVE_INFINITY) >= known(mono))
      return possible.map(({ policies }) => ruleFor(plan, policies.values()))
    },
    take(fact) {
      if (fact.kind === 'outside') {
        // Whoever starts now lists what there is.
        if (fact.what === 'start') {
          sets = sets.slice(-1)
          start = fact.mono
        }
        const stall = /^stallController .*"ms":(\d+)/.exec(fact.what)?.[1]
        if (stall !== undefined) stalls.push({ from: fact.mono, ms: Number(stall) })
        return
      }
      if (fact.kind !== 'write' || fact.write.ref.resource !== 'rolloutpolicies' || !took(fact.write)) return
      const policy = (fact.write.after ?? fact.write.before) as SeenPolicy
      const policies = new Map(latest())
      if (fact.write.after === undefined) policies.delete(policy.metadata.name)
      else policies.set(policy.metadata.name, policy)
      for (const step of policy.spec?.versionPath?.allow ?? []) steps.add(step.replaceAll('+', '-'))
      mostRetries = Math.max(mostRetries, policy.spec?.failure?.retries ?? 0)
      if (fact.write.ref.subresource === undefined) sets.push({ since: fact.write.mono, policies })
      else sets = [...sets.slice(0, -1), { since: sets.at(-1)?.since ?? 0, policies }]
    },
  }
}
