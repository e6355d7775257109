/** Scenarios that share one cluster and one controller. They run at the same time, because nearly all of a rollout is waiting. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'
import { leftovers } from './leftovers.ts'
import { lacking, type Need } from './needs.ts'
import { release } from './releases.ts'
import { createScenario, type Scenario } from './scenario.ts'

/** What the one server runs: more than any Plan here asks for, because no agent may be ahead of a server. */
const AHEAD = release(90)
const LIMIT_MS = 6 * 60_000
/** After the last step of a scenario; orphaned pods are collected a minute after their node. */
const TIDY_S = 150

export interface SharedOptions extends ClusterOptions {
  /** Settings of the controller, over those of `Cluster.controller`. */
  readonly env?: Readonly<Record<string, string>>
}

type Tell = (id: string, what: string, tell: (s: Scenario) => Promise<void>, nodes?: number, needs?: readonly Need[]) => void

export interface Shared {
  /** A scenario with `nodes` machines (default 2); it runs beside the others. Afterwards nothing may be left behind. */
  readonly scenario: Tell
  /** One that disturbs others; it runs when all that stand above it are over. */
  readonly alone: Tell
}

/** To be called once, at the top of a test file. */
export function shareCluster({ env = {}, ...options }: SharedOptions = {}): Shared {
  let cluster: Cluster | undefined

  beforeAll(async () => {
    cluster = await startCluster({ agents: 0, serverVersion: AHEAD, ...options })
    // People wait for messages for up to half a minute; tests do not.
    await cluster.controller({ env: { DROVER_STATUS_DELAY: '1s', ...env } })
  }, 180_000)

  afterAll(async () => {
    try {
      if (cluster !== undefined) expect(await leftovers(cluster.api)).toEqual([])
    } finally {
      await cluster?.stop()
    }
  }, 120_000)

  const told = (id: string, tell: (s: Scenario) => Promise<void>, nodes: number) => async (): Promise<void> => {
    if (cluster === undefined) throw new Error('the cluster did not start')
    const s = await createScenario(cluster, id, nodes)
    await tell(s)
    const { api } = cluster
    const look = (): Promise<readonly string[]> => leftovers(api, { nodes: s.nodes, plans: [id] })
    await s
      .until('nothing is left behind', async () => (await look()).length === 0, TIDY_S)
      .catch(async (error: Error) => {
        throw new Error(`left behind: ${(await look()).join('; ')}\n${error.message}`)
      })
  }

  const add =
    (alone: boolean): Tell =>
    (id, what, tell, nodes = 2, needs = []) => {
      if (lacking(what, needs)) test.skip(what, told(id, tell, nodes))
      else if (alone) test(what, told(id, tell, nodes), LIMIT_MS)
      else test.concurrent(what, told(id, tell, nodes), LIMIT_MS)
    }
  return { scenario: add(false), alone: add(true) }
}
