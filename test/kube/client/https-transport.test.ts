import { afterEach, describe, expect, test } from '@jest/globals'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../../src/base/clock.ts'
import type { Json } from '../../../src/base/json.ts'
import {
  type Call,
  createHttpsTransport,
  type HttpsTransport,
  type HttpsTransportOptions,
} from '../../../src/kube/client/https-transport.ts'
import { fastClock } from './clocks.ts'
import { testProcess } from './process.ts'
import { type Handler, json, serve, type TestServer, until } from './servers.ts'

const forever = new AbortController().signal
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function rig(
  handler: Handler,
  options: Partial<HttpsTransportOptions> = {},
  secure = true,
): Promise<{ server: TestServer; transport: HttpsTransport; calls: Call[] }> {
  const server = await serve(handler, { secure })
  const calls: Call[] = []
  const trust = server.ca === undefined ? {} : { ca: server.ca }
  const transport = createHttpsTransport({
    server: server.url,
    clock: systemClock,
    log: testProcess().log,
    tls: () => trust,
    observe: (call) => calls.push(call),
    ...options,
  })
  cleanups.push(async () => {
    transport.close()
    await server.close()
  })
  return { server, transport, calls }
}

const get = { method: 'GET', path: '/api/v1/nodes/a' } as const

async function collect(events: AsyncIterable<Json>): Promise<Json[]> {
  const all: Json[] = []
  for await (const event of events) all.push(event)
  return all
}

