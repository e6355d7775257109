import { formatTime } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Process } from '../../base/process.ts'
import { isForbidden, isNotFound } from './api-error.ts'
import type { Client } from './client.ts'
import { createTokenBucket, type TokenBucket } from './token-bucket.ts'

/** What an event is about, as `kubectl describe` looks it up: by kind, name, namespace and uid. */
export interface EventSubject {
  readonly apiVersion: string
  readonly kind: string
  /** Absent for cluster-scoped objects; their events stand in `default`, as the kubelet's do. */
  readonly namespace?: string
  readonly name: string
  readonly uid?: string
}

export interface EventDraft {
  readonly on: EventSubject
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  /** Cut at 1,024 characters. */
  readonly message: string
}

/** Best effort: recording never throws, never waits, and an event that cannot be written is counted and forgotten. */
export interface EventRecorder {
  record(draft: EventDraft): void
  /** Resolves when all that was recorded is written or given up. */
  flush(): Promise<void>
  readonly counters: { readonly written: number; readonly repeated: number; readonly dropped: number; readonly failed: number }
}

export interface EventRecorderOptions {
  readonly process: Process
  readonly client: Client
  /** Shown by kubectl as the source: the controller's name. */
  readonly component: string
}

/** The same event within this time is only counted; the next after it adds the count to the Event that stands. */
const REPEAT_MS = 600_000
const MAX_REMEMBERED = 2_048
const MAX_PENDING = 256
/** Per object, as client-go's spam filter: 25 at once, then one in five minutes. */
const BURST = 25
const PER_SECOND = 1 / 300
const TIMEOUT_MS = 10_000
const MAX_MESSAGE = 1_024

interface Known {
  readonly namespace: string
  readonly name: string
  count: number
  /** Monotonic time of the last write. */
  writtenAt: number
}

/** Records core/v1 Events, which `kubectl describe` and `kubectl get events` show and SUC writes too. */
export function createEventRecorder({ process, client, component }: EventRecorderOptions): EventRecorder {
  const { clock, log, random } = process
  const known = new Map<string, Known>()
  const buckets = new Map<string, TokenBucket>()
  const pending: EventDraft[] = []
  const counters = { written: 0, repeated: 0, dropped: 0, failed: 0 }
  let working: Promise<void> | undefined

  function bucketOf(subject: EventSubject): TokenBucket {
    const id = `${subject.kind}/${subject.namespace ?? ''}/${subject.name}/${subject.uid ?? ''}`
    const bucket = buckets.get(id) ?? createTokenBucket(clock, PER_SECOND, BURST)
    remember(buckets, id, bucket)
    return bucket
  }

  async function write(draft: EventDraft): Promise<void> {
    const key = JSON.stringify([draft.on, draft.type, draft.reason, draft.message])
    const before = known.get(key)
    if (before !== undefined && clock.mono() - before.writtenAt < REPEAT_MS) {
      before.count += 1
      counters.repeated += 1
      return
    }
    if (!bucketOf(draft.on).take()) {
      counters.dropped += 1
      return
    }
    if (before !== undefined && (await repeat(before))) return
    known.delete(key)
    remember(known, key, await create(draft))
  }

  /** Adds what was counted to the Event that stands. False = it is gone, the API server keeps Events for an hour. */
  async function repeat(event: Known): Promise<boolean> {
    event.count += 1
    event.writtenAt = clock.mono()
    const patch = { count: event.count, lastTimestamp: formatTime(clock.wall()) }
    try {
      await client.mergePatch(`/api/v1/namespaces/${event.namespace}/events/${event.name}`, patch, { timeoutMs: TIMEOUT_MS })
      counters.written += 1
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  async function create({ on, type, reason, message }: EventDraft): Promise<Known> {
    const namespace = on.namespace ?? 'default'
    const now = formatTime(clock.wall())
    const unique = Math.floor(random() * 2 ** 32).toString(16)
    // A name may be 253 characters long, and so may the subject's.
    const stem = on.name.slice(0, 220).replace(/[^a-z0-9]+$/, '')
    const name = `${stem}.${Math.floor(clock.wall()).toString(16)}${unique.padStart(8, '0')}`
    const event: Known = { namespace, name, count: 1, writtenAt: clock.mono() }
    const body = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: event.name, namespace },
      involvedObject: on,
      type,
      reason,
      message: message.slice(0, MAX_MESSAGE),
      source: { component },
      reportingComponent: component,
      reportingInstance: process.name,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    }
    await client.create(`/api/v1/namespaces/${namespace}/events`, body, { timeoutMs: TIMEOUT_MS })
    counters.written += 1
    return event
  }

  async function work(): Promise<void> {
    for (let draft = pending.shift(); draft !== undefined; draft = pending.shift()) {
      try {
        await write(draft)
      } catch (error) {
        counters.failed += 1
        const fields = { reason: draft.reason, error: messageOf(error) }
        if (isForbidden(error)) log.warn('Event could not be written', fields)
        else log.debug('Event could not be written', fields)
      }
    }
    working = undefined
  }

  return {
    record(draft) {
      if (pending.length >= MAX_PENDING) {
        counters.dropped += 1
        return
      }
      pending.push(draft)
      working ??= work()
    },
    async flush() {
      await working
    },
    counters,
  }
}

/** Puts the entry last and drops the oldest beyond the bound. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= MAX_REMEMBERED) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
