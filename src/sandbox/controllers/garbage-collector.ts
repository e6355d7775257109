import type { OwnerReference } from 'kubernetes-types/meta/v1.d.ts'
import {
  BUDGETS,
  CONFIG_MAPS,
  DAEMON_SETS,
  DEPLOYMENTS,
  JOBS,
  type Kind,
  LEASES,
  type Meta,
  NODES,
  PODS,
  REPLICA_SETS,
  SECRETS,
  SERVICE_ACCOUNTS,
  type Stored,
} from '../kinds.ts'
import { type Cache, watchCache } from '../watch-cache.ts'
import { watchCustomKinds } from './cleanup.ts'
import type { World } from './world.ts'

interface Known {
  readonly kind: Kind
  readonly object: Stored<Meta>
}

/**
 * Objects whose owners are all gone follow them; owners being deleted with the finalizers `foregroundDeletion` or `orphan` are let go when their
 * dependents are gone or let go. An owner of a kind that is not followed here can't be judged and protects.
 */
export function startGarbageCollector(world: World): void {
  const { client } = world
  const known = new Map<string, Known>()
  /** UIDs of what an owner owns, by the owner's UID. */
  const dependents = new Map<string, Set<string>>()
  const kinds = new Map<string, Kind>()
  const queue = world.queue('garbage-collector', async (uid) => {
    const entry = known.get(uid)
    if (entry === undefined) return undefined
    if (entry.object.metadata.deletionTimestamp !== undefined) return letGo(entry)
    return collect(entry)
  })

  async function collect({ kind, object }: Known): Promise<undefined> {
    const owners = object.metadata.ownerReferences ?? []
    if (owners.length === 0) return undefined
    const standing: OwnerReference[] = []
    for (const owner of owners) if (await stands(object, owner)) standing.push(owner)
    if (standing.length === 0) await client.remove(kind, object, { propagation: 'Background' })
    else if (standing.length < owners.length) await client.update(kind, object, { metadata: { ownerReferences: standing } })
    return undefined
  }

  async function stands(object: Stored<Meta>, owner: OwnerReference): Promise<boolean> {
    const entry = known.get(owner.uid)
    if (entry !== undefined) return entry.object.metadata.finalizers?.includes('foregroundDeletion') !== true
    const kind = kinds.get(`${owner.apiVersion}/${owner.kind}`)
    if (kind === undefined) return true
    const found = await client.get(kind, kind.namespaced ? object.metadata.namespace : undefined, owner.name)
    return found?.metadata.uid === owner.uid
  }

  async function letGo({ kind, object }: Known): Promise<number | undefined> {
    const { uid, finalizers = [] } = object.metadata
    const owned = [...(dependents.get(uid) ?? [])].flatMap((child) => known.get(child) ?? [])
    if (finalizers.includes('orphan')) {
      for (const child of owned) {
        const ownerReferences = child.object.metadata.ownerReferences?.filter((owner) => owner.uid !== uid) ?? []
        await client.update(child.kind, child.object, { metadata: { ownerReferences } })
      }
    } else if (finalizers.includes('foregroundDeletion')) {
      const blocking = owned.filter((child) =>
        child.object.metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
      )
      for (const child of owned) if (child.object.metadata.deletionTimestamp === undefined) queue.add(child.object.metadata.uid)
      // Each child that goes brings its owner back here.
      if (blocking.length > 0) return undefined
    } else return undefined
    const left = finalizers.filter((finalizer) => finalizer !== 'orphan' && finalizer !== 'foregroundDeletion')
    await client.update(kind, object, { metadata: { finalizers: left } })
    return undefined
  }

  function forget(object: Stored<Meta>): void {
    const { uid, ownerReferences = [] } = object.metadata
    known.delete(uid)
    for (const owner of ownerReferences) {
      dependents.get(owner.uid)?.delete(uid)
      if (known.get(owner.uid)?.object.metadata.deletionTimestamp !== undefined) queue.add(owner.uid)
    }
    for (const child of dependents.get(uid) ?? []) queue.add(child)
    dependents.delete(uid)
  }

  function learn(kind: Kind, object: Stored<Meta>, before: Stored<Meta> | undefined): void {
    const { uid, ownerReferences } = object.metadata
    known.set(uid, { kind, object })
    if (object.metadata.deletionTimestamp !== undefined && object.metadata.finalizers !== undefined) queue.add(uid)
    if (before?.metadata.uid === uid && before.metadata.ownerReferences === ownerReferences) return
    for (const owner of before?.metadata.uid === uid ? (before.metadata.ownerReferences ?? []) : []) dependents.get(owner.uid)?.delete(uid)
    for (const owner of ownerReferences ?? []) {
      let under = dependents.get(owner.uid)
      if (under === undefined) dependents.set(owner.uid, (under = new Set()))
      under.add(uid)
      // Born without an owner: its owner went while it was being made.
      if (!known.has(owner.uid)) queue.add(uid)
    }
  }

  function follow(kind: Kind, cache: Cache<Meta>): void {
    kinds.set(`${kind.apiVersion}/${kind.kind}`, kind)
    cache.onChange(({ before, after }) => {
      if (before !== undefined && before.metadata.uid !== after?.metadata.uid) forget(before)
      if (after !== undefined) learn(kind, after, before)
    })
  }

  const { pods, nodes, jobs, deployments, replicaSets, daemonSets, leases, budgets } = world
  const shared: readonly (readonly [Kind, unknown])[] = [
    [PODS, pods],
    [NODES, nodes],
    [JOBS, jobs],
    [DEPLOYMENTS, deployments],
    [REPLICA_SETS, replicaSets],
    [DAEMON_SETS, daemonSets],
    [LEASES, leases],
    [BUDGETS, budgets],
  ]
  for (const [kind, cache] of shared) follow(kind, cache as Cache<Meta>)
  for (const kind of [CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS]) {
    const cache = watchCache<Meta>(client, kind)
    follow(kind, cache)
    cache.start()
  }
  watchCustomKinds(world, (kind) => {
    const cache = watchCache<Meta>(client, kind)
    follow(kind, cache)
    cache.start()
  })
}
