/** Which watches do not run, and what follows: what a watch missed is not known, so for a while nothing is decided, or no node is taken. */
import type { Clock } from '../base/clock.ts'
import { messageOf, TransportError } from '../base/errors.ts'
import { isForbidden, isNotFound } from '../kube/client/api-error.ts'
import type { Refusal } from '../rollout/world.ts'

/** An API server that starts refuses all until it has read its own roles. */
const REFUSED_MS = 5_000
/** An API server that restarts is not worth a word. */
const BROKEN_MS = 20_000
/** Who was away for longer is told of, even if it should be back by then. */
const UNREACHABLE_MS = 300_000
/** What a watch has missed comes right after it is accepted. */
const CATCH_UP_MS = 500
/** Codes of a TransportError. */
const NO_ANSWER = 'Timeout'
const NO_CONNECTION = 'ConnectionFailed'
/** What nothing can be decided without. */
const STATE: ReadonlySet<string> = new Set(['plans', 'nodes', 'jobs', 'pods'])

export interface WatchTroubles {
  /** A watch of the resource, or its list, failed. True = the API server refuses it, which is to be told. */
  failed(resource: string, error: unknown): boolean
  /** A watch was accepted. True = it was refused before. */
  accepted(resource: string): boolean
  /** Why no node may be taken: the API server has refused a watch for a while, or one stays broken. Undefined = all is readable. */
  refusal(): Refusal | undefined
  /**
   * A watch that nothing can be decided without does not run, or any has just broken off or just begun to catch up. One of which no answer comes
   * at all stops nothing for long: a proxy may keep the beginning of an answer back until something happens, and nothing does while nothing is
   * decided.
   */
  interrupted(): boolean
  /**
   * The API server could not be reached when a watch was last asked for, and that for less than five minutes: it restarts, which is not worth
   * a word. While it is away nothing can be written, and when it is back the watches follow soon.
   */
  unreachable(): boolean
}

interface Interruption {
  readonly since: number
  readonly message: string
  /** Of the TransportError; undefined = the API server answered. */
  readonly code: string | undefined
  /** When it has caught up. */
  readonly until: number
}

export function createWatchTroubles(clock: Clock): WatchTroubles {
  const refusals = new Map<string, { readonly since: number; readonly message: string }>()
  const interruptions = new Map<string, Interruption>()
  return {
    failed(resource, error) {
      // Both are clear answers, whatever was before.
      if (isForbidden(error) || isNotFound(error)) interruptions.delete(resource)
      // Nodes under way are seen to their end, and the gates hold all others.
      if (isForbidden(error)) {
        refusals.set(resource, { since: refusals.get(resource)?.since ?? clock.mono(), message: error.message })
        return true
      }
      // Secrets concern those Plans only that name one, and these read it themselves.
      if (isNotFound(error) || resource === 'secrets') return false
      const since = interruptions.get(resource)?.since ?? clock.mono()
      const code = error instanceof TransportError ? error.code : undefined
      interruptions.set(resource, { since, message: messageOf(error), code, until: Number.POSITIVE_INFINITY })
      return false
    },
    accepted(resource) {
      const interruption = interruptions.get(resource)
      if (interruption !== undefined) interruptions.set(resource, { ...interruption, until: clock.mono() + CATCH_UP_MS })
      return refusals.delete(resource)
    },
    refusal() {
      const now = clock.mono()
      const refused = [...refusals.values()].find(({ since }) => now - since >= REFUSED_MS)
      if (refused !== undefined) return { message: refused.message, endedBy: 'person' }
      const broken = [...interruptions].find(([, { since, until, code }]) => code !== NO_ANSWER && until > now && now - since >= BROKEN_MS)
      return broken && { message: `the watch of ${broken[0]} broke off: ${broken[1].message}`, endedBy: 'cluster' }
    },
    interrupted() {
      const now = clock.mono()
      for (const [resource, { until }] of interruptions) if (until <= now) interruptions.delete(resource)
      return [...interruptions].some(
        ([resource, { since, code }]) => now - since < BROKEN_MS || (STATE.has(resource) && code !== NO_ANSWER),
      )
    },
    unreachable() {
      const now = clock.mono()
      return [...interruptions.values()].some(
        ({ since, until, code }) => code === NO_CONNECTION && until > now && now - since < UNREACHABLE_MS,
      )
    },
  }
}
