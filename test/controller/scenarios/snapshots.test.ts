/** etcd snapshots before servers are upgraded. */
import { expect } from '@jest/globals'
import { snapshotDefinition } from '../../../src/simulation/etcd-snapshot-kind.ts'
import { etcdSnapshot } from '../../etcd-snapshots.ts'
import { agentPlan, CONTROLLER, NEW, serverPlan } from '../harness.ts'
import { HOUR, MINUTE, story, type Story } from './story.ts'

const cluster = { servers: 3, agents: 2 }
const SERVERS = ['server-1', 'server-2', 'server-3']

const policy = (etcdSnapshotSpec: object) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'default', namespace: 'system-upgrade' },
  spec: { etcdSnapshot: etcdSnapshotSpec },
})

const ago = (s: Story, ms: number): string => new Date(s.sandbox.clock.wall() - ms).toISOString()

/** What the controllers asked for. */
const asked = new Set<string>()
const noting = {
  allow(user: string, { verb, resource }: { verb: string; resource: string }) {
    if (user === CONTROLLER) asked.add(`${verb} ${resource}`)
    return true
  },
}

story('Require: servers wait until a snapshot is there that is young enough', { cluster }, async (s) => {
  await s.begin()
  await s.apply(snapshotDefinition)
  await s.apply(etcdSnapshot('etcd-snapshot-server-1-1', ago(s, 3 * HOUR)))
  await s.apply(policy({ policy: 'Require', maxAge: '1h' }))
  await s.apply(serverPlan())
  await s.until('told', () => s.condition('server-plan', 'Complete').includes('NoRecentEtcdSnapshot'), MINUTE)
  expect(s.condition('server-plan', 'Complete')).toMatch(
    /^False NoRecentEtcdSnapshot: no etcd snapshot is younger than 1h0m0s: the newest, etcd-snapshot-server-1-1 of node server-1, is from /,
  )
  expect(s.condition('server-plan', 'Reconciling')).toMatch(/^True/)
  await s.wait(HOUR)
  expect(SERVERS.map((name) => s.cordons(name))).toEqual([0, 0, 0])
  await s.apply(etcdSnapshot('on-demand', ago(s, 0)))
  await s.until('a server is taken', () => SERVERS.some((name) => s.cordons(name) > 0), 3 * MINUTE)
  await s.until('complete', () => s.complete('server-plan'))
  for (const name of SERVERS) expect(s.node(name).status.nodeInfo.kubeletVersion).toBe(NEW)
})

story('Require where the kind is not known: a person is asked, and agents go on', { cluster }, async (s) => {
  await s.begin()
  await s.apply(policy({ policy: 'Require' }))
  await s.apply(serverPlan())
  await s.until('told', () => s.condition('server-plan', 'Stalled').startsWith('True NoRecentEtcdSnapshot'), MINUTE)
  expect(s.condition('server-plan', 'Stalled')).toContain('the cluster has no etcdsnapshotfiles.k3s.cattle.io')
  await s.apply(agentPlan({ prepare: undefined, version: 'v1', drain: undefined, upgrade: { image: 'busybox' } }))
  await s.until('agents are done', () => s.complete('agent-plan'))
  expect(s.complete('server-plan')).toBe(false)
})

story('Warn: an event once, and the upgrade goes on', { cluster }, async (s) => {
  await s.begin()
  await s.apply(snapshotDefinition)
  await s.apply(policy({ policy: 'Warn' }))
  await s.apply(serverPlan())
  await s.until('complete', () => s.complete('server-plan'))
  expect(s.events('NoRecentEtcdSnapshot')).toMatchObject([{ on: 'Plan/server-plan', type: 'Warning', count: 1 }])
})

for (const etcdSnapshotSpec of [{ maxAge: '1h' }, { policy: 'Warn' }])
  story(
    `${JSON.stringify(etcdSnapshotSpec)}: snapshots are listed only where a policy asks for them`,
    { cluster, sandbox: noting },
    async (s) => {
      asked.clear()
      await s.begin()
      await s.apply(snapshotDefinition)
      await s.apply(policy(etcdSnapshotSpec))
      await s.apply(serverPlan())
      await s.until('complete', () => s.complete('server-plan'))
      expect(asked).toContain('list nodes')
      expect(asked.has('list etcdsnapshotfiles')).toBe('policy' in etcdSnapshotSpec)
    },
  )
