import type { Json } from '../../base/json.ts'
import type { TimerClock } from '../clock.ts'
import type { Call, Faults } from '../faults.ts'
import type { Selection } from './selectors.ts'
import { fieldValue } from './selectors.ts'
import type { ApiObject, Change } from './types.ts'

/** Where a stream's events go. `fail` breaks it, `close` ends it in order. */
export interface Sink {
  push(event: Json): void
  close(): void
  fail(message: string): void
}

export interface WatchSpec {
  readonly resource: string
  readonly namespace: string | undefined
  readonly selection: Selection
  /** Turns an object into what the client asked for (metadata only, a table row). */
  readonly present: (object: ApiObject) => Json
  readonly bookmark: (revision: number) => Json
  readonly bookmarks: boolean
  readonly timeoutMs: number
  readonly call: Call
}

interface Watcher {
  readonly spec: WatchSpec
  readonly sink: Sink
  /** Events under way. They leave in this order: one that is due waits for those before it. */
  readonly queue: { due: number; event: Json }[]
  open: boolean
  silent: boolean
  readonly cancels: Set<() => void>
  flushing: boolean
}

export interface WatchHub {
  /** Opens a stream: `initial` first, then every change from now on. Returns how to close it from the client's side. */
  open(spec: WatchSpec, sink: Sink, initial: readonly Json[]): () => void
  /** Breaks every stream. */
  cutAll(message: string): void
  readonly size: number
}

const LAST_BOOKMARK_MS = 2000

/** Hands changes to watchers, late where the fault plan says so. */
export function createWatchHub(options: { clock: TimerClock; faults: Faults; bookmarkMs: number; revision: () => number }): WatchHub & {
  publish(resource: string, change: Change): void
} {
  const { clock, faults } = options
  const indexes = new Map<string, WatcherIndex>()
  const everyone = new Set<Watcher>()

  function drop(watcher: Watcher): void {
    watcher.open = false
    everyone.delete(watcher)
    indexes.get(watcher.spec.resource)?.delete(watcher)
    for (const cancel of watcher.cancels) cancel()
    watcher.cancels.clear()
  }

  function later(watcher: Watcher, atMs: number, act: () => void): void {
    const cancel = clock.at(atMs, () => {
      watcher.cancels.delete(cancel)
      if (watcher.open) act()
    })
    watcher.cancels.add(cancel)
  }

  function send(watcher: Watcher, event: Json): void {
    if (watcher.silent) return
    const late = faults.strike(['watchLag'], watcher.spec.call) === undefined ? 0 : faults.watchLag()
    const delay = faults.latency() + late
    if (delay === 0 && watcher.queue.length === 0) return watcher.sink.push(event)
    watcher.queue.push({ due: clock.mono() + delay, event })
    if (!watcher.flushing) flushAt(watcher)
  }

  function flushAt(watcher: Watcher): void {
    const head = watcher.queue[0]
    watcher.flushing = head !== undefined
    if (head === undefined) return
    later(watcher, head.due, () => {
      while (watcher.queue[0] !== undefined && watcher.queue[0].due <= clock.mono()) {
        const next = watcher.queue.shift()
        if (next !== undefined) watcher.sink.push(next.event)
      }
      flushAt(watcher)
    })
  }

  /** The last one comes shortly before the end, so that a quiet client resumes from the present. */
  function remindAt(watcher: Watcher, end: number): void {
    const last = end - LAST_BOOKMARK_MS
    const now = clock.mono()
    if (now >= last) return
    later(watcher, Math.min(now + options.bookmarkMs, last), () => {
      send(watcher, watcher.spec.bookmark(options.revision()))
      remindAt(watcher, end)
    })
  }

  function deliver(watcher: Watcher, change: Change): void {
    const event = eventFor(watcher.spec, change)
    if (event === undefined) return
    const struck = faults.strike(['watchCut', 'watchSilent'], watcher.spec.call)
    if (struck === 'watchCut') {
      drop(watcher)
      watcher.sink.fail('the watch was cut')
      return
    }
    if (struck === 'watchSilent') watcher.silent = true
    send(watcher, event)
  }

  return {
    open(spec, sink, initial) {
      const watcher: Watcher = { spec, sink, queue: [], open: true, silent: false, cancels: new Set(), flushing: false }
      everyone.add(watcher)
      let index = indexes.get(spec.resource)
      if (index === undefined) indexes.set(spec.resource, (index = createIndex()))
      index.add(watcher)
      for (const event of initial) send(watcher, event)
      if (spec.bookmarks) remindAt(watcher, clock.mono() + spec.timeoutMs)
      later(watcher, clock.mono() + spec.timeoutMs, () => {
        if (watcher.silent) return
        drop(watcher)
        sink.close()
      })
      return () => drop(watcher)
    },
    cutAll(message) {
      for (const watcher of everyone) {
        drop(watcher)
        watcher.sink.fail(message)
      }
    },
    get size() {
      return everyone.size
    },
    publish(resource, change) {
      for (const watcher of indexes.get(resource)?.concerned(change) ?? []) deliver(watcher, change)
    },
  }
}

/** A change as a watcher with a selection sees it: entering the selection is ADDED, leaving it DELETED. */
export function eventFor(spec: Pick<WatchSpec, 'namespace' | 'selection' | 'present'>, change: Change): Json | undefined {
  if (spec.namespace !== undefined && change.after.metadata.namespace !== spec.namespace) return undefined
  const was = change.before !== undefined && spec.selection.matches(change.before)
  const is = change.type !== 'DELETED' && spec.selection.matches(change.after)
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object: spec.present(change.after) }
  if (!was || change.before === undefined) return undefined
  const gone =
    change.type === 'DELETED'
      ? change.after
      : { ...change.before, metadata: { ...change.before.metadata, resourceVersion: String(change.rv) } }
  return { type: 'DELETED', object: spec.present(gone) }
}

interface WatcherIndex {
  add(watcher: Watcher): void
  delete(watcher: Watcher): void
  concerned(change: Change): readonly Watcher[]
}

/** Finds the watchers of a change by the one field they fix (a kubelet's `spec.nodeName`), so that a thousand kubelets cost one look-up. */
function createIndex(): WatcherIndex {
  const broad = new Set<Watcher>()
  const byField = new Map<string, Map<string, Set<Watcher>>>()
  return {
    add(watcher) {
      const { exact } = watcher.spec.selection
      if (exact === undefined) return void broad.add(watcher)
      let byValue = byField.get(exact.field)
      if (byValue === undefined) byField.set(exact.field, (byValue = new Map()))
      let watchers = byValue.get(exact.value)
      if (watchers === undefined) byValue.set(exact.value, (watchers = new Set()))
      watchers.add(watcher)
    },
    delete(watcher) {
      const { exact } = watcher.spec.selection
      if (exact === undefined) return void broad.delete(watcher)
      const byValue = byField.get(exact.field)
      const watchers = byValue?.get(exact.value)
      watchers?.delete(watcher)
      if (watchers?.size === 0) byValue?.delete(exact.value)
    },
    concerned(change) {
      const found = [...broad]
      for (const [field, byValue] of byField) {
        const now = fieldValue(change.after, field)
        found.push(...(byValue.get(now) ?? []))
        const was = change.before === undefined ? now : fieldValue(change.before, field)
        if (was !== now) found.push(...(byValue.get(was) ?? []))
      }
      return found
    },
  }
}
