import { linkedController } from '../base/abort.ts'
import type { Client } from './client.ts'
import { type Kind, keyOf, type Meta, pathOf, type Stored } from './kinds.ts'
import { after, pause } from './timers.ts'

/** `before` is missing for what is new, `after` for what is gone. */
export interface Change<T> {
  readonly before: Stored<T> | undefined
  readonly after: Stored<T> | undefined
}

/** Values under which an object is found; none = not at all. */
export type Index<T> = (object: Stored<T>) => readonly string[]

/** A local copy of a collection, kept by list and watch. Objects in it are shared: never change them. */
export interface Cache<T> {
  readonly size: number
  get(key: string): Stored<T> | undefined
  all(): IterableIterator<Stored<T>>
  /** Keys are those of the index's own values. */
  by(index: string, value: string): readonly Stored<T>[]
  /** How many objects stand under that value. */
  count(index: string, value: string): number
  /** Called for every change from then on, in order, after the cache has it. */
  onChange(listener: (change: Change<T>) => void): void
  /** Takes a write's answer at once instead of waiting for the watch to tell. */
  learn(object: Stored<T>): void
  /** Resolves when the first list is in. */
  readonly synced: Promise<void>
}

export interface WatchOptions<T> {
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly indexes?: Readonly<Record<string, Index<T>>>
}

/** The server is asked to end a watch after this long; one that stays silent longer is given up. */
const WATCH_SECONDS = 600

/** Lists and watches until the client's signal aborts. Call `start` after the listeners are in place. */
export function watchCache<T extends Meta>(client: Client, kind: Kind, options: WatchOptions<T> = {}): Cache<T> & { start(): void } {
  const objects = new Map<string, Stored<T>>()
  const indexes = Object.entries(options.indexes ?? {}).map(([name, of]) => ({
    name,
    of,
    entries: new Map<string, Map<string, Stored<T>>>(),
  }))
  const indexed = new Map(indexes.map((index) => [index.name, index.entries]))
  const listeners: ((change: Change<T>) => void)[] = []
  const query = {
    ...(options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector }),
    ...(options.fieldSelector === undefined ? {} : { fieldSelector: options.fieldSelector }),
  }
  let position = 0
  let resolveSynced: () => void
  const synced = new Promise<void>((resolve) => {
    resolveSynced = resolve
  })

  function set(key: string, next: Stored<T> | undefined): void {
    const before = objects.get(key)
    if (before === undefined && next === undefined) return
    if (next !== undefined && before !== undefined) {
      // A lagging event may tell of a state older than one that was learnt from a write's answer.
      if (before.metadata.uid === next.metadata.uid && version(before) >= version(next)) return
    }
    if (next === undefined) objects.delete(key)
    else objects.set(key, next)
    for (const { of, entries } of indexes) {
      const now = next === undefined ? [] : of(next)
      for (const value of before === undefined ? [] : of(before)) {
        if (now.includes(value)) continue
        const under = entries.get(value)
        under?.delete(key)
        if (under?.size === 0) entries.delete(value)
      }
      for (const value of now) {
        let under = entries.get(value)
        if (under === undefined) entries.set(value, (under = new Map()))
        under.set(key, next as Stored<T>)
      }
    }
    const change = { before, after: next }
    for (const listener of listeners) listener(change)
  }

  async function list(): Promise<string> {
    const { items, resourceVersion } = await client.list<T>(kind, undefined, query)
    const seen = new Set<string>()
    for (const item of items) {
      const key = keyOf(item)
      seen.add(key)
      const old = objects.get(key)
      if (old !== undefined && old.metadata.uid !== item.metadata.uid) set(key, undefined)
      set(key, item)
    }
    position = Math.max(position, Number(resourceVersion))
    for (const [key, object] of objects) if (!seen.has(key) && version(object) <= position) set(key, undefined)
    resolveSynced()
    return resourceVersion
  }

  /** Returns the version to go on from; undefined = list again. */
  async function watch(from: string): Promise<string | undefined> {
    const { controller: stop, unlink } = linkedController(client.signal)
    const cancel = after(client.clock, (WATCH_SECONDS + 30) * 1000, () => stop.abort())
    let at = from
    try {
      const response = await client.transport.watch(
        {
          method: 'GET',
          path: pathOf(kind),
          query: { ...query, watch: 'true', allowWatchBookmarks: 'true', resourceVersion: from, timeoutSeconds: String(WATCH_SECONDS) },
        },
        stop.signal,
      )
      if (response.status === 410) return undefined
      if (response.status !== 200) {
        await pause(client.clock, response.retryAfterMs ?? 1000, client.signal)
        return at
      }
      for await (const event of response.events) {
        const { type, object } = event as unknown as { type: string; object: Stored<T> & { code?: number } }
        if (type === 'ERROR') return object.code === 410 ? undefined : at
        at = object.metadata.resourceVersion
        position = Number(at)
        if (type === 'BOOKMARK') continue
        const key = keyOf(object)
        if (type !== 'DELETED') set(key, object)
        else if (objects.get(key)?.metadata.uid === object.metadata.uid) set(key, undefined)
      }
    } catch {
      await pause(client.clock, 200 + client.random() * 800, client.signal)
    } finally {
      cancel()
      unlink()
    }
    return at
  }

  async function run(): Promise<void> {
    while (!client.signal.aborted) {
      try {
        let from: string | undefined = await list()
        while (from !== undefined && !client.signal.aborted) from = await watch(from)
      } catch {
        await pause(client.clock, 1000, client.signal)
      }
    }
  }

  return {
    get size() {
      return objects.size
    },
    get: (key) => objects.get(key),
    all: () => objects.values(),
    by: (index, value) => [...(indexed.get(index)?.get(value)?.values() ?? [])],
    count: (index, value) => indexed.get(index)?.get(value)?.size ?? 0,
    onChange: (listener) => void listeners.push(listener),
    learn(object) {
      // Behind the watch's position the object may already be gone again; the watch has told then.
      if (version(object) > position) set(keyOf(object), object)
    },
    synced,
    start: () => void run(),
  }
}

function version(object: Meta): number {
  return Number(object.metadata?.resourceVersion ?? 0)
}
