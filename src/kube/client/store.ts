import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { isObject, type JsonObject } from '../../base/json.ts'
import type { Log } from '../../base/log.ts'

/**
 * Our own write is shown at most this long while the watch has not delivered it: longer than a silent watch goes unnoticed, or the
 * object would fall back to what it was before we wrote.
 */
const OVERLAY_MS = 600_000
/** A delete that did not happen after all must come to light soon: the name may be wanted again. */
const DELETED_MS = 30_000
/** A list that came between a write and its answer may hold a newer version, which the answer must not hide for long. */
const ANSWER_MS = 30_000
/** Versions lately delivered by the watch, so that an answer that arrives after them hides nothing. */
const RECENT_VERSIONS = 2_048

export type Subscriber<T> = (old: T | undefined, now: T | undefined, key: string) => void

export interface StoreOptions<T> {
  /**
   * The part of an object that is kept; undefined = the object is of no interest. Must copy what it wants: the raw object is shared.
   * An exception is logged and counted, and the object is left out.
   */
  readonly project: (raw: JsonObject) => T | undefined
  /** True if nothing that matters differs: the new value is kept, and no subscriber is called. */
  readonly same: (old: T, now: T) => boolean
  readonly clock: Clock
  readonly log: Log
}

/** Read side: objects of one kind as last seen, with our own writes on top. Keys are `namespace/name`, or `name` of what has no namespace. */
export interface Cache<T> {
  get(key: string): T | undefined
  /** All values; the same array until something changes. */
  list(): readonly T[]
  readonly size: number
  /** True after the first full list. */
  readonly synced: boolean
  /** Monotonic time of the last sign of life (list, event, bookmark); undefined before the first. A controller must not decide on a stale cache. */
  readonly freshness: number | undefined
  /** Called after each change that matters. Its exceptions are logged and counted, never passed on. Returns the way to unsubscribe. */
  subscribe(subscriber: Subscriber<T>): () => void
  readonly counters: { readonly subscriberErrors: number; readonly projectErrors: number }
}

/** Write side: what the reflector and those who write objects tell it. */
export interface Store<T> extends Cache<T> {
  /** Taken before a list request; see `replaceAll`. */
  mark(): number
  /** One raw object of a list, ready for `replaceAll`: project page by page, so that the page can go. */
  prepare(raw: JsonObject): Entry<T>
  /** The result of a full list that was begun after `mark` was taken. Own writes answered before that are in it and need no overlay. */
  replaceAll(entries: Iterable<Entry<T>>, mark: number): void
  apply(event: { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: JsonObject }): void
  /** A sign of life without a change, such as a bookmark. */
  touch(): void
  /** How many full lists were taken; read it before a write, for `wrote`. */
  readonly lists: number
  /**
   * The API server's answer to our own write, and how many lists had been taken when it was sent: shown at once, until the watch delivers exactly that resourceVersion or the object's
   * deletion, or a list begun later, or 10 min pass (30 s if a list came between). Older events for the
   * key stay hidden meanwhile.
   */
  wrote(raw: JsonObject, listsBefore: number): void
  /** We deleted this object and it is gone (not merely terminating): hidden at once, on the same terms. */
  wroteDelete(key: string, uid: string): void
}

/** An object as the store keeps it. Versions are opaque: compared for equality only. */
export interface Entry<T> {
  readonly key: string
  readonly uid: string
  readonly version: string
  /** Undefined: not of interest. */
  readonly value: T | undefined
}

interface Overlay<T> extends Entry<T> {
  readonly write: number
  readonly until: number
}

export function keyOf(raw: JsonObject): string {
  const { namespace, name } = metadataOf(raw)
  return textOf(namespace) === '' ? textOf(name) : `${textOf(namespace)}/${textOf(name)}`
}

