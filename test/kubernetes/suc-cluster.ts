/** A cluster as SUC left it: the objects of `swapping/`, which the real one wrote, installed on a real API server. */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Json, JsonObject } from '../../src/base/json.ts'
import type { Program } from '../../src/sandbox/programs/program.ts'
import { upgradeProgram } from '../../src/sandbox/programs/upgrade.ts'
import { type Cluster, type ClusterOptions, JOBS, NAMESPACE, NEW, OLD, type Plan, PLANS, startCluster } from './cluster.ts'
import { type Moment, recorded } from './swapping/recorded.ts'

/** What SUC's manifests let its Jobs do, so that their `kubectl cordon` succeeds. */
const DRAINER = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'drainer' },
    rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'drainer' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'drainer' },
    subjects: [{ kind: 'ServiceAccount', name: 'system-upgrade', namespace: NAMESPACE }],
  },
]

/** Starts a cluster whose agents are as they were, with SUC's own CRD, and brings the Plan and its Jobs. A Job that ran runs again. */
export async function clusterOfSUC(moment: Moment, options: ClusterOptions = {}): Promise<Cluster> {
  const { plan, jobs, nodes } = recorded(moment)
  if (plan.spec.version !== NEW || nodes.some(({ version }) => version !== NEW && version !== OLD))
    throw new Error(`swapping/${moment}.json was recorded with other versions than ${OLD} and ${NEW}`)
  const machine: ClusterOptions['machine'] = (spec) => ({
    ...spec,
    version: nodes.find(({ name }) => name === spec.name)?.version ?? spec.version,
  })
  const cluster = await startCluster({ ...options, agents: nodes.length, machine })
  try {
    await cluster.kubectl('replace', '-f', 'test/vectors/suc/suc-crd.json')
    await cluster.apply(...DRAINER)
    for (const { name, labels, unschedulable } of nodes) {
      await cluster.api.mergePatch(`/api/v1/nodes/${name}`, { metadata: { labels } })
      if (unschedulable) await cluster.kubectl('cordon', name)
    }
    const { status, ...fresh } = plan
    const made = await cluster.api.create<Plan & JsonObject>(PLANS, fresh)
    await cluster.api.mergePatch(`${PLANS}/${plan.metadata.name}/status`, { status: status as unknown as Json })
    for (const job of jobs) await bring(cluster, job, made.metadata.uid)
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g

/** A finished Job is brought with its status, as of now: its TTL would be long over. It must not run for that. */
async function bring({ api }: Cluster, { status, ...job }: Job, planUID: string): Promise<void> {
  const finished = status?.conditions?.some(({ type, status }) => type === 'Complete' && status === 'True') === true
  const ownerReferences = job.metadata?.ownerReferences?.map((owner) => ({ ...owner, uid: planUID }))
  const metadata = { ...job.metadata, ownerReferences }
  await api.create(JOBS, { ...job, metadata, spec: { ...job.spec, suspend: finished } })
  if (!finished) return
  const path = `${JOBS}/${job.metadata?.name}`
  const now = `${new Date().toISOString().slice(0, 19)}Z`
  await api.mergePatch(`${path}/status`, { status: JSON.parse(JSON.stringify(status).replaceAll(TIME, now)) as Json })
  await api.mergePatch(path, { spec: { suspend: false } })
}

/** Holds the upgrade programs of all machines until `open` is called; `entered` counts them by machine, held or not. */
export function holdUpgrades({ machines }: Cluster): { readonly entered: ReadonlyMap<string, number>; open(): void } {
  const entered = new Map<string, number>()
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const real = upgradeProgram('rke2')
  const program: Program = async (pod, machine, io) => {
    entered.set(machine.name, (entered.get(machine.name) ?? 0) + 1)
    await Promise.race([opened, new Promise((resolve) => io.killed.addEventListener('abort', resolve, { once: true }))])
    return io.killed.aborted ? 143 : real(pod, machine, io)
  }
  machines.fleet.programs.set('rancher/rke2-upgrade', program)
  return { entered, open: () => open() }
}
