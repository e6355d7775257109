/** Messages to webhooks that misbehave: real servers on loopback, virtual waits. */
import { afterEach, describe, expect, test } from '@jest/globals'
import type http from 'node:http'
import type { NotifyMessage } from '../../src/api/notify.ts'
import { createNotifier } from '../../src/controller/notifier.ts'
import type { Outside } from '../../src/base/process.ts'
import { ApiError } from '../../src/kube/client/api-error.ts'
import type { Client } from '../../src/kube/client/client.ts'
import type { EventDraft } from '../../src/kube/client/events.ts'
import { createOutside } from '../../src/kube/client/outside.ts'
import { noMetrics } from '../../src/observability/metrics.ts'
import type { Notice } from '../../src/rollout/world.ts'
import { virtualClock } from '../kube/client/clocks.ts'
import { type Line, memoryLog, testProcess } from '../kube/client/process.ts'
import { serve, until } from '../kube/client/servers.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Answer = number | readonly [number, Record<string, string>] | 'hang' | 'reset'

interface Hook {
  readonly url: string
  /** What came, and when by the virtual clock. */
  readonly got: { readonly message: NotifyMessage; readonly at: number; readonly path: string }[]
}

function bench(secrets: (name: string) => Record<string, string> = () => ({})) {
  const clock = virtualClock()
  const lines: Line[] = []
  const drafts: EventDraft[] = []
  const results: string[] = []
  const notified = new Set<string>()
  const stop = new AbortController()
  let closed = 0
  const log = memoryLog(lines)
  const outside = createOutside({ clock, log, env: {} })
  let open = 0
  let hanging = 0
  const post: Outside['post'] = async (...request) => {
    open += 1
    try {
      return await outside.post(...request)
    } finally {
      open -= 1
    }
  }
  const client = {
    async get(path: string) {
      const data = secrets(path.split('/').at(-1) ?? '')
      return { data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])) }
    },
  } as unknown as Client
  const notifier = createNotifier({
    process: testProcess({ clock, log, outside: { ...outside, post } }),
    client,
    events: { record: (draft: EventDraft) => void drafts.push(draft), flush: async () => undefined, counters: {} as never },
    metrics: { ...noMetrics, notified: (result) => void results.push(result) },
    notified,
    closed: () => void (closed += 1),
    signal: stop.signal,
  })
  cleanups.push(() => stop.abort())

  /** A webhook that gives these answers, and the last one for ever. */
  async function hook(...answers: readonly Answer[]): Promise<Hook> {
    const got: Hook['got'] = []
    const server = await serve(
      (request, response) => {
        let body = ''
        request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
        request.on('end', () => {
          const answer = answers[Math.min(got.length, answers.length - 1)] ?? 200
          got.push({ message: JSON.parse(body) as NotifyMessage, at: clock.mono(), path: request.url ?? '' })
          if (answer === 'hang') {
            hanging += 1
            response.once('close', () => (hanging -= 1))
          }
          give(answer, request, response)
        })
      },
      { secure: false },
    )
    cleanups.push(() => server.close())
    return { url: `${server.url}/services/T0/B0/token-of-slack`, got }
  }

  /** Lets virtual time pass in small steps until it holds; it stands while an answer is on its way. */
  async function pass(what: string, holds: () => boolean, stepMs = SECOND, limitMs = 2 * 60 * MINUTE): Promise<void> {
    for (const end = clock.mono() + limitMs; !holds(); ) {
      if (clock.mono() >= end) throw new Error(`${what} did not come true`)
      await until(() => open <= hanging, 'the answer')
      if (!holds()) await clock.advance(stepMs)
    }
  }

  return { notifier, clock, lines, drafts, results, notified, stop, hook, pass, closed: () => closed }
}

function give(answer: Answer, request: http.IncomingMessage, response: http.ServerResponse): void {
  if (answer === 'hang') return
  if (answer === 'reset') return void request.socket.resetAndDestroy()
  const [status, headers] = typeof answer === 'number' ? [answer, {}] : answer
  response.writeHead(status, headers).end('the answer quotes token-of-slack')
}

