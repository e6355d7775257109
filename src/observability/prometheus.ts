import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ChannelResult, EvictionResult, Metrics, ReconcileResult } from './metrics.ts'

/** The `controller` label of controller-runtime's metrics. */
const CONTROLLER = 'plan'

const RECONCILE_RESULTS: readonly ReconcileResult[] = ['success', 'error', 'requeue', 'requeue_after']
const EVICTION_RESULTS: readonly EvictionResult[] = ['evicted', 'deleted', 'blocked', 'gone', 'error']
const CHANNEL_RESULTS: readonly ChannelResult[] = ['resolved', 'refused', 'error']

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
  const queueAdds = counter('workqueue_adds_total', 'Items added to a work queue.', ['name'])
  const queueRetries = counter('workqueue_retries_total', 'Items added again after an error.', ['name'])
  const queueDepth = gauge('workqueue_depth', 'Items waiting in a work queue now.', ['name'])
  const queueWait = histogram('workqueue_queue_duration_seconds', 'How long items wait in a work queue.', ['name'], PASS_BUCKETS)
  const queueWork = histogram('workqueue_work_duration_seconds', 'How long an item takes to process.', ['name'], PASS_BUCKETS)
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
  processMetrics(registry)

  for (const result of RECONCILE_RESULTS) reconciles.inc({ controller: CONTROLLER, result }, 0)
  reconcileErrors.inc({ controller: CONTROLLER }, 0)
  for (const result of EVICTION_RESULTS) evictions.inc({ result }, 0)
  for (const result of CHANNEL_RESULTS) polls.inc({ result }, 0)

  return {
    registry,
    reconciled(result, seconds) {
      reconciles.inc({ controller: CONTROLLER, result })
      if (result === 'error') reconcileErrors.inc({ controller: CONTROLLER })
      reconcileTime.observe({ controller: CONTROLLER }, seconds)
    },
    queueAdded: (name) => queueAdds.inc({ name }),
    queueRetried: (name) => queueRetries.inc({ name }),
    queueDepth: (name, depth) => queueDepth.set({ name }, depth),
    queueWaited: (name, seconds) => queueWait.observe({ name }, seconds),
    queueWorked: (name, seconds) => queueWork.observe({ name }, seconds),
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
  }
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
