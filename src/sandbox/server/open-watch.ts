import type { Json } from '../../base/json.ts'
import type { Request } from '../../base/process.ts'
import type { Understood } from './handle.ts'
import { authorize } from './handle.ts'
import { presenterFor } from './present.ts'
import { parseRevision, selected } from './read.ts'
import { parseSelection } from './selectors.ts'
import type { Core } from './server.ts'
import { checkWatchOptions } from './query.ts'
import { ApiError, expired, methodNotAllowed } from './status.ts'
import type { Answer, Who } from './types.ts'
import { qualified } from './types.ts'
import type { Sink, WatchSpec } from './watch.ts'
import { eventFor } from './watch.ts'

/** A watch without a deadline of its own ends after 30 to 60 minutes, as on a real server. */
const shortestWatchMs = 30 * 60_000

/** Starts a watch, or says why not. */
export function openWatch(
  core: Core,
  who: Who,
  understood: Understood,
  request: Request,
  sink: Sink,
): { close: () => void } | { answer: Answer } {
  try {
    return { close: start(core, who, understood, request, sink) }
  } catch (error) {
    if (error instanceof ApiError) return { answer: error.answer }
    throw error
  }
}

function start(core: Core, who: Who, understood: Understood, request: Request, sink: Sink): () => void {
  const { route: target, call } = understood
  const query = request.query ?? {}
  if (target.kind !== 'object') throw methodNotAllowed()
  core.history.count(call.user, 'watch', call.resource)
  authorize(core, who, target, { ...call, verb: 'watch' })
  const { resource, namespace } = target
  checkWatchOptions(query)
  const selection = parseSelection(resource, query)
  const presenter = presenterFor(resource, request.accept, () => core.clock.wall(), query['includeObject'])
  const bookmarks = query['allowWatchBookmarks'] === 'true'
  const bookmark = (revision: number, initialEnd: boolean): Json => ({
    type: 'BOOKMARK',
    object: presenter.bookmark(revision, initialEnd ? { 'k8s.io/initial-events-end': 'true' } : undefined),
  })
  const spec: WatchSpec = {
    resource: qualified(resource),
    namespace,
    selection,
    present: (object) => presenter.event(object),
    bookmark: (revision) => bookmark(revision, false),
    bookmarks,
    timeoutMs: query['timeoutSeconds'] === undefined ? shortestWatchMs * (1 + core.random()) : Number(query['timeoutSeconds']) * 1000,
    call: { ...call, verb: 'watch' },
  }

  const since = query['resourceVersion'] ?? ''
  const sendsInitial = query['sendInitialEvents'] === 'true'
  const initial: Json[] =
    since === '' || since === '0' || sendsInitial
      ? selected(core.store, resource, namespace, selection).map((object) => ({ type: 'ADDED', object: spec.present(object) }))
      : missed(core, spec, parseRevision(since))
  if (sendsInitial && bookmarks) initial.push(bookmark(core.store.revision, true))
  return presenter.streams ? core.hub.open(spec, sink, initial) : openMute(core, spec, sink, initial)
}

/** A stream that ends, in order, where its first event would stand. */
function openMute(core: Core, spec: WatchSpec, sink: Sink, initial: readonly Json[]): () => void {
  let over = initial.length > 0
  const end = (): void => {
    over = true
    close?.()
    sink.close()
  }
  let close: (() => void) | undefined
  if (over) end()
  else close = core.hub.open(spec, { ...sink, push: () => (over ? undefined : end()) }, [])
  return () => close?.()
}

/** Everything since a revision. */
function missed(core: Core, spec: WatchSpec, since: number): Json[] {
  const { log, since: born } = core.store.table(spec.resource)
  const oldest = Math.max(core.store.compacted, born)
  if (since < oldest) throw expired(`too old resource version: ${since} (${oldest})`)
  let from = log.length
  while (from > 0 && (log[from - 1]?.rv ?? 0) > since) from--
  return log.slice(from).flatMap((change) => eventFor(spec, change) ?? [])
}
