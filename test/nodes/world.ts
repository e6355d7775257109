/** A cluster of real nodes: the control plane on a bridge, machines on it, and what the API server told of them in order. */
import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import { ANNOTATION_RECORD } from '../../src/api/names.ts'
import { systemClock } from '../../src/base/clock.ts'
import { type Cluster, NAMESPACE, PLANS, startCluster } from '../kubernetes/cluster.ts'
import { BRIDGE_ADDRESS, FOLDER_VARIABLE, type Layout, layout, type Release } from './layout.ts'
import { createBridge, type Machine, type MachineSpec, startMachine } from './machine.ts'

/** Names that kubelets have tokens for; a test takes the next ones. */
const NAMES = Array.from({ length: 40 }, (_, i) => `node-${i + 1}`)

export const MIN_READY_SECONDS = 2
/** Of the controller: quick verdicts. A node is silent, or unproven, for so long before it is given up. */
export const VERIFY_TIMEOUT_SECONDS = 30

/** What was seen of a node at a moment; only changes are kept. */
export interface Sight {
  /** Milliseconds of the test's own clock. */
  readonly at: number
  readonly version: string
  readonly ready: string
  readonly unschedulable: boolean
  /** Value of the Plan's label. */
  readonly label: string
}

/** What was seen of a pod. */
export interface PodSight {
  readonly at: number
  readonly name: string
  readonly node: string
  readonly phase: string
  readonly deleted: boolean
  /** Termination message of its container. */
  readonly said: string
}

interface PodSights {
  readonly name: string
  readonly sights: readonly PodSight[]
}

export interface World {
  readonly cluster: Cluster
  readonly paths: Layout
  /** Machines of one test, in the order of the specs: `<node>.group=<plan>` selects them. Resolves when all are Ready and labelled. */
  machines<const T extends readonly Omit<MachineSpec, 'name'>[]>(group: string, ...specs: T): Promise<{ readonly [K in keyof T]: Machine }>
  /** Applies a Plan for the machines of a group, one at a time, cordoned. `spec` has the last word. */
  plan(group: string, release: Release, spec?: object): Promise<void>
  annotatePlan(group: string, ...annotations: readonly string[]): Promise<void>
  sights(node: string): readonly Sight[]
  /** Pods of apply Jobs on a node, the first one first; of each what was seen, in order. */
  upgradePods(node: string): readonly PodSights[]
  /** The same of `prepare` Jobs. */
  preparePods(node: string): readonly PodSights[]
  record(node: string): Promise<NodeRecord>
  /** Waits until the Plan is Complete and the label was seen on each machine's node. */
  done(group: string, ...machines: readonly Machine[]): Promise<void>
  /** Waits for the Plan's failure on a machine's node. */
  failure(group: string, machine: Machine): Promise<Failure>
  /** A pod that sleeps on the machine. Resolves when it runs, with its containerID. */
  bystander(machine: Machine): Promise<string>
  /** containerID and restarts of the bystander. */
  bystanderNow(machine: Machine): Promise<{ readonly id: string; readonly restarts: number }>
  /** Ends the machines of a test and forgets their nodes and its Plan. */
  clear(): Promise<void>
  stop(): Promise<void>
}

interface Failure {
  readonly reason: string
  readonly message: string
  readonly attempts: number
  readonly log?: string
}

/** The part of the node record that tests read. */
interface NodeRecord {
  readonly work?: { readonly attempt: number; readonly startedAt?: string }
  readonly past?: Readonly<Record<string, Failure>>
}

