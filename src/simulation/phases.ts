import type { Mirror } from './checkers/mirror.ts'
import { hostnameOf, jobEnd, recordOf } from './checkers/seen.ts'

/** How far the nodes of a rollout are, as the history tells it; faults are counted by it. */
export const PHASES = ['idle', 'claimed', 'preparing', 'cordoned', 'upgrading', 'verifying'] as const
export type Phase = (typeof PHASES)[number]

/** Every phase that at least one node is in; `idle` when none is on its way. */
export function phasesOf(mirror: Mirror): ReadonlySet<Phase> {
  const phases = new Set<Phase>()
  const working = new Set<string>()
  for (const node of mirror.nodes.values()) {
    const record = recordOf(node)
    const work = record?.work
    if (work === undefined) continue
    working.add(hostnameOf(node) ?? '')
    if (work.provenAt !== undefined) phases.add('verifying')
    else if (work.startedAt !== undefined) phases.add(ended(mirror, work.jobUID) ? 'verifying' : 'upgrading')
    else phases.add(record?.cordon === undefined ? 'preparing' : 'cordoned')
  }
  for (const plan of mirror.plans.values()) {
    if ((plan.status?.applying ?? []).some((hostname) => !working.has(hostname))) phases.add('claimed')
  }
  return phases.size === 0 ? new Set(['idle']) : phases
}

function ended(mirror: Mirror, uid: string | undefined): boolean {
  for (const job of mirror.jobs.values()) if (job.metadata.uid === uid) return jobEnd(job) !== undefined
  return true
}
