/**
 * What the judge is fed with, in the order in which it happened. Nothing here comes from the controller's own state: writes are the API server's
 * history, machine and etcd facts come from the simulated hosts. The checkers import nothing of rollout/, controller/ or api/, so that a mistake
 * there cannot excuse itself here.
 */

/** One write as the API server recorded it, refused ones and dry runs included. */
export interface HistoryWrite {
  readonly n: number
  /** Milliseconds of the one clock that all facts share. */
  readonly mono: number
  readonly user: string
  readonly verb: string
  readonly ref: {
    readonly group: string
    readonly resource: string
    readonly subresource?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly status: number
  readonly dryRun: boolean
  readonly before?: unknown
  readonly after?: unknown
  /** What was sent; of a refused or dry-run creation the only trace. */
  readonly body?: unknown
}

export type Fact =
  | { readonly kind: 'write'; readonly write: HistoryWrite }
  /** A simulated host changed: its service went down or came up, its power, the version that runs. */
  | { readonly kind: 'machine'; readonly mono: number; readonly node: string; readonly what: string }
  | { readonly kind: 'etcd'; readonly mono: number; readonly member: string; readonly up: boolean }
  /** The schedule did something to the world: a person, a machine or a fault. `node` or `plan` name its target, if it has one. */
  | { readonly kind: 'outside'; readonly mono: number; readonly what: string; readonly node?: string; readonly plan?: string }
  /** No further fault or change of input will come, and the controller has had its bounded time. */
  | { readonly kind: 'end'; readonly mono: number; readonly stillWriting: boolean }

export interface Violation {
  readonly promise: string
  /** Number of the write at which it was seen; the last one, for what is seen at the end. */
  readonly write: number
  readonly message: string
}

export interface Checker {
  readonly promise: string
  /** How often something was really compared. */
  readonly checks: () => number
  /** Called after the mirror has taken the fact in. */
  see(fact: Fact): readonly string[]
}

export type Who = 'drover' | 'person' | 'suc' | 'cluster'

/** Users of a simulation by name: controllers are `drover-…`, people `person` or `admin`, a former SUC and its kubectl containers `suc`. */
export function whoIs(user: string): Who {
  if (user.startsWith('drover')) return 'drover'
  if (user === 'person' || user === 'admin') return 'person'
  if (user === 'suc' || user.startsWith('system:serviceaccount:system-upgrade')) return 'suc'
  return 'cluster'
}

/** A write that took effect. */
export function took(write: HistoryWrite): boolean {
  return write.status < 300 && !write.dryRun
}
