import type { Job, JobSpec } from 'kubernetes-types/batch/v1.d.ts'
import type { Container, Node, Pod, PodSpec } from 'kubernetes-types/core/v1.d.ts'
import { type Client, createClient } from '../../../src/sandbox/client.ts'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../../src/sandbox/cluster.ts'
import { JOBS, PODS, type Stored } from '../../../src/sandbox/kinds.ts'
import { type StandardClusterOptions, standardCluster } from '../../../src/sandbox/standard-cluster.ts'

export interface Bench {
  readonly sandbox: Sandbox
  readonly client: Client
}

/** A ready cluster on virtual time; `admin`'s client beside it. */
export async function bench(cluster: StandardClusterOptions = {}, options: SandboxOptions = {}): Promise<Bench> {
  const sandbox = createSandbox(options)
  await standardCluster(sandbox, cluster)
  return { sandbox, client: createClient(sandbox.as('admin'), sandbox.clock, sandbox.random, new AbortController().signal) }
}

export const nodeOf = (sandbox: Sandbox, name: string): Stored<Node> => must(sandbox.server.peek('nodes', name))
export const podOf = (sandbox: Sandbox, name: string, namespace = 'default'): Stored<Pod> | undefined =>
  sandbox.server.peek('pods', name, namespace) as never
export const jobOf = (sandbox: Sandbox, name: string, namespace = 'default'): Stored<Job> =>
  must(sandbox.server.peek('jobs.batch', name, namespace))
export const podsOf = (sandbox: Sandbox, namespace = 'default'): readonly Stored<Pod>[] =>
  sandbox.server.peekAll('pods', namespace) as never

function must<T>(object: unknown): T {
  if (object === undefined) throw new Error('object not found')
  return object as T
}

export function conditionOf(
  object: { readonly status?: { readonly conditions?: readonly { type: string; status: string; reason?: string }[] } } | undefined,
  type: string,
): string {
  const condition = object?.status?.conditions?.find((one) => one.type === type)
  return condition === undefined ? '' : `${condition.status}/${condition.reason ?? ''}`
}

/** A Job of one container. */
export function newJob(
  name: string,
  container: Partial<Container>,
  spec: Partial<JobSpec> = {},
  pod: Partial<PodSpec> = {},
  namespace = 'default',
): Job {
  return {
    metadata: { name, namespace },
    spec: {
      completions: 1,
      backoffLimit: 2,
      ...spec,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'test/ok', ...container }], ...pod } },
    },
  }
}

export async function createJob({ sandbox, client }: Bench, job: Job): Promise<Stored<Job>> {
  const answer = await sandbox.finish(client.create<Job>(JOBS, job))
  if (!answer.ok) throw new Error(answer.message)
  return answer.object
}

export async function createPod({ sandbox, client }: Bench, name: string, spec: PodSpec): Promise<Stored<Pod>> {
  const answer = await sandbox.finish(client.create<Pod>(PODS, { metadata: { name, namespace: 'default' }, spec }))
  if (!answer.ok) throw new Error(answer.message)
  return answer.object
}

/** Affinity that pins a pod to a node by its hostname label, as upgrade Jobs do. */
export function pinned(hostname: string): Partial<PodSpec> {
  const term = { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [hostname] }] }
  return {
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } },
    tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' }],
  }
}
