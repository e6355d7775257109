import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../../src/base/json.ts'
import { harness, pod } from './harness.ts'

const pods = '/api/v1/namespaces/default/pods'
const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets'
const labels = { app: 'db' }

/** A running pod on a node, Ready or not, under budgets with these statuses. */
async function world(statuses: readonly JsonObject[], more: { ready?: boolean; phase?: string; spec?: JsonObject } = {}) {
  const h = harness()
  await h.ok('POST', pods, pod('db-0', { metadata: { labels } }))
  await h.ok('POST', `${pods}/db-0/binding`, { target: { kind: 'Node', name: 'n1' } })
  const ready = { type: 'Ready', status: more.ready === false ? 'False' : 'True' }
  await h.merge(`${pods}/db-0/status`, { status: { phase: more.phase ?? 'Running', conditions: [ready] } })
  for (const [index, status] of statuses.entries()) {
    await h.ok('POST', budgets, { metadata: { name: `b${index}` }, spec: { selector: { matchLabels: labels }, ...more.spec } })
    await h.merge(`${budgets}/b${index}/status`, { status: { observedGeneration: 1, ...status } })
  }
  const evict = (body: JsonObject = {}) =>
    h.call('POST', `${pods}/db-0/eviction`, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: 'db-0', namespace: 'default' },
      ...body,
    })
  const leaving = () => h.server.peek('pods', 'db-0', 'default')?.metadata.deletionTimestamp !== undefined
  return { h, evict, leaving }
}

const full = { disruptionsAllowed: 0, currentHealthy: 2, desiredHealthy: 2 }

describe('eviction', () => {
  test('without a budget is a graceful delete', async () => {
    const { evict, leaving, h } = await world([])
    expect(await evict()).toMatchObject({ status: 201, body: { status: 'Success' } })
    expect(leaving()).toBe(true)
    expect(h.server.history.at(-1)?.ref).toMatchObject({ resource: 'pods', subresource: 'eviction', name: 'db-0' })
  })

  test('takes one disruption from the budget and notes the pod', async () => {
    const { evict, leaving, h } = await world([{ disruptionsAllowed: 1, currentHealthy: 3, desiredHealthy: 2 }])
    expect((await evict()).status).toBe(201)
    expect(leaving()).toBe(true)
    expect(h.server.peek('poddisruptionbudgets', 'b0', 'default')?.['status']).toMatchObject({
      disruptionsAllowed: 0,
      disruptedPods: { 'db-0': '2026-01-01T00:00:00Z' },
    })
  })

  test('is refused with 429, the cause and its text, when the budget is spent', async () => {
    const { evict, leaving } = await world([full])
    expect(await evict()).toMatchObject({
      status: 429,
      body: {
        reason: 'TooManyRequests',
        message: "Cannot evict pod as it would violate the pod's disruption budget.",
        details: { causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget b0 needs 2 healthy pods and has 2 currently' }] },
      },
    })
    expect(leaving()).toBe(false)
  })

  test('waits for a budget that the controller has not seen', async () => {
    const { evict } = await world([{ observedGeneration: 0, disruptionsAllowed: 1 }])
    expect(await evict()).toMatchObject({
      status: 429,
      retryAfterMs: 10_000,
      body: { details: { causes: [{ message: 'The disruption budget b0 is still being processed by the server.' }] } },
    })
  })

  test('two budgets are an error', async () => {
    const { evict, leaving } = await world([full, full])
    expect(await evict()).toMatchObject({
      status: 500,
      body: { message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.' },
    })
    expect(leaving()).toBe(false)
  })

  test.each(['Pending', 'Succeeded', 'Failed'])('a %s pod needs no budget', async (phase) => {
    const { evict } = await world([full, full], { phase })
    expect((await evict()).status).toBe(201)
  })

  test.each<[string, string | undefined, JsonObject, number]>([
    ['goes while the budget is healthy', undefined, full, 201],
    ['stays when it is not', undefined, { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2 }, 429],
    ['goes always if the policy says so', 'AlwaysAllow', { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2 }, 201],
  ])('a pod that is not Ready %s', async (_what, policy, status, expected) => {
    const { evict } = await world([status], {
      ready: false,
      ...(policy === undefined ? {} : { spec: { unhealthyPodEvictionPolicy: policy } }),
    })
    expect((await evict()).status).toBe(expected)
  })

  test('a dry run takes nothing, another uid is a conflict, nobody is not found', async () => {
    const { evict, leaving, h } = await world([{ disruptionsAllowed: 1, currentHealthy: 3, desiredHealthy: 2 }])
    expect((await evict({ deleteOptions: { dryRun: ['All'] } })).status).toBe(201)
    expect(h.server.peek('poddisruptionbudgets', 'b0', 'default')?.['status']).toMatchObject({ disruptionsAllowed: 1 })
    expect((await evict({ deleteOptions: { preconditions: { uid: 'other' } } })).status).toBe(409)
    expect(leaving()).toBe(false)
    expect((await h.call('POST', `${pods}/nope/eviction`, { metadata: { name: 'nope' } })).status).toBe(404)
  })

  test('is denied by an admission webhook in its own words, also as a dry run, before a budget is asked', async () => {
    const webhook = 'guard.example.com'
    const answers = [
      { webhook, message: 'busy', reason: 'Forbidden', code: 403 },
      { webhook, reason: 'Busy' },
      { webhook, code: 0 },
    ]
    const h = harness({ admit: (_, { subresource }) => (subresource === 'eviction' ? answers.shift() : undefined) })
    await h.ok('POST', pods, pod('db-0', { metadata: { labels } }))
    const evict = (dryRun: object = {}) =>
      h.call('POST', `${pods}/db-0/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'db-0' } }, dryRun)
    const by = `admission webhook "${webhook}" denied the request`
    expect(await evict()).toMatchObject({ status: 403, body: { reason: 'Forbidden', message: `${by}: busy` } })
    expect(await evict({ query: { dryRun: 'All' } })).toMatchObject({ status: 400, body: { message: `${by}: Busy` } })
    expect(await evict()).toMatchObject({ status: 400, body: { message: `${by} without explanation` } })
    expect(h.server.peek('pods', 'db-0', 'default')?.metadata.deletionTimestamp).toBeUndefined()
    expect((await evict()).status).toBe(201)
  })
})
