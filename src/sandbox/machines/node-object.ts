import type { Node, NodeCondition, NodeStatus, Pod } from 'kubernetes-types/core/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import type { KubeletEndpoint } from './fleet.ts'
import type { Machine } from './machine.ts'

/** What every machine has room for; the scheduler counts it. */
const CAPACITY = { cpu: '8', memory: '32Gi', pods: '110' }

/** The Node as its kubelet creates it. */
export function newNode(machine: Machine, wallMs: number, endpoint: KubeletEndpoint | undefined): Node {
  const { spec } = machine
  const labels: Record<string, string> = {
    'kubernetes.io/hostname': machine.name,
    'kubernetes.io/os': spec.os,
    'kubernetes.io/arch': spec.arch,
    'beta.kubernetes.io/os': spec.os,
    'beta.kubernetes.io/arch': spec.arch,
    'node.kubernetes.io/instance-type': spec.distro,
  }
  for (const role of spec.roles) labels[`node-role.kubernetes.io/${role}`] = 'true'
  if (spec.roles.includes('control-plane')) labels['node-role.kubernetes.io/master'] = 'true'
  return {
    metadata: {
      name: machine.name,
      labels: { ...labels, ...spec.labels },
      ...(spec.annotations === undefined ? {} : { annotations: { ...spec.annotations } }),
    },
    spec: spec.taints === undefined ? {} : { taints: [...spec.taints] },
    status: nodeStatus(machine, undefined, { ready: false, starting: true, wallMs, endpoint }),
  }
}

export interface Report {
  readonly ready: boolean
  /** The kubelet has only just come up after a boot. */
  readonly starting: boolean
  readonly wallMs: number
  /** Where the kubelet answers. */
  readonly endpoint: KubeletEndpoint | undefined
}

/** The Node's status: conditions keep their transition times, those of others stay. */
export function nodeStatus(machine: Machine, before: NodeStatus | undefined, { ready, starting, wallMs, endpoint }: Report): NodeStatus {
  const now = formatTime(wallMs)
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string): NodeCondition => {
    const old = before?.conditions?.find((one) => one.type === type)
    return {
      type,
      status,
      reason,
      message,
      lastHeartbeatTime: now,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
    }
  }
  const notReady = starting ? 'container runtime network not ready: cni plugin not initialized' : 'container runtime is down'
  const ours = [
    condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    condition(
      'DiskPressure',
      machine.trouble.diskFull ? 'True' : 'False',
      machine.trouble.diskFull ? 'KubeletHasDiskPressure' : 'KubeletHasNoDiskPressure',
      'disk space',
    ),
    condition(
      'Ready',
      ready ? 'True' : 'False',
      ready ? 'KubeletReady' : 'KubeletNotReady',
      ready ? 'kubelet is posting ready status' : notReady,
    ),
    ...(machine.spec.roles.includes('etcd')
      ? [
          machine.trouble.notVoter
            ? condition('EtcdIsVoter', 'False', 'MemberIsLearner', 'Node has not been promoted to voting member of the etcd cluster')
            : condition('EtcdIsVoter', 'True', 'MemberNotLearner', 'Node is a voting member of the etcd cluster'),
        ]
      : []),
  ]
  const types = new Set(ours.map(({ type }) => type))
  return {
    capacity: CAPACITY,
    allocatable: CAPACITY,
    conditions: [...ours, ...(before?.conditions?.filter(({ type }) => !types.has(type)) ?? [])],
    addresses: [
      { type: 'InternalIP', address: endpoint?.address ?? '10.0.0.1' },
      { type: 'Hostname', address: machine.name },
    ],
    ...(endpoint === undefined ? {} : { daemonEndpoints: { kubeletEndpoint: { Port: endpoint.port } } }),
    nodeInfo: {
      kubeletVersion: machine.running,
      kubeProxyVersion: machine.running,
      bootID: machine.bootID,
      machineID: machine.name,
      systemUUID: machine.name,
      architecture: machine.spec.arch,
      operatingSystem: machine.spec.os,
      osImage: machine.spec.os === 'windows' ? 'Windows Server 2022 Datacenter' : 'SUSE Linux Enterprise Server 15 SP6',
      kernelVersion: '6.4.0-150600.23-default',
      containerRuntimeVersion: 'containerd://2.1.4-k3s1',
    },
  }
}

export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}