function metadataOf(raw: JsonObject): JsonObject {
  return isObject(raw['metadata']) ? raw['metadata'] : {}
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

export function createStore<T>({ project, same, clock, log }: StoreOptions<T>): Store<T> {
  let base = new Map<string, Entry<T>>()
  const overlays = new Map<string, Overlay<T>>()
  const subscribers = new Set<Subscriber<T>>()
  const recent = new Set<string>()
  const counters = { subscriberErrors: 0, projectErrors: 0 }
  let listed: readonly T[] | undefined
  let writes = 0
  let synced = false
  let lists = 0
  let freshness: number | undefined

  const shown = (key: string): T | undefined => (overlays.get(key) ?? base.get(key))?.value

  function prepare(raw: JsonObject): Entry<T> {
    const key = keyOf(raw)
    const { uid, resourceVersion } = metadataOf(raw)
    let value: T | undefined
    try {
      value = project(raw)
    } catch (error) {
      counters.projectErrors += 1
      log.error('Object could not be projected and is left out', { key, error: messageOf(error) })
    }
    return { key, uid: textOf(uid), version: textOf(resourceVersion), value }
  }

  /** Runs `change` and tells subscribers what it changed for `key`. */
  function changing(key: string, change: () => void): void {
    const old = shown(key)
    change()
    notify(key, old, shown(key))
  }

  function notify(key: string, old: T | undefined, now: T | undefined): void {
    if (old === now) return
    listed = undefined
    if (old !== undefined && now !== undefined && same(old, now)) return
    for (const subscriber of subscribers) {
      try {
        subscriber(old, now, key)
      } catch (error) {
        counters.subscriberErrors += 1
        log.error('Store subscriber failed', { key, error: messageOf(error) })
      }
    }
  }

  function putBase(entry: Entry<T>): void {
    if (entry.value === undefined) base.delete(entry.key)
    else base.set(entry.key, entry)
  }

  function expire(): void {
    if (overlays.size === 0) return
    const now = clock.mono()
    for (const [key, overlay] of overlays) {
      if (now >= overlay.until) changing(key, () => overlays.delete(key))
    }
  }

  function lay(entry: Entry<T>, lasts: number): void {
    writes += 1
    const overlay = { ...entry, write: writes, until: clock.mono() + lasts }
    changing(entry.key, () => overlays.set(entry.key, overlay))
  }

  function remember(version: string): void {
    recent.add(version)
    if (recent.size <= RECENT_VERSIONS) return
    for (const oldest of recent) {
      recent.delete(oldest)
      return
    }
  }

  return {
    get(key) {
      expire()
      return shown(key)
    },
    list() {
      expire()
      listed ??= collect(base, overlays)
      return listed
    },
    get size() {
      return this.list().length
    },
    get synced() {
      return synced
    },
    get freshness() {
      return freshness
    },
    counters,
    subscribe(subscriber) {
      subscribers.add(subscriber)
      return () => subscribers.delete(subscriber)
    },
    mark: () => writes,
    prepare,
    replaceAll(entries, mark) {
      expire()
      const before = base
      base = new Map()
      for (const entry of entries) putBase(entry)
      const hidden = new Map(overlays)
      for (const [key, overlay] of overlays) {
        if (overlay.write <= mark || base.get(key)?.version === overlay.version) overlays.delete(key)
      }
      freshness = clock.mono()
      lists += 1
      synced = true
      listed = undefined
      for (const key of new Set([...before.keys(), ...base.keys(), ...hidden.keys()])) {
        notify(key, (hidden.get(key) ?? before.get(key))?.value, shown(key))
      }
    },
    apply({ type, object }) {
      expire()
      freshness = clock.mono()
      const entry = prepare(object)
      if (entry.version !== '') remember(entry.version)
      changing(entry.key, () => {
        putBase(type === 'DELETED' ? { ...entry, value: undefined } : entry)
        const overlay = overlays.get(entry.key)
        if (overlay !== undefined && ends(overlay, type, entry)) overlays.delete(entry.key)
      })
    },
    touch() {
      freshness = clock.mono()
      expire()
    },
    get lists() {
      return lists
    },
    wrote(raw, listsBefore) {
      const entry = prepare(raw)
      // The watch was faster than the answer, or the write changed nothing: what stands is as new or newer.
      if (base.get(entry.key)?.version === entry.version || recent.has(entry.version)) return
      lay(entry, listsBefore === lists ? OVERLAY_MS : ANSWER_MS)
    },
    wroteDelete(key, uid) {
      lay({ key, uid, version: '', value: undefined }, DELETED_MS)
    },
  }
}

/** Has the watch caught up with our write? */
function ends<T>(overlay: Overlay<T>, type: string, entry: Entry<T>): boolean {
  const sameObject = overlay.uid === entry.uid
  if (type === 'DELETED') return sameObject
  // After our delete any other object of that name is a later one; after our write only that very version is.
  return overlay.version === '' ? !sameObject : overlay.version === entry.version
}

function collect<T>(base: ReadonlyMap<string, Entry<T>>, overlays: ReadonlyMap<string, Entry<T>>): readonly T[] {
  const values: T[] = []
  for (const entry of base.values()) {
    const value = (overlays.get(entry.key) ?? entry).value
    if (value !== undefined) values.push(value)
  }
  for (const entry of overlays.values()) {
    if (!base.has(entry.key) && entry.value !== undefined) values.push(entry.value)
  }
  return values
}
