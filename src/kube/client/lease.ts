import { setMaxListeners } from 'node:events'
import { formatMicroTime } from '../../base/clock.ts'
import { DroverError, messageOf } from '../../base/errors.ts'
import { isObject, type JsonObject } from '../../base/json.ts'
import type { Process } from '../../base/process.ts'
import { whenAborted } from '../../base/abort.ts'
import { isAlreadyExists, isConflict, isNotFound } from './api-error.ts'
import { createBackoff } from './backoff.ts'
import type { Client } from './client.ts'

export interface LeaseOptions {
  readonly process: Process
  readonly client: Client
  readonly namespace: string
  readonly name: string
  /** Unique among all that may hold the Lease. */
  readonly identity: string
  /** How long others wait after the last renewal they saw. Whole seconds on the wire, rounded up. */
  readonly durationMs: number
  /** How long leadership is believed after the start of the last successful renewal. Must be below `durationMs`. */
  readonly renewDeadlineMs: number
  /** Between renewals, and between attempts of one who waits (with jitter). Must be below `renewDeadlineMs`. */
  readonly retryMs: number
  /** Ends it all: `onLead` is told to stop, then the Lease is given back. */
  readonly signal: AbortSignal
  /**
   * Runs while we lead; `signal` aborts when leadership is lost or the process ends. `leading` turns false the moment the renew deadline
   * passes, even if nothing else in the process moves: ask it before each write. If it returns, the Lease is given back and `runLease`
   * returns; if it throws, `runLease` throws that.
   */
  readonly onLead: (signal: AbortSignal, leading: () => boolean) => Promise<void>
  /** Called when somebody else's name appears in the Lease; empty = nobody's. */
  readonly onHolder?: (holder: string) => void
}

/** The record as last seen, and when it was last seen to change. */
interface Observed {
  readonly lease: JsonObject
  readonly spec: JsonObject
  readonly version: string
  /** Monotonic. Expiry counts from here: no clock but ours is consulted. */
  readonly changedAt: number
}

interface Term {
  /** Monotonic time at which the last successful renewal was sent. */
  renewedAt: number
  over: boolean
}

/**
 * Leader election on a coordination.k8s.io/v1 Lease, in the form client-go writes and reads, so that it excludes and is excluded by any
 * controller that elects with client-go on the same Lease. Every write is a compare-and-swap by resourceVersion. Losing the Lease is no
 * error: `onLead` is stopped and the election goes on. Returns when the signal aborts.
 */
