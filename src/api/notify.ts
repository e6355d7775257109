/** Notifications of a RolloutPolicy: who is told, of what, and what the message says. Sent at least once; see docs/policy.md. */

/** What is told. Each is told once for a hash, but NodeFailed for each failed attempt and RolloutStalled each time. */
export const NOTIFY_EVENTS = {
  RolloutStarted: 'the first node has been taken',
  WaveDone: 'the last node of a wave is done',
  ApprovalNeeded: 'a wave waits for annotation drover.io/approve',
  NodeFailed: 'an attempt on a node failed',
  RolloutStalled: 'for a minute nothing has gone on, and only a person, or the end of a long drain, ends that',
  RolloutComplete: 'all nodes of the Plan are done, and no step is left',
} as const

export type NotifyEvent = keyof typeof NOTIFY_EVENTS

/** Messages are sent one after the other to each; more would be a mailing list. */
export const MAX_WEBHOOKS = 10

/** A webhook. */
export interface NotifySpec {
  readonly to: Destination
  /** What it is told; never empty. */
  readonly events: readonly NotifyEvent[]
}

/** Where a message goes. The key of a Secret of the policy's namespace holds the whole URL, which is told to nobody. */
export type Destination =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'secret'; readonly name: string; readonly key: string }

/** The body of the request. No key has a meaning of its own for Slack but `text`. */
export type NotifyMessage = {
  /** The same in each repetition of a message. */
  readonly id: string
  readonly event: NotifyEvent
  /** One line for people, escaped as Slack wants it: `&`, `<` and `>` as entities. */
  readonly text: string
  /** When it was first tried to be sent, RFC 3339. */
  readonly at: string
  readonly plan: { readonly namespace: string; readonly name: string; readonly uid: string }
  readonly policy: string
  /** As in the Plan's status; empty while unresolved. */
  readonly version: string
  readonly hash: string
  readonly nodes: {
    readonly selected: number
    readonly done: number
    readonly inFlight: number
    readonly failed: number
    readonly held: number
  }
  /** Of NodeFailed. */
  readonly node?: string
  /** Of WaveDone and ApprovalNeeded. */
  readonly wave?: string
  /** Of NodeFailed and RolloutStalled: a word of docs/runbook.md. */
  readonly reason?: string
  /** Of NodeFailed, RolloutStalled and ApprovalNeeded, as the Plan's status has it. */
  readonly message?: string
}
