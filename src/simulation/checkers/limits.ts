import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { hostnameOf, recordOf } from './seen.ts'
import { touchesOf } from './touch.ts'

/**
 * Promise 1. At the first write that touches a claimed node, the Plan's nodes in flight that were claimed no later (and every node whose record holds
 * live work of that Plan) are no more than the highest concurrency that the Plan had since the claim. Nodes that were found in `applying`, put there
 * by somebody else, were not admitted by us.
 */
export function limits(mirror: Mirror): Checker {
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
          if (recordOf(other)?.work?.plan === touch.plan) inFlight.add(hostnameOf(other) ?? other.metadata.name)
        }
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

function highestSince(values: readonly { readonly n: number; readonly value: number }[], n: number): number {
  const atClaim = values.filter((entry) => entry.n <= n).at(-1)?.value ?? 0
  return Math.max(atClaim, ...values.filter((entry) => entry.n > n).map((entry) => entry.value))
}
