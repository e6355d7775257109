import { describe, expect, test } from '@jest/globals'
import { TransportError } from '../../../src/base/errors.ts'
import type { JsonObject } from '../../../src/base/json.ts'
import type { Request, Response, Transport } from '../../../src/base/process.ts'
import { createClient } from '../../../src/kube/client/client.ts'
import { type LeaseOptions, runLease } from '../../../src/kube/client/lease.ts'
import { type VirtualClock, virtualClock } from './clocks.ts'
import { refusal, testProcess } from './process.ts'

/** One Lease with optimistic concurrency; `fault` may answer instead, before or after the write takes effect. */
function leaseServer(): Transport & {
  lease: JsonObject | undefined
  spec(): Record<string, unknown>
  fault: Fault | undefined
  requests: Request[]
} {
  let version = 0
  const server = {
    lease: undefined as JsonObject | undefined,
    fault: undefined as Fault | undefined,
    requests: [] as Request[],
    spec: () => (server.lease?.['spec'] ?? {}) as Record<string, unknown>,
    async send(request: Request, signal: AbortSignal): Promise<Response> {
      if (signal.aborted) throw new TransportError('Aborted', 'aborted')
      server.requests.push(request)
      const apply = (): Response => answer(request)
      return server.fault === undefined ? apply() : server.fault(request, apply)
    },
    watch: () => Promise.reject(new Error('a lease is not watched')),
  }
  function store(body: JsonObject, status: number): Response {
    version += 1
    server.lease = { ...body, metadata: { ...(body['metadata'] as JsonObject), uid: 'u', resourceVersion: String(version) } }
    return { status, body: server.lease }
  }
  function answer({ method, body }: Request): Response {
    const given = body as JsonObject
    if (method === 'POST') return server.lease === undefined ? store(given, 201) : refusal(409, 'AlreadyExists')
    if (server.lease === undefined) return refusal(404, 'NotFound')
    if (method === 'GET') return { status: 200, body: server.lease }
    const stands = (server.lease['metadata'] as JsonObject)['resourceVersion']
    return (given['metadata'] as JsonObject)['resourceVersion'] === stands ? store(given, 200) : refusal(409, 'Conflict')
  }
  return server
}

type Fault = (request: Request, apply: () => Response) => Promise<Response> | Response

interface Candidate {
  readonly leads: () => boolean
  readonly terms: { started: number; ended: number }
  readonly ended: Promise<unknown>
  stop(): void
}

function candidate(identity: string, transport: Transport, clock: VirtualClock, extra: Partial<LeaseOptions> = {}): Candidate {
  const stop = new AbortController()
  const self = testProcess({ name: identity, transport, clock })
  const terms = { started: 0, ended: 0 }
  let leading = (): boolean => false
  const ended = runLease({
    process: self,
    client: createClient(self),
    namespace: 'system-upgrade',
    name: 'system-upgrade-controller',
    identity,
    durationMs: 90_000,
    renewDeadlineMs: 60_000,
    retryMs: 10_000,
    signal: stop.signal,
    async onLead(signal, stillLeading) {
      terms.started += 1
      leading = stillLeading
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      terms.ended += 1
    },
    ...extra,
  }).catch((error: unknown) => error)
  return { leads: () => leading(), terms, ended, stop: () => stop.abort() }
}

