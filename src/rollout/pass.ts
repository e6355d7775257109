/** What one pass of `decide` collects as it goes. Mutable, and lives only inside the pass. */
import { LABEL_NODE, LABEL_PLAN } from '../api/names.ts'
import type { Hold } from '../api/reasons.ts'
import type { PlanKey } from '../api/record.ts'
import { defaultRules, type Rules, rulesFor } from './policy/rules.ts'
import type { Action, Decision, JobView, Moment, Need, NodeReport, Notice, Phase, PlanReport, PodView, Step, World } from './world.ts'

export interface Pass {
  readonly world: World
  readonly now: Moment
  step(about: string, actions: readonly Action[]): void
  need(need: Need): void
  notice(notice: Notice): void
  /** Asserts a fact and says since when it has stood; in the pass that first asserts it: now. */
  fact(key: string): Moment
  /** Asserts a fact, too. True = it did not stand before this pass: what is told once is told now. */
  isNew(key: string): boolean
  /** Asks to be called again at this monotonic time at the latest. */
  lookAt(mono: number): void
  /** The same of a wall-clock time. */
  lookAtWall(wall: number): void
  planHold(plan: PlanKey, hold: Hold): void
  /** What is said of a node under a Plan; the last word counts, holds add up. */
  node(plan: PlanKey, node: string, phase: Phase, ...holds: Hold[]): void
  /** A node is done that was out of service for so long, in milliseconds. */
  took(plan: PlanKey, ms: number): void
  /** The longest of those of this pass; 0 without any. */
  longest(plan: PlanKey): number
  /** What has been said of a Plan so far. */
  report(plan: PlanKey): PlanReport
  /** How carefully a Plan is rolled out; of one that is gone or cannot be read, the defaults. */
  rules(plan: PlanKey): Rules
  jobNamed(namespace: string, name: string): JobView | undefined
  jobWithUID(uid: string): JobView | undefined
  podsOf(jobUID: string): readonly PodView[]
  /** Pods of the Plan's apply Jobs on the node that have not ended. */
  podsOn(plan: PlanKey, node: string): readonly PodView[]
  decision(): Decision
}

const NO_PODS: readonly PodView[] = []

export function createPass(world: World): Pass {
  const steps: Step[] = []
  const needs: Need[] = []
  const facts = new Set<string>()
  const notices: Notice[] = []
  const plans = new Map<PlanKey, { holds: Hold[]; nodes: Map<string, NodeReport> }>()
  let next: number | undefined
  const jobsByName = new Map(world.jobs.map((job) => [`${job.namespace}/${job.name}`, job]))
  const jobsByUID = new Map(world.jobs.map((job) => [job.uid, job]))
  const podsByJob = new Map<string, PodView[]>()
  for (const pod of world.pods) {
    if (pod.jobUID === undefined) continue
    const same = podsByJob.get(pod.jobUID)
    if (same === undefined) podsByJob.set(pod.jobUID, [pod])
    else same.push(pod)
  }
  const durations = new Map<PlanKey, number>()
  const rules = new Map<PlanKey, Rules>()
  const report = (plan: PlanKey) => {
    let found = plans.get(plan)
    if (found === undefined) plans.set(plan, (found = { holds: [], nodes: new Map() }))
    return found
  }
  const pass: Pass = {
    world,
    now: world.now,
    step(about, actions) {
      if (actions.length > 0) steps.push({ about, actions })
    },
    need(need) {
      needs.push(need)
    },
    notice(notice) {
      notices.push(notice)
    },
    fact(key) {
      facts.add(key)
      return world.since.get(key) ?? world.now
    },
    isNew(key) {
      facts.add(key)
      return !world.since.has(key)
    },
    lookAt(mono) {
      if (next === undefined || mono < next) next = mono
    },
    lookAtWall(wall) {
      pass.lookAt(world.now.mono + wall - world.now.wall)
    },
    planHold(plan, hold) {
      report(plan).holds.push({ ...hold, since: pass.fact(`hold ${plan} ${hold.reason}`).wall })
    },
    node(plan, node, phase, ...holds) {
      const told = setbacksOn(world, plan, node, phase)
      // What is refused is not done, whatever was about to be written.
      if (phase === 'Done' && told.length > 0) phase = 'Verifying'
      const dated = [...told, ...holds].map((hold) => ({ ...hold, since: pass.fact(`hold ${plan} ${node} ${hold.reason}`).wall }))
      report(plan).nodes.set(node, { phase, holds: dated })
    },
    took(plan, ms) {
      durations.set(plan, Math.max(ms, durations.get(plan) ?? 0))
    },
    longest: (plan) => durations.get(plan) ?? 0,
    report,
    rules(plan) {
      let found = rules.get(plan)
      if (found !== undefined) return found
      const view = world.plans.find(({ key }) => key === plan)?.plan
      // Strict compatibility is a policy of its own.
      const free = view === undefined || world.settings.compatibility === 'strict'
      found = free ? defaultRules(world.settings) : rulesFor(view, world.policies, world.settings)
      rules.set(plan, found)
      return found
    },
    jobNamed: (namespace, name) => jobsByName.get(`${namespace}/${name}`),
    jobWithUID: (uid) => jobsByUID.get(uid),
    podsOn: (plan, node) =>
      world.pods.filter(
        (pod) =>
          `${pod.namespace}/${pod.labels[LABEL_PLAN] ?? ''}` === plan &&
          pod.labels[LABEL_NODE] === node &&
          pod.phase !== 'Succeeded' &&
          pod.phase !== 'Failed',
      ),
    podsOf: (jobUID) => podsByJob.get(jobUID) ?? NO_PODS,
    decision: () => ({ steps, needs, facts, notices, reports: plans, lookAt: next }),
  }
  for (const { plan, node, hold } of world.observed.setbacks.values()) {
    if (plan === undefined || !world.plans.some((view) => view.key === plan)) continue
    if (node === undefined) pass.planHold(plan, hold)
    else if (hold.reason === 'ClaimWithdrawn') pass.node(plan, node, 'Pending')
  }
  return pass
}

/** A claim that was withdrawn matters only as long as the node is not taken after all. */
function setbacksOn({ observed }: World, plan: PlanKey, node: string, phase: Phase): Hold[] {
  const found: Hold[] = []
  for (const setback of observed.setbacks.values()) {
    if (setback.node !== node || (setback.plan ?? plan) !== plan) continue
    if (setback.hold.reason !== 'ClaimWithdrawn' || phase === 'Pending') found.push(setback.hold)
  }
  return found
}
