import { describe, expect, test } from '@jest/globals'
import type { Request, Response } from '../../../src/base/process.ts'
import { createClient } from '../../../src/kube/client/client.ts'
import { createEventRecorder, type EventDraft, type EventRecorder } from '../../../src/kube/client/events.ts'
import { type VirtualClock, virtualClock } from './clocks.ts'
import { refusal, scriptedTransport, testProcess } from './process.ts'

const node = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid' }
const draft: EventDraft = { on: node, type: 'Warning', reason: 'DrainBlocked', message: 'pod a/b is in the way' }

function setUp(answer: (request: Request, n: number) => Response = () => ({ status: 201, body: {} })): {
  recorder: EventRecorder
  clock: VirtualClock
  requests: Request[]
} {
  const clock = virtualClock()
  const transport = scriptedTransport(answer)
  const self = testProcess({ clock, transport, name: 'drover-7d9f' })
  return {
    recorder: createEventRecorder({ process: self, client: createClient(self), component: 'system-upgrade-controller' }),
    clock,
    requests: transport.requests,
  }
}

const bodyOf = (request: Request | undefined): { metadata: { name: string }; message: string } =>
  request?.body as unknown as { metadata: { name: string }; message: string }

describe('events', () => {
  test('are core/v1 Events as kubectl describe looks for them', async () => {
    const { recorder, requests } = setUp()
    recorder.record(draft)
    recorder.record({
      ...draft,
      on: { apiVersion: 'upgrade.cattle.io/v1', kind: 'Plan', namespace: 'system-upgrade', name: 'server-plan', uid: 'p' },
    })
    await recorder.flush()
    expect(requests.map(({ path }) => path)).toEqual(['/api/v1/namespaces/default/events', '/api/v1/namespaces/system-upgrade/events'])
    expect(requests[0]?.body).toEqual({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: expect.stringMatching(/^n1\.[0-9a-f]+$/), namespace: 'default' },
      involvedObject: node,
      type: 'Warning',
      reason: 'DrainBlocked',
      message: 'pod a/b is in the way',
      source: { component: 'system-upgrade-controller' },
      reportingComponent: 'system-upgrade-controller',
      reportingInstance: 'drover-7d9f',
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      count: 1,
    })
  })

  test('that repeat within ten minutes are counted, and the count is written after that', async () => {
    const { recorder, clock, requests } = setUp()
    for (let i = 0; i < 4; i += 1) recorder.record(draft)
    recorder.record({ ...draft, message: 'another pod is in the way' })
    await recorder.flush()
    expect(requests).toHaveLength(2)
    await clock.advance(600_000)
    recorder.record(draft)
    await recorder.flush()
    const { metadata } = bodyOf(requests[0])
    expect(requests[2]).toMatchObject({
      method: 'PATCH',
      path: `/api/v1/namespaces/default/events/${metadata.name}`,
      body: { count: 5, lastTimestamp: '2026-01-01T00:10:00Z' },
    })
    expect(recorder.counters).toEqual({ written: 3, repeated: 3, dropped: 0, failed: 0 })
  })

  test('that the API server has forgotten are made anew', async () => {
    const { recorder, clock, requests } = setUp(({ method }) => (method === 'PATCH' ? refusal(404, 'NotFound') : { status: 201, body: {} }))
    recorder.record(draft)
    await clock.advance(3_600_000)
    recorder.record(draft)
    await recorder.flush()
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'POST'])
    expect(requests[2]?.body).toMatchObject({ count: 1 })
  })

  test('that fail are counted, never thrown, and tried again when they happen again', async () => {
    const { recorder, requests } = setUp((_request, n) => (n === 1 ? refusal(403, 'Forbidden') : { status: 201, body: {} }))
    recorder.record(draft)
    await recorder.flush()
    recorder.record(draft)
    await recorder.flush()
    expect(requests).toHaveLength(2)
    expect(recorder.counters).toMatchObject({ written: 1, failed: 1 })
  })

  test('of one object are limited to 25 at once and one in five minutes; others are not touched', async () => {
    const { recorder, clock, requests } = setUp()
    for (let i = 0; i < 40; i += 1) recorder.record({ ...draft, message: `try ${i}` })
    recorder.record({ ...draft, on: { ...node, name: 'n2', uid: 'u2' } })
    await recorder.flush()
    expect(requests).toHaveLength(26)
    await clock.advance(300_000)
    for (let i = 50; i < 60; i += 1) recorder.record({ ...draft, message: `try ${i}` })
    await recorder.flush()
    expect(requests).toHaveLength(27)
    expect(recorder.counters.dropped).toBe(24)
  })

  test('that cannot be sent do not pile up', async () => {
    const { recorder, clock, requests } = setUp()
    for (let i = 0; i < 1_000; i += 1) recorder.record({ ...draft, on: { ...node, name: `n${i}`, uid: String(i) } })
    await clock.advance(0)
    await recorder.flush()
    expect(requests).toHaveLength(257)
    expect(recorder.counters.dropped).toBe(743)
  })

  test('have valid names and bounded messages, whatever they are about', async () => {
    const { recorder, requests } = setUp()
    recorder.record({ ...draft, on: { ...node, name: `${'a'.repeat(219)}.${'b'.repeat(33)}` }, message: 'x'.repeat(5_000) })
    await recorder.flush()
    const body = bodyOf(requests[0])
    expect(body.metadata.name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)
    expect(body.metadata.name.length).toBeLessThanOrEqual(253)
    expect(body.message).toHaveLength(1_024)
  })
})
