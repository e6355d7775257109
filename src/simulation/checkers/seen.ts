/** The few fields of wire objects that the judge reads. Everything is optional: objects are taken as they were written. */
export interface Meta {
  readonly name: string
  readonly namespace?: string
  readonly uid: string
  readonly generation?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly deletionTimestamp?: string
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[]
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
  readonly lastHeartbeatTime?: string
}

export interface SeenNode {
  readonly metadata: Meta
  readonly spec?: {
    readonly unschedulable?: boolean
    readonly taints?: readonly { readonly key: string; readonly effect: string; readonly value?: string }[]
  }
  readonly status?: { readonly conditions?: readonly Condition[]; readonly nodeInfo?: { readonly kubeletVersion?: string } }
}

export interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly Requirement[]
}

export interface SeenPlan {
  readonly metadata: Meta
  readonly spec: {
    readonly concurrency?: number
    readonly jobActiveDeadlineSecs?: number
    readonly version?: string
    readonly channel?: string
    readonly cordon?: boolean
    readonly drain?: {
      readonly ignoreDaemonSets?: boolean
      readonly timeout?: string | number
      readonly skipWaitForDeleteTimeout?: number
    }
    readonly prepare?: { readonly image: string; readonly args?: readonly string[] }
    readonly upgrade: { readonly image: string }
    readonly nodeSelector?: Selector
    readonly exclusive?: boolean
    readonly window?: { readonly days?: readonly string[] }
    readonly secrets?: readonly { readonly name: string; readonly ignoreUpdates?: boolean }[]
    readonly tolerations?: readonly {
      readonly key?: string
      readonly operator?: string
      readonly value?: string
      readonly effect?: string
    }[]
  }
  readonly status?: {
    readonly conditions?: readonly Condition[]
    readonly latestVersion?: string
    readonly latestHash?: string
    readonly applying?: readonly string[] | null
    readonly nodeStatuses?: readonly { readonly message?: string }[]
  }
}

export interface SeenPod {
  readonly metadata: Meta
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly { readonly image?: string }[]; readonly affinity?: unknown }
  readonly status?: { readonly phase?: string; readonly containerStatuses?: readonly { readonly imageID?: string }[] }
}

export interface SeenJob {
  readonly metadata: Meta
  readonly spec: {
    readonly parallelism?: number
    readonly suspend?: boolean
    readonly template: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> }
      readonly spec?: { readonly containers?: readonly { readonly image?: string }[]; readonly affinity?: unknown }
    }
  }
  readonly status?: { readonly conditions?: readonly Condition[]; readonly succeeded?: number; readonly failed?: number }
}

/** The node record as design §3 lays it down. */
export interface SeenRecord {
  readonly nodeUID?: string
  readonly cordon?: { readonly plan?: string; readonly adopted?: unknown }
  readonly work?: {
    readonly plan: string
    readonly planUID?: string
    readonly hash?: string
    readonly from?: string
    readonly target?: string
    readonly attempt?: number
    readonly claimedAt?: string
    readonly startedAt?: string
    readonly jobUID?: string
    readonly provenAt?: string
    readonly adopted?: boolean
  }
  readonly past?: Readonly<
    Record<string, { readonly hash?: string; readonly result?: string; readonly reason?: string; readonly message?: string }>
  >
  readonly blocked?: Readonly<Record<string, { readonly hash: string; readonly how: string; readonly attempts: number }>>
}

export const RECORD = 'drover.io/node-upgrade'

export function recordOf(node: SeenNode | undefined): SeenRecord | undefined {
  const text = node?.metadata.annotations?.[RECORD]
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as SeenRecord
  } catch {
    return undefined
  }
}

export function keyOf(meta: Meta): string {
  return `${meta.namespace ?? ''}/${meta.name}`
}

export function hostnameOf(node: SeenNode): string | undefined {
  return node.metadata.labels?.['kubernetes.io/hostname']
}

export function isCordoned(node: SeenNode | undefined): boolean {
  return node?.spec?.unschedulable === true
}

export function isReady(node: SeenNode): boolean {
  return node.status?.conditions?.find((condition) => condition.type === 'Ready')?.status === 'True'
}

export function isServer(node: SeenNode): boolean {
  return node.metadata.labels?.['node-role.kubernetes.io/control-plane'] === 'true'
}

export function isEtcd(node: SeenNode): boolean {
  return node.metadata.labels?.['node-role.kubernetes.io/etcd'] === 'true'
}

export function kubeletOf(node: SeenNode | undefined): string {
  return node?.status?.nodeInfo?.kubeletVersion ?? ''
}

/** A Job that lets pods run, and has not ended. */
export function isLive(job: SeenJob | undefined): boolean {
  return (
    job !== undefined &&
    (job.spec.parallelism ?? 1) > 0 &&
    job.spec.suspend !== true &&
    jobEnd(job) === undefined &&
    job.metadata.deletionTimestamp === undefined
  )
}

export function jobEnd(job: SeenJob): 'Complete' | 'Failed' | undefined {
  const ended = job.status?.conditions?.find(
    (condition) => (condition.type === 'Complete' || condition.type === 'Failed') && condition.status === 'True',
  )
  return ended?.type as 'Complete' | 'Failed' | undefined
}

/** `Complete` and `Failed` pods no longer run. */
export function podEnded(pod: SeenPod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

export function selects(selector: Selector | undefined, labels: Readonly<Record<string, string>>): boolean {
  if (selector === undefined) return false
  if (Object.entries(selector.matchLabels ?? {}).some(([key, value]) => labels[key] !== value)) return false
  return (selector.matchExpressions ?? []).every((wanted) => {
    const value = labels[wanted.key]
    if (wanted.operator === 'Exists') return value !== undefined
    if (wanted.operator === 'DoesNotExist') return value === undefined
    const among = value !== undefined && (wanted.values ?? []).includes(value)
    return wanted.operator === 'In' ? among : !among
  })
}
