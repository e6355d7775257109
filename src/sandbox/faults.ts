/** What can go wrong between a process and the API server. */
export type FaultKind =
  | 'conflict' // 409 to an update or patch, nothing stored
  | 'throttled' // 429 with Retry-After, nothing stored
  | 'serverError' // 500, nothing stored
  | 'resetBefore' // the connection breaks before the server acts
  | 'hang' // nothing happens and no answer comes; the caller's deadline ends it
  | 'answerLost' // the server acts, the connection breaks before the answer
  | 'outage' // refused during an outage
  | 'watchLag' // an event is late; order is kept
  | 'watchCut' // the stream breaks
  | 'watchGone' // 410 on resuming
  | 'watchSilent' // the stream stays open and says nothing more

export const faultKinds: readonly FaultKind[] = [
  'conflict',
  'throttled',
  'serverError',
  'resetBefore',
  'hang',
  'answerLost',
  'outage',
  'watchLag',
  'watchCut',
  'watchGone',
  'watchSilent',
]

/** A request as the fault plan sees it. */
export interface Call {
  readonly user: string
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string
  readonly group: string
  /** Plural, with a subresource after a slash: `pods/eviction`. */
  readonly resource: string
  readonly namespace?: string
  readonly name?: string
}

/** The fault plan. All chance comes from the `random` it was made with. */
export interface Faults {
  /** Probability 0..1 by kind; missing = 0. Asked once a request; watchLag, watchCut and watchSilent once an event of a watch. */
  rates: Partial<Record<FaultKind, number>>
  /** Which calls `rates` apply to. Default: all. */
  exposed: (call: Call) => boolean
  /** One way of a request, in milliseconds: uniform between both. Default [1, 5]; [0, 0] = no timers at all. */
  latencyMs: readonly [number, number]
  /** How late a late watch event is, in milliseconds. Default [50, 5000]. */
  watchLagMs: readonly [number, number]
  /** The next call that matches suffers `kind`, exposed or not. */
  once(kind: FaultKind, match?: (call: Call) => boolean): void
  /** From now on for `ms` milliseconds every connection is refused; open watches are cut. */
  outage(ms: number): void
  readonly counts: Readonly<Record<FaultKind, number>>
  onFault: ((kind: FaultKind, call: Call) => void) | undefined

  // The rest is for the API server.
  /** Decides whether this call suffers one of `kinds`, in their order, and counts it. */
  strike(kinds: readonly FaultKind[], call: Call): FaultKind | undefined
  /** Counts a fault that was decided elsewhere (an outage). */
  struck(kind: FaultKind, call: Call): void
  latency(): number
  watchLag(): number
  /** Retry-After of a throttled call, in whole seconds. */
  retryAfterSeconds(): number
  down(monoMs: number): boolean
  /** Set by the server: starts an outage. */
  onOutage: ((ms: number) => number) | undefined
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export function createFaults(options: { random: () => number; latencyMs?: readonly [number, number] }): Faults {
  const { random } = options
  const counts = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Record<FaultKind, number>
  const scripted: { kind: FaultKind; match: (call: Call) => boolean }[] = []
  let downUntil = Number.NEGATIVE_INFINITY

  const plan: Faults = {
    rates: {},
    exposed: () => true,
    latencyMs: options.latencyMs ?? [1, 5],
    watchLagMs: [50, 5000],
    counts,
    onFault: undefined,
    onOutage: undefined,
    random,
    once(kind, match = () => true) {
      scripted.push({ kind, match })
    },
    outage(ms) {
      if (plan.onOutage === undefined) throw new Error('an outage needs an API server that uses this fault plan')
      downUntil = plan.onOutage(ms)
    },
    strike(kinds, call) {
      const kind = scriptedFault(kinds, call) ?? randomFault(kinds, call)
      if (kind !== undefined) plan.struck(kind, call)
      return kind
    },
    struck(kind, call) {
      counts[kind]++
      plan.onFault?.(kind, call)
    },
    latency: () => between(plan.latencyMs),
    watchLag: () => between(plan.watchLagMs),
    retryAfterSeconds: () => 1 + Math.floor(random() * 3),
    down: (monoMs) => monoMs < downUntil,
  }

  function between([low, high]: readonly [number, number]): number {
    return high <= low ? low : low + random() * (high - low)
  }

  function scriptedFault(kinds: readonly FaultKind[], call: Call): FaultKind | undefined {
    const index = scripted.findIndex(({ kind, match }) => kinds.includes(kind) && match(call))
    if (index < 0) return undefined
    return scripted.splice(index, 1)[0]?.kind
  }

  function randomFault(kinds: readonly FaultKind[], call: Call): FaultKind | undefined {
    for (const kind of kinds) {
      const rate = plan.rates[kind]
      if (rate !== undefined && rate > 0 && random() < rate && plan.exposed(call)) return kind
    }
    return undefined
  }

  return plan
}
