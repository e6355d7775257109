import { linkedController } from '../../base/abort.ts'
import { messageOf, TransportError } from '../../base/errors.ts'
import { isObject, type Json, type JsonObject } from '../../base/json.ts'
import type { Process } from '../../base/process.ts'
import { ApiError, isGone } from './api-error.ts'
import { createBackoff } from './backoff.ts'
import type { Client } from './client.ts'
import type { Entry, Store } from './store.ts'

const BACKOFF_BASE_MS = 800
const BACKOFF_MAX_MS = 30_000
/** Who cannot be reached has no work with being asked, and a rollout waits for its return: the only server's own upgrade takes it away. */
const UNREACHABLE_MAX_MS = 5_000
/** A watch that stood for this long was no failure, whatever ended it: an API server that restarts now and then is asked again at once. */
const HEALTHY_MS = 10_000
/** Bookmarks come about once a minute; silence beyond this means that the connection is half dead. */
const SILENCE_MS = 150_000
const HEADERS_MS = 30_000
/**
 * A page is parsed whole. With 5,000 nodes of 12 KB, pages of 500 peak at 216 MB and pages of 100 at 137 MB; where Node keeps its young generation
 * small (as our image does), a page of 25 fits into it, and 1,000 nodes of 14 KB are read for 120 ms of CPU time less than by 100s.
 */
const PAGE_SIZE = 25
/** Watches are asked to end after 5 to 10 minutes, spread so that they do not all end at once (as client-go does). */
const WATCH_MIN_MS = 300_000
/** After so many failures in a row without one line, the version itself is suspect (an etcd restored from a snapshot): list again. */
const SUSPECT_FAILURES = 5
/** No server may park a watch for longer. */
const MAX_RETRY_AFTER_MS = 300_000

export type ReflectorFailure = 'list' | 'watch' | 'stall' | 'badLine'

export interface ReflectorOptions<T> {
  readonly process: Process
  readonly client: Client
  /** Path of the collection, e.g. `/api/v1/nodes`. */
  readonly path: string
  /** Selectors. */
  readonly query?: Readonly<Record<string, string>>
  /** Accept header of the lists. */
  readonly accept?: string
  /** Accept header of the watches. Default: that of the lists; but a list's metadata has another kind than that of an event's object. */
  readonly watchAccept?: string
  /** Objects a list page. Default 25. */
  readonly pageSize?: number
  readonly store: Store<T>
  readonly signal: AbortSignal
  readonly onError?: (error: unknown, failure: ReflectorFailure) => void
  /** Called whenever the API server has accepted a watch. */
  readonly onWatch?: () => void
  /** Counted up as things happen; made with `reflectorCounters`. */
  readonly counters?: ReflectorCounters
}

export interface ReflectorCounters {
  lists: number
  watches: number
  events: number
  bookmarks: number
  badLines: number
  stalls: number
  errors: number
}

export const reflectorCounters = (): ReflectorCounters => ({
  lists: 0,
  watches: 0,
  events: 0,
  bookmarks: 0,
  badLines: 0,
  stalls: 0,
  errors: 0,
})

/** Keeps `store` in step with a collection: one paged list, then watches resumed from the last version seen. Ends only with the signal; never rejects. */
export async function runReflector<T>(options: ReflectorOptions<T>): Promise<void> {
  const { process, signal, path } = options
  const { clock, random } = process
  const counters = options.counters ?? reflectorCounters()
  const backoff = createBackoff({ baseMs: BACKOFF_BASE_MS, maxMs: BACKOFF_MAX_MS, random })
  const position: Position = { version: undefined, accepted: undefined, lastLine: 0, failures: 0, bookmarked: false }

  while (!signal.aborted) {
    let wait = 0
    let failed = false
    let expired = false
    let unreachable = false
    const listed = position.version === undefined
    position.accepted = undefined
    try {
      position.version ??= await list(options, counters)
      await watch(options, counters, position, position.version)
    } catch (error) {
      if (signal.aborted) return
      failed = true
      const failure = failureOf(error, position)
      counters.errors += 1
      if (failure === 'badLine') counters.badLines += 1
      if (failure === 'stall') counters.stalls += 1
      expired = isGone(error)
      unreachable = error instanceof TransportError && error.code === 'ConnectionFailed'
      process.log.warn('Watch interrupted', { path, failure, error: messageOf(error) })
      report(options, error, failure)
      wait = Math.min(error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0, MAX_RETRY_AFTER_MS)
      position.failures += failure === 'stall' ? 0 : 1
      // Where bookmarks come, silence is a broken line. Elsewhere it means that nothing happened, and a list is the only sign of life.
      const quiet = failure === 'stall' && !position.bookmarked
      if (quiet || mustRelist(error) || position.failures >= SUSPECT_FAILURES) {
        position.version = undefined
        position.failures = 0
      }
    }
    const { accepted } = position
    const healthy = accepted !== undefined && clock.mono() - accepted >= HEALTHY_MS
    if (healthy) backoff.reset()
    // At once goes on only a healthy watch that the server ended in good order, and one whose version has expired, unless it was just listed.
    if ((failed || !healthy) && (!expired || listed))
      wait = Math.max(wait, Math.min(backoff.next(), unreachable ? UNREACHABLE_MAX_MS : Number.POSITIVE_INFINITY))
    try {
      await clock.sleep(wait, signal)
    } catch {
      return
    }
  }
}

