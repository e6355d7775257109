import { expect, test } from '@jest/globals'
import { noMetrics } from '../../src/observability/metrics.ts'
import { prometheusMetrics } from '../../src/observability/prometheus.ts'
import { expectDocumentedTable } from '../house/generated.ts'

async function value(metrics: ReturnType<typeof prometheusMetrics>, name: string, labels: Record<string, string> = {}) {
  const found = await metrics.registry.getSingleMetric(name)?.get()
  return found?.values.find((sample) => Object.entries(labels).every(([key, wanted]) => sample.labels[key as never] === wanted))?.value
}

test('docs/metrics.md lists exactly the metrics of the registry', async () => {
  const { registry } = prometheusMetrics()
  const rows = await Promise.all(
    (await registry.getMetricsAsJSON()).map(async ({ name, type, help }) => {
      const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: string[] }
      return [`\`${name}\``, String(type), labelNames.map((label) => `\`${label}\``).join(' '), help]
    }),
  )

  expectDocumentedTable('docs/metrics.md', ['name', 'type', 'labels', 'meaning'], rows)
})

test.each([
  ['controller_runtime_reconcile_total', { result: 'success' }],
  ['controller_runtime_reconcile_total', { result: 'error' }],
  ['controller_runtime_reconcile_total', { result: 'requeue' }],
  ['controller_runtime_reconcile_total', { result: 'requeue_after' }],
  ['controller_runtime_reconcile_errors_total', { controller: 'plan' }],
  ['drover_evictions_total', { result: 'blocked' }],
  ['drover_channel_polls_total', { result: 'refused' }],
  ['drover_claims_withdrawn_total', {}],
])('%s%j stands at 0 before anything happens', async (name, labels) => {
  expect(await value(prometheusMetrics(), name, labels)).toBe(0)
})

test('what happens is counted under its labels', async () => {
  const metrics = prometheusMetrics()

  metrics.reconciled('success', 0.2)
  metrics.reconciled('error', 0.2)
  metrics.requested('PATCH', '/api/v1/nodes/{name}', '409')
  metrics.requested('PATCH', '/api/v1/nodes/{name}', '<error>')
  metrics.leads('system-upgrade-controller', true)
  metrics.evicted('blocked')
  metrics.claimWithdrawn()
  metrics.watchRestarted('nodes')
  metrics.channelPolled('error')
  metrics.phaseEnded('Draining', 42)

  expect(await value(metrics, 'controller_runtime_reconcile_total', { result: 'success' })).toBe(1)
  expect(await value(metrics, 'controller_runtime_reconcile_errors_total')).toBe(1)
  expect(await value(metrics, 'leader_election_master_status', { name: 'system-upgrade-controller' })).toBe(1)
  expect(await value(metrics, 'drover_evictions_total', { result: 'blocked' })).toBe(1)
  expect(await value(metrics, 'drover_claims_withdrawn_total')).toBe(1)
  expect(await value(metrics, 'drover_watch_restarts_total', { resource: 'nodes' })).toBe(1)
  expect(await value(metrics, 'drover_channel_polls_total', { result: 'error' })).toBe(1)
  const text = await metrics.registry.metrics()
  expect(text).toContain('rest_client_requests_total{method="PATCH",path="/api/v1/nodes/{name}",code="409"} 1\n')
  expect(text).toContain('rest_client_requests_total{method="PATCH",path="/api/v1/nodes/{name}",code="<error>"} 1\n')
  expect(text).toContain('drover_phase_duration_seconds_bucket{le="60",phase="Draining"} 1\n')
  expect(text).toContain('drover_phase_duration_seconds_bucket{le="30",phase="Draining"} 0\n')
})

test('a picture of nodes or holds replaces the one before, so that a Plan that is gone leaves no series', async () => {
  const metrics = prometheusMetrics()
  metrics.nodes([{ plan: 'ns/old', phase: 'Done', count: 3 }])
  metrics.holds([{ plan: 'ns/old', reason: 'Paused', count: 2 }])

  metrics.nodes([{ plan: 'ns/new', phase: 'Upgrading', count: 1 }])
  metrics.holds([])

  expect(await value(metrics, 'drover_nodes', { plan: 'ns/new', phase: 'Upgrading' })).toBe(1)
  expect(await metrics.registry.metrics()).not.toContain('ns/old')
})

test('figures of a work queue are read when asked for, in seconds', async () => {
  const metrics = prometheusMetrics()
  let adds = 3
  metrics.queue('plans', () => ({
    depth: 1,
    adds,
    retries: 2,
    queueDurationMs: { sum: 1500, count: 3 },
    workDurationMs: { sum: 2500, count: 4 },
    unfinishedWorkMs: 250,
    longestRunningMs: 100,
  }))

  await metrics.registry.metrics()
  adds = 4
  const text = await metrics.registry.metrics()

  const lines = text.split('\n').filter((line) => line.startsWith('workqueue_'))
  expect(lines).toEqual([
    'workqueue_adds_total{name="plans"} 4',
    'workqueue_retries_total{name="plans"} 2',
    'workqueue_queue_duration_seconds_sum{name="plans"} 1.5',
    'workqueue_queue_duration_seconds_count{name="plans"} 3',
    'workqueue_work_duration_seconds_sum{name="plans"} 2.5',
    'workqueue_work_duration_seconds_count{name="plans"} 4',
    'workqueue_depth{name="plans"} 1',
    'workqueue_unfinished_work_seconds{name="plans"} 0.25',
    'workqueue_longest_running_processor_seconds{name="plans"} 0.1',
  ])
})

test('figures about the process are read when asked for', async () => {
  const metrics = prometheusMetrics()

  expect(await value(metrics, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
  expect(await value(metrics, 'nodejs_heap_size_used_bytes')).toBeGreaterThan(1e5)
  const first = (await value(metrics, 'process_cpu_seconds_total')) ?? Number.NaN
  const second = (await value(metrics, 'process_cpu_seconds_total')) ?? Number.NaN
  expect(first).toBeGreaterThan(0)
  expect(second).toBeLessThan(first * 2)
})

test('two registries share nothing', async () => {
  const one = prometheusMetrics()
  const other = prometheusMetrics()

  one.claimWithdrawn()

  expect(await value(other, 'drover_claims_withdrawn_total')).toBe(0)
})

test('the silent implementation takes every call', () => {
  expect(Object.keys(noMetrics).toSorted()).toEqual(
    Object.keys(prometheusMetrics())
      .filter((key) => key !== 'registry')
      .toSorted(),
  )
})
