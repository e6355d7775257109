import { describe, expect, test } from '@jest/globals'
import { TransportError } from '../../../src/base/errors.ts'
import type { Json } from '../../../src/base/json.ts'
import type { Request, Response } from '../../../src/base/process.ts'
import { ApiError, isAlreadyExists, isConflict, isGone, isNotFound } from '../../../src/kube/client/api-error.ts'
import { createClient } from '../../../src/kube/client/client.ts'
import { virtualClock } from './clocks.ts'
import { refusal, scriptedTransport, testProcess } from './process.ts'

const ok = (body: Json): Response => ({ status: 200, body })
const node = (name: string): Json => ({ metadata: { name } })

function paged(pages: Record<string, Response>): (request: Request) => Response {
  return (request) => pages[request.query?.['continue'] ?? ''] ?? refusal(404, 'NotFound')
}

const page = (names: readonly string[], resourceVersion: string, token?: string): Response =>
  ok({ metadata: { resourceVersion, ...(token === undefined ? {} : { continue: token }) }, items: names.map(node) })

describe('list', () => {
  test('follows continue to the end and asks for 500 a page', async () => {
    const transport = scriptedTransport(paged({ '': page(['a', 'b'], '7', 't1'), t1: page(['c'], '7', 't2'), t2: page([], '7') }))
    const client = createClient(testProcess({ transport }))

    const { items, resourceVersion } = await client.list('/api/v1/nodes', { query: { labelSelector: 'a=b' } })

    expect(items).toEqual([node('a'), node('b'), node('c')])
    expect(resourceVersion).toBe('7')
    expect(transport.requests.map(({ query }) => query)).toEqual([
      { labelSelector: 'a=b', limit: '500' },
      { labelSelector: 'a=b', limit: '500', continue: 't1' },
      { labelSelector: 'a=b', limit: '500', continue: 't2' },
    ])
  })

  test('is a quorum read unless a version is asked for, and then only on the first page', async () => {
    const transport = scriptedTransport(paged({ '': page(['a'], '7', 't1'), t1: page([], '7') }))
    await createClient(testProcess({ transport })).list('/api/v1/nodes', { query: { resourceVersion: '0' } })
    expect(transport.requests.map(({ query }) => query?.['resourceVersion'])).toEqual(['0', undefined])
  })

  test('begins again once when the token has expired, without the pages before', async () => {
    let expired = false
    const transport = scriptedTransport((request) => {
      if (request.query?.['continue'] === undefined) return expired ? page(['b'], '9') : page(['a'], '7', 'old')
      expired = true
      return refusal(410, 'Expired')
    })
    const client = createClient(testProcess({ transport }))

    await expect(client.list('/api/v1/nodes')).resolves.toEqual({ items: [node('b')], resourceVersion: '9' })
    expect(transport.requests).toHaveLength(3)
  })

  test('gives up when the token expires twice', async () => {
    const transport = scriptedTransport((request) =>
      request.query?.['continue'] === undefined ? page(['a'], '7', 'old') : refusal(410, 'Expired'),
    )
    const error = await createClient(testProcess({ transport }))
      .list('/api/v1/nodes')
      .catch((thrown: unknown) => thrown)
    expect(isGone(error)).toBe(true)
    expect(transport.requests).toHaveLength(4)
  })

  test('takes a null list for an empty one, as Go writes it', async () => {
    const transport = scriptedTransport(() => ok({ metadata: { resourceVersion: '3' }, items: null }))
    await expect(createClient(testProcess({ transport })).list('/x')).resolves.toEqual({ items: [], resourceVersion: '3' })
  })
})

describe('reads', () => {
  test.each([
    ['500', refusal(500, 'InternalError')],
    ['429', { ...refusal(429, 'TooManyRequests'), retryAfterMs: 3000 }],
    ['a lost answer', new TransportError('ConnectionLost', 'reset')],
    ['a refused connection', new TransportError('ConnectionFailed', 'refused')],
  ])('are tried again after %s', async (_, failure) => {
    const clock = virtualClock()
    const transport = scriptedTransport((_request, n) => (n <= 2 ? failure : ok(node('a'))))
    const result = createClient(testProcess({ transport, clock })).get('/api/v1/nodes/a')
    await clock.advance(10_000)
    await expect(result).resolves.toEqual(node('a'))
    expect(transport.requests).toHaveLength(3)
  })

  test('wait as long as the server asks', async () => {
    const clock = virtualClock()
    const transport = scriptedTransport((_request, n) => (n === 1 ? { ...refusal(429, ''), retryAfterMs: 5000 } : ok({})))
    const result = createClient(testProcess({ transport, clock })).get('/x')
    await clock.advance(4_999)
    expect(transport.requests).toHaveLength(1)
    await clock.advance(1)
    await result
    expect(transport.requests).toHaveLength(2)
  })

  test.each([
    ['404', refusal(404, 'NotFound')],
    ['a wait that is too long', { ...refusal(429, ''), retryAfterMs: 60_000 }],
    ['a deadline', new TransportError('Timeout', 'late')],
  ])('are not tried again after %s', async (_, failure) => {
    const transport = scriptedTransport(() => failure)
    await expect(createClient(testProcess({ transport })).get('/x')).rejects.toThrow()
    expect(transport.requests).toHaveLength(1)
  })

  test('stop trying after three times', async () => {
    const clock = virtualClock()
    const transport = scriptedTransport(() => refusal(503, 'ServiceUnavailable'))
    const result = createClient(testProcess({ transport, clock }))
      .get('/x')
      .catch((error: unknown) => error)
    await clock.advance(60_000)
    await expect(result).resolves.toMatchObject({ status: 503 })
    expect(transport.requests).toHaveLength(4)
  })

  test('stop waiting when the signal aborts', async () => {
    const clock = virtualClock()
    const stop = new AbortController()
    const transport = scriptedTransport(() => refusal(503, 'ServiceUnavailable'))
    const result = createClient(testProcess({ transport, clock }))
      .get('/x', { signal: stop.signal })
      .catch(() => 'ended')
    await clock.advance(1)
    stop.abort()
    await expect(result).resolves.toBe('ended')
    expect(transport.requests).toHaveLength(1)
    expect(clock.sleepers).toBe(0)
  })

  test('an answer that is no object is a bad answer', async () => {
    const transport = scriptedTransport(() => ok('<html>login</html>'))
    await expect(createClient(testProcess({ transport })).get('/x')).rejects.toMatchObject({ code: 'BadAnswer' })
  })

  test('text gives a log as it is', async () => {
    const transport = scriptedTransport(() => ok('line 1\nline 2\n'))
    await expect(createClient(testProcess({ transport })).text('/log', { query: { tailLines: '2' } })).resolves.toBe('line 1\nline 2\n')
  })
})

