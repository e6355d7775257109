/** The way over several minor versions on the real API server: servers, then agents, at each step, and no server without a recent snapshot. */
import { expect } from '@jest/globals'
import { snapshotDefinition } from '../../src/simulation/etcd-snapshot-kind.ts'
import { etcdSnapshot } from '../etcd-snapshots.ts'
import { serve } from '../kube/client/servers.ts'
import { NAMESPACE, startCluster } from './cluster.ts'
import { testNeeding } from './needs.ts'

const FROM = 'v1.34.3+rke2r1'
const STEP = 'v1.35.2+rke2r1'
const TARGET = 'v1.36.1+rke2r1'
const CHANNELS: Readonly<Record<string, string>> = { stable: TARGET, 'v1.35': STEP }

const plan = (name: string, operator: 'Exists' | 'DoesNotExist', channel: string): object => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    concurrency: 1,
    cordon: true,
    channel,
    nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator }] },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: 'rancher/rke2-upgrade' },
  },
})

// A cluster of K3s has the kind itself, and it is not for a test to replace.
testNeeding('api-server', 'all-nodes')(
  'versionPath.stepThroughMinors and etcdSnapshot: two minors one after the other, with a snapshot to go back to',
  async () => {
    const asked: string[] = []
    const server = await serve(
      (request, response) => {
        const name = request.url?.split('/').at(-1) ?? ''
        asked.push(name)
        const version = CHANNELS[name]
        if (version === undefined) response.writeHead(404).end()
        else response.writeHead(302, { location: `/rke2/releases/tag/${version}` }).end()
      },
      { secure: false },
    )
    const c = await startCluster({ servers: 1, agents: 1, machine: (spec) => ({ ...spec, version: FROM }) })
    try {
      await c.controller()
      await c.apply(snapshotDefinition)
      await c.until('the kind is served', () =>
        c.apply(etcdSnapshot('on-demand', new Date().toISOString())).then(
          () => true,
          () => false,
        ),
      )
      await c.apply({
        apiVersion: 'drover.io/v1alpha1',
        kind: 'RolloutPolicy',
        metadata: { name: 'default', namespace: NAMESPACE },
        spec: { versionPath: { stepThroughMinors: true }, etcdSnapshot: { policy: 'Require', maxAge: '1h' } },
      })
      const channel = `${server.url}/v1-release/channels/stable`
      await c.apply(plan('servers', 'Exists', channel), plan('agents', 'DoesNotExist', channel))
      await c.until('both are complete', async () =>
        (await Promise.all(['servers', 'agents'].map((name) => c.condition(name, 'Complete')))).every((text) => text.startsWith('True')),
      )
      for (const name of ['server-1', 'agent-1']) expect((await c.node(name)).status?.nodeInfo?.kubeletVersion).toBe(TARGET)
      const began = (name: string): readonly number[] =>
        (c.machines.all.get(name)?.timeline ?? []).flatMap(({ what, at }) => (what === 'replaced' ? [at] : []))
      expect([began('server-1').length, began('agent-1').length]).toEqual([2, 2])
      const [[s1 = 0, s2 = 0], [a1 = 0, a2 = 0]] = [began('server-1'), began('agent-1')]
      expect([s1 < a1, a1 < s2, s2 < a2]).toEqual([true, true, true])
      expect([...new Set(asked)].toSorted()).toEqual(['stable', 'v1.35'])
    } finally {
      await c.stop()
      await server.close()
    }
  },
  300_000,
)
