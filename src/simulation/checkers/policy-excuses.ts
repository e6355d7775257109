import { type Excuse, isDisruptive, isDone, keepsFailure, type Truth } from './excuses.ts'
import type { Mirror } from './mirror.ts'
import { waitsFor } from './policy-after.ts'
import { domainOf, membersOf, nodesUnder } from './policy-budget.ts'
import { failedNodes } from './policy-failures.ts'
import { ruleFor, shareOf } from './policy-seen.ts'
import { wavesOf } from './policy-waves.ts'
import { isCordoned, isReady, type SeenNode, type SeenPlan } from './seen.ts'

/** Why a policy may keep a whole Plan waiting at the end. Windows open again and again, and what is gone or broken has been mended by then. */
export function policyExcuse(plan: SeenPlan, mirror: Mirror): Excuse | undefined {
  const rule = ruleFor(plan, mirror.policies.now.values())
  if (rule.kind === 'none') return undefined
  if (rule.kind !== 'policy' || rule.policy.spec?.paused === true) return 'policy'
  const others = (rule.policy.spec?.after ?? []).filter((name) => name !== plan.metadata.name)
  const waits = others.some((name) => waitsFor(plan, mirror.plans.get(`${plan.metadata.namespace}/${name}`), mirror))
  return waits ? 'dependency' : undefined
}

/** Why a policy may keep one node waiting: because of other nodes, which have to be excused or done themselves. */
export function policyNodeExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  const rule = ruleFor(plan, mirror.policies.now.values())
  if (rule.kind !== 'policy') return undefined
  const { budget, waves = [], failure } = rule.policy.spec ?? {}
  const failed = failedNodes(plan, plan.status?.latestHash, mirror)
  if (failed.includes(node)) return undefined
  const members = membersOf(plan, mirror)
  if (failed.length >= Math.max(1, shareOf(failure?.maxFailures ?? 1, members.length))) return 'maxFailures'
  const laidOut = wavesOf(plan)?.of ?? []
  const own = laidOut.findIndex((wave) => wave.members.includes(node.metadata.name))
  const before = (own === -1 ? laidOut : laidOut.slice(0, own)).flatMap((wave) => wave.members)
  if (waves.length > 0 && members.some((member) => before.includes(member.metadata.name) && !isDone(member, plan))) return 'wave'
  if (!isDisruptive(plan)) return undefined
  const down = (nodes: readonly SeenNode[]) =>
    nodes.filter(
      (other) =>
        other !== node && (isCordoned(other) || !isReady(other) || !truth.well(other.metadata.name) || keepsFailure(other, mirror)),
    ).length
  const exceeds = (nodes: readonly SeenNode[], limit: number | string | undefined) =>
    limit !== undefined && down(nodes) >= shareOf(limit, nodes.length)
  const union = nodesUnder(rule, mirror, truth)
  if (exceeds(union, budget?.maxUnavailable)) return 'policyBudget'
  const wave = waves.find(({ name }) => name === laidOut[own]?.name)
  if (
    exceeds(
      members.filter(({ metadata }) => laidOut[own]?.members.includes(metadata.name)),
      wave?.maxUnavailable,
    )
  )
    return 'policyBudget'
  const blocked = (budget?.spread ?? []).some(({ topologyKey, maxUnavailable, domains }) => {
    const same = union.filter((other) => domainOf(other, topologyKey) === domainOf(node, topologyKey))
    return (
      exceeds(same, maxUnavailable) ||
      (domains === 'Sequential' && union.some((other) => !same.includes(other) && keepsFailure(other, mirror)))
    )
  })
  return blocked ? 'policyBudget' : undefined
}