describe('writes', () => {
  test('say what they are', async () => {
    const transport = scriptedTransport(() => ok({}))
    const client = createClient(testProcess({ transport }))
    await client.create('/pods', { a: 1 }, { dryRun: true, fieldManager: 'drover' })
    await client.mergePatch('/pods/a', { b: 2 }, { fieldManager: 'drover' })
    await client.jsonPatch('/pods/a', [{ op: 'test', path: '/a', value: 1 }])
    await client.replace('/pods/a', { c: 3 }, { timeoutMs: 5 })
    await client.delete('/pods/a', { uid: 'u', resourceVersion: '4', propagationPolicy: 'Background', gracePeriodSeconds: 0 })
    expect(transport.requests).toEqual([
      { method: 'POST', path: '/pods', body: { a: 1 }, query: { dryRun: 'All', fieldManager: 'drover' } },
      { method: 'PATCH', path: '/pods/a', body: { b: 2 }, contentType: 'application/merge-patch+json', query: { fieldManager: 'drover' } },
      { method: 'PATCH', path: '/pods/a', body: [{ op: 'test', path: '/a', value: 1 }], contentType: 'application/json-patch+json' },
      { method: 'PUT', path: '/pods/a', body: { c: 3 }, timeoutMs: 5 },
      {
        method: 'DELETE',
        path: '/pods/a',
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          preconditions: { uid: 'u', resourceVersion: '4' },
          propagationPolicy: 'Background',
          gracePeriodSeconds: 0,
        },
      },
    ])
  })

  test.each([refusal(500, 'InternalError'), refusal(429, 'TooManyRequests'), new TransportError('ConnectionLost', 'reset')])(
    'are never sent twice',
    async (failure) => {
      const transport = scriptedTransport(() => failure)
      const client = createClient(testProcess({ transport }))
      for (const write of [client.create('/x', {}), client.mergePatch('/x', {}), client.replace('/x', {}), client.delete('/x')]) {
        await expect(write).rejects.toThrow()
      }
      expect(transport.requests).toHaveLength(4)
    },
  )
})

describe('ApiError', () => {
  const error = (response: Response): ApiError => new ApiError('GET /x', response)

  test('tells conflicts from things that exist', () => {
    expect([isConflict, isAlreadyExists].map((is) => is(error(refusal(409, 'Conflict'))))).toEqual([true, false])
    expect([isConflict, isAlreadyExists].map((is) => is(error(refusal(409, 'AlreadyExists'))))).toEqual([false, true])
    expect(isNotFound(new Error('404'))).toBe(false)
  })

  test.each([
    [429, '', 'after'],
    [503, '', 'after'],
    [500, '', 'backoff'],
    [401, '', 'backoff'],
    [409, 'Conflict', 'backoff'],
    [409, 'AlreadyExists', 'never'],
    [403, 'Forbidden', 'never'],
    [422, 'Invalid', 'never'],
  ])('says whether to retry a %i %s', (status, reason, retry) => {
    expect(error(refusal(status, reason)).retry).toBe(retry)
  })

  test('keeps what the server said, within bounds', () => {
    const long = error({ status: 502, body: `<html>${'x'.repeat(100_000)}` })
    expect(long.message.length).toBeLessThan(1_100)
    expect(long.message).toMatch(/^GET \/x: 502 <html>xxx/)
    const details = { kind: 'pods', causes: [{ reason: 'DisruptionBudget', message: 'budget' }] }
    expect(error({ status: 429, retryAfterMs: 10_000, body: { reason: 'TooManyRequests', message: 'no', details } })).toMatchObject({
      code: 'ApiError',
      status: 429,
      reason: 'TooManyRequests',
      retryAfterMs: 10_000,
      details,
    })
  })
})