interface Position {
  /** Where the next watch begins; undefined = list first. */
  version: string | undefined
  /** Monotonic time at which the server accepted the current watch. */
  accepted: number | undefined
  /** Monotonic time of the last line of the current watch, or of its start. */
  lastLine: number
  /** In a row, without a line between. */
  failures: number
  /** Whether the server has ever sent a bookmark. */
  bookmarked: boolean
}

class Stalled extends TransportError {}

/** Lists page by page, keeping only what the store projects. Returns the version to watch from. */
async function list<T>(
  { client, path, query, accept, pageSize = PAGE_SIZE, store, signal }: ReflectorOptions<T>,
  counters: ReflectorCounters,
): Promise<string> {
  counters.lists += 1
  // Of the first attempt even if the list begins again: an overlay may live longer than it must, never shorter.
  const mark = store.mark()
  let entries: Entry<T>[] = []
  let version = ''
  const pages = client.pages<JsonObject>(path, {
    signal,
    pageSize,
    ...(query === undefined ? {} : { query }),
    ...(accept === undefined ? {} : { accept }),
  })
  for await (const page of pages) {
    if (page.first) entries = []
    for (const item of page.items) entries.push(store.prepare(item))
    version = page.resourceVersion
  }
  if (version === '') throw new TransportError('BadAnswer', `${path}: the list has no resourceVersion`)
  store.replaceAll(entries, mark)
  return version
}

/** One watch. Returns when the server ends it in good order. */
async function watch<T>(options: ReflectorOptions<T>, counters: ReflectorCounters, position: Position, version: string): Promise<void> {
  const { process, client, path, query, store } = options
  const accept = options.watchAccept ?? options.accept
  const { clock, random } = process
  const { controller, unlink } = linkedController(options.signal)
  position.lastLine = clock.mono()
  counters.watches += 1
  let stalled = false

  async function guard(): Promise<void> {
    for (;;) {
      const left = position.lastLine + SILENCE_MS - clock.mono()
      if (left <= 0) break
      await clock.sleep(left, controller.signal)
    }
    stalled = true
    controller.abort(new Stalled('Timeout', `${path}: no line for ${SILENCE_MS / 1000} s`))
  }
  // Rejects only when the watch is over and the controller aborted.
  const guarding = guard().catch(() => {})

  try {
    const { events } = await client.watch(path, {
      signal: controller.signal,
      timeoutMs: HEADERS_MS,
      query: {
        ...query,
        resourceVersion: version,
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(Math.round((WATCH_MIN_MS * (1 + random())) / 1000)),
      },
      ...(accept === undefined ? {} : { accept }),
    })
    position.lastLine = position.accepted = clock.mono()
    options.onWatch?.()
    for await (const line of events) {
      position.lastLine = clock.mono()
      handle(line, path, store, position, counters)
      position.failures = 0
    }
  } catch (error) {
    throw stalled ? controller.signal.reason : error
  } finally {
    controller.abort()
    unlink()
    await guarding
  }
}

function handle<T>(line: Json, path: string, store: Store<T>, position: Position, counters: ReflectorCounters): void {
  const object = isObject(line) ? line['object'] : undefined
  if (!isObject(line) || !isObject(object)) throw new TransportError('BadAnswer', `${path}: a line of the watch is no event`)
  const type = line['type']
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      counters.events += 1
      store.apply({ type, object })
      break
    case 'BOOKMARK':
      counters.bookmarks += 1
      position.bookmarked = true
      store.touch()
      break
    case 'ERROR':
      throw errorEvent(path, object)
    default:
      throw new TransportError('BadAnswer', `${path}: unknown watch event`)
  }
  const metadata = object['metadata']
  const version = isObject(metadata) ? metadata['resourceVersion'] : undefined
  if (typeof version === 'string' && version !== '') position.version = version
}

function errorEvent(path: string, status: JsonObject): ApiError {
  const details = isObject(status['details']) ? status['details'] : {}
  const seconds = details['retryAfterSeconds']
  return new ApiError(`WATCH ${path}`, {
    status: typeof status['code'] === 'number' ? status['code'] : 500,
    ...(typeof seconds === 'number' ? { retryAfterMs: seconds * 1000 } : {}),
    body: status,
  })
}

/** The version we watch from is of no use any more, or the collection went away: 410, and 400 and 404 of a watch. */
function mustRelist(error: unknown): boolean {
  return isGone(error) || (error instanceof ApiError && (error.status === 400 || error.status === 404))
}

function failureOf(error: unknown, position: Position): ReflectorFailure {
  if (position.version === undefined) return 'list'
  if (error instanceof Stalled) return 'stall'
  return error instanceof TransportError && error.code === 'BadAnswer' ? 'badLine' : 'watch'
}

function report<T>({ onError, process, path }: ReflectorOptions<T>, error: unknown, failure: ReflectorFailure): void {
  try {
    onError?.(error, failure)
  } catch (thrown) {
    process.log.error('Reflector error handler failed', { path, error: messageOf(thrown) })
  }
}
