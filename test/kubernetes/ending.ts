/** What must hold when a rollout of all agents has been through trouble: judged by the audit log, by the machines and by what is left. */
import { expect } from '@jest/globals'
import { type Cluster, NEW } from './cluster.ts'
import { judgeLog, type Verdict } from './judge.ts'
import { leftovers } from './leftovers.ts'

/** A watch that brings the news later than this is broken. In milliseconds. */
const NOTICED_AFTER_MS = 5000
/** Longest wait for what is tidied up after the last node, in seconds. */
const TIDY_S = 150

export interface Ending {
  readonly agents: number
  readonly concurrency: number
  /** When an API server was killed, in milliseconds since 1970. */
  readonly killedAt?: readonly number[]
  /** For the Plan `agents` to be complete, in seconds. */
  readonly seconds: number
}

/** What the controllers of such a rollout are told: after an outage the cluster takes nodes for lost that are not, and concurrency does not count those. */
export const limited = (concurrency: number): Record<string, string> => ({ DROVER_CLUSTER_MAX_UNAVAILABLE: String(concurrency) })

/** Waits for the end and checks it. */
export async function endsWell(cluster: Cluster, { agents, concurrency, killedAt = [], seconds }: Ending): Promise<Verdict> {
  await cluster.until('complete', async () => (await cluster.condition('agents', 'Complete')).startsWith('True'), seconds)
  let left: readonly string[] = []
  const tidy = async (): Promise<boolean> => (left = await leftovers(cluster.api)).length === 0
  await cluster.until('nothing is left behind', tidy, TIDY_S).catch((error: Error) => {
    throw new Error(`left behind: ${left.join('; ')}\n${error.message}`)
  })
  const verdict = await judgeLog(cluster.plane.auditLog, { maxUnavailable: concurrency, killedAt, noticedAfterMs: NOTICED_AFTER_MS })
  expect(verdict.broken).toEqual([])
  expect(verdict.left).toEqual([])
  expect(verdict.started.size).toBe(agents)
  expect(verdict.admitted).toBeGreaterThanOrEqual(agents)
  // The log must have seen the limit reached, or it would prove nothing.
  expect(verdict.mostInFlight).toBe(concurrency)
  const machines = [...cluster.machines.all.values()].filter(({ spec }) => spec.role === 'agent')
  expect(machines).toHaveLength(agents)
  for (const { name, running, timeline } of machines) {
    const count = (what: string): number => timeline.filter((event) => event.what === what).length
    expect({ name, running, replaced: count('replaced'), down: count('serviceDown') }).toEqual({ name, running: NEW, replaced: 1, down: 1 })
  }
  return verdict
}
