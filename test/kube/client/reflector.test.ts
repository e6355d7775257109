import { afterEach, describe, expect, test } from '@jest/globals'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '../../../src/kube/client/client.ts'
import { createHttpsTransport, type HttpsTransportOptions } from '../../../src/kube/client/https-transport.ts'
import { type ReflectorCounters, type ReflectorFailure, reflectorCounters, runReflector } from '../../../src/kube/client/reflector.ts'
import { createStore, type Store } from '../../../src/kube/client/store.ts'
import { createTokenSource } from '../../../src/kube/client/token-source.ts'
import { fastClock, type LeapingClock } from './clocks.ts'
import { testProcess } from './process.ts'
import { json, serve, type TestServer, until } from './servers.ts'

/** Waits of the reflector run forty times as fast: its 30 s deadline for headers is 0.75 s here. */
const FACTOR = 40

const thing = (name: string, version: string, size = 0): object => ({ metadata: { name, uid: name, resourceVersion: version }, size })
const status = (code: number, reason: string): object => ({ kind: 'Status', apiVersion: 'v1', code, reason, message: reason })

interface Watch {
  readonly n: number
  readonly query: URLSearchParams
  readonly response: ServerResponse
  /** Sends the headers and these events. */
  readonly send: (...events: readonly (readonly [type: string, object: object])[]) => void
}

interface Rig {
  readonly server: TestServer
  readonly store: Store<{ name: string; size: number }>
  readonly counters: ReflectorCounters
  readonly failures: ReflectorFailure[]
  /** Queries of the watches so far, and when each came, in the reflector's time. */
  readonly watches: { query: URLSearchParams; at: number }[]
  readonly lists: { query: URLSearchParams; at: number }[]
  /** Watches whose headers the reflector has seen. */
  readonly accepted: () => number
  readonly clock: LeapingClock
  names(): string[]
}

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  // A rejection that nobody handles fails the test too: jest sees to that.
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A reflector against a TLS server that lists `thing a at version 10` and treats each watch as the test says. */
async function start(
  onWatch: (watch: Watch) => void,
  extra: {
    onList?: (n: number, request: IncomingMessage, response: ServerResponse) => boolean
    token?: HttpsTransportOptions['token']
  } = {},
): Promise<Rig> {
  const clock = fastClock(FACTOR)
  const watches: Rig['watches'] = []
  const lists: Rig['lists'] = []
  const server = await serve((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams
    if (query.get('watch') !== 'true') {
      lists.push({ query, at: clock.mono() })
      if (extra.onList?.(lists.length, request, response) === true) return
      json(response, 200, { metadata: { resourceVersion: '10' }, items: [thing('a', '9', 1)] })
      return
    }
    watches.push({ query, at: clock.mono() })
    onWatch({
      n: watches.length,
      query,
      response,
      send(...events) {
        if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' })
        response.flushHeaders()
        for (const [type, object] of events) response.write(`${JSON.stringify({ type, object })}\n`)
      },
    })
  })
  const stop = new AbortController()
  const transport = createHttpsTransport({
    server: server.url,
    clock,
    log: testProcess().log,
    tls: () => trust,
    ...(extra.token === undefined ? {} : { token: extra.token }),
  })
  const trust = { ca: server.ca ?? '' }
  const self = testProcess({ clock, transport })
  const store = createStore({
    clock,
    log: self.log,
    project: (raw) => ({ name: (raw['metadata'] as { name: string }).name, size: raw['size'] as number }),
    same: (a, b) => a.size === b.size,
  })
  const counters = reflectorCounters()
  const failures: ReflectorFailure[] = []
  let accepted = 0
  const running = runReflector({
    process: self,
    client: createClient(self),
    path: '/apis/test/v1/things',
    query: { labelSelector: 'mine' },
    store,
    signal: stop.signal,
    counters,
    onError: (_error, failure) => failures.push(failure),
    onWatch: () => (accepted += 1),
  })
  cleanups.push(async () => {
    stop.abort()
    await running
    transport.close()
    await server.close()
  })
  const names = (): string[] => store.list().map(({ name, size }) => `${name}=${size}`)
  return { server, store, counters, failures, watches, lists, accepted: () => accepted, clock, names }
}

