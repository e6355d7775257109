/** What a rollout must not leave behind, read from the API server and from nowhere else. */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import type { Client } from '../../src/kube/client/client.ts'
import type { Plan } from './cluster.ts'

/** What the API server says now. Pods and Jobs of anybody may be among them. */
export interface Seen {
  readonly nodes: readonly Node[]
  readonly plans: readonly Plan[]
  readonly jobs: readonly Job[]
  readonly pods: readonly Pod[]
}

/** Only these nodes and Plans (by name), and the Jobs and pods made for them. Default: all. */
export interface Scope {
  readonly nodes: readonly string[]
  readonly plans: readonly string[]
}

/** One line for each thing that is left; none when nothing is. */
export async function leftovers(api: Client, scope?: Scope): Promise<readonly string[]> {
  const all = async <T>(path: string): Promise<readonly T[]> => (await api.list<T>(path)).items
  const [nodes, plans, jobs, pods] = await Promise.all([
    all<Node>('/api/v1/nodes'),
    all<Plan>('/apis/upgrade.cattle.io/v1/plans'),
    all<Job>('/apis/batch/v1/jobs'),
    all<Pod>('/api/v1/pods'),
  ])
  return findLeftovers({ nodes, plans, jobs, pods }, scope)
}

export function findLeftovers({ nodes, plans, jobs, pods }: Seen, scope?: Scope): readonly string[] {
  const inScope = (node: string | undefined, plan: string | undefined): boolean =>
    scope === undefined || scope.nodes.includes(node ?? '') || scope.plans.includes(plan ?? '')
  return [
    ...nodes.filter(({ metadata }) => inScope(metadata?.name, undefined)).flatMap(ofNode),
    ...plans
      .filter(({ metadata }) => inScope(undefined, metadata.name))
      .flatMap(({ metadata, status }) =>
        (status?.applying ?? []).map((node) => `Plan ${metadata.name}: ${node} stands in status.applying`),
      ),
    ...jobs
      .filter(({ metadata }) => isOurs(metadata?.labels) && inScope(nodeOf(metadata?.labels), planOf(metadata?.labels)))
      .flatMap(ofJob),
    ...pods
      .filter(({ metadata }) => isOurs(metadata?.labels) && inScope(nodeOf(metadata?.labels), planOf(metadata?.labels)))
      .flatMap(ofPod),
  ]
}

type Labels = Readonly<Record<string, string>> | undefined

const nodeOf = (labels: Labels): string | undefined => labels?.['upgrade.cattle.io/node'] ?? labels?.['drover.io/node']
const planOf = (labels: Labels): string | undefined => labels?.['upgrade.cattle.io/plan'] ?? labels?.['drover.io/plan']
const isOurs = (labels: Labels): boolean => nodeOf(labels) !== undefined && planOf(labels) !== undefined

function ofNode({ metadata, spec }: Node): readonly string[] {
  const found: string[] = []
  const say = (text: string): void => void found.push(`Node ${metadata?.name}: ${text}`)
  if (metadata?.labels?.['drover.io/in-flight'] !== undefined) say('label drover.io/in-flight')
  const text = metadata?.annotations?.['drover.io/node-upgrade']
  const record = text === undefined ? {} : (JSON.parse(text) as { readonly work?: unknown; readonly cordon?: unknown })
  if (record.work !== undefined) say(`work in its record: ${JSON.stringify(record.work)}`)
  if (record.cordon !== undefined) say(`a cordon in its record: ${JSON.stringify(record.cordon)}`)
  const owner = metadata?.managedFields?.find(({ fieldsV1 }) => {
    const fields = fieldsV1 as { readonly 'f:spec'?: Readonly<Record<string, unknown>> } | undefined
    return fields?.['f:spec']?.['f:unschedulable'] !== undefined
  })?.manager
  if (spec?.unschedulable === true && owner === 'drover') say('a cordon that drover wrote')
  return found
}

/** A Job may stay for people to read until its time is over; it must not be able to run anything. */
function ofJob({ metadata, spec, status }: Job): readonly string[] {
  const name = `Job ${metadata?.namespace}/${metadata?.name}`
  if ((status?.active ?? 0) > 0) return [`${name} has active pods`]
  if (metadata?.deletionTimestamp !== undefined) return [`${name} is still being deleted`]
  const over = status?.conditions?.some(({ type, status: is }) => (type === 'Complete' || type === 'Failed') && is === 'True') ?? false
  if (over) return spec?.ttlSecondsAfterFinished === undefined ? [`${name} is over and nobody will ever remove it`] : []
  return spec?.suspend === true ? [] : [`${name} is neither over nor suspended`]
}

function ofPod({ metadata, status }: Pod): readonly string[] {
  const name = `Pod ${metadata?.namespace}/${metadata?.name}`
  if (metadata?.labels?.['drover.io/role'] === 'pull') return [`${name} pulled an image and is still there`]
  if (metadata?.deletionTimestamp !== undefined) return [`${name} is still being deleted`]
  return status?.phase === 'Succeeded' || status?.phase === 'Failed' ? [] : [`${name} is ${status?.phase}`]
}
