/**
 * Sends what webhooks are to be told, in the background: nothing waits for it. Each webhook gets its messages one after the other; a message
 * is tried again until it is taken, refused, too old, or no longer asked for. Where it goes, and what was answered, is told to nobody: the
 * URL may be a secret, and an error may quote it.
 */
import pLimit from 'p-limit'
import { isWebURL } from '../api/decode-notify.ts'
import type { Destination } from '../api/notify.ts'
import { codeOf, TransportError } from '../base/errors.ts'
import type { Process } from '../base/process.ts'
import { ApiError } from '../kube/client/api-error.ts'
import { type Backoff, createBackoff } from '../kube/client/backoff.ts'
import type { Client } from '../kube/client/client.ts'
import type { EventRecorder } from '../kube/client/events.ts'
import { parseRetryAfter } from '../kube/client/retry-after.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { Notice } from '../rollout/world.ts'
import { readSecretKey } from './read-secret-key.ts'

/** Requests under way at once, to all webhooks together. */
const REQUESTS = 4
const TIMEOUT_MS = 10_000
const BASE_MS = 2_000
/** Longest wait between two attempts; a Retry-After counts up to this, too. */
const MAX_WAIT_MS = 300_000
/** A message that has waited for so long gets one more attempt. */
const GIVE_UP_MS = 1_800_000
/** Messages that wait for one webhook. What finds no place is offered again. */
const MAX_QUEUE = 200
/** Also asked to wait by an answer that is not about the message. */
const ASK_AGAIN: ReadonlySet<number> = new Set([408, 425, 429])

export interface Notifier {
  /** All that is still to be told, in each pass. What is missing from it is told no more. */
  offer(notices: readonly Notice[]): void
}

export interface NotifierOptions {
  readonly process: Process
  readonly client: Client
  readonly events: EventRecorder
  readonly metrics: Metrics
  /** Ids of the messages whose matter is closed: filled here. */
  readonly notified: Set<string>
  /** Called when an id was added. */
  readonly closed: () => void
  readonly signal: AbortSignal
}

type Target = Notice['to'][number]

interface Delivery {
  readonly key: string
  readonly notice: Notice
  readonly target: Target
  readonly since: number
  attempts: number
  /** `sending`: the request is out and is not taken back. */
  state: 'waiting' | 'sending' | 'ended'
}

interface Webhook {
  readonly queue: Delivery[]
  readonly backoff: Backoff
}

type Result =
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused' | 'failed'; readonly why: string; readonly afterMs?: number | undefined }

