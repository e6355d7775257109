import { TransportError } from '../../base/errors.ts'
import type { Request, Response, Transport, WatchResponse } from '../../base/process.ts'
import type { Call, FaultKind } from '../faults.ts'
import type { Handler, Understood } from './handle.ts'
import type { Core } from './server.ts'
import { conflict, expired, internal, tooMany } from './status.ts'
import { createEventQueue } from './event-queue.ts'
import type { Answer, Who } from './types.ts'
import { openWatch } from './open-watch.ts'

const beforeEffect: readonly FaultKind[] = ['resetBefore', 'throttled', 'serverError', 'hang']
const beforeWrite: readonly FaultKind[] = ['resetBefore', 'throttled', 'serverError', 'hang', 'conflict']
const defaultTimeoutMs = 30_000

/** The network between a user and the server, with the fault plan in it. */
export function createTransport(core: Core, handle: Handler, who: Who): Transport {
  return {
    send: (request, signal) => limited(core, request, signal, () => exchange(core, handle, who, request)),
    watch: (request, signal) => limited(core, request, signal, (deadline) => startWatch(core, handle, who, request, signal, deadline)),
  }
}

/** What ends a request from the client's side. */
interface Deadline {
  /** The client no longer waits. */
  over(): boolean
}

/** Ends a request when its caller aborts it or its deadline passes. What the server already does goes on. */
function limited<T>(core: Core, request: Request, signal: AbortSignal, run: (deadline: Deadline) => Promise<T>): Promise<T> {
  if (signal.aborted) return Promise.reject(aborted(signal))
  return new Promise<T>((resolve, reject) => {
    let over = false
    const end = (): void => {
      over = true
      signal.removeEventListener('abort', onAbort)
      cancel()
    }
    const onAbort = (): void => {
      end()
      reject(aborted(signal))
    }
    const timeoutMs = request.timeoutMs ?? defaultTimeoutMs
    const cancel = core.clock.at(core.clock.mono() + timeoutMs, () => {
      end()
      reject(new TransportError('Timeout', `no answer within ${timeoutMs} ms: ${request.method} ${request.path}`))
    })
    signal.addEventListener('abort', onAbort, { once: true })
    run({ over: () => over }).then(
      (value) => {
        end()
        resolve(value)
      },
      (error: unknown) => {
        end()
        reject(error as Error)
      },
    )
  })
}

function aborted(signal: AbortSignal): TransportError {
  return new TransportError('Aborted', 'the request was aborted', signal.reason)
}

async function exchange(core: Core, handle: Handler, who: Who, request: Request): Promise<Response> {
  await arrive(core, who, request, handle)
  const understood = handle(who, request)
  const refusal = await refusedByFault(core, understood)
  if (refusal !== undefined) return delivered(core, refusal)
  // A caller that gave up while its request was still on its way to the server: as on a real network, the server acts all the same.
  const { answer, recorded } = understood.run()
  if (core.faults.strike(['answerLost'], understood.call) !== undefined) {
    if (recorded !== undefined) recorded.answerLost = true
    await travel(core)
    throw new TransportError('ConnectionLost', `the connection was lost before the answer: ${request.method} ${request.path}`)
  }
  return delivered(core, answer)
}

async function startWatch(
  core: Core,
  handle: Handler,
  who: Who,
  request: Request,
  signal: AbortSignal,
  deadline: Deadline,
): Promise<WatchResponse> {
  await arrive(core, who, request, handle)
  const understood = handle(who, { ...request, query: { ...request.query, watch: 'true' } })
  const queue = createEventQueue(signal)
  const refuse = async (answer: Answer): Promise<WatchResponse> => {
    queue.close()
    return { ...(await delivered(core, answer)), events: queue.events }
  }
  // What a real server's watch cache does instead: it opens the stream and says there what is wrong.
  const tell = async (answer: Answer): Promise<WatchResponse> => {
    queue.sink.push({ type: 'ERROR', object: answer.body })
    queue.close()
    await travel(core)
    return { status: 200, events: queue.events }
  }
  const refusal = await refusedByFault(core, understood)
  if (refusal !== undefined) return refuse(refusal)
  const since = request.query?.['resourceVersion']
  if (since !== undefined && core.faults.strike(['watchGone'], understood.call) !== undefined) {
    const gone = expired(`too old resource version: ${since} (${core.store.revision})`).answer
    return core.faults.random() < 0.5 ? refuse(gone) : tell(gone)
  }
  if (understood.route.kind === 'object' && understood.route.name !== undefined) {
    // Only collections are watched: of one object by its path the server makes a read.
    const { answer } = understood.run()
    if (answer.status !== 200) return refuse(answer)
    queue.sink.push(answer.body)
    queue.close()
    await travel(core)
    return { status: 200, events: queue.events }
  }
  const opened = openWatch(core, who, understood, request, queue.sink)
  if ('answer' in opened) return opened.answer.status === 410 ? tell(opened.answer) : refuse(opened.answer)
  queue.onEnd(opened.close)
  await travel(core)
  if (deadline.over()) opened.close()
  return { status: 200, events: queue.events }
}

/** One way through the network; without latency no time passes and no timer is made. */
async function travel(core: Core): Promise<void> {
  const ms = core.faults.latency()
  if (ms > 0) await core.clock.sleep(ms)
}

async function arrive(core: Core, who: Who, request: Request, handle: Handler): Promise<void> {
  await travel(core)
  if (!core.faults.down(core.clock.mono())) return
  core.faults.struck('outage', handle(who, request).call)
  throw new TransportError('ConnectionFailed', 'connection refused')
}

async function delivered(core: Core, answer: Answer): Promise<Response> {
  await travel(core)
  return {
    status: answer.status,
    body: answer.body,
    ...(answer.retryAfterSeconds === undefined ? {} : { retryAfterMs: answer.retryAfterSeconds * 1000 }),
  }
}

/** Faults that strike before the server acts: an answer for some, an exception or silence for others. */
async function refusedByFault(core: Core, understood: Understood): Promise<Answer | undefined> {
  const { call } = understood
  const editing = call.verb === 'update' || call.verb === 'patch'
  const kind = core.faults.strike(editing ? beforeWrite : beforeEffect, call)
  switch (kind) {
    case undefined:
      return undefined
    case 'resetBefore':
      await travel(core)
      throw new TransportError('ConnectionLost', 'connection reset by peer')
    case 'hang':
      return new Promise<never>(() => undefined)
    default: {
      core.history.count(call.user, call.verb, call.resource)
      return faultAnswer(core, kind, call)
    }
  }
}

function faultAnswer(core: Core, kind: FaultKind, call: Call): Answer {
  if (kind === 'throttled') return tooMany('Too many requests, please try again later.', core.faults.retryAfterSeconds()).answer
  if (kind === 'conflict') return conflict({ group: call.group, plural: call.resource.split('/')[0] ?? '' }, call.name ?? '').answer
  return internal('etcdserver: request timed out').answer
}
