/**
 * What the webhooks of a policy are told of a Plan. Derived anew in every pass like all else; what has been told stands in the Plan's memory,
 * so that a new leader does not tell it again. Nothing waits for it.
 */
import type { RolloutMemory } from '../../api/memory.ts'
import type { NotifyEvent, NotifyMessage } from '../../api/notify.ts'
import { formatTime } from '../../base/clock.ts'
import type { Context } from '../gates/gate.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { Telling } from '../tell.ts'
import { recordOf } from '../verdict.ts'
import { wavesDone, waveToApprove } from './waves.ts'

export type ToldNews = NonNullable<RolloutMemory['told']>

/** What stops and goes on again within so long is not worth a word. */
const STALL_MS = 60_000
/** Annotations of an object share 256 KiB, and nobody reads a thousand messages. Further failures of a hash are not told one by one. */
const MAX_FAILURES = 100
const MAX_TEXT = 1_000

interface News {
  /** Unique within the hash; ends up in the message's id. */
  readonly key: string
  readonly event: NotifyEvent
  /** Follows the Plan's name. */
  readonly text: string
  readonly about?: Pick<NotifyMessage, 'node' | 'wave' | 'reason' | 'message'>
}

/** Hands what is to be told to the pass. Returns what the memory should say of it; undefined = as it does. */
export function tellNews(telling: Telling, context: Context, pass: Pass): ToldNews | undefined {
  const { state } = telling
  const { rules, memory } = state
  if (rules.tellers.length === 0 || state.memoryError !== undefined) return undefined
  // Which rules hold is open, so that the hash may be another than the rollout's: all that is said is that the Plan is stuck, whatever its hash.
  const contested = rules.policy === undefined
  const told = contested || memory.told?.hash === state.hash ? memory.told : undefined
  const stall = lastingStall(telling, pass)
  // A Plan that is found complete has nothing to tell; from here on it is followed.
  if (told === undefined) return isUnderWay(telling) || stall !== undefined ? { hash: state.hash, keys: [], stalls: 0 } : undefined
  const news = newsOf(telling, told, stall, context).filter(({ event }) => !contested || event === 'RolloutStalled')
  const ended = news.filter((one) => !told.keys.includes(one.key) && isEnded(one, telling, pass))
  const calm = told.stall !== undefined && isCalm(telling, pass)
  if (ended.length === 0 && !calm) return undefined
  return afterwards(told, ended, (key) => contested || news.some((one) => one.key === key), calm)
}

/** Tells everybody who wants to hear it. True = the matter is closed with all of them. */
function isEnded(one: News, telling: Telling, pass: Pass): boolean {
  const { rules, ref } = telling.state
  const messages = rules.tellers.flatMap(({ policy, notify }) => {
    const to = notify.flatMap(({ to: destination, events }, index) =>
      events.includes(one.event) ? [{ ...destination, field: `spec.notify[${index}]` }] : [],
    )
    if (to.length === 0) return []
    const key = rules.policy === undefined ? `${one.key}/${policy.name}` : one.key
    const message = messageOf({ ...one, key }, telling, policy.name, pass)
    pass.notice({ message, policy: { namespace: ref.namespace, ...policy }, to })
    return [message]
  })
  return messages.length > 0 && messages.every(({ id }) => pass.world.observed.notified.has(id))
}

function afterwards(told: ToldNews, ended: readonly News[], isThere: (key: string) => boolean, calm: boolean): ToldNews {
  // A failure that is no longer there cannot come back under its key.
  const kept = told.keys.filter((key) => !key.startsWith('NodeFailed/') || isThere(key))
  const { stall: before, ...rest } = told
  const stalled = ended.find(({ event }) => event === 'RolloutStalled')
  const stall = stalled?.about?.reason ?? (calm ? undefined : before)
  return {
    ...rest,
    keys: [...kept, ...ended.filter((one) => one !== stalled).map(({ key }) => key)],
    stalls: told.stalls + (stalled === undefined ? 0 : 1),
    ...(stall === undefined ? {} : { stall }),
  }
}

