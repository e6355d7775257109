/** Readings of a Node that everybody needs. */
import type { Node } from 'kubernetes-types/core/v1.d.ts'

export interface NodeReadiness {
  /** `Unknown` also where the condition is missing. */
  readonly status: 'True' | 'False' | 'Unknown'
  /** When the kubelet last said so, by its own clock; compare it only with itself. */
  readonly heartbeat?: string
  readonly since?: string
  readonly reason?: string
  readonly message?: string
}

export function nodeReady(node: Node): NodeReadiness {
  const condition = node.status?.conditions?.find(({ type }) => type === 'Ready')
  if (condition === undefined) return { status: 'Unknown' }
  return {
    status: condition.status === 'True' || condition.status === 'False' ? condition.status : 'Unknown',
    ...(condition.lastHeartbeatTime ? { heartbeat: condition.lastHeartbeatTime } : {}),
    ...(condition.lastTransitionTime ? { since: condition.lastTransitionTime } : {}),
    ...(condition.reason ? { reason: condition.reason } : {}),
    ...(condition.message ? { message: condition.message } : {}),
  }
}

export function isReady(node: Node): boolean {
  return nodeReady(node).status === 'True'
}

export function isCordoned(node: Node): boolean {
  return node.spec?.unschedulable === true
}

const ROLE = 'node-role.kubernetes.io/'

/** By the role labels that RKE2 and K3s set; `master` is the old name of `control-plane`. Any value but `false` counts. */
export function nodeRoles(node: Node): { readonly controlPlane: boolean; readonly etcd: boolean } {
  const has = (role: string): boolean => (node.metadata?.labels?.[`${ROLE}${role}`] ?? 'false') !== 'false'
  return { controlPlane: has('control-plane') || has('master'), etcd: has('etcd') }
}

/** Runs a part of the control plane: an API server, an etcd member, or both. */
export function isServer(node: Node): boolean {
  const { controlPlane, etcd } = nodeRoles(node)
  return controlPlane || etcd
}

/** A condition that servers refresh every five minutes, with some slack. */
const VOTER_STALE_MS = 420_000

/**
 * What RKE2 and K3s say of the etcd member on the node, in the condition `EtcdIsVoter`: false for a learner, a member that does not answer, or a
 * word that is out of date, measured by the node's own heartbeat. Undefined where nobody says anything (other datastores, older releases).
 */
export function etcdVoter(node: Node): boolean | undefined {
  const condition = node.status?.conditions?.find(({ type }) => type === 'EtcdIsVoter')
  if (condition === undefined) return undefined
  const [said, alive] = [Date.parse(condition.lastHeartbeatTime ?? ''), Date.parse(nodeReady(node).heartbeat ?? '')]
  const stale = !Number.isNaN(said) && !Number.isNaN(alive) && alive - said > VOTER_STALE_MS
  return condition.status === 'True' && !stale
}

/** The hostname label, which may differ from the node's name. */
export function hostnameOf(node: Node): string | undefined {
  return node.metadata?.labels?.['kubernetes.io/hostname']
}

/** `''` until the kubelet has reported. */
export function kubeletVersion(node: Node): string {
  return node.status?.nodeInfo?.kubeletVersion ?? ''
}

export function isWindows(node: Node): boolean {
  return node.metadata?.labels?.['kubernetes.io/os'] === 'windows'
}

/** Who else looks after the node: RKE1, which nobody upgrades in place, or a provisioner that replaces or upgrades its machines itself. */
export type Caretaker = 'RKE1' | 'Rancher' | 'Cluster API'

/** By the marks that they leave on Nodes: RKE1's addresses, Rancher's machine label, the machine annotation of Cluster API. */
export function caretakerOf(node: Node): Caretaker | undefined {
  const { annotations = {}, labels = {} } = node.metadata ?? {}
  if ('rke.cattle.io/external-ip' in annotations || 'rke.cattle.io/internal-ip' in annotations) return 'RKE1'
  if ('rke.cattle.io/machine' in labels) return 'Rancher'
  if ('cluster.x-k8s.io/machine' in annotations) return 'Cluster API'
  return undefined
}
