import { createHash } from 'node:crypto'
import type { DaemonSet, Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.d.ts'
import type { Node, Pod, PodTemplateSpec, Toleration } from 'kubernetes-types/core/v1.d.ts'
import { controllerOf, DAEMON_SETS, DEPLOYMENTS, isTrue, type Kind, keyOf, PODS, REPLICA_SETS, type Stored } from '../kinds.ts'
import { tolerates, wantsNode } from './matching.ts'
import { createPod, isOver, suffix, type World } from './world.ts'

/** Deployments → ReplicaSets: the newest template gets all replicas, older ones none. No rolling update. */
export function startDeployments(world: World): void {
  const { client, deployments, replicaSets } = world
  const queue = world.queue('deployment', reconcile)
  deployments.onChange(({ before, after }) => queue.add(keyOf(after ?? before ?? {})))
  replicaSets.onChange(({ before, after }) => {
    const set = after ?? before
    const owner = set === undefined ? undefined : controllerOf(set)
    if (owner?.kind === 'Deployment') queue.add(`${set?.metadata.namespace ?? ''}/${owner.name}`)
  })

  async function reconcile(key: string): Promise<undefined> {
    const deployment = deployments.get(key)
    if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return undefined
    const template: PodTemplateSpec = deployment.spec?.template ?? {}
    const hash = createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 9)
    const name = `${deployment.metadata.name}-${hash}`
    const sets = replicaSets.by('owner', deployment.metadata.uid)
    const wanted = deployment.spec?.replicas ?? 1
    if (!sets.some((set) => set.metadata.name === name)) {
      const labels = { ...template.metadata?.labels, 'pod-template-hash': hash }
      const answer = await client.create<ReplicaSet>(REPLICA_SETS, {
        metadata: { name, ...inNamespace(deployment), labels, ownerReferences: [ownedBy(DEPLOYMENTS, deployment)] },
        spec: {
          replicas: wanted,
          selector: { matchLabels: labels },
          template: { ...template, metadata: { ...template.metadata, labels } },
        },
      })
      if (!answer.ok) throw new Error(`replica set ${name} refused: ${answer.message}`)
      replicaSets.learn(answer.object)
    }
    for (const set of sets) {
      const replicas = set.metadata.name === name ? wanted : 0
      if (set.spec?.replicas !== replicas) await client.update(REPLICA_SETS, set, { spec: { replicas } })
    }
    const all = replicaSets.by('owner', deployment.metadata.uid)
    const sum = (of: (set: ReplicaSet) => number | undefined): number => all.reduce((total, set) => total + (of(set) ?? 0), 0)
    await writeStatus(world, DEPLOYMENTS, deployment, {
      observedGeneration: deployment.metadata.generation ?? 1,
      replicas: sum((set) => set.status?.replicas),
      updatedReplicas: all.find((set) => set.metadata.name === name)?.status?.replicas ?? 0,
      readyReplicas: sum((set) => set.status?.readyReplicas),
      availableReplicas: sum((set) => set.status?.availableReplicas),
      unavailableReplicas: Math.max(0, wanted - sum((set) => set.status?.availableReplicas)),
    })
    return undefined
  }
}

/** ReplicaSets → pods. A pod that is being deleted no longer counts, so a replacement comes at once. */
export function startReplicaSets(world: World): void {
  const { client, pods, replicaSets } = world
  const queue = world.queue('replicaset', reconcile)
  replicaSets.onChange(({ before, after }) => queue.add(keyOf(after ?? before ?? {})))
  pods.onChange(({ before, after }) => {
    const pod = after ?? before
    const owner = pod === undefined ? undefined : controllerOf(pod)
    if (owner?.kind !== 'ReplicaSet') return
    const key = `${pod?.metadata.namespace ?? ''}/${owner.name}`
    if (before === undefined || after === undefined || isAlive(before) !== isAlive(after)) queue.add(key)
    // Only the status waits for readiness: many pods are counted at once.
    else if (isReady(before) !== isReady(after)) queue.addAfter(key, 100)
  })

  async function reconcile(key: string): Promise<undefined> {
    const set = replicaSets.get(key)
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return undefined
    const wanted = set.spec?.replicas ?? 1
    const standing = alive(pods.by('owner', set.metadata.uid))
    for (let i = standing.length; i < wanted; i++)
      await createPod(world, podFrom(set.spec?.template ?? {}, REPLICA_SETS, set, `${set.metadata.name}-${suffix(client.random)}`))
    for (const pod of standing.slice(wanted)) await client.remove(PODS, pod)
    const now = alive(pods.by('owner', set.metadata.uid))
    const ready = now.filter(isReady).length
    await writeStatus(world, REPLICA_SETS, set, {
      observedGeneration: set.metadata.generation ?? 1,
      replicas: now.length,
      fullyLabeledReplicas: now.length,
      readyReplicas: ready,
      availableReplicas: ready,
    })
    return undefined
  }
}

/** What the DaemonSet controller lets its pods bear. */
const DAEMON_TOLERATIONS: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
]

