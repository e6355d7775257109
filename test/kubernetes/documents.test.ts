/** The Plans of the documentation, and those that Rancher writes, applied as people apply them. */
import { createHash } from 'node:crypto'
import { afterEach, expect } from '@jest/globals'
import { type Cluster, DROVER, NAMESPACE, type Plan, startCluster } from './cluster.ts'
import { leftovers } from './leftovers.ts'
import { testNeeding } from './needs.ts'

const FROM = 'v1.33.3+rke2r1'
const TARGET = 'v1.33.4+rke2r1'
const SECONDS = 240

let cluster: Cluster | undefined

afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

const start = async (): Promise<Cluster> =>
  (cluster = await startCluster({ servers: 3, agents: 2, machine: (spec) => ({ ...spec, version: FROM }) }))

/** SUC's hash of a Plan without Secrets and digest annotation, computed apart from the code under test. */
const expectedHash = (account: string): string => createHash('sha224').update(TARGET.replaceAll('+', '-')).update(account).digest('hex')

interface Pair {
  readonly namespace: string
  readonly account: string
  readonly server: string
  readonly agent: string
}

/** Waits as people wait, and looks at everything afterwards. */
async function upgraded(c: Cluster, { namespace, account, server, agent }: Pair): Promise<void> {
  const { api, machines } = c
  const status = async (name: string) => (await api.get<Plan>(`/apis/upgrade.cattle.io/v1/namespaces/${namespace}/plans/${name}`)).status
  await c.until(
    'both Plans are Complete',
    async () =>
      [await status(server), await status(agent)].every((one) =>
        one?.conditions?.some(({ type, status: is }) => type === 'Complete' && is === 'True'),
      ),
    SECONDS,
  )
  // What tools wait for says the same.
  for (const condition of ['Complete', 'Ready'])
    await c.kubectl('--namespace', namespace, 'wait', `plan/${server}`, `plan/${agent}`, `--for=condition=${condition}`, '--timeout=10s')
  const hash = expectedHash(account)
  for (const { metadata, spec, status: node } of await c.nodes()) {
    const isServer = metadata?.labels?.['node-role.kubernetes.io/control-plane'] === 'true'
    expect({ name: metadata?.name, version: node?.nodeInfo?.kubeletVersion }).toEqual({ name: metadata?.name, version: TARGET })
    expect(spec?.unschedulable).toBeUndefined()
    expect(metadata?.labels?.[`plan.upgrade.cattle.io/${isServer ? server : agent}`]).toBe(hash)
    expect(metadata?.labels?.[`plan.upgrade.cattle.io/${isServer ? agent : server}`]).toBeUndefined()
  }
  for (const name of [server, agent]) expect([name, (await status(name))?.latestHash]).toEqual([name, hash])
  // Servers first, as `prepare` asks for, and never without a majority of etcd.
  const began = (name: string): number => machines.all.get(name)?.timeline.find(({ what }) => what === 'replaced')?.at ?? Number.NaN
  expect(Math.max(began('server-1'), began('server-2'), began('server-3'))).toBeLessThan(Math.min(began('agent-1'), began('agent-2')))
  expect(machines.fleet.etcd.lost).toBe(0)
  await c
    .until('nothing is left behind', async () => (await leftovers(api)).length === 0, 60)
    .catch(async () => expect(await leftovers(api)).toEqual([]))
}

testNeeding('all-nodes')(
  "the documentation's pair for RKE2, with prepare, upgrades every node",
  async () => {
    const c = await start()
    await c.controller()
    await c.kubectl('apply', '-f', 'examples/rke2/by-version.yaml')
    await upgraded(c, { namespace: NAMESPACE, account: 'system-upgrade', server: 'server-plan', agent: 'agent-plan' })
  },
  (SECONDS + 120) * 1000,
)

testNeeding('all-nodes')(
  "Rancher's pair upgrades every node, with Rancher's own namespace and service account",
  async () => {
    const c = await start()
    const namespace = 'cattle-system'
    const account = 'system-upgrade-controller'
    // What Rancher's chart installs: one account for the controller and its Jobs, which may do everything.
    await c.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: account },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
      },
    )
    const user = DROVER.replace(`${NAMESPACE}:drover`, `${namespace}:${account}`)
    await c.controller({ user, env: { SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: namespace } })
    // Rancher marks the nodes it wants upgraded.
    await c.kubectl('label', 'nodes', '--all', 'upgrade.cattle.io/kubernetes-upgrade=true')
    await c.kubectl('apply', '-f', 'examples/rancher/rke2-imported.yaml')
    await upgraded(c, { namespace, account, server: 'rke2-master-plan', agent: 'rke2-worker-plan' })
  },
  (SECONDS + 120) * 1000,
)
