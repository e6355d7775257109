import type { CustomResourceDefinition } from 'kubernetes-types/apiextensions/v1.d.ts'
import type { Namespace } from 'kubernetes-types/core/v1.d.ts'
import {
  BUDGETS,
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  DAEMON_SETS,
  DEPLOYMENTS,
  EVENTS,
  JOBS,
  type Kind,
  type Meta,
  keyOf,
  LEASES,
  NAMESPACES,
  PODS,
  REPLICA_SETS,
  SECRETS,
  SERVICE_ACCOUNTS,
  type Stored,
} from '../kinds.ts'
import { ApiError } from '../client.ts'
import { watchCache } from '../watch-cache.ts'
import { isOver, type World } from './world.ts'

/** How long pods of a node that is gone are left alone (source: kube pod garbage collector). */
const POD_GC_MS = 40_000

/** Pods bound to Nodes that no longer exist are failed and removed. */
export function startPodGarbageCollector(world: World): void {
  const { client, pods, nodes } = world
  const queue = world.queue('pod-gc', async (name) => {
    if (nodes.get(name) !== undefined) return undefined
    for (const pod of pods.by('node', name)) {
      if (!isOver(pod)) {
        const status = { phase: 'Failed', reason: 'NodeLost', message: 'PodGC: node no longer exists' }
        await client.update(PODS, pod, { status }, { subresource: 'status' })
      }
      await client.remove(PODS, pod, { graceSeconds: 0 })
    }
    return undefined
  })
  nodes.onChange(({ before, after }) => {
    if (after === undefined && before !== undefined) queue.addAfter(before.metadata.name, POD_GC_MS)
  })
  pods.onChange(({ before, after }) => {
    const node = after?.spec?.nodeName
    if (node !== undefined && before?.spec?.nodeName === undefined && nodes.get(node) === undefined) queue.addAfter(node, POD_GC_MS)
  })
}

/** Namespaces being deleted are emptied, custom resources included, and then let go. */
export function startNamespaces(world: World): void {
  const { client, namespaces } = world
  const kinds: Kind[] = [
    DEPLOYMENTS,
    DAEMON_SETS,
    REPLICA_SETS,
    JOBS,
    PODS,
    BUDGETS,
    SECRETS,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    LEASES,
    EVENTS,
  ]
  watchCustomKinds(world, (kind) => {
    if (kind.namespaced) kinds.unshift(kind)
  })
  const itemsOf = async (kind: Kind, namespace: string): Promise<readonly Stored<Meta>[]> => {
    try {
      return (await client.list(kind, namespace)).items
    } catch (error) {
      // Its definition is gone, and all of its kind with it.
      if (error instanceof ApiError && error.status === 404) return []
      throw error
    }
  }
  const queue = world.queue('namespace', async (name) => {
    const namespace = namespaces.get(name)
    if (namespace?.metadata.deletionTimestamp === undefined) return undefined
    let left = 0
    for (const kind of kinds) {
      for (const object of await itemsOf(kind, name)) {
        left++
        if (object.metadata.deletionTimestamp === undefined) await client.remove(kind, object)
      }
    }
    if (left > 0) return 500
    const answer = await client.replace<Namespace>(NAMESPACES, { ...namespace, spec: { finalizers: [] } }, 'finalize')
    if (!answer.ok && answer.status !== 404) throw new Error(`namespace ${name} is not let go: ${answer.message}`)
    return undefined
  })
  namespaces.onChange(({ after }) => {
    if (after?.metadata.deletionTimestamp !== undefined) queue.add(keyOf(after))
  })
}

/** Tells of each custom resource kind once, in its storage version. */
export function watchCustomKinds(world: World, found: (kind: Kind) => void): void {
  const seen = new Set<string>()
  const definitions = watchCache<CustomResourceDefinition>(world.client, CUSTOM_RESOURCE_DEFINITIONS)
  definitions.onChange(({ after }) => {
    const version = after?.spec.versions.find(({ storage }) => storage)?.name
    const established = after?.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True') ?? false
    if (after === undefined || version === undefined || !established || seen.has(after.metadata.name)) return
    seen.add(after.metadata.name)
    found({
      apiVersion: `${after.spec.group}/${version}`,
      kind: after.spec.names.kind,
      plural: after.spec.names.plural,
      namespaced: after.spec.scope === 'Namespaced',
    })
  })
  definitions.start()
}
