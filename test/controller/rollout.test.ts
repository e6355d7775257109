import { describe, expect, test } from '@jest/globals'
import { agentPlan, createWorld, NEW, serverPlan } from './harness.ts'

const MINUTE = 60_000

describe("the documents' Plans", () => {
  test('servers, then agents: all upgraded, uncordoned, labelled with the right hash, nothing left behind', async () => {
    const world = await createWorld({ cluster: { workloads: [{ name: 'web', replicas: 3, minAvailable: 2 }] } })
    try {
      world.controller()
      await world.sandbox.run(() => world.sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined, MINUTE)
      await world.apply(serverPlan())
      await world.apply(agentPlan())
      const done = await world.sandbox.run(() => world.complete('server-plan') && world.complete('agent-plan'), 60 * MINUTE)
      const status = JSON.stringify([world.plan('server-plan')?.status, world.plan('agent-plan')?.status], null, 1)
      expect([done, done ? '' : status]).toEqual([true, ''])
      for (const node of world.nodes()) {
        const server = node.metadata.labels['node-role.kubernetes.io/control-plane'] === 'true'
        const plan = server ? 'server-plan' : 'agent-plan'
        expect(node.status.nodeInfo.kubeletVersion).toBe(NEW)
        expect(node.spec.unschedulable).toBeUndefined()
        expect(node.metadata.labels[`plan.upgrade.cattle.io/${plan}`]).toBe(world.plan(plan)?.status?.latestHash)
        expect(node.metadata.annotations?.['drover.io/node-upgrade']).toBeUndefined()
        expect(node.metadata.labels['drover.io/in-flight']).toBeUndefined()
      }
      expect(world.plan('server-plan')?.status?.applying).toEqual([])
      expect(world.sandbox.etcd.lost).toBe(0)
    } finally {
      await world.stop()
    }
  })
})
