import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import type { Transport } from '../../base/process.ts'
import { type Client, createClient } from '../client.ts'
import { PODS, type Stored } from '../kinds.ts'
import type { Program } from '../programs/program.ts'
import { type Cache, watchCache } from '../watch-cache.ts'
import { createEtcd, type Etcd } from './etcd.ts'
import { createImages, type ImageRegistry } from './images.ts'
import type { Kubelet } from './kubelet.ts'

/** How a Kubernetes release misbehaves: `crash` is tried again every 5 s and comes back once the binary is replaced; `hang` waits for a restart. */
export type BadRelease = 'crash' | 'hang'

/** What the machines of one cluster share: the way to the API, one watch of pods, images, programs, etcd. */
export interface Fleet {
  readonly clock: Clock
  readonly random: () => number
  readonly signal: AbortSignal
  readonly log: Log
  /** All pods; index `node`. */
  readonly pods: Cache<Pod>
  readonly programs: Map<string, Program>
  readonly images: ImageRegistry
  /** Releases whose kubelet never comes back, by version. */
  readonly releases: Map<string, BadRelease>
  readonly etcd: Etcd
  readonly heartbeatMs: number
  readonly statusEveryMs: number
  /** Where Nodes say that their kubelet answers: for an API server that fetches logs from there. */
  readonly kubeletEndpoint: KubeletEndpoint | undefined
  /** Kubelets in service by node name: where a pod's changes go. */
  readonly kubelets: Map<string, Kubelet>
  client(user: string): Client
  podTransport(pod: Stored<Pod>): Transport
  appendLog(podUID: string, container: string, line: string): void
  start(): Promise<void>
}

export interface KubeletEndpoint {
  readonly address: string
  readonly port: number
}

export interface FleetOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly signal: AbortSignal
  readonly log: Log
  readonly programs: Map<string, Program>
  as(user: string): Transport
  appendLog(podUID: string, container: string, line: string): void
  /** Default 10 s. */
  readonly heartbeatMs?: number
  /** Default 5 min. */
  readonly statusEveryMs?: number
  /** Default: none, and every Node says 10.0.0.1. */
  readonly kubeletEndpoint?: KubeletEndpoint
}

export function createFleet(options: FleetOptions): Fleet {
  const { clock, random, signal } = options
  const client = (user: string): Client => createClient(options.as(user), clock, random, signal)
  const pods = watchCache<Pod>(client('system:nodes'), PODS, {
    indexes: { node: (pod) => (pod.spec?.nodeName === undefined ? [] : [pod.spec.nodeName]) },
  })
  const kubelets = new Map<string, Kubelet>()
  pods.onChange(({ before, after }) => {
    const node = (after ?? before)?.spec?.nodeName
    if (node !== undefined) kubelets.get(node)?.onPod(before, after)
  })
  return {
    clock,
    random,
    signal,
    log: options.log,
    pods,
    programs: options.programs,
    images: createImages(clock),
    releases: new Map(),
    etcd: createEtcd(clock),
    heartbeatMs: options.heartbeatMs ?? 10_000,
    statusEveryMs: options.statusEveryMs ?? 300_000,
    kubeletEndpoint: options.kubeletEndpoint,
    kubelets,
    client,
    podTransport: (pod) =>
      options.as(`system:serviceaccount:${pod.metadata.namespace ?? 'default'}:${pod.spec?.serviceAccountName ?? 'default'}`),
    appendLog: (uid, container, line) => options.appendLog(uid, container, line),
    async start() {
      pods.start()
      await pods.synced
    },
  }
}