const notice = (key: string, ...to: Notice['to']): Notice => ({
  message: {
    id: `uid/12345678/${key}`,
    event: 'RolloutStarted',
    text: `Plan system-upgrade/p: ${key}`,
    at: '2026-01-01T00:00:00Z',
    plan: { namespace: 'system-upgrade', name: 'p', uid: 'uid' },
    policy: 'careful',
    version: 'v1',
    hash: '1234567890',
    nodes: { selected: 1, done: 0, inFlight: 1, failed: 0, held: 0 },
  },
  policy: { namespace: 'system-upgrade', name: 'careful', uid: 'policy' },
  to,
})
const inline = (url: string, index = 0) => ({ kind: 'url', url, field: `spec.notify[${index}]` }) as const
const secret = (name: string, key = 'url') => ({ kind: 'secret', name, key, field: 'spec.notify[0]' }) as const

describe('a message', () => {
  test('is delivered once, whole, and its matter is closed', async () => {
    const b = bench()
    const { url, got } = await b.hook(200)
    const one = notice('a', inline(url))
    b.notifier.offer([one])
    await until(() => b.notified.has(one.message.id), 'the message was delivered')
    b.notifier.offer([one])
    await b.clock.advance(MINUTE)
    expect(got.map(({ message }) => message)).toEqual([one.message])
    expect(b.results).toEqual(['sent'])
    expect(b.drafts).toEqual([])
    expect(b.closed()).toBeGreaterThan(0)
    // Noted in the cluster, and so offered no more.
    b.notifier.offer([])
    expect([...b.notified]).toEqual([])
  })

  test.each([
    ['an error of the server', 500, 'HTTP status 500'],
    ['a gateway without a server', 503, 'HTTP status 503'],
    ['a hanging server', 'hang', 'Timeout'],
    ['a reset connection', 'reset', 'ConnectionLost (ECONNRESET)'],
    ['a request that took too long', 408, 'HTTP status 408'],
    ['too many requests', 429, 'HTTP status 429'],
  ] as const)('is tried again after %s, with the same id', async (_, answer, why) => {
    const b = bench()
    const { url, got } = await b.hook(answer, answer, 200)
    const one = notice('a', inline(url))
    b.notifier.offer([one])
    await b.pass('delivery', () => b.notified.has(one.message.id))
    expect(got.map(({ message }) => message.id)).toEqual(Array(3).fill(one.message.id))
    expect(b.results).toEqual(['retried', 'retried', 'sent'])
    expect(b.drafts[0]).toMatchObject({
      on: { apiVersion: 'drover.io/v1alpha1', kind: 'RolloutPolicy', namespace: 'system-upgrade', name: 'careful', uid: 'policy' },
      type: 'Warning',
      reason: 'NotifyFailed',
      message: `spec.notify[0]: RolloutStarted of Plan p is tried again: ${why}`,
    })
    // Two seconds, then four, beside what the answers took.
    expect(got[1]!.at - got[0]!.at).toBeGreaterThanOrEqual(2 * SECOND)
    expect(got[2]!.at - got[1]!.at).toBeGreaterThanOrEqual(4 * SECOND)
  })

  test.each([400, 401, 403, 404, 405, 410, 413, 422, 300, 301, 302, 307, 308] as const)(
    'is not tried again after %i, nor anywhere else',
    async (status) => {
      const b = bench()
      const elsewhere = await b.hook(200)
      const { url, got } = await b.hook([status, { location: elsewhere.url }])
      const one = notice('a', inline(url))
      b.notifier.offer([one])
      await until(() => b.notified.has(one.message.id), 'the refusal counts')
      b.notifier.offer([one])
      await b.clock.advance(60 * MINUTE)
      expect([got.length, elsewhere.got.length]).toEqual([1, 0])
      expect(b.results).toEqual(['refused'])
      expect(b.drafts.map(({ message }) => message)).toEqual([
        `spec.notify[0]: RolloutStarted of Plan p is given up: HTTP status ${status}`,
      ])
    },
  )

  test.each([
    ['seconds', '90', 90 * SECOND],
    ['a date', new Date(Date.UTC(2026, 0, 1, 0, 2)).toUTCString(), 119 * SECOND],
    ['more than is granted', '86400', 300 * SECOND],
    ['nonsense', 'soon', 2 * SECOND],
  ])('waits for Retry-After: %s', async (_, header, least) => {
    const b = bench()
    const { url, got } = await b.hook([429, { 'retry-after': header }], 200)
    const one = notice('a', inline(url))
    b.notifier.offer([one])
    await b.pass('delivery', () => b.notified.has(one.message.id))
    const waited = got[1]!.at - got[0]!.at
    expect(waited).toBeGreaterThanOrEqual(least)
    expect(waited).toBeLessThanOrEqual(Math.max(least, 2 * SECOND) + 3 * SECOND)
  })

  test('is given up after half an hour, said by event, log and metric', async () => {
    const b = bench()
    const { url, got } = await b.hook(503)
    const one = notice('a', inline(url))
    b.notifier.offer([one])
    await b.pass('the end', () => b.notified.has(one.message.id))
    expect(b.clock.mono()).toBeGreaterThanOrEqual(30 * MINUTE)
    expect(b.clock.mono()).toBeLessThanOrEqual(36 * MINUTE)
    expect(got.length).toBeGreaterThan(8)
    expect(got.length).toBeLessThan(20)
    expect(b.results.at(-1)).toBe('failed')
    expect(b.drafts.at(-1)?.message).toBe('spec.notify[0]: RolloutStarted of Plan p is given up: HTTP status 503')
    expect(b.lines.at(-1)).toMatchObject({ level: 'warn', fields: { about: one.message.id, again: false } })
  })

  test('that is asked for no more is not sent any more', async () => {
    const b = bench()
    const { url, got } = await b.hook(500)
    b.notifier.offer([notice('a', inline(url))])
    await until(() => got.length === 1, 'the first attempt')
    await until(() => b.results.length === 1, 'its answer')
    b.notifier.offer([])
    await b.clock.advance(60 * MINUTE)
    expect(got).toHaveLength(1)
    expect([...b.notified]).toEqual([])
    // Asked for again, it is another matter.
    b.notifier.offer([notice('a', inline(url))])
    await until(() => got.length === 2, 'the next attempt')
  })

  test('that is on its way when it is asked for no more, and then again, is not sent twice', async () => {
    const b = bench()
    const waiting: http.ServerResponse[] = []
    const server = await serve((_request, response) => void waiting.push(response), { secure: false })
    cleanups.push(() => server.close())
    const one = notice('a', inline(server.url))
    b.notifier.offer([one])
    await until(() => waiting.length === 1, 'the request')
    b.notifier.offer([])
    b.notifier.offer([one])
    waiting[0]?.end()
    await until(() => b.notified.has(one.message.id), 'delivery')
    await b.clock.advance(MINUTE)
    expect(waiting).toHaveLength(1)
  })

  test('is not sent any more when leadership ends', async () => {
    const b = bench()
    const { url, got } = await b.hook(500)
    b.notifier.offer([notice('a', inline(url)), notice('b', inline(url))])
    await until(() => b.results.length === 1, 'the first answer')
    b.stop.abort()
    await b.clock.advance(60 * MINUTE)
    expect(got).toHaveLength(1)
    expect([...b.notified]).toEqual([])
  })
})

