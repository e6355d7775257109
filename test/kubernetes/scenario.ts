/** One rollout on a shared cluster: machines, a Plan and namespaces of its own, what people do to them, and what the API server says. */
import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Machine } from '../../src/sandbox/machines/machine.ts'
import { upgradeProgram } from '../../src/sandbox/programs/upgrade.ts'
import { agentPlan, type Cluster, JOBS, marked, NAMESPACE, NEW, OLD, type Plan } from './cluster.ts'
import { DISTRIBUTION } from './releases.ts'

/** What a rollout is about; the part of the node record that tests read. */
export interface NodeRecord {
  readonly work?: { readonly hash: string; readonly attempt: number; readonly startedAt?: string; readonly jobUID?: string }
  readonly cordon?: { readonly plan: string; readonly adopted?: string }
  readonly past?: Readonly<
    Record<string, { readonly reason: string; readonly message: string; readonly attempts: number; readonly log?: string }>
  >
}

export interface PlanEvent {
  readonly on: string
  readonly type: string
  readonly reason: string
  readonly message: string
}

/** An upgrade image that waits on each machine until the test lets it go on. */
export interface Gate {
  readonly image: string
  /** Machines on which an upgrade waits or has waited, in the order of their arrival. */
  readonly entered: readonly string[]
  /** Lets all go on, those that come later too. */
  open(): void
}

export interface Scenario {
  readonly cluster: Cluster
  /** Name of the Plan, of the namespace of workloads, and the value of label `scenario` on the machines. */
  readonly id: string
  /** `<id>-1`… */
  readonly nodes: readonly string[]
  machine(node: string): Machine
  /** An image as `rancher/rke2-upgrade`, on which the test has a hand. `arrived` is called when a container has begun. */
  gate(arrived?: (node: string) => Promise<void>): Gate
  /** The Plan of this scenario: its machines one by one to `NEW`, cordoned. `spec` has the last word. */
  manifest(spec?: object, metadata?: object): object
  /** `kubectl apply` of that Plan. */
  apply(spec?: object, metadata?: object): Promise<void>
  /** `kubectl apply` of a namespace called `id` and objects in it. */
  workload(...objects: readonly object[]): Promise<void>
  plan(): Promise<Plan>
  hash(): Promise<string>
  applying(): Promise<readonly string[]>
  /** `status reason: message` of a condition, or an empty text. */
  condition(type: string): Promise<string>
  /** `phase: message` of a node in the Plan's status, or an empty text. */
  status(node: string): Promise<string>
  record(node: string): Promise<NodeRecord>
  cordoned(node: string): Promise<boolean>
  version(node: string): Promise<string | undefined>
  /** The node's label of this Plan. */
  label(node: string): Promise<string | undefined>
  /** Apply Jobs of this Plan. */
  jobs(): Promise<readonly Job[]>
  /** Pods in the namespace of the workloads. */
  pods(): Promise<readonly Pod[]>
  events(reason: string): Promise<readonly PlanEvent[]>
  /** How often an upgrade program was started on the machine. */
  runs(node: string): number
  /** The versions that were put on the machine's disk. */
  replaced(node: string): readonly string[]
  /** Waits until one of the nodes is cordoned by us, and says which. */
  taken(): Promise<string>
  /** Waits until the Plan is Complete with all its nodes (default: all machines) at the version, labelled and back in service. */
  done(version?: string, nodes?: readonly string[]): Promise<void>
  until(what: string, holds: () => Promise<boolean> | boolean, seconds?: number): Promise<void>
  /** Lets time pass, for what must not happen meanwhile. */
  wait(seconds: number): Promise<void>
  /** `null` removes. */
  annotatePlan(annotations: Readonly<Record<string, string | null>>): Promise<void>
  annotateNode(node: string, annotations: Readonly<Record<string, string | null>>): Promise<void>
  /** Merge patch of the Plan's spec. */
  edit(spec: object): Promise<void>
  kubectl(...args: readonly string[]): Promise<string>
}

