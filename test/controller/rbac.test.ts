import { expect, test } from '@jest/globals'
import { neededPermissions, type Permission, type Verb } from '../../src/controller/permissions.ts'
import { type Access, permits } from './access.ts'
import { snapshotDefinition } from '../../src/simulation/etcd-snapshot-kind.ts'
import { etcdSnapshot } from '../etcd-snapshots.ts'
import { agentPlan, CONTROLLER, createWorld, serverPlan } from './harness.ts'

const MINUTE = 60_000
const CRD = 'plans.upgrade.cattle.io'
const UPGRADE_JOBS = 'system:serviceaccount:system-upgrade:system-upgrade'
const BROKEN = 'registry.example.com/broken'

/** An authorizer that grants no more than the tables say, and notes what was used and what was refused. */
function authorizer(tables: Readonly<Record<string, readonly Permission[]>>) {
  const denied = new Set<string>()
  const used = new Set<string>()
  const line = ({ group, resource, namespace }: Permission, verb: string) =>
    `${verb} ${group}/${resource}${namespace === undefined ? '' : ` @${namespace}`}`
  return {
    denied,
    unused: (user: string) =>
      (tables[user] ?? []).flatMap((row) => row.verbs.map((verb) => line(row, verb))).filter((known) => !used.has(`${user} ${known}`)),
    allow: (
      user: string,
      asked: { verb: string; group: string; resource: string; subresource: string; namespace: string; name: string },
    ) => {
      const table = tables[user]
      if (table === undefined) return true
      const access: Access = {
        verb: asked.verb as Verb,
        group: asked.group,
        resource: asked.subresource === '' ? asked.resource : `${asked.resource}/${asked.subresource}`,
        ...(asked.namespace === '' ? {} : { namespace: asked.namespace }),
        ...(asked.name === '' ? {} : { name: asked.name }),
      }
      const row = table.find((candidate) => permits([candidate], access))
      if (row === undefined) denied.add(`${user}: ${JSON.stringify(access)}`)
      else used.add(`${user} ${line(row, access.verb)}`)
      return row !== undefined
    },
  }
}

test('a rollout with all that can happen needs what is granted: nothing more, and nothing less', async () => {
  const { allow, denied, unused } = authorizer({
    [CONTROLLER]: neededPermissions('system-upgrade', 'system-upgrade-controller'),
    [UPGRADE_JOBS]: [
      { group: 'upgrade.cattle.io', resource: 'plans', verbs: ['get'], namespace: 'system-upgrade', why: '' },
      { group: '', resource: 'nodes', verbs: ['list'], why: '' },
    ],
  })
  const world = await createWorld({
    cluster: {
      agents: 4,
      workloads: [
        { name: 'web', replicas: 12, minAvailable: 10 },
        { name: 'exporter', kind: 'DaemonSet', replicas: 1 },
        { name: 'kured', namespace: 'kube-system', kind: 'DaemonSet', replicas: 1 },
      ],
    },
    sandbox: { allow },
  })
  const { sandbox } = world
  const select = (name: string) => ({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': name } }, version: 'v1' })
  sandbox.programs.set(BROKEN, async (_pod, _machine, io) => {
    io.log('it does not work')
    return 1
  })
  try {
    // The first one creates the CRD; the second finds it changed.
    const first = world.controller('first')
    await sandbox.run(() => sandbox.server.peek('customresourcedefinitions', CRD) !== undefined, MINUTE)
    first.crash()
    await world.patch(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${CRD}`, { spec: { names: { singular: 'old' } } })
    await world.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'script', namespace: 'system-upgrade' },
      data: { 'run.sh': 'ZWNobwo=' },
    })
    await sandbox.run(() => sandbox.server.peek('customresourcedefinitions', 'rolloutpolicies.drover.io') !== undefined, MINUTE)
    await world.apply({
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name: 'careful', namespace: 'system-upgrade' },
      spec: { planNames: ['agent-plan'], drain: { volumeDetachTimeout: '1m' }, coordinate: { kured: true } },
    })
    await world.apply(snapshotDefinition)
    await world.apply(etcdSnapshot('scheduled', new Date(sandbox.clock.wall()).toISOString()))
    await world.apply({
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name: 'servers', namespace: 'system-upgrade' },
      spec: { planNames: ['server-plan'], etcdSnapshot: { policy: 'Require' } },
    })
    world.controller('second')
    await world.apply(serverPlan())
    await world.apply(agentPlan({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-1' } } }))
    await world.apply({
      ...agentPlan({ ...select('agent-2'), prepare: undefined, drain: { disableEviction: true, force: true } }),
      metadata: { name: 'deleting', namespace: 'system-upgrade' },
    })
    await world.apply({
      ...agentPlan({
        ...select('agent-3'),
        prepare: undefined,
        drain: undefined,
        upgrade: { image: BROKEN },
        secrets: [{ name: 'script', path: '' }],
      }),
      metadata: { name: 'broken', namespace: 'system-upgrade' },
    })
    const done = await sandbox.run(
      () =>
        ['server-plan', 'agent-plan', 'deleting'].every((plan) => world.complete(plan)) &&
        JSON.stringify(world.plan('broken')).includes('JobFailed'),
      60 * MINUTE,
    )

    expect([...denied]).toEqual([])
    expect(done).toBe(true)
    // No event repeats itself here.
    expect(unused(CONTROLLER)).toEqual(['patch /events'])
  } finally {
    await world.stop()
  }
})
