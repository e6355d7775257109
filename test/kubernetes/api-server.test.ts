/** The API server goes away in the middle of a rollout: asked to end, and killed. */
import { afterEach, describe, expect } from '@jest/globals'
import { agentPlan, type Cluster, NAMESPACE, startCluster } from './cluster.ts'
import { endsWell, limited } from './ending.ts'
import { testNeeding } from './needs.ts'

const test = testNeeding('api-server', 'audit-log')

const AGENTS = 40
const CONCURRENCY = 5
const NODES_EACH = 5

let cluster: Cluster | undefined

afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

describe('an API server that goes away', () => {
  test('four times, twice by SIGKILL: the rollout goes on, limits hold, each node is upgraded once', async () => {
    const own = (cluster = await startCluster({ agents: AGENTS, audit: 'Request', nodeGraceSeconds: 60 }))
    const controller = await own.controller({ env: limited(CONCURRENCY) })
    const done = async (): Promise<number> =>
      (await own.nodes()).filter(({ metadata }) => metadata?.labels?.['plan.upgrade.cattle.io/agents'] !== undefined).length
    const killedAt: number[] = []

    await own.apply(agentPlan({ concurrency: CONCURRENCY }))
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
      const from = await done()
      // Controllers and scheduler of the cluster itself wait up to a minute between their tries after several outages, one after the other.
      await own.until(`nodes are finished before ${signal}`, async () => (await done()) >= from + NODES_EACH, 300)
      if (signal === 'SIGKILL') killedAt.push(Date.now())
      await own.plane.stopApiServer(signal)
      await own.plane.startApiServer()
      // Entries of the last moment are missing in the audit log; a write to each object shows there what it has become.
      await own.kubectl('annotate', 'nodes', '--all', '--overwrite', `example.com/after=${signal}-${killedAt.length}`)
      await own.kubectl(
        '--namespace',
        NAMESPACE,
        'annotate',
        'plans',
        '--all',
        '--overwrite',
        `example.com/after=${signal}-${killedAt.length}`,
      )
    }
    await endsWell(own, { agents: AGENTS, concurrency: CONCURRENCY, killedAt, seconds: 600 })
    // It is still the same process.
    expect(controller.child.exitCode).toBeNull()
  }, 1_200_000)
})
