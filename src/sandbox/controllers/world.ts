import type { DaemonSet, Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.d.ts'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Lease } from 'kubernetes-types/coordination/v1.d.ts'
import type { Namespace, Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { Log } from '../../base/log.ts'
import type { Client } from '../client.ts'
import {
  BUDGETS,
  controllerOf,
  DAEMON_SETS,
  DEPLOYMENTS,
  JOBS,
  LEASES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  type Stored,
} from '../kinds.ts'
import { type Cache, watchCache } from '../watch-cache.ts'
import { type WorkQueue, workQueue } from '../work-queue.ts'

/** What the cluster's controllers share: one client and one copy of each collection, as in kube-controller-manager. */
export interface World {
  readonly client: Client
  readonly log: Log
  /** Indexes: `node` (name, '' = unbound), `owner` (UID of the controlling owner), `namespace`. */
  readonly pods: Cache<Pod>
  /** Index: `hostname` (the label's value). */
  readonly nodes: Cache<Node>
  readonly jobs: Cache<Job>
  readonly deployments: Cache<Deployment>
  /** Index: `owner`. */
  readonly replicaSets: Cache<ReplicaSet>
  readonly daemonSets: Cache<DaemonSet>
  /** Index: `namespace`. */
  readonly budgets: Cache<PodDisruptionBudget>
  readonly leases: Cache<Lease>
  readonly namespaces: Cache<Namespace>
  queue(name: string, reconcile: (key: string) => Promise<number | undefined>): WorkQueue
  start(): Promise<void>
}

export function createWorld(client: Client, log: Log): World {
  const owner = (object: Stored<object>): readonly string[] => {
    const uid = controllerOf(object)?.uid
    return uid === undefined ? [] : [uid]
  }
  const namespace = (object: Stored<object>): readonly string[] => [object.metadata.namespace ?? '']
  const pods = watchCache<Pod>(client, PODS, { indexes: { node: (pod) => [pod.spec?.nodeName ?? ''], owner, namespace } })
  const nodes = watchCache<Node>(client, NODES, {
    indexes: { hostname: (node) => [node.metadata.labels?.['kubernetes.io/hostname'] ?? ''] },
  })
  const jobs = watchCache<Job>(client, JOBS)
  const deployments = watchCache<Deployment>(client, DEPLOYMENTS)
  const replicaSets = watchCache<ReplicaSet>(client, REPLICA_SETS, { indexes: { owner } })
  const daemonSets = watchCache<DaemonSet>(client, DAEMON_SETS)
  const budgets = watchCache<PodDisruptionBudget>(client, BUDGETS, { indexes: { namespace } })
  const leases = watchCache<Lease>(client, LEASES)
  const namespaces = watchCache<Namespace>(client, NAMESPACES)
  const caches = [pods, nodes, jobs, deployments, replicaSets, daemonSets, budgets, leases, namespaces]
  return {
    client,
    log,
    pods,
    nodes,
    jobs,
    deployments,
    replicaSets,
    daemonSets,
    budgets,
    leases,
    namespaces,
    queue: (name, reconcile) =>
      workQueue(client.clock, client.signal, reconcile, {
        onError: (key, error) => log.warn('cluster controller failed and tries again', { controller: name, key, error }),
      }),
    async start() {
      for (const cache of caches) cache.start()
      await Promise.all(caches.map((cache) => cache.synced))
    },
  }
}

/** A pod that has ended, for good. */
export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

/**
 * Creates a pod whose name the caller chose, and lets the cache know. A name that is taken means that an earlier answer was lost:
 * the cache learns of that pod instead, so that no second one is made.
 */
export async function createPod(world: World, pod: Pod): Promise<void> {
  const { client, pods } = world
  const answer = await client.create<Pod>(PODS, pod)
  if (answer.ok) return pods.learn(answer.object)
  const name = pod.metadata?.name ?? ''
  if (answer.status !== 409) throw new Error(`pod ${name} refused: ${answer.message}`)
  const there = await client.get<Pod>(PODS, pod.metadata?.namespace, name)
  if (there === undefined) throw new Error(`pod ${name} refused: ${answer.message}`)
  pods.learn(there)
}

/** Five characters as generated names end in. */
export function suffix(random: () => number): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
  let text = ''
  for (let i = 0; i < 5; i++) text += alphabet[Math.floor(random() * alphabet.length)]
  return text
}
