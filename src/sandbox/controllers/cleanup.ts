import type { CustomResourceDefinition } from 'kubernetes-types/apiextensions/v1.d.ts'
import type { Namespace, Pod } from 'kubernetes-types/core/v1.d.ts'
import {
  BUDGETS,
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  DAEMON_SETS,
  DEPLOYMENTS,
  EVENTS,
  JOBS,
  type Kind,
  keyOf,
  LEASES,
  type Meta,
  NAMESPACES,
  PODS,
  REPLICA_SETS,
  SECRETS,
  SERVICE_ACCOUNTS,
  type Stored,
} from '../kinds.ts'
import { type Cache, watchCache } from '../watch-cache.ts'
import { isOver, type World } from './world.ts'

/** How long pods of a node that is gone are left alone (source: kube pod garbage collector). */
const POD_GC_MS = 40_000

/** Pods bound to Nodes that no longer exist are failed and removed. */
export function startPodGarbageCollector(world: World): void {
  const { client, pods, nodes } = world
  const queue = world.queue('pod-gc', async (name) => {
    if (nodes.get(name) !== undefined) return undefined
    for (const pod of pods.by('node', name)) {
      const { namespace, uid } = pod.metadata
      if (!isOver(pod)) {
        const status = { phase: 'Failed', reason: 'NodeLost', message: 'PodGC: node no longer exists' }
        await client.patch<Pod>(PODS, namespace, pod.metadata.name, { metadata: { uid }, status }, { subresource: 'status' })
      }
      await client.delete(PODS, namespace, pod.metadata.name, { uid, graceSeconds: 0 })
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

/** Objects whose owners are all gone follow them (background deletion). Owners are watched, custom resources included. */
export function startGarbageCollector(world: World): void {
  const { client } = world
  /** Everything known, by UID. */
  const alive = new Map<string, { readonly kind: Kind; readonly object: Stored<Meta> }>()
  const dependents = new Map<string, Set<string>>()
  const queue = world.queue('garbage-collector', async (uid) => {
    const known = alive.get(uid)
    if (known === undefined) return undefined
    const { kind, object } = known
    const owners = object.metadata.ownerReferences ?? []
    if (owners.length === 0 || owners.some((owner) => alive.has(owner.uid))) return undefined
    for (const owner of owners) {
      const ownerKind = kinds.get(`${owner.apiVersion}/${owner.kind}`)
      // An owner of a kind that nobody watches can't be judged: leave what it owns.
      if (ownerKind === undefined) return undefined
      const found = await client.get(ownerKind, ownerKind.namespaced ? object.metadata.namespace : undefined, owner.name)
      if (found?.metadata.uid === owner.uid) return undefined
    }
    await client.delete(kind, object.metadata.namespace, object.metadata.name, { uid, propagation: 'Background' })
    return undefined
  })
  const kinds = new Map<string, Kind>()

  function follow(kind: Kind, cache: Cache<Meta>): void {
    kinds.set(`${kind.apiVersion}/${kind.kind}`, kind)
    cache.onChange(({ before, after }) => {
      if (before !== undefined && before.metadata.uid !== after?.metadata.uid) {
        alive.delete(before.metadata.uid)
        for (const owner of before.metadata.ownerReferences ?? []) dependents.get(owner.uid)?.delete(before.metadata.uid)
        for (const uid of dependents.get(before.metadata.uid) ?? []) queue.add(uid)
        dependents.delete(before.metadata.uid)
      }
      if (after === undefined) return
      alive.set(after.metadata.uid, { kind, object: after })
      if (before?.metadata.ownerReferences === after.metadata.ownerReferences) return
      for (const owner of after.metadata.ownerReferences ?? []) {
        let under = dependents.get(owner.uid)
        if (under === undefined) dependents.set(owner.uid, (under = new Set()))
        under.add(after.metadata.uid)
        if (!alive.has(owner.uid)) queue.add(after.metadata.uid)
      }
    })
  }
  follow(PODS, world.pods as Cache<Meta>)
  follow({ apiVersion: 'v1', kind: 'Node', plural: 'nodes', namespaced: false }, world.nodes as Cache<Meta>)
  follow(JOBS, world.jobs as Cache<Meta>)
  follow(DEPLOYMENTS, world.deployments as Cache<Meta>)
  follow(REPLICA_SETS, world.replicaSets as Cache<Meta>)
  follow(DAEMON_SETS, world.daemonSets as Cache<Meta>)
  watchCustomKinds(world, (kind) => {
    const cache = watchCache<Meta>(client, kind)
    follow(kind, cache)
    cache.start()
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
  const queue = world.queue('namespace', async (name) => {
    const namespace = namespaces.get(name)
    if (namespace?.metadata.deletionTimestamp === undefined) return undefined
    let left = 0
    for (const kind of kinds) {
      for (const object of (await client.list(kind, name)).items) {
        left++
        if (object.metadata.deletionTimestamp === undefined)
          await client.delete(kind, name, object.metadata.name, { uid: object.metadata.uid })
      }
    }
    if (left > 0) return 500
    await client.replace<Namespace>(NAMESPACES, { ...namespace, spec: { finalizers: [] } }, 'finalize')
    return undefined
  })
  namespaces.onChange(({ after }) => {
    if (after?.metadata.deletionTimestamp !== undefined) queue.add(keyOf(after))
  })
}

/** Tells of each custom resource kind once, in its storage version. */
function watchCustomKinds(world: World, found: (kind: Kind) => void): void {
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