describe('lease', () => {
  test('is made with the fields that client-go reads, and renewed by one PUT each', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const a = candidate('a', server, clock)
    await clock.advance(0)
    expect(a.leads()).toBe(true)
    expect(server.lease).toMatchObject({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'system-upgrade-controller' },
    })
    expect(server.spec()).toEqual({
      holderIdentity: 'a',
      leaseDurationSeconds: 90,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:00.000000Z',
      leaseTransitions: 0,
    })
    server.requests.length = 0
    await clock.advance(30_000)
    expect(server.requests.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT'])
    expect(server.spec()).toMatchObject({
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:30.000000Z',
      leaseTransitions: 0,
    })
    a.stop()
    await a.ended
  })

  test('is given back on a clean stop, after the work has ended, and taken at once', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const order: string[] = []
    const a = candidate('a', server, clock, {
      onLead: async (signal) => {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
        order.push(`work ended while ${String(server.spec()['holderIdentity'])} holds`)
      },
    })
    await clock.advance(0)
    const b = candidate('b', server, clock)
    await clock.advance(5_000)
    expect(b.leads()).toBe(false)
    a.stop()
    await clock.advance(0)
    expect(order).toEqual(['work ended while a holds'])
    expect(server.spec()).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 })
    await clock.advance(12_000)
    expect(b.leads()).toBe(true)
    expect(server.spec()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })
    b.stop()
    await Promise.all([a.ended, b.ended])
  })

  test('of a holder that died is taken when its own duration has passed unchanged, by our watch alone', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    // As SUC's client-go leaves it: 45 s, and by a clock that is an hour ahead.
    server.lease = {
      metadata: { name: 'l', resourceVersion: 'x' },
      spec: {
        holderIdentity: 'suc',
        leaseDurationSeconds: 45,
        renewTime: '2026-01-01T01:00:00.000000Z',
        acquireTime: '2026-01-01T01:00:00.000000Z',
        leaseTransitions: 4,
      },
    }
    const b = candidate('b', server, clock)
    await clock.advance(44_000)
    expect(b.leads()).toBe(false)
    await clock.advance(12_000)
    expect(b.leads()).toBe(true)
    expect(server.spec()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 5, acquireTime: '2026-01-01T00:00:50.000000Z' })
    b.stop()
    await b.ended
  })

  test('of a living holder is never taken, however old its times look', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    let n = 0
    const renewElsewhere = (): void => {
      n += 1
      server.lease = {
        metadata: { name: 'l', resourceVersion: `suc-${n}` },
        spec: { holderIdentity: 'suc', leaseDurationSeconds: 15, renewTime: '1999-01-01T00:00:00.000000Z' },
      }
    }
    renewElsewhere()
    const b = candidate('b', server, clock)
    for (let i = 0; i < 60; i += 1) {
      await clock.advance(10_000)
      renewElsewhere()
    }
    expect(b.terms.started).toBe(0)
    expect(server.spec()['holderIdentity']).toBe('suc')
    b.stop()
    await b.ended
  })

  test('leadership ends at the renew deadline, before anybody else can have it, and comes back with the server', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const a = candidate('a', server, clock)
    await clock.advance(10_000)
    server.fault = () => Promise.reject(new TransportError('ConnectionFailed', 'refused'))
    await clock.advance(59_999)
    expect([a.leads(), a.terms.ended]).toEqual([true, 0])
    await clock.advance(1)
    expect([a.leads(), a.terms.ended]).toEqual([false, 1])
    server.fault = undefined
    await clock.advance(12_000)
    expect([a.leads(), a.terms.started]).toEqual([true, 2])
    a.stop()
    await a.ended
  })

  test('leadership ends at the deadline although the renewal hangs', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const a = candidate('a', server, clock)
    await clock.advance(5_000)
    server.fault = () => new Promise<Response>(() => {})
    await clock.advance(55_000)
    expect([a.leads(), a.terms.ended]).toEqual([false, 1])
  })

  test('a renewal counts from when it was sent', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const a = candidate('a', server, clock)
    await clock.advance(0)
    // Each answer takes 9 s, then all hang.
    server.fault = async (_request, apply) => {
      const response = apply()
      await clock.sleep(9_000)
      return response
    }
    await clock.advance(19_000)
    server.fault = () => new Promise<Response>(() => {})
    await clock.advance(50_999)
    expect(a.leads()).toBe(true)
    await clock.advance(1)
    expect(a.leads()).toBe(false)
  })

  test('a renewal whose answer is lost costs nothing', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const a = candidate('a', server, clock)
    await clock.advance(0)
    server.fault = (request, apply) => {
      if (request.method !== 'PUT') return apply()
      server.fault = undefined
      apply()
      throw new TransportError('ConnectionLost', 'reset')
    }
    await clock.advance(120_000)
    expect([a.leads(), a.terms.started]).toEqual([true, 1])
    a.stop()
    await a.ended
    expect(server.spec()['holderIdentity']).toBe('')
  })

  test('a leader that finds another name in the Lease stops at once', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const holders: string[] = []
    const a = candidate('a', server, clock, { onHolder: (holder) => holders.push(holder) })
    await clock.advance(0)
    server.lease = { metadata: { name: 'l', resourceVersion: 'theirs' }, spec: { holderIdentity: 'thief', leaseDurationSeconds: 90 } }
    await clock.advance(10_000)
    expect([a.leads(), a.terms.ended]).toEqual([false, 1])
    expect(server.spec()['holderIdentity']).toBe('thief')
    expect(holders).toEqual(['a', 'thief'])
    a.stop()
    await a.ended
    expect(server.spec()['holderIdentity']).toBe('thief')
  })

  test('two that race for it never lead together, through faults and stalls', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    let roll = 1
    const random = (): number => {
      roll = (roll * 16807) % 2147483647
      return roll / 2147483647
    }
    server.fault = async (_request, apply) => {
      const kind = random()
      if (kind < 0.2) throw new TransportError('ConnectionFailed', 'refused')
      if (kind < 0.4) await clock.sleep(random() * 70_000)
      const response = apply()
      if (kind > 0.6 && kind < 0.75) throw new TransportError('ConnectionLost', 'reset')
      if (kind > 0.9) await clock.sleep(random() * 70_000)
      return response
    }
    const all = ['a', 'b', 'c'].map((name) => candidate(name, server, clock))
    let led = 0
    for (let i = 0; i < 2_000; i += 1) {
      await clock.advance(1_000)
      const leaders = all.filter(({ leads }) => leads()).length
      expect(leaders).toBeLessThanOrEqual(1)
      led += leaders
    }
    expect(led).toBeGreaterThan(200)
    expect(all.reduce((sum, { terms }) => sum + terms.started, 0)).toBeGreaterThan(3)
  }, 60_000)

  test('work that returns gives the Lease back and ends the election; work that throws also throws', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const done = candidate('a', server, clock, { onLead: async () => {} })
    await clock.advance(0)
    await expect(done.ended).resolves.toBeUndefined()
    expect(server.spec()['holderIdentity']).toBe('')
    const broken = candidate('b', server, clock, { onLead: () => Promise.reject(new Error('bug')) })
    await clock.advance(0)
    await expect(broken.ended).resolves.toMatchObject({ message: 'bug' })
    expect(server.spec()['holderIdentity']).toBe('')
  })

  test('work that does not stop when told is an error, and the Lease is not given back', async () => {
    const clock = virtualClock()
    const server = leaseServer()
    const stuck = candidate('a', server, clock, { onLead: () => new Promise<void>(() => {}) })
    await clock.advance(0)
    stuck.stop()
    await clock.advance(90_000)
    await expect(stuck.ended).resolves.toMatchObject({ code: 'LeaderStuck' })
    expect(server.spec()['holderIdentity']).toBe('a')
  })

  test('times that do not fit together are refused', async () => {
    const clock = virtualClock()
    await expect(candidate('a', leaseServer(), clock, { renewDeadlineMs: 90_000 }).ended).resolves.toMatchObject({ code: 'LeaseSettings' })
  })
})
