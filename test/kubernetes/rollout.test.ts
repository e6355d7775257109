import { afterEach, describe, expect, test } from '@jest/globals'
import { agentPlan, type Cluster, NEW, startCluster } from './cluster.ts'

let cluster: Cluster | undefined

afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

describe('a rollout on a real control plane', () => {
  test('takes the agents one by one to the new version', async () => {
    cluster = await startCluster()
    await cluster.controller()
    await cluster.apply(agentPlan())
    await cluster.until('complete', async () => (await cluster?.condition('agents', 'Complete'))?.startsWith('True') === true)
    for (const node of await cluster.nodes()) {
      if (node.metadata?.name === 'server-1') continue
      expect(node.status?.nodeInfo?.kubeletVersion).toBe(NEW)
      expect(node.spec?.unschedulable).toBeUndefined()
    }
  }, 240_000)
})
