/** The controller's life: CRDs, own permissions, caches, leadership, loop. */
import { setMaxListeners } from 'node:events'
import { messageOf } from '../base/errors.ts'
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import { createClient } from '../kube/client/client.ts'
import { createEventRecorder } from '../kube/client/events.ts'
import { runLease } from '../kube/client/lease.ts'
import { createQueue } from '../kube/client/queue.ts'
import { createHealth, type Health } from '../observability/health.ts'
import { type Metrics, noMetrics } from '../observability/metrics.ts'
import { type Caches, createCaches } from './caches.ts'
import { installCRDs } from './install.ts'
import { PASS, runLoop } from './loop.ts'
import { neededPermissions } from './permissions.ts'
import { missingPermissions } from './self-check.ts'

export interface RunOptions {
  readonly metrics?: Metrics
  readonly health?: Health
}

const HEALTH_DEADLINE_MS = 120_000
const LEASE_RETRY_MS = 5_000
/** Whoever puts another CRD over ours again and again is answered no faster. */
const MEND_MS = 60_000
const SYNC_POLL_MS = 50

export const newHealth = (process: Process): Health => createHealth(() => process.clock.mono(), HEALTH_DEADLINE_MS, ['caches'])

/** Runs until the signal aborts; then gives the Lease back. Losing the API server is no reason to end. */
export async function runController(process: Process, settings: Settings, signal: AbortSignal, options: RunOptions = {}): Promise<void> {
  const { metrics = noMetrics, health = newHealth(process) } = options
  const { clock, log } = process
  // Every watch and wait listens to it; they all end with it.
  setMaxListeners(0, signal)
  const client = createClient(process, { signal })
  const queue = createQueue({ clock })
  metrics.queue('rollout', () => queue.metrics())
  const events = createEventRecorder({ process, client, component: settings.name })
  let waiting = true
  let mended = Number.NEGATIVE_INFINITY
  let installing = false
  void beatWhileWaiting()
  announce('Starting', 'Drover starts')
  // Before all that may have to wait for a permission.
  if (settings.selfCheck) void checkSelf()
  await new Promise<void>((resolve) => {
    void install(resolve).then(resolve)
  })
  if (signal.aborted) return
  while (!signal.aborted) {
    try {
      await runLease({
        process,
        client,
        namespace: settings.namespace,
        name: settings.name,
        identity: process.name,
        ...settings.lease,
        signal,
        onHolder(holder) {
          log.info('lease holder seen', { holder })
          // A replica that waits for its turn has all it needs.
          health.ready('caches', true)
        },
        async onLead(leadSignal, leading) {
          metrics.leads(settings.name, true)
          waiting = false
          log.info('leading', { identity: process.name })
          announce('Started', 'Drover leads')
          // Read anew by each leader: what the last one wrote must be in what the first decision looks at.
          const caches = createCaches(process, client, settings, metrics, leadSignal, () => queue.add(PASS))
          void announceSync(caches, leadSignal)
          try {
            await runLoop({ process, client, settings, caches, queue, events, metrics, health, leading, pruned, signal: leadSignal })
          } finally {
            waiting = true
            metrics.leads(settings.name, false)
          }
        },
      })
    } catch (error) {
      if (signal.aborted) break
      log.warn('leadership ended, trying again', { error: messageOf(error), waitMs: LEASE_RETRY_MS })
    }
    health.beat()
    if (!signal.aborted) await clock.sleep(LEASE_RETRY_MS, signal).catch(() => undefined)
  }
  await events.flush()
  // Not awaited: nobody works the queue any more, so what is still in it would never leave it.
  void queue.shutDown()

  /** SUC's events on the Node that the controller runs on. */
  function announce(reason: string, message: string): void {
    if (settings.nodeName === undefined) return
    events.record({ on: { apiVersion: 'v1', kind: 'Node', name: settings.nodeName }, type: 'Normal', reason, message })
  }

  /** SUC brings its own CRD when it starts, and so does every upgrade of Rancher's chart. */
  function pruned(): void {
    if (installing || clock.mono() - mended < MEND_MS) return
    mended = clock.mono()
    log.warn('the API server dropped fields of a status: somebody put another CRD over ours')
    void install(() => undefined)
  }

  async function install(refused: () => void): Promise<void> {
    installing = true
    await installCRDs(process, client, signal, refused)
    installing = false
  }

  async function announceSync(caches: Caches, leadSignal: AbortSignal): Promise<void> {
    health.ready('caches', false)
    while (!leadSignal.aborted && !caches.synced()) await clock.sleep(SYNC_POLL_MS, leadSignal).catch(() => undefined)
    if (leadSignal.aborted) return
    health.ready('caches', true)
    queue.add(PASS)
  }

  /** A replica that waits for the Lease is alive too; one that leads must show it by its passes. */
  async function beatWhileWaiting(): Promise<void> {
    while (!signal.aborted) {
      if (waiting) health.beat()
      await clock.sleep(HEALTH_DEADLINE_MS / 4, signal).catch(() => undefined)
    }
  }

  async function checkSelf(): Promise<void> {
    try {
      const missing = await missingPermissions(client, neededPermissions(settings.namespace, settings.name), signal)
      if (missing.length > 0) log.error('permissions are missing; apply manifests/ or grant them', { missing })
      else log.info('own permissions checked, none is missing')
    } catch (error) {
      if (!signal.aborted) log.warn('own permissions could not be checked', { error: messageOf(error) })
    }
  }
}