describe('webhooks', () => {
  test('get their messages in order, one at a time', async () => {
    const b = bench()
    const { url, got } = await b.hook(200, 500, 200)
    const all = ['a', 'b', 'c'].map((key) => notice(key, inline(url)))
    b.notifier.offer(all)
    await b.pass('all are delivered', () => b.notified.size === 3)
    expect(got.map(({ message }) => message.id.at(-1))).toEqual(['a', 'b', 'b', 'c'])
  })

  test('that were down for a while are trusted again after a success', async () => {
    const b = bench()
    const { url, got } = await b.hook(500, 500, 500, 200, 500, 200)
    b.notifier.offer([notice('a', inline(url)), notice('b', inline(url))])
    await b.pass('both are delivered', () => b.notified.size === 2)
    expect(got[3]!.at - got[2]!.at).toBeGreaterThanOrEqual(8 * SECOND)
    expect(got[5]!.at - got[4]!.at).toBeLessThanOrEqual(4 * SECOND)
  })

  test('do not wait for each other, and a matter is closed when it is for all', async () => {
    const b = bench()
    const dead = await b.hook('hang')
    const alive = await b.hook(200)
    const all = ['a', 'b'].map((key) => notice(key, inline(dead.url, 0), inline(alive.url, 1)))
    b.notifier.offer(all)
    await until(() => alive.got.length === 2, 'the living one was told')
    expect([...b.notified]).toEqual([])
    await b.pass('the dead one is given up', () => b.notified.size === 2)
    expect(alive.got).toHaveLength(2)
    expect(b.results.filter((result) => result !== 'retried')).toEqual(['sent', 'sent', 'failed', 'failed'])
  })

  test('that leave the policy are asked no more, and their successor is', async () => {
    const b = bench()
    const wrong = await b.hook(500)
    const other = await b.hook(200)
    const right = await b.hook(200)
    b.notifier.offer([notice('a', inline(wrong.url), inline(other.url, 1))])
    await until(() => wrong.got.length === 1 && other.got.length === 1, 'both were asked')
    await until(() => b.results.length === 2, 'both have answered')
    b.notifier.offer([notice('a', inline(right.url), inline(other.url, 1))])
    await until(() => b.notified.size === 1, 'the matter is closed')
    await b.clock.advance(60 * MINUTE)
    expect([wrong.got.length, other.got.length, right.got.length]).toEqual([1, 1, 1])
  })

  test('have a queue with an end; what finds no place comes in later', async () => {
    const b = bench()
    const { url, got } = await b.hook(500, 200)
    const all = Array.from({ length: 250 }, (_, index) => notice(`n${index}`, inline(url)))
    b.notifier.offer(all)
    await b.pass('as many as there is place for', () => b.notified.size === 200)
    await b.clock.advance(MINUTE)
    expect(b.notified.size).toBe(200)
    b.notifier.offer(all)
    await b.pass('the rest', () => b.notified.size === 250)
    expect(got).toHaveLength(251)
  })
})