describe('send', () => {
  test('keeps one connection for many requests', async () => {
    const { server, transport } = await rig((_request, response) => json(response, 200, { ok: true }))
    for (let i = 0; i < 50; i += 1) await expect(transport.send(get, forever)).resolves.toEqual({ status: 200, body: { ok: true } })
    expect(server.connections()).toBe(1)
  })

  test('keeps the connections of a burst for the next one', async () => {
    const { server, transport } = await rig((_request, response) => void setTimeout(() => json(response, 200, {}), 20))
    const burst = () => Promise.all(Array.from({ length: 32 }, () => transport.send(get, forever)))
    for (let i = 0; i < 3; i += 1) await burst()
    expect(server.connections()).toBe(32)
  })

  test('says who it is and what it wants, and sends its body whole', async () => {
    const bodies: string[] = []
    const { server, transport } = await rig(
      (request, response) => {
        let text = ''
        request.setEncoding('utf8')
        request.on('data', (chunk: string) => (text += chunk))
        request.on('end', () => {
          bodies.push(text)
          json(response, 201, {})
        })
      },
      { userAgent: 'drover/1', token: async () => 'secret', headers: { 'impersonate-user': 'jane' } },
    )
    const body = { name: 'ü', big: 2n ** 60n }
    await transport.send(
      { method: 'PATCH', path: '/x/y', query: { fieldManager: 'a b' }, body, contentType: 'application/merge-patch+json' },
      forever,
    )
    expect(bodies).toEqual(['{"name":"ü","big":1152921504606846976}'])
    expect(server.requests[0]).toMatchObject({ method: 'PATCH', url: '/x/y?fieldManager=a+b', httpVersion: '1.1' })
    expect(server.requests[0]?.headers).toMatchObject({
      'user-agent': 'drover/1',
      authorization: 'Bearer secret',
      accept: 'application/json',
      'content-type': 'application/merge-patch+json',
      'impersonate-user': 'jane',
    })
  })

  test('reads integers beyond 2^53 exactly', async () => {
    const { transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json;as=Table' })
      response.end('{"n":9007199254740993}')
    })
    expect((await transport.send(get, forever)).body).toEqual({ n: 9007199254740993n })
  })

  test('status codes are answers; Retry-After comes in milliseconds; what is not JSON is text', async () => {
    const { transport } = await rig((request, response) => {
      if (request.url === '/log') response.writeHead(200, { 'content-type': 'text/plain' }).end('a log')
      else if (request.url === '/busy') json(response, 429, { reason: 'TooManyRequests' }, { 'retry-after': '7' })
      else response.writeHead(502, { 'content-type': 'text/html' }).end('<html>')
    })
    expect(await transport.send({ method: 'GET', path: '/log' }, forever)).toEqual({ status: 200, body: 'a log' })
    expect(await transport.send({ method: 'GET', path: '/busy' }, forever)).toEqual({
      status: 429,
      retryAfterMs: 7000,
      body: { reason: 'TooManyRequests' },
    })
    expect(await transport.send({ method: 'GET', path: '/gateway' }, forever)).toEqual({ status: 502, body: '<html>' })
  })

  test('a good status with broken JSON is a bad answer', async () => {
    const { transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end('{"cut":')
    })
    await expect(transport.send(get, forever)).rejects.toMatchObject({ name: 'TransportError', code: 'BadAnswer' })
  })

  test('has a deadline for the headers and for the body', async () => {
    const { transport } = await rig((request, response) => {
      if (request.url !== '/slow') return
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{')
    })
    for (const path of ['/never', '/slow']) {
      await expect(transport.send({ method: 'GET', path, timeoutMs: 100 }, forever)).rejects.toMatchObject({
        code: 'Timeout',
        retry: 'backoff',
      })
    }
  })

  test('has a deadline of 30 s when none is asked for', async () => {
    const clock = fastClock(100)
    const { transport } = await rig(() => {}, { clock })
    const began = clock.mono()
    await expect(transport.send(get, forever)).rejects.toMatchObject({ code: 'Timeout' })
    expect(clock.mono() - began).toBeGreaterThanOrEqual(30_000)
  })

  test('can be aborted', async () => {
    const { server, transport } = await rig(() => {})
    const stop = new AbortController()
    const result = transport.send(get, stop.signal).catch((error: unknown) => error)
    await until(() => server.requests.length === 1)
    stop.abort()
    await expect(result).resolves.toMatchObject({ code: 'Aborted' })
    await expect(transport.send(get, stop.signal)).rejects.toMatchObject({ code: 'Aborted' })
  })

  test('a refused connection and an unknown authority are failures to connect', async () => {
    const { server, transport } = await rig((_request, response) => json(response, 200, {}))
    const stranger = createHttpsTransport({ server: server.url, clock: systemClock, log: testProcess().log })
    await expect(stranger.send(get, forever)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    await server.close()
    await expect(transport.send(get, forever)).rejects.toMatchObject({ code: 'ConnectionFailed' })
  })

  test('a connection that was closed while idle costs nobody anything', async () => {
    const { server, transport } = await rig((_request, response) => json(response, 200, {}))
    await transport.send(get, forever)
    server.reset()
    await expect(transport.send({ method: 'POST', path: '/x', body: {} }, forever)).resolves.toMatchObject({ status: 200 })
    expect(server.connections()).toBe(2)
  })

  test('a reused connection that is reset under a request is replaced once, a fresh one is not', async () => {
    let reset = 0
    const { server, transport } = await rig((request, response) => {
      if (request.url === '/ok') return json(response, 200, {})
      reset += 1
      request.socket.destroy()
    })
    await transport.send({ method: 'GET', path: '/ok' }, forever)
    await expect(transport.send({ method: 'GET', path: '/x' }, forever)).rejects.toMatchObject({ code: 'ConnectionLost' })
    expect(reset).toBe(2)
    await expect(transport.send({ method: 'GET', path: '/x' }, forever)).rejects.toMatchObject({ code: 'ConnectionLost' })
    expect(reset).toBe(3)
    expect(server.requests).toHaveLength(4)
  })

  test('a refused token is read again once', async () => {
    const asked: (string | undefined)[] = []
    let current = 'old'
    const { server, transport } = await rig(
      (request, response) => json(response, request.headers.authorization === 'Bearer new' ? 200 : 401, {}),
      {
        token: async (refused) => {
          asked.push(refused)
          if (refused === 'old') current = 'new'
          return current
        },
      },
    )
    expect((await transport.send(get, forever)).status).toBe(200)
    expect(asked).toEqual([undefined, 'old'])
    current = 'revoked'
    expect((await transport.send(get, forever)).status).toBe(401)
    expect(server.requests).toHaveLength(3)
  })

  test('a token that cannot be had is a failure to connect', async () => {
    const { transport } = await rig(() => {}, { token: () => Promise.reject(new Error('no such file')) })
    await expect(transport.send(get, forever)).rejects.toMatchObject({ code: 'ConnectionFailed', message: 'no such file' })
  })

  test('new certificates get new connections', async () => {
    const { server } = await rig((_request, response) => json(response, 200, {}))
    let material = {}
    const transport = createHttpsTransport({ server: server.url, clock: systemClock, log: testProcess().log, tls: () => material })
    cleanups.push(async () => transport.close())
    await expect(transport.send(get, forever)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    material = { ca: server.ca }
    await expect(transport.send(get, forever)).resolves.toMatchObject({ status: 200 })
  })

  test('holds back what exceeds its rate', async () => {
    const clock = fastClock(10)
    const { transport } = await rig((_request, response) => json(response, 200, {}), { clock, qps: 10, burst: 2 })
    const began = clock.mono()
    await Promise.all(Array.from({ length: 7 }, () => transport.send(get, forever)))
    expect(clock.mono() - began).toBeGreaterThanOrEqual(490)
  })

  test('a server behind a path prefix, without TLS', async () => {
    const { server } = await rig((_request, response) => json(response, 200, {}), {}, false)
    const transport = createHttpsTransport({ server: `${server.url}/k8s/clusters/c-1/`, clock: systemClock, log: testProcess().log })
    cleanups.push(async () => transport.close())
    await transport.send(get, forever)
    expect(server.requests[0]?.url).toBe('/k8s/clusters/c-1/api/v1/nodes/a')
  })

  test('reports each call without names', async () => {
    const { transport, calls } = await rig((request, response) => {
      if (request.url?.includes('gone') === true) request.socket.destroy()
      else json(response, 404, {})
    })
    await transport.send({ method: 'PUT', path: '/apis/batch/v1/namespaces/ns/jobs/j/status', body: {} }, forever)
    await transport.send({ method: 'GET', path: '/gone' }, forever).catch(() => {})
    expect(calls.map(({ verb, template, code }) => [verb, template, code])).toEqual([
      ['PUT', '/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status', '404'],
      ['GET', '/gone', '<error>'],
    ])
  })
})

describe('watch', () => {
  test('yields one value a line, however the bytes are cut', async () => {
    const text = '{"n":1,"t":"ü€😀"}\n\n{"n":2}\n{"n":12345678901234567890}\n'
    const { transport, calls } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      void (async () => {
        for (const byte of Buffer.from(text)) {
          response.write(Buffer.from([byte]))
          await new Promise((resolve) => setImmediate(resolve))
        }
        response.end()
      })()
    })
    const { status, events } = await transport.watch({ ...get, query: { watch: 'true' } }, forever)
    expect(status).toBe(200)
    expect(await collect(events)).toEqual([{ n: 1, t: 'ü€😀' }, { n: 2 }, { n: 12345678901234567890n }])
    expect(calls.map(({ verb, code }) => [verb, code])).toEqual([['WATCH', '200']])
  })

  test('the deadline is for the headers only', async () => {
    const { transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
      setTimeout(() => response.end('{"n":1}\n'), 1_300)
    })
    const { events } = await transport.watch({ ...get, timeoutMs: 1_000 }, forever)
    expect(await collect(events)).toEqual([{ n: 1 }])
    const { transport: silent } = await rig(() => {})
    await expect(silent.watch({ ...get, timeoutMs: 100 }, forever)).rejects.toMatchObject({ code: 'Timeout' })
  })

  test.each([
    ['a line that is not JSON', '{"n":1}\nnot json\n', 'BadAnswer'],
    ['an end within a line', '{"n":1}\n{"n":', 'BadAnswer'],
  ])('%s breaks the stream', async (_, text, code) => {
    const { transport } = await rig((_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(text))
    const { events } = await transport.watch(get, forever)
    const seen: Json[] = []
    const reading = (async () => {
      for await (const event of events) seen.push(event)
    })()
    await expect(reading).rejects.toMatchObject({ name: 'TransportError', code })
    expect(seen).toEqual([{ n: 1 }])
  })

  test('a lost connection breaks the stream', async () => {
    const { server, transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
    })
    const { events } = await transport.watch(get, forever)
    const reading = collect(events)
    server.reset()
    await expect(reading).rejects.toMatchObject({ code: 'ConnectionLost' })
  })

  test('an abort ends the stream and its connection', async () => {
    const { server, transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
    })
    const stop = new AbortController()
    const { events } = await transport.watch(get, stop.signal)
    let closed = false
    server.requests[0]?.socket.on('close', () => (closed = true))
    const reading = collect(events)
    await delay(20)
    stop.abort()
    await expect(reading).rejects.toMatchObject({ code: 'Aborted' })
    await until(() => closed, 'the close of the connection')
  })

  test('a reader that leaves early closes the connection', async () => {
    const { server, transport } = await rig((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"n":1}\n{"n":2}\n')
    })
    const { events } = await transport.watch(get, forever)
    let closed = false
    server.requests[0]?.socket.on('close', () => (closed = true))
    for await (const event of events) {
      expect(event).toEqual({ n: 1 })
      break
    }
    await until(() => closed, 'the close of the connection')
  })

  test('an answer other than 200 has a body and no events', async () => {
    const { transport } = await rig((_request, response) => json(response, 410, { reason: 'Expired' }))
    const { status, body, events } = await transport.watch(get, forever)
    expect([status, body, await collect(events)]).toEqual([410, { reason: 'Expired' }, []])
  })
})