export function createNotifier({ process, client, events, metrics, notified, closed, signal }: NotifierOptions): Notifier {
  const { clock, log, outside, random } = process
  const limit = pLimit(REQUESTS)
  const deliveries = new Map<string, Delivery>()
  const webhooks = new Map<string, Webhook>()
  let offered: readonly Notice[] = []

  async function urlOf(to: Destination, namespace: string): Promise<string> {
    if (to.kind === 'url') return to.url
    const value = await readSecretKey(client, namespace, to, { retries: 0, timeoutMs: TIMEOUT_MS, signal })
    if (value === undefined) throw new Unusable(`Secret ${to.name} has no key ${to.key}`)
    const url = value.trim()
    if (!isWebURL(url)) throw new Unusable(`key ${to.key} of Secret ${to.name} holds no http or https URL`)
    return url
  }

  async function attempt({ notice, target }: Delivery): Promise<Result> {
    try {
      const url = await urlOf(target, notice.policy.namespace)
      const { status, headers } = await outside.post(url, notice.message, TIMEOUT_MS, signal)
      if (status >= 200 && status < 300) return { kind: 'sent' }
      const again = status >= 500 || ASK_AGAIN.has(status)
      const afterMs = parseRetryAfter(headers['retry-after'], clock.wall())
      return { kind: again ? 'failed' : 'refused', why: `HTTP status ${status}`, afterMs }
    } catch (error) {
      return { kind: 'failed', why: wordFor(error, target) }
    }
  }

  /** One message after the other, until none is left. */
  async function work(name: string, { queue, backoff }: Webhook): Promise<void> {
    for (let head = queue[0]; head !== undefined && !signal.aborted; head = queue[0]) {
      if (deliveries.get(head.key) !== head) {
        queue.shift()
        continue
      }
      head.state = 'sending'
      head.attempts += 1
      const current = head
      const result = await limit(() => attempt(current))
      if (signal.aborted) return
      if (result.kind === 'failed' && clock.mono() - head.since < GIVE_UP_MS) {
        head.state = 'waiting'
        metrics.notified('retried')
        tell(head, result.why, true)
        const wait = Math.min(MAX_WAIT_MS, Math.max(backoff.next(), result.afterMs ?? 0))
        await clock.sleep(wait, signal).catch(() => undefined)
        continue
      }
      queue.shift()
      metrics.notified(result.kind)
      if (result.kind === 'failed') tell(head, result.why, false)
      else backoff.reset()
      if (result.kind === 'refused') tell(head, result.why, false)
      if (result.kind === 'sent') log.info('webhook told', { about: head.notice.message.id, field: head.target.field })
      head.state = 'ended'
      settle(head.notice)
    }
    webhooks.delete(name)
  }

  function tell({ notice, target, attempts }: Delivery, why: string, again: boolean): void {
    const { message, policy } = notice
    log.warn('webhook not told', { about: message.id, policy: policy.name, field: target.field, attempts, why, again })
    // The recorder drops what repeats itself.
    events.record({
      on: { apiVersion: 'drover.io/v1alpha1', kind: 'RolloutPolicy', ...policy },
      type: 'Warning',
      reason: 'NotifyFailed',
      message: `${target.field}: ${message.event} of Plan ${message.plan.name} ${again ? 'is tried again' : 'is given up'}: ${why}`,
    })
  }

  /** The matter of a message is closed when it is for all of its webhooks. */
  function settle({ message, to }: Notice): void {
    if (to.some((target) => deliveries.get(keyOf(message.id, target))?.state !== 'ended')) return
    notified.add(message.id)
    closed()
  }

  return {
    offer(notices) {
      if (notices.length === 0 && offered.length === 0) return
      offered = notices
      const wanted = new Set<string>()
      for (const notice of notices) for (const target of notice.to) wanted.add(keyOf(notice.message.id, target))
      for (const [key, { state }] of deliveries) if (!wanted.has(key) && state !== 'sending') deliveries.delete(key)
      const ids = new Set(notices.map(({ message }) => message.id))
      for (const id of notified) if (!ids.has(id)) notified.delete(id)
      for (const notice of notices) {
        for (const target of notice.to) {
          const key = keyOf(notice.message.id, target)
          if (deliveries.has(key)) continue
          const name = `${notice.policy.uid} ${nameOf(target)}`
          let webhook = webhooks.get(name)
          const idle = webhook === undefined
          if (webhook === undefined) {
            webhook = { queue: [], backoff: createBackoff({ baseMs: BASE_MS, maxMs: MAX_WAIT_MS, random }) }
            webhooks.set(name, webhook)
          }
          if (webhook.queue.length >= MAX_QUEUE) continue
          const delivery: Delivery = { key, notice, target, since: clock.mono(), attempts: 0, state: 'waiting' }
          deliveries.set(key, delivery)
          webhook.queue.push(delivery)
          if (idle) void work(name, webhook)
        }
        // A webhook may have left the policy meanwhile.
        if (!notified.has(notice.message.id)) settle(notice)
      }
    },
  }
}

/** Something about a Secret that its reader can put right; its message quotes nothing of what it holds. */
class Unusable extends Error {}

const nameOf = (to: Destination): string => (to.kind === 'url' ? `url ${to.url}` : `secret ${to.name} ${to.key}`)
const keyOf = (id: string, to: Destination): string => `${id} ${nameOf(to)}`

/** Why nothing was sent, without a word of where to. */
function wordFor(error: unknown, to: Destination): string {
  if (error instanceof Unusable) return error.message
  if (error instanceof ApiError && to.kind === 'secret') return `Secret ${to.name} cannot be read: HTTP status ${error.status}`
  if (!(error instanceof TransportError)) return 'the request could not be made'
  const cause = codeOf(error.cause)
  // One word of the system's, never a text.
  return /^[A-Z0-9_]+$/.test(cause) ? `${error.code} (${cause})` : error.code
}
