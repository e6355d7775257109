/** Small worlds in which one reason stands, and what the Plan's status says of it after a few passes, written as the controller would write it. */
import type { RolloutMemory } from '../../../src/api/memory.ts'
import type { PlanStatus } from '../../../src/api/plan.ts'
import type { EndedBy, HoldReason } from '../../../src/api/reasons.ts'
import { decide } from '../../../src/rollout/decide.ts'
import type { GateSeen, Moment, NodeView, PlanView, World } from '../../../src/rollout/world.ts'
import { actions, aPolicy, aWorld, type KnownPlan, NOW, pulledAndTried } from '../build.ts'

export interface Case {
  /** The world at a moment: what was fetched must be as fresh then as it is to be. */
  readonly world: (now: Moment) => World
  /** The node that waits; missing = the whole Plan. */
  readonly node?: string
  /** What the status must say beside the reason: what exactly is waited for. */
  readonly says: RegExp
  /** Where it is not the one of the table. */
  readonly endedBy?: EndedBy
  /** Default `system-upgrade/p`. */
  readonly plan?: string
  /** What gates answer when they are asked. */
  readonly gates?: GateSeen
  /** Milliseconds between passes. Default 20 s. */
  readonly everyMs?: number
}

export type Cases = Readonly<Partial<Record<HoldReason, Case>>>

/** What the status says of one reason. */
export interface Said {
  readonly reason: string
  readonly message: string
  readonly since: string
  readonly node: string | undefined
  readonly endedBy: string
}

export interface Watched {
  /** All that the status says: the leading hold, then the nodes. */
  readonly said: readonly Said[]
  readonly complete: string
  /** As it stands after the last pass. */
  readonly status: PlanStatus | undefined
  /** By reason and node: when it was first reported. */
  readonly stoodSince: ReadonlyMap<string, number>
}

export const stands = (reason: string, node: string | undefined): string => `${reason} ${node ?? ''}`

const PASSES = 6

/** Passes over time. What a pass asserts and writes, the next one finds. */
export function watch({ world: at, plan = 'system-upgrade/p', gates, everyMs = 20_000 }: Case): Watched {
  let since = new Map<string, Moment>()
  let memory: RolloutMemory | undefined
  let status: PlanStatus | undefined
  const stoodSince = new Map<string, number>()
  const seen = new Map<string, { readonly at: number; readonly ok: true; readonly value: GateSeen }>()
  for (let pass = 0; pass < PASSES; pass++) {
    const now = { wall: NOW.wall + pass * everyMs, mono: NOW.mono + pass * everyMs }
    const given = at(now)
    const plans = given.plans.map((view) => (view.key === plan ? written(view, memory, status) : view))
    const answers = new Map([...given.observed.gates, ...[...seen].map(([key, answer]) => [key, { ...answer, at: now.mono }] as const)])
    const decision = decide({
      ...given,
      now,
      plans,
      since: new Map([...given.since, ...since]),
      observed: { ...given.observed, gates: answers },
    })
    since = new Map([...decision.facts].map((fact) => [fact, since.get(fact) ?? given.since.get(fact) ?? now]))
    if (gates !== undefined)
      for (const need of decision.needs) if (need.kind === 'gate') seen.set(need.key, { at: now.mono, ok: true, value: gates })
    const report = decision.reports.get(plan)
    const standing = [
      ...(report?.holds ?? []).map(({ reason }) => stands(reason, undefined)),
      ...[...(report?.nodes ?? [])].flatMap(([node, { holds }]) => holds.map(({ reason }) => stands(reason, node))),
    ]
    for (const key of standing) if (!stoodSince.has(key)) stoodSince.set(key, now.wall)
    const own = ({ plan: ref }: { readonly plan: { readonly namespace: string; readonly name: string } }) =>
      `${ref.namespace}/${ref.name}` === plan
    memory = actions(decision, 'annotatePlan').findLast(own)?.memory ?? memory
    const told = actions(decision, 'writeStatus').findLast(own)?.status
    if (told !== undefined) {
      const before = status ?? given.plans.find(({ key }) => key === plan)?.plan?.status
      // As a merge patch does it; slots stay as the world has them.
      const merged = Object.entries({ ...before, ...told }).filter(([, value]) => value !== null)
      status = { ...Object.fromEntries(merged), applying: before?.applying ?? [] } as unknown as PlanStatus
    }
  }
  const leading = status?.leadingHold
  const complete = status?.conditions.find(({ type }) => type === 'Complete')
  return {
    said: [
      ...(leading === undefined
        ? []
        : [{ reason: leading.reason, message: leading.message, since: leading.since, node: leading.node, endedBy: leading.endedBy }]),
      ...(status?.nodeStatuses ?? []).flatMap(({ name, reason, message, since: from, endedBy }) =>
        reason === undefined ? [] : [{ reason, message: message ?? '', since: from ?? '', node: name, endedBy: endedBy ?? '' }],
      ),
    ],
    status,
    complete: `${complete?.status} ${complete?.reason}: ${complete?.message}`,
    stoodSince,
  }
}

function written(view: PlanView, memory: RolloutMemory | undefined, status: PlanStatus | undefined): PlanView {
  if (view.plan === undefined)
    return status === undefined
      ? view
      : ({ ...view, conditions: status.conditions, observedGeneration: status.observedGeneration } as PlanView)
  return {
    ...view,
    ...(memory === undefined ? {} : { memory: { ok: true as const, memory } }),
    plan: { ...view.plan, status: status ?? view.plan.status },
  }
}

/** Every node has pulled and the dry run has passed: nothing but what the case is about stands before a claim. */
export function ready(
  view: KnownPlan,
  nodes: readonly NodeView[],
  more: Omit<NonNullable<Parameters<typeof aWorld>[0]>, 'policies'> & { readonly policy?: object } = {},
): (now: Moment) => World {
  const { policy: spec, ...rest } = more
  return (now) => {
    const plans = [view, ...(rest.plans ?? [])]
    const { pods, dryRuns } = pulledAndTried(plans, nodes, now.mono)
    return aWorld({
      ...rest,
      now,
      plans,
      policies: spec === undefined ? [] : [aPolicy(spec)],
      nodes: [...nodes],
      pods: [...pods, ...(rest.pods ?? [])],
      observed: { dryRuns, ...rest.observed },
    })
  }
}