function newsOf(telling: Telling, told: ToldNews, stall: Telling['stalled'], context: Context): readonly News[] {
  const { state, tally } = telling
  const news: News[] = []
  const { done, selected, inFlight, failed } = tally
  const { version, stepping } = state
  if (done + inFlight + failed > 0)
    news.push({
      key: 'RolloutStarted',
      event: 'RolloutStarted',
      text: `the rollout of ${version}${stepping === undefined ? '' : `, a step on the way to ${stepping.target},`} has begun, ${done} of ${selected} nodes done`,
    })
  for (const wave of wavesDone(state))
    news.push({ key: `WaveDone/${wave}`, event: 'WaveDone', text: `wave ${wave} is done, ${done} of ${selected} nodes`, about: { wave } })
  const approval = waveToApprove(state, context)
  if (approval !== undefined) {
    const { wave, message } = approval
    news.push({ key: `ApprovalNeeded/${wave}`, event: 'ApprovalNeeded', text: message, about: { wave, message } })
  }
  news.push(...failuresOf(state, context))
  if (stall !== undefined && stall.reason !== told.stall) {
    const { reason, message } = stall
    news.push({
      key: `RolloutStalled/${told.stalls + 1}`,
      event: 'RolloutStalled',
      text: `stalled at ${done} of ${selected} nodes: ${reason}: ${message}`,
      about: { reason, message },
    })
  }
  // A step is not the end of the way.
  if (selected > 0 && done === selected && stepping === undefined)
    news.push({ key: 'RolloutComplete', event: 'RolloutComplete', text: `complete at ${version}, ${done} of ${selected} nodes done` })
  return news
}

function failuresOf({ key, hash }: PlanState, { world }: Context): readonly News[] {
  const news: News[] = []
  for (const node of world.nodes) {
    const past = recordOf(node).past?.[key]
    if (past?.hash !== hash || news.length === MAX_FAILURES) continue
    const { reason, message, at, attempts } = past
    news.push({
      key: `NodeFailed/${node.name}/${at}`,
      event: 'NodeFailed',
      text: `node ${node.name} failed in attempt ${attempts}: ${reason}: ${message}`,
      about: { node: node.name, reason, message },
    })
  }
  return news
}

const isUnderWay = ({ state, tally }: Telling): boolean => state.hash !== '' && tally.done < tally.selected

/** What has the Plan stuck, if anything is left to do. */
const stallOf = ({ stalled, tally }: Telling): Telling['stalled'] => (tally.done === tally.selected ? undefined : stalled)

/** What has had it so for a while. That a wave waits for approval is told by a message of its own. */
function lastingStall(telling: Telling, pass: Pass): Telling['stalled'] {
  const { state } = telling
  const stall = stallOf(telling)
  if (stall === undefined || stall.reason === 'AwaitingApproval') return undefined
  return hasLasted(`stall ${state.key} ${state.hash} ${stall.reason}`, pass) ? stall : undefined
}

const isCalm = (telling: Telling, pass: Pass): boolean => stallOf(telling) === undefined && hasLasted(`calm ${telling.state.key}`, pass)

function hasLasted(fact: string, pass: Pass): boolean {
  const since = pass.fact(fact).mono + STALL_MS
  if (pass.now.mono >= since) return true
  pass.lookAt(since)
  return false
}

function messageOf({ key, event, text, about }: News, { state, tally }: Telling, policy: string, { now }: Pass): NotifyMessage {
  const { namespace, name, uid } = state.ref
  return {
    id: `${uid}/${state.hash.slice(0, 8)}/${key}`,
    event,
    text: forSlack(`Plan ${namespace}/${name}: ${text}`),
    at: formatTime(now.wall),
    plan: { namespace, name, uid },
    policy,
    version: state.version,
    hash: state.hash,
    nodes: { selected: tally.selected, done: tally.done, inFlight: tally.inFlight, failed: tally.failed, held: tally.held },
    ...about,
    ...(about?.message === undefined ? {} : { message: about.message.slice(0, MAX_TEXT) }),
  }
}

/** Slack takes these for links, and for calls of everybody (`<!channel>`). */
function forSlack(text: string): string {
  return text.slice(0, MAX_TEXT).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
