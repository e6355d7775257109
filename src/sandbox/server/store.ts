import { deepFreeze } from './json.ts'
import type { ApiObject, Change } from './types.ts'

/** All objects of one resource (`jobs.batch`), of all versions and namespaces. */
export interface Table {
  readonly objects: ReadonlyMap<string, ApiObject>
  /** Keys in the order in which lists show them. */
  keys(): readonly string[]
  /** Changes of this resource that are still remembered, oldest first. */
  readonly log: readonly Change[]
  /** The revision from which on they could be: of a custom resource, when it was defined. */
  readonly since: number
}

export interface Store {
  readonly revision: number
  /** Changes up to and including this revision are forgotten. */
  readonly compacted: number
  table(resource: string): Table
  /** A resource is served from now on: nobody can watch it from before. */
  begin(resource: string): void
  get(resource: string, namespace: string | undefined, name: string): ApiObject | undefined
  /** Stores the object under a new revision, which it gets as resourceVersion. */
  put(resource: string, object: ApiObject): ApiObject
  /** Removes the object; its last state gets the revision of the deletion. */
  remove(resource: string, object: ApiObject): ApiObject
  subscribe(listener: (resource: string, change: Change) => void): void
  /** The objects as they were at `revision`, or undefined when that is forgotten. */
  snapshot(resource: string, revision: number): ReadonlyMap<string, ApiObject> | undefined
  compact(): void
}

/** Namespace first, so that lists of all namespaces come in the real order. */
function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

interface MutableTable extends Table {
  readonly objects: Map<string, ApiObject>
  sorted: readonly string[] | undefined
  log: Change[]
  since: number
}

/** Every version of every object for the last `window` changes. */
export function createStore(options: { window: number; freeze: boolean }): Store {
  const tables = new Map<string, MutableTable>()
  const listeners: ((resource: string, change: Change) => void)[] = []
  let revision = 1000
  let compacted = 0
  let remembered = 0

  function table(resource: string): MutableTable {
    const known = tables.get(resource)
    if (known !== undefined) return known
    const fresh: MutableTable = {
      objects: new Map(),
      sorted: undefined,
      log: [],
      since: 0,
      keys: () => {
        fresh.sorted ??= [...fresh.objects.keys()].sort()
        return fresh.sorted
      },
    }
    tables.set(resource, fresh)
    return fresh
  }

  function commit(resource: string, change: Change): void {
    if (options.freeze) deepFreeze(change.after)
    table(resource).log.push(change)
    remembered++
    // Half at a time, so that forgetting costs nothing on average.
    if (remembered > 2 * options.window) forget(revision - options.window)
    for (const listener of listeners) listener(resource, change)
  }

  function forget(upTo: number): void {
    compacted = upTo
    remembered = 0
    for (const each of tables.values()) {
      each.log = each.log.filter((change) => change.rv > upTo)
      remembered += each.log.length
    }
  }

  const withRevision = (object: ApiObject): ApiObject => ({
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(revision) },
  })

  return {
    get revision() {
      return revision
    },
    get compacted() {
      return compacted
    },
    table,
    begin: (resource) => void (table(resource).since = revision),
    get: (resource, namespace, name) => tables.get(resource)?.objects.get(keyOf(namespace, name)),
    put(resource, object) {
      revision++
      const rows = table(resource)
      const key = keyOf(object.metadata.namespace, object.metadata.name)
      const before = rows.objects.get(key)
      const after = withRevision(object)
      if (before === undefined) rows.sorted = undefined
      rows.objects.set(key, after)
      commit(resource, { rv: revision, before, after, type: before === undefined ? 'ADDED' : 'MODIFIED' })
      return after
    },
    remove(resource, object) {
      revision++
      const rows = table(resource)
      const key = keyOf(object.metadata.namespace, object.metadata.name)
      const before = rows.objects.get(key)
      rows.objects.delete(key)
      rows.sorted = undefined
      const after = withRevision(object)
      commit(resource, { rv: revision, before, after, type: 'DELETED' })
      return after
    },
    subscribe: (listener) => void listeners.push(listener),
    snapshot(resource, at) {
      if (at < compacted) return undefined
      const rows = table(resource)
      const objects = new Map(rows.objects)
      for (let index = rows.log.length - 1; index >= 0; index--) {
        const change = rows.log[index]
        if (change === undefined || change.rv <= at) break
        const key = keyOf(change.after.metadata.namespace, change.after.metadata.name)
        if (change.before === undefined) objects.delete(key)
        else objects.set(key, change.before)
      }
      return objects
    },
    compact: () => forget(revision),
  }
}
