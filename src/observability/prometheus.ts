import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ChannelResult, EvictionResult, Metrics, NotifyResult, QueueFigures, ReconcileResult } from './metrics.ts'

/** The `controller` label of controller-runtime's metrics. */
const CONTROLLER = 'plan'

const RECONCILE_RESULTS: readonly ReconcileResult[] = ['success', 'error', 'requeue', 'requeue_after']
const EVICTION_RESULTS: readonly EvictionResult[] = ['evicted', 'deleted', 'blocked', 'gone', 'error']
const CHANNEL_RESULTS: readonly ChannelResult[] = ['resolved', 'refused', 'error']
const NOTIFY_RESULTS: readonly NotifyResult[] = ['sent', 'retried', 'refused', 'failed']

/** Seconds: from a pass over a quiet cluster to one that waits for slow answers. */
const PASS_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30]
/** Seconds: phases last from moments to hours. */
const PHASE_BUCKETS = [1, 5, 15, 30, 60, 120, 300, 600, 1200, 3600, 14_400]

export interface PrometheusMetrics extends Metrics {
  readonly registry: Registry
}

/** Metrics in a Prometheus registry of their own. Results that never happened stand at 0, so that alerts on rates work from the start. */
export function prometheusMetrics(): PrometheusMetrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name, help, labelNames, registers })
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[]) => new Gauge({ name, help, labelNames, registers })
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers })

  const reconciles = counter('controller_runtime_reconcile_total', 'Passes over all Plans, by result.', ['controller', 'result'])
  const reconcileErrors = counter('controller_runtime_reconcile_errors_total', 'Passes that ended in an error.', ['controller'])
  const reconcileTime = histogram('controller_runtime_reconcile_time_seconds', 'Duration of a pass.', ['controller'], PASS_BUCKETS)
  const queues = queueMetrics(registry)
  const requests = counter(
    'rest_client_requests_total',
    'API requests by method, path with its names replaced, and status code; code <error> when no answer came.',
    ['method', 'path', 'code'],
  )
  const leader = gauge('leader_election_master_status', '1 while this replica leads.', ['name'])
  const nodes = gauge('drover_nodes', 'Nodes that a Plan selects, by phase.', ['plan', 'phase'])
  const holds = gauge('drover_holds', 'Nodes that wait, by Plan and leading reason.', ['plan', 'reason'])
  const phases = histogram('drover_phase_duration_seconds', 'How long nodes stay in a phase.', ['phase'], PHASE_BUCKETS)
  const withdrawn = counter('drover_claims_withdrawn_total', 'Claims given back untouched because a limit would have been broken.', [])
  const evictions = counter('drover_evictions_total', 'Attempts to remove a pod from a node, by result.', ['result'])
  const restarts = counter('drover_watch_restarts_total', 'Watches that broke and were resumed, by resource.', ['resource'])
  const polls = counter('drover_channel_polls_total', 'Questions to release channels, by result.', ['result'])
  const notifications = counter('drover_notifications_total', 'Attempts to tell a webhook, by result.', ['result'])
  processMetrics(registry)

  for (const result of RECONCILE_RESULTS) reconciles.inc({ controller: CONTROLLER, result }, 0)
  reconcileErrors.inc({ controller: CONTROLLER }, 0)
  for (const result of EVICTION_RESULTS) evictions.inc({ result }, 0)
  for (const result of CHANNEL_RESULTS) polls.inc({ result }, 0)
  for (const result of NOTIFY_RESULTS) notifications.inc({ result }, 0)

  return {
    registry,
    reconciled(result, seconds) {
      reconciles.inc({ controller: CONTROLLER, result })
      if (result === 'error') reconcileErrors.inc({ controller: CONTROLLER })
      reconcileTime.observe({ controller: CONTROLLER }, seconds)
    },
    queue: (name, read) => {
      queues.set(name, read)
    },
    requested: (method, path, code) => requests.inc({ method, path, code }),
    leads: (name, leading) => leader.set({ name }, leading ? 1 : 0),
    nodes(counts) {
      nodes.reset()
      for (const { plan, phase, count } of counts) nodes.set({ plan, phase }, count)
    },
    holds(counts) {
      holds.reset()
      for (const { plan, reason, count } of counts) holds.set({ plan, reason }, count)
    },
    phaseEnded: (phase, seconds) => phases.observe({ phase }, seconds),
    claimWithdrawn: () => withdrawn.inc(),
    evicted: (result) => evictions.inc({ result }),
    watchRestarted: (resource) => restarts.inc({ resource }),
    channelPolled: (result) => polls.inc({ result }),
    notified: (result) => notifications.inc({ result }),
  }
}

const QUEUE_TOTALS: readonly (readonly [string, string, (figures: QueueFigures) => number])[] = [
  ['workqueue_adds_total', 'Items added to a work queue.', (figures) => figures.adds],
  ['workqueue_retries_total', 'Items added again after an error.', (figures) => figures.retries],
  ['workqueue_queue_duration_seconds_sum', 'Time that items waited in a work queue.', (figures) => figures.queueDurationMs.sum / 1000],
  ['workqueue_queue_duration_seconds_count', 'Items taken up from a work queue.', (figures) => figures.queueDurationMs.count],
  ['workqueue_work_duration_seconds_sum', 'Time that processing items took.', (figures) => figures.workDurationMs.sum / 1000],
  ['workqueue_work_duration_seconds_count', 'Items processed.', (figures) => figures.workDurationMs.count],
]

const QUEUE_STATES: readonly (readonly [string, string, (figures: QueueFigures) => number])[] = [
  ['workqueue_depth', 'Items waiting in a work queue now.', (figures) => figures.depth],
  ['workqueue_unfinished_work_seconds', 'Time spent so far on items being processed now.', (figures) => figures.unfinishedWorkMs / 1000],
  ['workqueue_longest_running_processor_seconds', 'Of these the longest.', (figures) => figures.longestRunningMs / 1000],
]

/** Figures of work queues, read from the queues themselves when asked for. Returns the queues by name, to be filled. */
function queueMetrics(registry: Registry): Map<string, () => QueueFigures> {
  const queues = new Map<string, () => QueueFigures>()
  const registers = [registry]
  const labelNames = ['name']
  for (const [name, help, value] of QUEUE_TOTALS) {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [queue, read] of queues) this.inc({ name: queue }, value(read()))
      },
    })
  }
  for (const [name, help, value] of QUEUE_STATES) {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const [queue, read] of queues) this.set({ name: queue }, value(read()))
      },
    })
  }
  return queues
}

/** The few figures about the process itself that are read when asked for. prom-client's own set keeps a 10 ms timer running. */
function processMetrics(registry: Registry): void {
  const registers = [registry]
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Gauge({
    name: 'nodejs_heap_size_used_bytes',
    help: 'Heap in use.',
    registers,
    collect() {
      this.set(process.memoryUsage().heapUsed)
    },
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time used, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
}
