import { budgetOf, isDisruptive, type Truth } from './excuses.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { hostnameOf, recordOf, type SeenNode } from './seen.ts'
import { touchesOf } from './touch.ts'

/** Watches lag: what became so this recently need not have been known. In milliseconds. */
const LOOKED_AGO_MS = 180_000

/**
 * Promise 1. At the first write that touches a claimed node, the Plan's nodes in flight that were claimed no later (and every node whose record holds
 * live work of that Plan) are no more than the highest concurrency that the Plan had since the claim. Nodes that were found in `applying`, put there
 * by somebody else, were not admitted by us. A node that failed keeps its slot; under a policy it leaves it to others. Nor does a disruptive Plan bring the unavailable nodes above the cluster's budget.
 */
export function limits(mirror: Mirror, truth: Truth): Checker {
  const admitted = new Set<string>()
  let checks = 0
  return {
    promise: '1 limits',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write') return []
      const broken: string[] = []
      for (const touch of touchesOf(fact.write, mirror)) {
        const node = mirror.nodes.get(touch.node)
        if (!touch.starts || touch.plan === undefined || node === undefined) continue
        const story = mirror.plan(touch.plan)
        const hostname = hostnameOf(node) ?? ''
        const claim = story.claims.get(hostname)
        if (claim === undefined || claim.by !== 'drover') continue
        const admission = `${touch.plan}|${node.metadata.uid}|${claim.n}`
        if (admitted.has(admission)) continue
        admitted.add(admission)
        checks += 1
        const inFlight = new Set([...story.claims].filter(([, other]) => other.n <= claim.n).map(([name]) => name))
        for (const other of mirror.nodes.values()) {
          const name = hostnameOf(other) ?? other.metadata.name
          if (recordOf(other)?.work?.plan === touch.plan) inFlight.add(name)
          else if (other !== node && isIdleFailure(other, touch.plan) && governed(mirror, truth, touch.plan, fact.write.mono))
            inFlight.delete(name)
        }
        const over = overBudget(mirror, truth, node, touch.plan, fact.write.mono)
        if (over !== undefined) broken.push(`${touch.what} of ${touch.node} for ${touch.plan}: ${over}`)
        const allowed = highestSince(story.concurrency, claim.n)
        if (inFlight.size > allowed) {
          broken.push(
            `${touch.what} of ${touch.node} for ${touch.plan}: ${inFlight.size} nodes in flight (${[...inFlight].sort().join(', ')}), concurrency ${allowed}`,
          )
        }
      }
      return broken
    },
  }
}

/** Nothing is done there any more, or again. */
function isIdleFailure(node: SeenNode, plan: string): boolean {
  const record = recordOf(node)
  return record?.work === undefined && record?.past?.[plan]?.result === 'Failed'
}

/** A policy may be in force: then nodes that failed leave their slots to others. */
function governed(mirror: Mirror, truth: Truth, key: string, mono: number): boolean {
  const plan = mirror.plans.get(key)
  return truth.strict !== true && plan !== undefined && mirror.policies.rules(plan, mono).some(({ kind }) => kind === 'policy')
}

/** Nodes that were known to be down, those that we hold down, and this one: more than the cluster's budget allows? */
function overBudget(mirror: Mirror, truth: Truth, node: SeenNode, key: string, mono: number): string | undefined {
  const budget = budgetOf(truth, mirror)
  const plan = mirror.plans.get(key)
  if (budget === undefined || plan === undefined || !isDisruptive(plan)) return undefined
  const down = [...mirror.nodes.values()].filter(
    (other) => other.metadata.uid !== node.metadata.uid && isDown(mirror, other, mono - LOOKED_AGO_MS),
  )
  if (down.length < budget || isDown(mirror, node, mono, mono)) return undefined
  return `${down.length + 1} nodes unavailable (${down.map(({ metadata }) => metadata.name).join(', ')} and this one), the cluster allows ${budget}`
}

/** `ownSince`: cordons of ours set since then do not count (the one that this very write sets). */
export function isDown(mirror: Mirror, node: SeenNode, known: number, ownSince = Number.POSITIVE_INFINITY): boolean {
  const { cordon, notReadySince } = mirror.node(node.metadata.uid)
  if (notReadySince !== undefined && notReadySince <= known) return true
  return cordon !== undefined && (cordon.by === 'drover' ? cordon.mono < ownSince : cordon.mono <= known)
}

function highestSince(values: readonly { readonly n: number; readonly value: number }[], n: number): number {
  const atClaim = values.filter((entry) => entry.n <= n).at(-1)?.value ?? 0
  return Math.max(atClaim, ...values.filter((entry) => entry.n > n).map((entry) => entry.value))
}