export async function startWorld(env: Readonly<Record<string, string>> = {}): Promise<World> {
  const folder = process.env[FOLDER_VARIABLE]
  if (folder === undefined) throw new Error('real nodes need a world of their own: npm run test:nodes')
  const paths = layout(folder)
  createBridge()
  const cluster = await startCluster({ servers: 0, agents: 0, address: BRIDGE_ADDRESS, nodes: NAMES })
  const { api } = cluster
  const free = [...NAMES]
  const running: Machine[] = []
  const groups = new Set<string>()
  const seen = new Map<string, Sight[]>()
  const podsSeen: PodSight[] = []
  const life = new AbortController()
  let gap: Error | undefined

  function sawNode({ metadata, spec, status }: Node): void {
    const name = metadata?.name ?? ''
    const sights = seen.get(name) ?? []
    seen.set(name, sights)
    const sight: Sight = {
      at: systemClock.mono(),
      version: status?.nodeInfo?.kubeletVersion ?? '',
      ready: status?.conditions?.find(({ type }) => type === 'Ready')?.status ?? '',
      unschedulable: spec?.unschedulable === true,
      label: Object.entries(metadata?.labels ?? {}).find(([key]) => key.startsWith('plan.upgrade.cattle.io/'))?.[1] ?? '',
    }
    const { at: _at, ...last } = sights.at(-1) ?? { at: 0 }
    const { at, ...now } = sight
    if (JSON.stringify(last) !== JSON.stringify(now)) sights.push({ at, ...now })
  }

  function sawPod({ metadata, spec, status }: Pod, deleted: boolean): void {
    podsSeen.push({
      at: systemClock.mono(),
      name: metadata?.name ?? '',
      node: spec?.nodeName ?? '',
      phase: status?.phase ?? '',
      deleted,
      said: status?.containerStatuses?.[0]?.state?.terminated?.message ?? '',
    })
  }

  /** Follows a list until the end of the world. What was seen is of no use once there is a gap in it. */
  async function follow<T>(path: string, saw: (object: T, deleted: boolean) => void): Promise<void> {
    const { items, resourceVersion } = await api.list<T>(path)
    for (const item of items) saw(item, false)
    const query = { watch: 'true', resourceVersion, timeoutSeconds: '7200' }
    const response = await api.watch(path, { query, signal: life.signal })
    const read = async (): Promise<void> => {
      for await (const event of response.events) {
        const { type, object } = event as unknown as { type: string; object: T }
        if (!['ADDED', 'MODIFIED', 'DELETED'].includes(type)) throw new Error(JSON.stringify(event))
        saw(object, type === 'DELETED')
      }
      throw new Error('it ended')
    }
    read().catch((error: unknown) => (gap ??= new Error(`the test's watch of ${path} broke`, { cause: error })))
  }

  function whole<T>(seen: T): T {
    if (gap !== undefined) throw gap
    return seen
  }

  function podsOf(node: string, role: 'apply' | 'prepare'): readonly PodSights[] {
    const pods = new Map<string, PodSight[]>()
    for (const sight of whole(podsSeen)) {
      if (sight.node !== node || !sight.name.startsWith(`${role}-`)) continue
      const known = pods.get(sight.name)
      if (known === undefined) pods.set(sight.name, [sight])
      else known.push(sight)
    }
    return [...pods].map(([name, sights]) => ({ name, sights }))
  }

  const world: World = {
    cluster,
    paths,
    async machines(group, ...specs) {
      groups.add(group)
      const started = await Promise.all(
        specs.map(async (spec) => {
          const name = free.shift()
          if (name === undefined) throw new Error('no names are left for machines: make NAMES longer')
          const config = await cluster.plane.kubeconfig(`system:node:${name}`)
          return startMachine(paths, { ...spec, name }, Number(name.split('-')[1]), config)
        }),
      )
      running.push(...started)
      for (const { name, role, release } of started) {
        await cluster.until(`${name} is Ready`, async () => isReady(await cluster.node(name), release.version))
        const roles = role === 'server' ? ['control-plane', 'etcd'] : []
        await cluster.kubectl(
          'label',
          'node',
          name,
          `drover.test/group=${group}`,
          ...roles.map((one) => `node-role.kubernetes.io/${one}=true`),
        )
      }
      return started as never
    },
    async plan(group, { version }, spec = {}) {
      await cluster.apply({
        apiVersion: 'upgrade.cattle.io/v1',
        kind: 'Plan',
        metadata: { name: group, namespace: NAMESPACE },
        spec: {
          concurrency: 1,
          cordon: true,
          nodeSelector: { matchLabels: { 'drover.test/group': group } },
          serviceAccountName: 'system-upgrade',
          upgrade: { image: 'rancher/rke2-upgrade' },
          version,
          ...spec,
        },
      })
    },
    async annotatePlan(group, ...annotations) {
      await cluster.kubectl('--namespace', NAMESPACE, 'annotate', '--overwrite', 'plan', group, ...annotations)
    },
    sights: (node) => whole(seen.get(node) ?? []),
    upgradePods: (node) => podsOf(node, 'apply'),
    preparePods: (node) => podsOf(node, 'prepare'),
    async done(group, ...machines) {
      await cluster.until(`${group} is complete`, async () => (await cluster.condition(group, 'Complete')).startsWith('True'), 180)
      for (const { name } of machines) await cluster.until(`${name} was seen labelled`, async () => world.sights(name).at(-1)?.label !== '')
    },
    async failure(group, { name }) {
      const key = `${NAMESPACE}/${group}`
      await cluster.until(`${name} failed`, async () => (await world.record(name)).past?.[key] !== undefined, 180)
      const failure = (await world.record(name)).past?.[key]
      if (failure === undefined) throw new Error(`${name} failed and then did not`)
      return failure
    },
    async record(node) {
      const text = (await cluster.node(node)).metadata?.annotations?.[ANNOTATION_RECORD]
      return text === undefined ? {} : (JSON.parse(text) as NodeRecord)
    },
    async bystander({ name }) {
      const sleep = { name: 'sleep', image: 'drover.test/tools:1', command: ['sleep', '100000'] }
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: `bystander-${name}`, namespace: 'default' } }
      await cluster.until('the default service account exists', async () => {
        await api.get('/api/v1/namespaces/default/serviceaccounts/default')
        return true
      })
      await cluster.apply({ ...pod, spec: { hostNetwork: true, nodeName: name, terminationGracePeriodSeconds: 1, containers: [sleep] } })
      const path = `/api/v1/namespaces/default/pods/bystander-${name}`
      await cluster.until(`the bystander on ${name} runs`, async () => (await api.get<Pod>(path)).status?.phase === 'Running')
      return (await world.bystanderNow({ name } as Machine)).id
    },
    async bystanderNow({ name }) {
      const { status } = await api.get<Pod>(`/api/v1/namespaces/default/pods/bystander-${name}`)
      const container = status?.containerStatuses?.[0]
      return { id: container?.containerID ?? '', restarts: container?.restartCount ?? -1 }
    },
    async clear() {
      for (const group of groups) {
        await api.delete(`${PLANS}/${group}`).catch(ignoreGone)
        await cluster.kubectl(
          '--namespace',
          NAMESPACE,
          'delete',
          'jobs,pods',
          '--selector',
          `upgrade.cattle.io/plan=${group}`,
          '--wait=false',
          '--force',
          '--ignore-not-found',
        )
      }
      await Promise.all(running.map((machine) => machine.stop()))
      for (const { name } of running) await api.delete(`/api/v1/nodes/${name}`).catch(ignoreGone)
      running.length = 0
      groups.clear()
    },
    async stop() {
      await Promise.all(running.map((machine) => machine.stop()))
      life.abort()
      await cluster.stop()
    },
  }

  try {
    await follow<Node>('/api/v1/nodes', sawNode)
    await follow<Pod>(`/api/v1/namespaces/${NAMESPACE}/pods`, sawPod)
    await cluster.controller({
      env: {
        DROVER_VERIFY_MIN_READY: `${MIN_READY_SECONDS}s`,
        DROVER_VERIFY_TIMEOUT: `${VERIFY_TIMEOUT_SECONDS}s`,
        DROVER_STATUS_DELAY: '1s',
        ...env,
      },
    })
    return world
  } catch (error) {
    await world.stop()
    throw error
  }
}

export function isReady({ status }: Node, version: string): boolean {
  return status?.nodeInfo?.kubeletVersion === version && status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True'
}

function ignoreGone(error: unknown): void {
  if ((error as { status?: number }).status !== 404) throw error
}
