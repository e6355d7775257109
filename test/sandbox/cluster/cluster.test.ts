import { describe, expect, test } from '@jest/globals'
import { createHash } from 'node:crypto'
import { bench, conditionOf, nodeOf, podsOf } from './helpers.ts'

describe('standardCluster', () => {
  test('machines register as kubelets do, and workloads run', async () => {
    const { sandbox } = await bench({
      servers: 3,
      agents: 2,
      workloads: [
        { name: 'web', replicas: 4, minAvailable: 3 },
        { name: 'log', replicas: 0, kind: 'DaemonSet' },
      ],
    })
    const server = nodeOf(sandbox, 'server-1')
    expect(server.metadata.labels).toMatchObject({
      'kubernetes.io/hostname': 'server-1',
      'node-role.kubernetes.io/control-plane': 'true',
      'node-role.kubernetes.io/etcd': 'true',
    })
    expect(server.status?.nodeInfo?.kubeletVersion).toBe('v1.33.3+rke2r1')
    expect(conditionOf(server, 'Ready')).toBe('True/KubeletReady')
    expect(conditionOf(server, 'EtcdIsVoter')).toBe('True/MemberNotLearner')
    expect(server.spec?.taints ?? []).toEqual([])
    expect(nodeOf(sandbox, 'agent-1').metadata.labels).not.toHaveProperty('node-role.kubernetes.io/control-plane')
    expect([...sandbox.etcd.members.keys()].sort()).toEqual(['server-1', 'server-2', 'server-3'])
    expect(sandbox.etcd.hasQuorum).toBe(true)
    const pods = podsOf(sandbox)
    expect(pods.filter((pod) => pod.metadata.labels?.['app'] === 'web')).toHaveLength(4)
    expect(new Set(pods.filter((pod) => pod.metadata.labels?.['app'] === 'log').map((pod) => pod.spec?.nodeName)).size).toBe(5)
    await sandbox.run(() => false, 1000)
    expect(sandbox.server.peek('poddisruptionbudgets.policy', 'web', 'default')).toMatchObject({
      status: { currentHealthy: 4, desiredHealthy: 3, disruptionsAllowed: 1 },
    })
    await sandbox.stop()
  })

  test('the same seed writes the same history, another seed another', async () => {
    const digest = async (seed: number): Promise<string> => {
      const { sandbox } = await bench({ servers: 3, agents: 3, workloads: [{ name: 'web', replicas: 5 }] }, { seed })
      await sandbox.run(() => false, 120_000)
      await sandbox.stop()
      return createHash('sha256')
        .update(JSON.stringify(sandbox.history.map(({ at, user, verb, ref, after }) => [at, user, verb, ref, after])))
        .digest('hex')
    }
    expect(await digest(7)).toBe(await digest(7))
    expect(await digest(8)).not.toBe(await digest(7))
  })

  test('a cluster at rest is written to by its kubelets only', async () => {
    const { sandbox } = await bench({ servers: 1, agents: 2, workloads: [{ name: 'web', replicas: 2, maxUnavailable: '50%' }] })
    await sandbox.run(() => false, 60_000)
    const from = sandbox.history.length
    await sandbox.run(() => false, 600_000)
    const writers = new Set(sandbox.history.slice(from).map(({ user, ref }) => `${user} ${ref.resource}`))
    expect([...writers].filter((writer) => !/^system:node:\S+ (leases|nodes)$/.test(writer))).toEqual([])
    expect(writers.size).toBe(6)
    await sandbox.stop()
  })
})
