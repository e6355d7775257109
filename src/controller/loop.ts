/** One way: watch → store → gather → decide → act, again whenever something changed or falls due. */
import { messageOf } from '../base/errors.ts'
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import type { Client } from '../kube/client/client.ts'
import type { EventRecorder } from '../kube/client/events.ts'
import type { Queue } from '../kube/client/queue.ts'
import type { Health } from '../observability/health.ts'
import type { Metrics } from '../observability/metrics.ts'
import { tellBlindness } from '../rollout/blind.ts'
import { decide } from '../rollout/decide.ts'
import { STALE_MS } from '../rollout/slots.ts'
import type { Decision, Refusal } from '../rollout/world.ts'
import { createAct } from './act.ts'
import type { Caches } from './caches.ts'
import { createConfirm } from './confirm.ts'
import { createGather } from './gather.ts'
import { createMemory, remember } from './memory.ts'
import { createNotifier } from './notifier.ts'
import { settleAfter } from './pace.ts'
import { createTally } from './tally.ts'

/** A pass at least this often, so that liveness shows and nothing waits on a lost wake-up. */
const RESYNC_MS = 30_000
/** How soon it is looked again whether an interrupted watch has caught up. */
const INTERRUPTED_MS = 500

export const PASS = 'pass'

export interface LoopOptions {
  readonly process: Process
  readonly client: Client
  readonly settings: Settings
  readonly caches: Caches
  readonly queue: Queue
  readonly events: EventRecorder
  readonly metrics: Metrics
  readonly health: Health
  readonly leading: () => boolean
  /** Called when the API server did not keep all that was written to a Plan's status. */
  readonly pruned: () => void
  readonly signal: AbortSignal
}

/** Runs while we lead; returns when the signal aborts, with everything that was under way ended. */
export async function runLoop({
  process,
  client,
  settings,
  caches,
  queue,
  events,
  metrics,
  health,
  leading,
  pruned,
  signal,
}: LoopOptions): Promise<void> {
  const { clock, log } = process
  const memory = createMemory()
  const wake = () => queue.add(PASS)
  const gather = createGather(process, client, settings, caches, memory, metrics, wake)
  const confirm = createConfirm(client, gather.world)
  const act = createAct({ process, client, caches, memory, events, metrics, confirm, leading, pruned, ended: wake })
  const notifier = createNotifier({ process, client, events, metrics, notified: memory.notified, closed: wake, signal })
  const tally = createTally(metrics, clock)
  let passes = 0
  wake()
  while (!signal.aborted) {
    const key = await queue.next(signal)
    if (key === undefined) break
    const began = clock.mono()
    try {
      health.beat()
      const interrupted = caches.troubles.interrupted()
      if (interrupted) queue.addAfter(PASS, INTERRUPTED_MS)
      const silent = interrupted || !caches.synced() ? undefined : silence()
      if (caches.synced() && !interrupted && silent === undefined) pass()
      else if (caches.plans.synced && !caches.troubles.unreachable()) {
        const world = gather.world()
        act.start(tellBlindness({ ...world, refusal: world.refusal ?? silent }), ++passes)
      }
      metrics.reconciled('success', (clock.mono() - began) / 1000)
    } catch (error) {
      metrics.reconciled('error', (clock.mono() - began) / 1000)
      log.error('pass failed', { error: messageOf(error), stack: error instanceof Error ? error.stack : undefined })
    }
    queue.done(key)
    queue.addAfter(PASS, RESYNC_MS)
    try {
      await clock.sleep(settleAfter(clock.mono() - began), signal)
    } catch {
      break
    }
  }
  await act.idle()

  /** Which watch shows no sign of life; undefined = all do. */
  function silence(): Refusal | undefined {
    const now = clock.mono()
    const { plans, nodes, jobs, pods } = caches
    const silent = Object.entries({ plans, nodes, jobs, pods }).find(([, store]) => now - (store.freshness ?? 0) > STALE_MS)
    if (silent === undefined) return undefined
    const message = `no sign of life from the watch of ${silent[0]} for ${STALE_MS / 60_000} minutes`
    log.warn('caches are stale, deciding nothing', { reason: message })
    return { message, endedBy: 'cluster' }
  }

  function pass(): void {
    const world = gather.world()
    const decision: Decision = decide(world)
    remember(memory, decision, world)
    tally(decision)
    notifier.offer(decision.notices)
    const due = [decision.lookAt, gather.fetch(decision.needs), act.start(decision.steps, ++passes)].filter((at) => at !== undefined)
    if (due.length > 0) queue.addAfter(PASS, Math.max(1, Math.min(...due) - clock.mono()))
  }
}
