import { describe, expect, test } from '@jest/globals'
import { TransportError } from '../../../src/base/errors.ts'
import type { FaultKind } from '../../../src/sandbox/faults.ts'
import { collect } from '../../kube/client/collect.ts'
import { harness, settled } from './harness.ts'

const nodes = '/api/v1/nodes'

async function withNode() {
  const h = harness()
  await h.ok('POST', nodes, { metadata: { name: 'a' } })
  return h
}

const label = (value: string) => ({ metadata: { labels: { value } } })

describe('faults of requests', () => {
  test.each([
    ['throttled', 429],
    ['serverError', 500],
    ['conflict', 409],
  ] as const)('%s answers %i and stores nothing', async (kind, status) => {
    const h = await withNode()
    h.faults.once(kind)
    const answer = await h.merge(`${nodes}/a`, label('x'))
    expect(answer.status).toBe(status)
    if (status === 429) expect(answer.retryAfterMs).toBeGreaterThanOrEqual(1000)
    expect(h.server.peek('nodes', 'a')?.metadata.labels).toBeUndefined()
    expect(h.faults.counts[kind]).toBe(1)
    expect((await h.merge(`${nodes}/a`, label('x'))).status).toBe(200)
  })

  test('conflict strikes edits only', async () => {
    const h = await withNode()
    h.faults.once('conflict')
    await h.ok('GET', `${nodes}/a`)
    await h.ok('POST', nodes, { metadata: { name: 'b' } })
    expect((await h.merge(`${nodes}/a`, label('x'))).status).toBe(409)
  })

  test.each([
    ['resetBefore', undefined],
    ['answerLost', 'x'],
  ] as const)('%s: the caller gets no answer, what is stored is %s', async (kind, stored) => {
    const h = await withNode()
    h.faults.once(kind)
    await expect(h.merge(`${nodes}/a`, label('x'))).rejects.toMatchObject({ code: 'ConnectionLost' })
    expect(h.server.peek('nodes', 'a')?.metadata.labels?.['value']).toBe(stored)
    expect(h.server.history.at(-1)?.answerLost).toBe(stored === undefined ? undefined : true)
  })

  test('a request that hangs ends at its deadline', async () => {
    const h = await withNode()
    h.faults.once('hang')
    const answer = h.call('GET', nodes, undefined, { timeoutMs: 700 }).catch((error: unknown) => error)
    await h.clock.run({ limitMs: 5000 })
    expect(await answer).toMatchObject({ code: 'Timeout' })
    expect(h.clock.mono()).toBe(700)
  })

  test('a request that is aborted rejects at once', async () => {
    const h = await withNode()
    h.faults.latencyMs = [10, 10]
    const stop = new AbortController()
    const answer = h.transport.send({ method: 'GET', path: nodes }, stop.signal)
    stop.abort()
    await expect(answer).rejects.toMatchObject({ code: 'Aborted' })
    await expect(h.transport.send({ method: 'GET', path: nodes }, stop.signal)).rejects.toBeInstanceOf(TransportError)
  })

  test('latency is on both ways', async () => {
    const h = await withNode()
    h.faults.latencyMs = [10, 10]
    let effect = 0
    h.server.onWrite(() => (effect = h.clock.mono()))
    const answer = h.merge(`${nodes}/a`, label('x'))
    await h.clock.run({ limitMs: 1000 })
    await answer
    expect([effect, h.clock.mono()]).toEqual([10, 20])
  })

  test('an outage refuses connections and cuts watches, and then is over', async () => {
    const h = await withNode()
    const watch = await collect(h.transport, nodes)
    h.faults.outage(1000)
    await expect(h.call('GET', nodes)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    await settled()
    expect(watch.end).toMatchObject({ code: 'ConnectionLost' })
    const over = h.clock.sleep(1000)
    await h.clock.run({ limitMs: 1000 })
    await over
    expect((await h.call('GET', nodes)).status).toBe(200)
    expect(h.faults.counts.outage).toBe(1)
  })

  test('rates strike exposed calls only, are reported, and follow the seed', async () => {
    const h = await withNode()
    const struck: FaultKind[] = []
    h.faults.rates = { serverError: 0.3 }
    h.faults.exposed = (call) => call.verb === 'list'
    h.faults.onFault = (kind) => struck.push(kind)
    const statuses: number[] = []
    for (let index = 0; index < 200; index++) statuses.push((await h.call('GET', nodes)).status)
    for (let index = 0; index < 50; index++) expect((await h.call('GET', `${nodes}/a`)).status).toBe(200)
    const failed = statuses.filter((status) => status === 500).length
    expect(failed).toBeGreaterThan(30)
    expect(failed).toBeLessThan(90)
    expect(struck).toHaveLength(failed)
  })
})

describe('faults of watches', () => {
  test('a late event stays in order', async () => {
    const h = await withNode()
    h.faults.watchLagMs = [500, 500]
    const watch = await collect(h.transport, nodes)
    await settled()
    h.faults.once('watchLag')
    await h.merge(`${nodes}/a`, label('1'))
    await h.merge(`${nodes}/a`, label('2'))
    await h.clock.run({ limitMs: 400 })
    expect(watch.said()).toEqual(['ADDED a'])
    await h.clock.run({ limitMs: 200 })
    expect(watch.events.map((event) => event.object.metadata.labels?.value)).toEqual([undefined, '1', '2'])
    watch.stop()
  })

  test('a cut stream breaks', async () => {
    const h = await withNode()
    const watch = await collect(h.transport, nodes)
    h.faults.once('watchCut')
    await h.merge(`${nodes}/a`, label('1'))
    await settled()
    expect(watch.end).toMatchObject({ code: 'ConnectionLost' })
    expect(watch.said()).toEqual(['ADDED a'])
  })

  test('a silent stream stays open and says nothing more, not even at its timeout', async () => {
    const h = await withNode()
    const watch = await collect(h.transport, nodes, { timeoutSeconds: '60', allowWatchBookmarks: 'true' })
    h.faults.once('watchSilent')
    await h.merge(`${nodes}/a`, label('1'))
    await h.merge(`${nodes}/a`, label('2'))
    await h.clock.run({ limitMs: 600_000 })
    expect(watch.end).toBe('open')
    expect(watch.said()).toEqual(['ADDED a'])
    watch.stop()
  })

  test('410 on resuming, as an answer or within the stream', async () => {
    const h = await withNode()
    const forms = new Set<string>()
    const from = { resourceVersion: String(h.server.resourceVersion) }
    for (let tries = 0; tries < 20; tries++) {
      h.faults.once('watchGone')
      const watch = await collect(h.transport, nodes, from)
      await watch.done
      forms.add(watch.status === 410 ? `answer ${watch.body.code}` : `${watch.events[0].type} ${watch.events[0].object.code}`)
    }
    expect([...forms].sort()).toEqual(['ERROR 410', 'answer 410'])
    const again = await collect(h.transport, nodes, from)
    expect(again.status).toBe(200)
    again.stop()
  })
})