export async function createScenario(cluster: Cluster, id: string, count: number): Promise<Scenario> {
  const { api, machines } = cluster
  const nodes = Array.from({ length: count }, (_, i) => `${id}-${i + 1}`)
  for (const name of nodes) machines.add(marked({ name, role: 'agent', version: OLD, labels: { scenario: id } }))

  const machine = (node: string): Machine => {
    const found = machines.all.get(node)
    if (found === undefined) throw new Error(`no machine ${node}`)
    return found
  }
  const timeline = (node: string, what: string): readonly string[] =>
    machine(node)
      .timeline.filter((event) => event.what === what)
      .map(({ detail }) => detail)
  const annotate = async (kind: string, name: string, annotations: Readonly<Record<string, string | null>>): Promise<void> => {
    const words = Object.entries(annotations).map(([key, value]) => (value === null ? `${key}-` : `${key}=${value}`))
    await cluster.kubectl('--namespace', NAMESPACE, 'annotate', '--overwrite', kind, name, ...words)
  }

  const self: Scenario = {
    cluster,
    id,
    nodes,
    machine,
    gate(arrived = async () => {}) {
      const entered: string[] = []
      let open: () => void = () => {}
      const opened = new Promise<void>((resolve) => (open = resolve))
      const image = `${id}.example.com/${DISTRIBUTION}-upgrade`
      const upgrade = upgradeProgram(DISTRIBUTION)
      machines.fleet.programs.set(image, async (pod, where, io) => {
        await arrived(where.name)
        entered.push(where.name)
        io.log('waiting for the test')
        await Promise.race([opened, new Promise((resolve) => io.killed.addEventListener('abort', resolve, { once: true }))])
        return io.killed.aborted ? 143 : upgrade(pod, where, io)
      })
      return { image, entered, open }
    },
    manifest: (spec = {}, metadata = {}) =>
      agentPlan({ nodeSelector: { matchLabels: { scenario: id } }, ...spec }, { name: id, ...metadata }),
    apply: (spec, metadata) => cluster.apply(self.manifest(spec, metadata)),
    async workload(...objects) {
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: id } }
      await cluster.apply(namespace, ...objects.map((object) => inNamespace(object, id)))
    },
    plan: () => cluster.plan(id),
    hash: async () => (await self.plan()).status?.latestHash ?? '',
    applying: async () => (await self.plan()).status?.applying ?? [],
    condition: (type) => cluster.condition(id, type),
    async status(node) {
      const found = (await self.plan()).status?.nodeStatuses?.find(({ name }) => name === node)
      return found === undefined ? '' : `${found.phase}: ${found.message ?? ''}`
    },
    async record(node) {
      const text = (await cluster.node(node)).metadata?.annotations?.['drover.io/node-upgrade']
      return text === undefined ? {} : (JSON.parse(text) as NodeRecord)
    },
    cordoned: async (node) => (await cluster.node(node)).spec?.unschedulable === true,
    version: async (node) => (await cluster.node(node)).status?.nodeInfo?.kubeletVersion,
    label: async (node) => (await cluster.node(node)).metadata?.labels?.[`plan.upgrade.cattle.io/${id}`],
    jobs: async () => (await api.list<Job>(JOBS, { query: { labelSelector: `upgrade.cattle.io/plan=${id}` } })).items,
    pods: async () => (await api.list<Pod>(`/api/v1/namespaces/${id}/pods`)).items,
    async events(reason) {
      const { items } = await api.list<{ involvedObject: { kind: string; name: string }; type: string; reason: string; message: string }>(
        '/api/v1/events',
        { query: { fieldSelector: `reason=${reason}` } },
      )
      return items
        .filter(({ involvedObject: { name } }) => name === id || nodes.includes(name))
        .map((event) => ({
          on: `${event.involvedObject.kind}/${event.involvedObject.name}`,
          type: event.type,
          reason: event.reason,
          message: event.message,
        }))
    },
    runs: (node) => timeline(node, 'programStart').filter((detail) => /\/(rke2|k3s)-upgrade(?! prepare)/.test(detail)).length,
    replaced: (node) => timeline(node, 'replaced'),
    async taken() {
      let found: string | undefined
      await self.until('a node is cordoned by us', async () => {
        for (const node of nodes) if ((await self.record(node)).cordon !== undefined && (await self.cordoned(node))) found ??= node
        return found !== undefined
      })
      return found as string
    },
    async done(version = NEW, wanted = nodes) {
      const isDone = async (name: string, hash: string): Promise<boolean> => {
        const { metadata, spec, status } = await api.get<Node>(`/api/v1/nodes/${name}`)
        return (
          metadata?.labels?.[`plan.upgrade.cattle.io/${id}`] === hash &&
          status?.nodeInfo?.kubeletVersion === version &&
          spec?.unschedulable !== true
        )
      }
      await self.until(`Plan ${id} is Complete and ${wanted.join(', ')} are done at ${version}`, async () => {
        if (!(await self.condition('Complete')).startsWith('True')) return false
        const hash = await self.hash()
        return (await Promise.all(wanted.map((name) => isDone(name, hash)))).every(Boolean)
      })
    },
    until: (what, holds, seconds = 180) => cluster.until(`${id}: ${what}`, async () => holds(), seconds),
    wait: (seconds) => systemClock.sleep(seconds * 1000),
    annotatePlan: (annotations) => annotate('plan', id, annotations),
    annotateNode: (node, annotations) => annotate('node', node, annotations),
    async edit(spec) {
      await cluster.kubectl('--namespace', NAMESPACE, 'patch', 'plan', id, '--type=merge', '--patch', JSON.stringify({ spec }))
    },
    kubectl: (...args) => cluster.kubectl(...args),
  }
  await cluster.until(`the machines of ${id} are Ready`, async () => nodes.every((name) => machine(name).ready))
  return self
}

function inNamespace(object: object, namespace: string): object {
  const { metadata, ...rest } = object as { readonly metadata?: object }
  return { ...rest, metadata: { namespace, ...metadata } }
}