/** DaemonSets: one pod on each node that fits; keys are `namespace/name` and `namespace/name node`. */
export function startDaemonSets(world: World): void {
  const { client, pods, nodes, daemonSets } = world
  const queue = world.queue('daemonset', reconcile)
  daemonSets.onChange(({ before, after }) => {
    const key = keyOf(after ?? before ?? {})
    queue.add(key)
    if (after !== undefined && before?.spec !== after.spec) for (const node of nodes.all()) queue.add(`${key} ${node.metadata.name}`)
  })
  nodes.onChange(({ before, after }) => {
    const node = after ?? before
    if (
      node === undefined ||
      (before !== undefined && after !== undefined && before.metadata.labels === after.metadata.labels && before.spec === after.spec)
    )
      return
    for (const set of daemonSets.all()) queue.add(`${keyOf(set)} ${node.metadata.name}`)
  })
  pods.onChange(({ before, after }) => {
    const pod = after ?? before
    const owner = pod === undefined ? undefined : controllerOf(pod)
    if (pod === undefined || owner?.kind !== 'DaemonSet') return
    const key = `${pod.metadata.namespace ?? ''}/${owner.name}`
    // Only the status waits for this: many pods are counted at once.
    if (isReady(before) !== isReady(after) || after === undefined) queue.addAfter(key, 100)
    const node = pod.spec?.nodeName ?? pinnedNode(pod)
    if (node !== undefined && (after === undefined || isOver(after))) queue.add(`${key} ${node}`)
  })

  async function reconcile(key: string): Promise<undefined> {
    const [setKey = '', nodeName] = key.split(' ')
    const set = daemonSets.get(setKey)
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return undefined
    if (nodeName !== undefined) await reconcileNode(set, nodeName)
    const own = alive(pods.by('owner', set.metadata.uid))
    const ready = own.filter(isReady).length
    await writeStatus(world, DAEMON_SETS, set, {
      observedGeneration: set.metadata.generation ?? 1,
      desiredNumberScheduled: own.length,
      currentNumberScheduled: own.length,
      numberReady: ready,
      numberAvailable: ready,
      numberMisscheduled: 0,
      updatedNumberScheduled: own.length,
    })
    return undefined
  }

  async function reconcileNode(set: Stored<DaemonSet>, nodeName: string): Promise<void> {
    const node = nodes.get(nodeName)
    // Names are made from the node, so that a pod is found without looking through all.
    const name = `${set.metadata.name}-${createHash('sha256').update(`${set.metadata.uid}/${nodeName}`).digest('hex').slice(0, 8)}`
    const standing = pods.get(`${set.metadata.namespace ?? ''}/${name}`)
    const wanted = node !== undefined && fits(set, node)
    if (standing !== undefined && (!wanted || isOver(standing)) && standing.metadata.deletionTimestamp === undefined) {
      await client.remove(PODS, standing)
      return
    }
    if (standing !== undefined || !wanted) return
    const pod = podFrom(set.spec?.template ?? {}, DAEMON_SETS, set, name)
    await createPod(world, {
      ...pod,
      spec: {
        ...pod.spec,
        containers: pod.spec?.containers ?? [],
        tolerations: [...(pod.spec?.tolerations ?? []), ...DAEMON_TOLERATIONS],
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] }],
            },
          },
        },
      },
    })
  }
}

function fits(set: DaemonSet, node: Node): boolean {
  const template = set.spec?.template ?? {}
  if (!wantsNode({ spec: template.spec ?? { containers: [] } }, node)) return false
  const tolerations = [...(template.spec?.tolerations ?? []), ...DAEMON_TOLERATIONS]
  return (node.spec?.taints ?? []).every((taint) => taint.effect === 'PreferNoSchedule' || tolerates(tolerations, taint))
}

function pinnedNode(pod: Pod): string | undefined {
  return pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchFields?.[0]
    ?.values?.[0]
}

function alive(pods: readonly Stored<Pod>[]): readonly Stored<Pod>[] {
  return pods.filter(isAlive)
}

function isAlive(pod: Stored<Pod>): boolean {
  return !isOver(pod) && pod.metadata.deletionTimestamp === undefined
}

function isReady(pod: Pod | undefined): boolean {
  return isTrue(pod?.status?.conditions, 'Ready')
}

function ownedBy(
  kind: Kind,
  owner: Stored<object>,
): { apiVersion: string; kind: string; name: string; uid: string; controller: true; blockOwnerDeletion: true } {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  }
}

function inNamespace(object: Stored<object>): { namespace?: string } {
  const { namespace } = object.metadata
  return namespace === undefined ? {} : { namespace }
}

function podFrom(template: PodTemplateSpec, kind: Kind, owner: Stored<ReplicaSet | DaemonSet | Deployment>, name: string): Pod {
  return {
    metadata: {
      ...template.metadata,
      name,
      generateName: `${owner.metadata.name}-`,
      ...inNamespace(owner),
      ownerReferences: [ownedBy(kind, owner)],
    },
    spec: template.spec ?? { containers: [] },
  }
}

async function writeStatus(
  world: World,
  kind: Kind,
  object: Stored<{ status?: object }>,
  status: Readonly<Record<string, number>>,
): Promise<void> {
  const before = object.status as Readonly<Record<string, number>> | undefined
  if (Object.entries(status).every(([field, value]) => (before?.[field] ?? 0) === value)) return
  await world.client.update(kind, object, { status }, { subresource: 'status' })
}