export async function runLease(options: LeaseOptions): Promise<void> {
  const { process, client, signal, identity, durationMs, renewDeadlineMs, retryMs } = options
  const { clock, log } = process
  if (!(retryMs > 0 && retryMs < renewDeadlineMs && renewDeadlineMs < durationMs)) {
    throw new DroverError(
      'LeaseSettings',
      `lease: 0 < retry (${retryMs} ms) < renew deadline (${renewDeadlineMs} ms) < duration (${durationMs} ms) must hold`,
      {
        retry: 'never',
      },
    )
  }
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`
  const path = `${collection}/${options.name}`
  const timeoutMs = Math.max(1, Math.floor(renewDeadlineMs / 3))
  const jitter = createBackoff({ baseMs: retryMs, maxMs: retryMs, jitter: 0.2, random: process.random })
  let observed: Observed | undefined

  function observe(lease: JsonObject): Observed {
    const metadata = isObject(lease['metadata']) ? lease['metadata'] : {}
    const spec = isObject(lease['spec']) ? lease['spec'] : {}
    const version = String(metadata['resourceVersion'] as string)
    const holder = holderOf(spec)
    if (observed === undefined || holderOf(observed.spec) !== holder) options.onHolder?.(holder)
    const changedAt = observed?.version === version ? observed.changedAt : clock.mono()
    observed = { lease, spec, version, changedAt }
    return observed
  }

  function recordOf(spec: JsonObject, now: string): JsonObject {
    const ours = holderOf(spec) === identity
    const transitions = Number(spec['leaseTransitions'] ?? 0)
    return {
      ...spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: ours && typeof spec['acquireTime'] === 'string' ? spec['acquireTime'] : now,
      renewTime: now,
      leaseTransitions: ours ? transitions : transitions + 1,
    }
  }

  /** Writes our name over the record as observed. False = somebody was faster. */
  async function swap(current: Observed, spec: JsonObject, callSignal: AbortSignal): Promise<boolean> {
    try {
      observe(await client.replace(path, { ...current.lease, spec }, { signal: callSignal, timeoutMs }))
      return true
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false
      throw error
    }
  }

  /** One attempt to get or keep the Lease. Resolves to the time its successful write was sent, or undefined if it is not ours. */
  async function attempt(leading: boolean): Promise<number | undefined> {
    // A leader knows the record: one PUT renews it. Only when that fails is the record read.
    if (leading && observed !== undefined) {
      const sentAt = clock.mono()
      if (await swap(observed, recordOf(observed.spec, formatMicroTime(clock.wall())), signal)) return sentAt
    }
    let current: Observed
    try {
      current = observe(await client.get(path, { signal, timeoutMs, retries: 0 }))
    } catch (error) {
      if (!isNotFound(error)) throw error
      return create()
    }
    const holder = holderOf(current.spec)
    if (holder !== '' && holder !== identity && clock.mono() < current.changedAt + heldFor(current.spec, durationMs)) return undefined
    const sentAt = clock.mono()
    return (await swap(current, recordOf(current.spec, formatMicroTime(clock.wall())), signal)) ? sentAt : undefined
  }

  async function create(): Promise<number | undefined> {
    const now = formatMicroTime(clock.wall())
    const sentAt = clock.mono()
    try {
      const spec = { ...recordOf({}, now), leaseTransitions: 0 }
      const metadata = { name: options.name, namespace: options.namespace }
      observe(
        await client.create(collection, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }, { signal, timeoutMs }),
      )
      return sentAt
    } catch (error) {
      if (isAlreadyExists(error)) return undefined
      throw error
    }
  }

  async function attemptLogged(leading: boolean): Promise<number | undefined> {
    try {
      return await attempt(leading)
    } catch (error) {
      if (!signal.aborted) log.warn('Lease could not be renewed or acquired', { lease: options.name, leading, error: messageOf(error) })
      return undefined
    }
  }

  /** Keeps the Lease until it is lost, the process ends or the term's work is done. */
  async function renew(term: Term, stop: AbortController): Promise<void> {
    while (!stop.signal.aborted) {
      const left = term.renewedAt + renewDeadlineMs - clock.mono()
      if (left <= 0) break
      await clock.sleep(Math.min(retryMs, left), stop.signal)
      const sentAt = await attemptLogged(true)
      if (sentAt !== undefined) term.renewedAt = sentAt
      else if (observed !== undefined && holderOf(observed.spec) !== identity) break
    }
  }

  async function lead(renewedAt: number): Promise<'lost' | 'done'> {
    const term: Term = { renewedAt, over: false }
    const stop = new AbortController()
    // Every request of the leader listens for it.
    setMaxListeners(0, stop.signal)
    const end = (): void => {
      term.over = true
      stop.abort(signal.reason)
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    const leading = (): boolean => !term.over && clock.mono() < term.renewedAt + renewDeadlineMs
    log.info('Lease acquired', { lease: options.name, identity })

    let result: 'lost' | 'done' = 'lost'
    const working = (async () => {
      await options.onLead(stop.signal, leading)
      if (!stop.signal.aborted) result = 'done'
    })().finally(end)
    const renewing = renew(term, stop)
      .catch(() => {})
      .finally(end)
    // A deadline that passes while a renewal hangs must stop the work too.
    const watching = (async () => {
      while (leading()) await clock.sleep(term.renewedAt + renewDeadlineMs - clock.mono(), stop.signal)
    })()
      .catch(() => {})
      .finally(end)
    const [work] = await Promise.allSettled([settle(working), renewing, watching])
    signal.removeEventListener('abort', end)
    if (work.status === 'rejected') throw work.reason
    return result

    /** Waits for the work, but once it was told to stop not longer than the Lease's duration. */
    async function settle(work: Promise<void>): Promise<void> {
      const grace = new AbortController()
      const late = (async () => {
        await whenAborted(stop.signal)
        await clock.sleep(durationMs, grace.signal)
        throw new DroverError('LeaderStuck', 'The work of a leader that was told to stop did not end within the Lease duration', {
          retry: 'never',
        })
      })()
      late.catch(() => {})
      try {
        await Promise.race([work, late])
      } finally {
        grace.abort()
      }
    }
  }

  /** Gives the Lease back as client-go does, so that the next holder need not wait. Best effort. Read first: the answer to our last renewal may have been lost. */
  async function release(): Promise<void> {
    if (observed === undefined) return
    const afterAll = new AbortController().signal
    try {
      const current = observe(await client.get(path, { signal: afterAll, timeoutMs, retries: 0 }))
      if (holderOf(current.spec) !== identity) return
      const now = formatMicroTime(clock.wall())
      const spec = { ...current.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now }
      if (await swap(current, spec, afterAll)) log.info('Lease released', { lease: options.name, identity })
    } catch (error) {
      log.warn('Lease could not be released and will expire', { lease: options.name, error: messageOf(error) })
    }
  }

  while (!signal.aborted) {
    const sentAt = await attemptLogged(false)
    if (sentAt !== undefined) {
      let result: 'lost' | 'done'
      try {
        result = await lead(sentAt)
      } catch (error) {
        if (!(error instanceof DroverError && error.code === 'LeaderStuck')) await release()
        throw error
      }
      if (result === 'done' || signal.aborted) break
      log.warn('Lease lost', { lease: options.name, identity })
    }
    try {
      await clock.sleep(jitter.next(), signal)
    } catch {
      break
    }
  }
  await release()
}

function holderOf(spec: JsonObject): string {
  return typeof spec['holderIdentity'] === 'string' ? spec['holderIdentity'] : ''
}

/** The holder said how long it may be silent; a record without that is given as long as we would take. */
function heldFor(spec: JsonObject, ownDurationMs: number): number {
  const seconds = Number(spec['leaseDurationSeconds'] ?? 0)
  return seconds > 0 ? seconds * 1000 : ownDurationMs
}
