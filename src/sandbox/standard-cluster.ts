import type { Deployment, DaemonSet } from 'kubernetes-types/apps/v1.d.ts'
import type { PodSpec } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { Json } from '../base/json.ts'
import { messageIn } from './client.ts'
import type { Sandbox } from './cluster.ts'
import type { MachineSpec } from './machines/machine.ts'

export interface WorkloadSpec {
  readonly name: string
  /** Default `default`. */
  readonly namespace?: string
  readonly replicas: number
  /** Default `Deployment`; a DaemonSet ignores `replicas`. */
  readonly kind?: 'Deployment' | 'DaemonSet'
  /** With one of the two a PodDisruptionBudget of the same name comes along. */
  readonly minAvailable?: number | string
  readonly maxUnavailable?: number | string
  /** From a container's start to Ready, in whole seconds of milliseconds. Default: a random 1–3 s. */
  readonly readyAfterMs?: number
  /** terminationGracePeriodSeconds. Default 30. */
  readonly graceSeconds?: number
  /** Required anti-affinity by hostname: at most one pod a node. */
  readonly spread?: boolean
  /** With an emptyDir volume, which drains refuse unless told otherwise. */
  readonly emptyDir?: boolean
  /** Last word on the pod template's spec. */
  readonly template?: Partial<PodSpec>
}

export interface StandardClusterOptions {
  /** Default 3. */
  readonly servers?: number
  /** Default 3. */
  readonly agents?: number
  /** Default `v1.33.3+rke2r1`. */
  readonly version?: string
  /** Name of the i-th, from 1. Default `server-1`… and `agent-1`…. */
  readonly serverName?: (i: number) => string
  readonly agentName?: (i: number) => string
  readonly workloads?: readonly WorkloadSpec[]
  /** Last word on each machine. */
  readonly machine?: (spec: MachineSpec) => MachineSpec
}

/** Longest time until everything stands, in milliseconds. */
const READY_MS = 300_000

/**
 * Fills a sandbox: namespaces `system-upgrade` and `cattle-system` with their ServiceAccounts, machines, workloads. Lets time pass until all Nodes
 * and all pods of the workloads are Ready, and throws when they are not within five minutes.
 */
export async function standardCluster(sandbox: Sandbox, options: StandardClusterOptions = {}): Promise<void> {
  const version = options.version ?? 'v1.33.3+rke2r1'
  const spec = (role: 'server' | 'agent', name: string): MachineSpec => {
    const made: MachineSpec = { name, role, version }
    return options.machine?.(made) ?? made
  }
  const machines = [
    ...range(options.servers ?? 3).map((i) => sandbox.machine(spec('server', options.serverName?.(i) ?? `server-${i}`))),
    ...range(options.agents ?? 3).map((i) => sandbox.machine(spec('agent', options.agentName?.(i) ?? `agent-${i}`))),
  ]
  const objects = [...['system-upgrade', 'cattle-system'].flatMap(tenant), ...(options.workloads ?? []).flatMap(workloadObjects)]
  const workloads = options.workloads ?? []
  await sandbox.finish(applyAll(sandbox, objects), READY_MS)
  let up = 0
  const stood = await sandbox.run(() => {
    // Asked after every timer: those that are ready are not asked again.
    while (machines[up]?.ready === true) up++
    return up === machines.length && workloads.every((workload) => stands(sandbox, workload))
  }, READY_MS)
  if (!stood)
    throw new Error(
      `the cluster did not become ready: ${machines.filter((machine) => !machine.ready).length} of ${machines.length} nodes are missing`,
    )
}

/** Creates the objects one after the other. */
async function applyAll(sandbox: Sandbox, objects: readonly ApplyObject[]): Promise<void> {
  for (const object of objects) await apply(sandbox, object)
}

function stands(sandbox: Sandbox, workload: WorkloadSpec): boolean {
  const kind = workload.kind ?? 'Deployment'
  const object = sandbox.server.peek(
    kind === 'Deployment' ? 'deployments.apps' : 'daemonsets.apps',
    workload.name,
    workload.namespace ?? 'default',
  )
  const status = (object as { status?: Readonly<Record<string, number>> } | undefined)?.status
  if (kind === 'Deployment') return (status?.['readyReplicas'] ?? 0) >= workload.replicas
  return (status?.['desiredNumberScheduled'] ?? 0) > 0 && status?.['numberReady'] === status?.['desiredNumberScheduled']
}

/** Creates any object as `admin`. Throws with the server's words when it is refused; one that is there already is left alone. */
export async function apply(sandbox: Pick<Sandbox, 'as'>, object: ApplyObject): Promise<void> {
  const { apiVersion, kind, metadata } = object
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`
  const path = `${root}${scope}/${pluralOf(kind)}`
  const { status, body } = await sandbox
    .as('admin')
    .send({ method: 'POST', path, body: object as unknown as Json }, new AbortController().signal)
  if (status >= 300 && status !== 409) throw new Error(`${kind} ${metadata.name} was refused (${status}): ${messageIn(body)}`)
}

export interface ApplyObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

/** English as the API speaks it. */
function pluralOf(kind: string): string {
  const lower = kind.toLowerCase()
  if (lower.endsWith('y')) return `${lower.slice(0, -1)}ies`
  return lower.endsWith('s') ? `${lower}es` : `${lower}s`
}

function tenant(name: string): readonly ApplyObject[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    ...['default', 'system-upgrade', 'system-upgrade-controller', 'system-agent-upgrader'].map((account) => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: account, namespace: name },
    })),
  ]
}

/** The objects of a workload: itself and its budget. */
function workloadObjects(workload: WorkloadSpec): readonly ApplyObject[] {
  const { name } = workload
  const namespace = workload.namespace ?? 'default'
  const labels = { app: name }
  const container = {
    name: 'main',
    image: 'registry.example/app:1',
    ...(workload.readyAfterMs === undefined ? {} : { readinessProbe: { initialDelaySeconds: workload.readyAfterMs / 1000 } }),
    ...(workload.emptyDir === true ? { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] } : {}),
  }
  const template = {
    metadata: { labels },
    spec: {
      containers: [container],
      terminationGracePeriodSeconds: workload.graceSeconds ?? 30,
      ...(workload.emptyDir === true ? { volumes: [{ name: 'scratch', emptyDir: {} }] } : {}),
      ...(workload.spread === true
        ? {
            affinity: {
              podAntiAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: [
                  { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' },
                ],
              },
            },
          }
        : {}),
      ...workload.template,
    },
  }
  const metadata = { name, namespace, labels }
  const selector = { matchLabels: labels }
  const body: (Deployment | DaemonSet) & ApplyObject =
    workload.kind === 'DaemonSet'
      ? { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: { selector, template } }
      : { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { replicas: workload.replicas, selector, template } }
  if (workload.minAvailable === undefined && workload.maxUnavailable === undefined) return [body]
  const budget: PodDisruptionBudget & ApplyObject = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata,
    spec: {
      selector,
      ...(workload.minAvailable === undefined ? {} : { minAvailable: workload.minAvailable }),
      ...(workload.maxUnavailable === undefined ? {} : { maxUnavailable: workload.maxUnavailable }),
    },
  }
  return [body, budget]
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}
