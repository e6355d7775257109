import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { createHealth } from '../../src/observability/health.ts'
import { prometheusMetrics } from '../../src/observability/prometheus.ts'
import { type Exposition, type ObservabilityServer, serveObservability } from '../../src/observability/server.ts'

let open: ObservabilityServer | undefined
let other: Server | undefined

afterEach(async () => {
  await open?.close()
  other?.close()
  open = undefined
  other = undefined
})

const quiet: Exposition = { contentType: 'text/plain', metrics: async () => '' }

async function serve(exposition = quiet) {
  let now = 0
  const health = createHealth(() => now, 1000, ['nodes'])
  open = await serveObservability('127.0.0.1:0', health, exposition)
  const base = `http://127.0.0.1:${open.port}`
  return { health, base, advance: (ms: number) => (now += ms) }
}

async function get(url: string, method = 'GET') {
  const answer = await fetch(url, { method })
  return { status: answer.status, body: await answer.text() }
}

test('/healthz follows the loop, /readyz what is missing', async () => {
  const { health, base, advance } = await serve()

  expect(await get(`${base}/healthz`)).toEqual({ status: 200, body: 'ok\n' })
  expect(await get(`${base}/readyz`)).toEqual({ status: 503, body: 'not ready: nodes\n' })

  health.ready('nodes', true)
  advance(2000)

  expect(await get(`${base}/healthz?verbose`)).toEqual({ status: 503, body: 'no pass for 2 s, allowed are 1 s\n' })
  expect(await get(`${base}/readyz`)).toEqual({ status: 200, body: 'ok\n' })
})

test('/metrics is the registry in the text format', async () => {
  const metrics = prometheusMetrics()
  metrics.evicted('blocked')
  const { base } = await serve({ contentType: metrics.registry.contentType, metrics: () => metrics.registry.metrics() })

  const answer = await fetch(`${base}/metrics`)

  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4')
  expect(await answer.text()).toContain('drover_evictions_total{result="blocked"} 1\n')
})

test('metrics that fail are an answer, not a crash', async () => {
  const { base } = await serve({ contentType: 'text/plain', metrics: () => Promise.reject(new Error('collector broke')) })

  expect(await get(`${base}/metrics`)).toEqual({ status: 500, body: 'collector broke\n' })
  expect((await get(`${base}/healthz`)).status).toBe(200)
})

test('other paths and methods are refused; HEAD has no body', async () => {
  const { base } = await serve()

  expect((await get(`${base}/`)).status).toBe(404)
  expect((await get(`${base}/healthz`, 'POST')).status).toBe(405)
  expect(await get(`${base}/healthz`, 'HEAD')).toEqual({ status: 200, body: '' })
})

test.each(['', '8080', 'localhost', '127.0.0.1:', '127.0.0.1:70000', 'a:b:80', '[::1:80'])('address %j is refused', async (address) => {
  await expect(
    serveObservability(
      address,
      createHealth(() => 0, 1, []),
      quiet,
    ),
  ).rejects.toMatchObject({ code: 'BadAddress' })
})

test('a taken address is named', async () => {
  other = createServer()
  await new Promise<void>((resolve) => other?.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`

  await expect(
    serveObservability(
      address,
      createHealth(() => 0, 1, []),
      quiet,
    ),
  ).rejects.toMatchObject({
    code: 'AddressUnavailable',
    message: expect.stringContaining(address),
  })
})

test('close ends open connections, idle ones too', async () => {
  const { base } = await serve()
  const socket = connect(Number(new URL(base).port), '127.0.0.1')
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))

  await open?.close()
  open = undefined

  await closed
  await expect(fetch(`${base}/healthz`)).rejects.toThrow()
})