describe('reflector', () => {
  test('lists, then watches from there, and follows', async () => {
    const rig = await start(({ send }) =>
      send(
        ['ADDED', thing('b', '11', 2)],
        ['MODIFIED', thing('a', '12', 5)],
        ['DELETED', thing('b', '13', 2)],
        ['ADDED', thing('c', '14', 3)],
      ),
    )
    await until(() => rig.counters.events === 4)
    expect(rig.names()).toEqual(['a=5', 'c=3'])
    expect(rig.store.synced).toBe(true)
    expect(rig.lists).toHaveLength(1)
    expect(rig.lists[0]?.query.get('limit')).toBe('25')
    expect(rig.watches[0]?.query.get('resourceVersion')).toBe('10')
    expect(rig.watches[0]?.query.get('labelSelector')).toBe('mine')
    expect(rig.server.connections()).toBeLessThanOrEqual(2)
  })

  // The eleven faults that informers are known to die, spin or go blind on.

  test('1: a server that closes each watch at once, in good order, is asked with growing patience and not listed again', async () => {
    const rig = await start(({ send, response }) => {
      send()
      response.end()
    })
    await until(() => rig.watches.length >= 6)
    const gaps = rig.watches.slice(1).map(({ at }, i) => at - (rig.watches[i]?.at ?? 0))
    expect(gaps.every((gap, i) => gap >= 800 * 2 ** i)).toBe(true)
    expect(rig.lists).toHaveLength(1)
    expect(rig.failures).toEqual([])
  })

  test('1: after a healthy minute its patience begins anew', async () => {
    let fifth: Watch | undefined
    const rig = await start((watch) => {
      const { n, send, response } = watch
      if (n === 5) fifth = watch
      if (n === 5) send(['ADDED', thing('b', '11', 2)])
      else send()
      if (n <= 4 || n === 6) response.end()
    })
    await until(() => rig.names().length === 2)
    rig.clock.leap(65_000)
    fifth?.send(['BOOKMARK', { kind: 'Thing', metadata: { resourceVersion: '50' } }])
    fifth?.response.end()
    const closedAt = rig.clock.mono()
    await until(() => rig.watches.length === 7)
    // The next step of the old patience would be 12.8 s.
    expect((rig.watches[6]?.at ?? 0) - closedAt).toBeLessThan(12_000)
    expect(rig.watches[5]?.query.get('resourceVersion')).toBe('50')
  })

  test('1: a watch that stood still and sound until its connection broke was no failure', async () => {
    const rig = await start(({ n, send, response }) => {
      send()
      if (n <= 4 || n === 6) response.end()
    })
    await until(() => rig.watches.length === 5)
    // It stands from the moment when the reflector has seen its headers, not when they were sent.
    await until(() => rig.accepted() === 5)
    rig.clock.leap(15_000)
    rig.server.reset()
    const brokenAt = rig.clock.mono()
    await until(() => rig.watches.length === 7)
    expect((rig.watches[6]?.at ?? 0) - brokenAt).toBeLessThan(12_000)
  })

  test('2: HTTP 500 on a watch is tried again', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n <= 2) json(response, 500, status(500, 'InternalError'))
      else send(['ADDED', thing('b', '11', 2)])
    })
    await until(() => rig.names().length === 2)
    expect(rig.failures).toEqual(['watch', 'watch'])
    expect(rig.lists).toHaveLength(1)
  })

  test('2: HTTP 429 on a watch is tried again when the server said, not before', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n === 1) json(response, 429, status(429, 'TooManyRequests'), { 'retry-after': '20' })
      else send(['ADDED', thing('b', '11', 2)])
    })
    await until(() => rig.names().length === 2)
    expect((rig.watches[1]?.at ?? 0) - (rig.watches[0]?.at ?? 0)).toBeGreaterThanOrEqual(20_000)
    expect(rig.lists).toHaveLength(1)
  })

  test('3: after a TCP reset it resumes from the last version', async () => {
    const rig = await start(({ n, send }) => {
      if (n > 1) return send(['ADDED', thing('c', '12', 3)])
      send(['ADDED', thing('b', '11', 2)])
      void until(() => rig.counters.events === 1).then(() => rig.server.reset())
    })
    await until(() => rig.names().length === 3)
    expect(rig.watches[1]?.query.get('resourceVersion')).toBe('11')
    expect(rig.failures).toEqual(['watch'])
    expect(rig.lists).toHaveLength(1)
  })

  test('4: HTTP 410 and an ERROR event with 410 list again', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n === 1) json(response, 410, status(410, 'Expired'))
      else if (n === 2) send(['ERROR', status(410, 'Expired')])
      else send(['ADDED', thing('b', '11', 2)])
    })
    await until(() => rig.names().length === 2)
    expect(rig.lists).toHaveLength(3)
  })

  test('4: a resumed watch that is told 410 lists at once, whatever went before', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n === 5) return json(response, 410, status(410, 'Expired'))
      send()
      if (n < 5) response.end()
    })
    await until(() => rig.lists.length === 2)
    // The next step of its patience would be 12.8 s.
    expect((rig.lists[1]?.at ?? 0) - (rig.watches[4]?.at ?? 0)).toBeLessThan(12_000)
  })

  test('4: a server that says 410 for ever is listed with growing patience', async () => {
    const rig = await start(({ response }) => json(response, 410, status(410, 'Expired')))
    await until(() => rig.lists.length >= 5)
    const gaps = rig.lists.slice(1).map(({ at }, i) => at - (rig.lists[i]?.at ?? 0))
    expect(gaps.every((gap, i) => gap >= 800 * 2 ** i)).toBe(true)
  })

  test('5: a line cut in the middle is counted, and the watch resumes', async () => {
    const rig = await start(({ n, send, response }) => {
      send(['ADDED', thing(`b${n}`, `1${n}`, 2)])
      if (n === 1) response.end('{"type":"ADDED","object":{"metadata":{"na')
      if (n === 2) response.end('{"type":"ADDED","object":{"metadata":{"na\n')
    })
    await until(() => rig.names().length === 4)
    expect(rig.counters.badLines).toBe(2)
    expect(rig.watches.map(({ query }) => query.get('resourceVersion'))).toEqual(['10', '11', '12'])
    expect(rig.lists).toHaveLength(1)
  })

  test('6: a BOOKMARK moves the version and counts as a sign of life', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n > 1) return send(['ADDED', thing('b', '51', 2)])
      send(['BOOKMARK', { kind: 'Thing', metadata: { resourceVersion: '50' } }])
      response.end()
    })
    await until(() => rig.names().length === 2)
    expect(rig.watches[1]?.query.get('resourceVersion')).toBe('50')
    expect(rig.counters.bookmarks).toBe(1)
    expect(rig.store.freshness).toBeGreaterThan(rig.watches[1]?.at ?? 0)
  })

  test('7: bookmarks are asked for, and watches of five to ten minutes', async () => {
    const rig = await start(({ send }) => send())
    await until(() => rig.watches.length === 1)
    const query = rig.watches[0]?.query
    expect(query?.get('allowWatchBookmarks')).toBe('true')
    const seconds = Number(query?.get('timeoutSeconds'))
    expect(seconds).toBeGreaterThanOrEqual(300)
    expect(seconds).toBeLessThanOrEqual(600)
  })

  test('8: a watch that falls silent is dropped after 150 s and resumed, without a list', async () => {
    const rig = await start(({ n, send }) => {
      if (n === 1) send(['BOOKMARK', { kind: 'Thing', metadata: { resourceVersion: '11' } }])
      else send(['ADDED', thing('c', '12', 3)])
    })
    await until(() => rig.counters.bookmarks === 1)
    rig.clock.leap(140_000)
    await until(() => rig.names().includes('c=3'))
    expect((rig.watches[1]?.at ?? 0) - (rig.watches[0]?.at ?? 0)).toBeGreaterThanOrEqual(150_000)
    expect(rig.watches[1]?.query.get('resourceVersion')).toBe('11')
    expect(rig.failures).toEqual(['stall'])
    expect(rig.counters.stalls).toBe(1)
    expect(rig.lists).toHaveLength(1)
  })

  test('8: where no bookmarks come, a list is the only sign of life that a silent watch leaves', async () => {
    const rig = await start(({ n, send }) => {
      if (n === 1) send(['ADDED', thing('b', '11', 2)])
      else send(['ADDED', thing('c', '12', 3)])
    })
    await until(() => rig.names().length === 2)
    rig.clock.leap(140_000)
    await until(() => rig.names().includes('c=3'))
    expect(rig.failures).toEqual(['stall'])
    expect(rig.lists).toHaveLength(2)
    expect(rig.names()).toEqual(['a=1', 'c=3'])
  })

  test('9: a server that never sends headers is given up after 30 s and asked again', async () => {
    const rig = await start(({ n, send }) => {
      if (n > 1) send(['ADDED', thing('b', '11', 2)])
    })
    await until(() => rig.names().length === 2)
    const gap = (rig.watches[1]?.at ?? 0) - (rig.watches[0]?.at ?? 0)
    expect(gap).toBeGreaterThanOrEqual(30_000)
    expect(gap).toBeLessThan(150_000)
    expect(rig.failures).toEqual(['watch'])
  })

  test('10: a missing token file is an error that is retried until the file is there', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'drover-token-'))
    cleanups.push(async () => rmSync(directory, { recursive: true }))
    const file = join(directory, 'token')
    const token = createTokenSource(fastClock(FACTOR), file, () => readFile(file, 'utf8'))
    const seen = new Set<string | undefined>()
    const rig = await start(({ send }) => send(['ADDED', thing('b', '11', 2)]), {
      token,
      onList: (_n, request) => {
        seen.add(request.headers.authorization)
        return false
      },
    })
    await until(() => rig.failures.length >= 2)
    expect(rig.failures.every((failure) => failure === 'list')).toBe(true)
    expect(rig.server.requests).toHaveLength(0)
    writeFileSync(file, 'secret\n')
    await until(() => rig.names().length === 2)
    expect([...seen]).toEqual(['Bearer secret'])
  })

  test('11: a handler that throws stops nothing', async () => {
    const rig = await start(({ send }) => send(['ADDED', thing('b', '11', 2)], ['ADDED', thing('c', '12', 3)]))
    rig.store.subscribe(() => {
      throw new Error('bad handler')
    })
    await until(() => rig.names().length === 3)
    expect(rig.store.counters.subscriberErrors).toBeGreaterThanOrEqual(2)
    expect(rig.failures).toEqual([])
    expect(rig.watches).toHaveLength(1)
  })

  test('pages are fetched one by one, and a token that expires begins the list again', async () => {
    const rig = await start(({ send }) => send(), {
      onList: (n, request, response) => {
        const token = new URL(request.url ?? '', 'http://x').searchParams.get('continue')
        if (n === 1) json(response, 200, { metadata: { resourceVersion: '5', continue: 't' }, items: [thing('gone', '1')] })
        else if (n === 2) json(response, 410, status(410, 'Expired'))
        else if (token === null) json(response, 200, { metadata: { resourceVersion: '6', continue: 't2' }, items: [thing('a', '1', 1)] })
        else json(response, 200, { metadata: { resourceVersion: '6' }, items: [thing('b', '2', 2)] })
        return true
      },
    })
    await until(() => rig.watches.length === 1)
    expect(rig.names()).toEqual(['a=1', 'b=2'])
    expect(rig.lists).toHaveLength(4)
    expect(rig.watches[0]?.query.get('resourceVersion')).toBe('6')
    expect(rig.failures).toEqual([])
  })

  test('a version that fails again and again is given up for a new list', async () => {
    const rig = await start(({ n, send, response }) => {
      if (n <= 5) json(response, 500, status(500, 'InternalError'))
      else send(['ADDED', thing('b', '11', 2)])
    })
    await until(() => rig.names().length === 2)
    expect(rig.lists).toHaveLength(2)
  })
})
