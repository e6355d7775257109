/**
 * What Drover counts, as an interface, so that the rooms that count need not know how numbers are published.
 * Names and meanings of the published metrics are in prometheus.ts and docs/metrics.md. Every label takes values from a bounded set,
 * except those that name a Plan, of which a cluster has few.
 */

/** Outcome of one pass, with controller-runtime's names. */
export type ReconcileResult = 'success' | 'error' | 'requeue' | 'requeue_after'
/** `blocked`: refused by a PodDisruptionBudget or by admission. `gone`: the pod had left already. */
export type EvictionResult = 'evicted' | 'deleted' | 'blocked' | 'gone' | 'error'
/** `refused`: answered, but with something that is no version, or a lower one. */
export type ChannelResult = 'resolved' | 'refused' | 'error'
/** `retried`: an attempt failed and another follows. `refused`: answered with a no. `failed`: given up. */
export type NotifyResult = 'sent' | 'retried' | 'refused' | 'failed'

export interface PhaseCount {
  /** `namespace/name` of the Plan. */
  readonly plan: string
  readonly phase: string
  readonly count: number
}

export interface HoldCount {
  /** `namespace/name` of the Plan. */
  readonly plan: string
  readonly reason: string
  readonly count: number
}

/** Totals since the queue was made, and its state now; durations in milliseconds. */
export interface QueueFigures {
  readonly depth: number
  readonly adds: number
  readonly retries: number
  /** From being added to being taken up. */
  readonly queueDurationMs: { readonly sum: number; readonly count: number }
  /** From being taken up to being done. */
  readonly workDurationMs: { readonly sum: number; readonly count: number }
  readonly unfinishedWorkMs: number
  readonly longestRunningMs: number
}

export interface Metrics {
  /** One pass ended. */
  reconciled(result: ReconcileResult, seconds: number): void
  /** A work queue whose figures are read when metrics are asked for. */
  queue(name: string, read: () => QueueFigures): void
  /** An API request was answered; `code` is the status, or `<error>` when no answer came. `path` has its names replaced. */
  requested(method: string, path: string, code: string): void
  /** Whether this replica leads. */
  leads(lease: string, leading: boolean): void
  /** The whole picture of nodes by Plan and phase; replaces the one before. */
  nodes(counts: readonly PhaseCount[]): void
  /** The whole picture of holds by Plan and reason; replaces the one before. */
  holds(counts: readonly HoldCount[]): void
  /** A node left a phase in which it was for so long. */
  phaseEnded(phase: string, seconds: number): void
  claimWithdrawn(): void
  evicted(result: EvictionResult): void
  watchRestarted(resource: string): void
  channelPolled(result: ChannelResult): void
  /** A message to a webhook was tried. */
  notified(result: NotifyResult): void
}

/** Counts nothing. */
export const noMetrics: Metrics = {
  reconciled() {},
  queue() {},
  requested() {},
  leads() {},
  nodes() {},
  holds() {},
  phaseEnded() {},
  claimWithdrawn() {},
  evicted() {},
  watchRestarted() {},
  channelPolled() {},
  notified() {},
}
