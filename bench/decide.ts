/** What one decision over a large cluster costs, in CPU time of this process. */
import { applyJobName } from '../src/rollout/job.ts'
import { attemptMark } from '../src/rollout/attempt.ts'
import { decide } from '../src/rollout/decide.ts'
import type { Decision, NodeView, Phase, World } from '../src/rollout/world.ts'
import { aJob, aNode, aPlan, aRecord, aServer, aWork, aWorld, hashOf, NEW } from '../test/rollout/build.ts'
import { type Figure, median } from './figure.ts'

export const NODES = 5_000
export const IN_FLIGHT = 50
const SERVERS = 5
const DONE = 1_000
const LIMIT_MS = 20
/** The first runs are the compiler's. */
const WARM_UP = 15
const RUNS = 41

/** As many labels as a node of a real cluster has. */
const LABELS = Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`topology.example.com/label-${i}`, `value-${i}`]))

const spec = {
  concurrency: IN_FLIGHT,
  nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' as const }] },
}

const servers = (): NodeView[] => Array.from({ length: SERVERS }, (_, i) => aServer(`server-${i}`, { kubeletVersion: NEW, labels: LABELS }))
const agents = (): string[] => Array.from({ length: NODES - SERVERS }, (_, i) => `agent-${i}`)

/** A rollout half-way: a fifth done, every slot taken by a running Job, the rest waiting. */
export function rollingWorld(): World {
  const names = agents()
  const flying = names.slice(DONE, DONE + IN_FLIGHT)
  const plan = aPlan('agent-plan', spec, { status: { applying: flying } })
  const hash = hashOf(plan)
  const nodes = names.map((name, i) => {
    if (i < DONE) return aNode(name, { kubeletVersion: NEW, labels: { ...LABELS, [`plan.upgrade.cattle.io/${plan.name}`]: hash } })
    if (i >= DONE + IN_FLIGHT) return aNode(name, { labels: LABELS })
    const work = aWork(plan, { startedAt: '2026-03-02T11:59:30Z', jobUID: `uid-job-${name}` })
    const cordon = { at: '2026-03-02T11:59:10Z', plan: plan.key }
    return aNode(name, { labels: LABELS, unschedulable: true, record: aRecord(name, { work, cordon }) })
  })
  const attempt = attemptMark({ planUID: plan.uid, attempt: 1, retry: '' })
  const jobs = flying.map((name) => aJob(applyJobName(plan.name, name, hash), name, { uid: `uid-job-${name}`, attempt, active: 1 }))
  return aWorld({ plans: [plan], nodes: [...servers(), ...nodes], jobs })
}

/** Nothing in flight, and the last of the common gates holds every candidate: the longest way through a pass. */
export function heldWorld(): World {
  const taints = [{ key: 'example.com/dedicated', value: 'yes', effect: 'NoSchedule' as const }]
  const nodes = agents().map((name) => aNode(name, { labels: LABELS, taints }))
  return aWorld({ plans: [aPlan('agent-plan', spec)], nodes: [...servers(), ...nodes] })
}

export function measureDecide(): Figure[] {
  return [
    {
      name: `decide over ${NODES} nodes, ${DONE} done, ${IN_FLIGHT} in flight`,
      measured: cpuOf(rollingWorld(), 'Upgrading', IN_FLIGHT),
      unit: ' ms CPU',
      limit: LIMIT_MS,
    },
    // Held candidates are reported by name up to a bound.
    {
      name: `decide over ${NODES} nodes, every candidate held by a gate`,
      measured: cpuOf(heldWorld(), 'Pending', 1),
      unit: ' ms CPU',
      limit: LIMIT_MS,
    },
  ]
}

/** Median CPU milliseconds of a decision in a world whose Plan was written since the last one: what it may have kept for this Plan is of no use. */
function cpuOf(world: World, phase: Phase, atLeast: number): number {
  const times: number[] = []
  for (let run = 0; run < WARM_UP + RUNS; run++) {
    const plans = structuredClone(world.plans)
    const now = { wall: world.now.wall + run, mono: world.now.mono + run }
    const began = process.cpuUsage()
    const decision = decide({ ...world, plans, now })
    const { user, system } = process.cpuUsage(began)
    if (inPhase(decision, phase) < atLeast)
      throw new Error(`the measured world is not what it should be: ${JSON.stringify([...decision.reports])}`)
    if (run >= WARM_UP) times.push((user + system) / 1000)
  }
  return median(times)
}

export function inPhase(decision: Decision, phase: Phase): number {
  return [...decision.reports.values()].flatMap((report) => [...report.nodes.values()]).filter((node) => node.phase === phase).length
}