describe('a URL from a Secret', () => {
  test('is read for each attempt, and its end of line does not matter', async () => {
    const held: { url: string | undefined } = { url: undefined }
    const b = bench(() => (held.url === undefined ? {} : { url: held.url }))
    const { url, got } = await b.hook(200)
    const one = notice('a', secret('slack'))
    b.notifier.offer([one])
    await until(() => b.results.length === 1, 'the first attempt')
    expect(b.drafts[0]?.message).toContain('Secret slack has no key url')
    held.url = `${url}\n`
    await b.pass('delivery', () => b.notified.has(one.message.id))
    expect(got.map(({ path }) => path)).toEqual(['/services/T0/B0/token-of-slack'])
  })

  test.each([
    ['that is gone', 404, 'Secret slack cannot be read: HTTP status 404'],
    ['that may not be read', 403, 'Secret slack cannot be read: HTTP status 403'],
  ])('%s is told, and tried again', async (_, status, why) => {
    const b = bench(() => {
      throw new ApiError('GET /secrets/slack', { status, body: { kind: 'Status', message: 'no token-of-slack for you' } })
    })
    b.notifier.offer([notice('a', secret('slack'))])
    await b.pass('two attempts', () => b.results.length === 2)
    expect(b.results).toEqual(['retried', 'retried'])
    expect(b.drafts[0]?.message).toContain(why)
  })

  test.each(['token-of-slack', 'ftp://example.com/token-of-slack', ''])('that is none (%p) is told without its text', async (value) => {
    const b = bench(() => ({ url: value }))
    b.notifier.offer([notice('a', secret('slack'))])
    await until(() => b.results.length === 1, 'the attempt')
    expect(b.drafts[0]?.message).toContain('key url of Secret slack holds no http or https URL')
    expect(JSON.stringify([b.drafts, b.lines])).not.toContain('token-of-slack')
  })

  test('is never told, whatever goes wrong', async () => {
    const gone = await serve(() => {}, { secure: false })
    await gone.close()
    const untrusted = await serve((_request, response) => void response.end())
    cleanups.push(() => untrusted.close())
    const path = '/services/token-of-slack'
    const urls: Record<string, string> = {
      refused: `${gone.url}${path}`,
      untrusted: `${untrusted.url}${path}`,
      unknown: `http://token-of-slack.invalid${path}`,
      password: `http://user:token-of-slack@127.0.0.1:${gone.port}${path}`,
    }
    const b = bench((name) => ({ url: urls[name] ?? '' }))
    const hooks = [await b.hook(500), await b.hook(404), await b.hook('hang'), await b.hook('reset'), await b.hook(200)]
    for (const [index, { url }] of hooks.entries()) urls[`hook-${index}`] = url
    const names = Object.keys(urls)
    const all = names.map((name) => notice(name, secret(name)))
    b.notifier.offer(all)
    await b.pass('all have ended', () => b.notified.size === names.length, 5 * SECOND)
    expect(b.results.filter((result) => result !== 'retried').toSorted()).toEqual(
      ['refused', 'sent', ...Array<string>(names.length - 2).fill('failed')].toSorted(),
    )
    const said = JSON.stringify([b.lines, b.drafts])
    expect(said).toContain('ECONNREFUSED')
    expect(said).not.toContain('token-of-slack')
    for (const { url } of hooks) expect(said).not.toContain(new URL(url).host)
    expect(said).not.toContain(`${gone.port}`)
  }, 60_000)
})
