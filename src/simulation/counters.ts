import { STRIKES } from './scenario.ts'
import { type Phase, PHASES } from './phases.ts'

/** What a run exercised, by name; of many runs, the sum. */
export type Counters = Readonly<Record<string, number>>

export interface Counting {
  readonly add: (name: string, by?: number) => void
  /** Once for each phase that some node is in. */
  readonly addByPhase: (name: string, phases: Iterable<Phase>) => void
  readonly counters: Counters
}

export function counting(): Counting {
  const counters: Record<string, number> = {}
  const add = (name: string, by = 1) => {
    counters[name] = (counters[name] ?? 0) + by
  }
  return {
    counters,
    add,
    addByPhase(name, phases) {
      for (const phase of phases) add(`${name} × ${phase}`)
    },
  }
}

export function sumCounters(all: readonly Counters[]): Counters {
  const { counters, add } = counting()
  for (const one of all) for (const [name, count] of Object.entries(one)) add(name, count)
  return counters
}

/** Faults that strike single calls or watch events, and kills, are to be seen in every phase. */
const BY_PHASE = [
  'fault conflict',
  'fault throttled',
  'fault serverError',
  'fault resetBefore',
  'fault hang',
  'fault answerLost',
  'fault outage',
  'fault watchLag',
  'fault watchCut',
  'fault watchGone',
  'fault watchSilent',
  'kill',
]
const EVENTS = [
  'crashController',
  'crashAroundWrite',
  'stallController',
  'apiOutage',
  'compact',
  'powerCut',
  'reboot',
  'flap',
  'notReady',
  'removeMachine',
  'recreateMachine',
  'slowKubelet',
  'failProgram',
  'dieAfterReplace',
  'hangProgram',
  'badRelease',
  'imageMissing',
  'editPlan',
  'deletePlan',
  'annotatePlan',
  'abortPlan',
  'holdNode',
  'holdNamespace',
  'cordon',
  'uncordon',
  'taint',
  'disableNode',
  'rotateSecret',
  'deleteJob',
  'moveChannel',
  'operator retry',
  'operator approve',
  'editPolicy',
  'pausePolicy',
  'breakPolicy',
  'rivalPolicy',
  'deletePolicy',
  'excused policyRetry',
  'webhook answered',
  'webhook lost',
  'split brain',
  'recordon',
  'silentWatches',
  'gateRed',
  'kuredLock',
  'etcdSnapshot',
  ...[...new Set(STRIKES)].map((strike) => `ambush ${strike}`),
]

/** What checkers of policies must have met. */
const SEEN = [
  'drain complete',
  'drain Release',
  'drain Quarantine',
  'drain Proceed',
  'drain rule Evict',
  'drain rule WaitCompleted',
  'drain rule WaitCompleted, pod at its end',
  'gate PlanStart',
  'gate NodeStart',
  'gate NodeEnd',
  'gate WaveEnd',
  'hook before',
  'hook after',
  'kured lock taken',
  'kured lock given back',
  'snapshot required',
]

/** Everything that a large run must have exercised at least once. */
export function required(
  checks: readonly string[],
  strictChecks: readonly string[],
  holds: readonly string[],
  phases: readonly string[],
): readonly string[] {
  return [
    ...BY_PHASE.flatMap((name) => PHASES.map((phase) => `${name} × ${phase}`)),
    ...EVENTS,
    ...checks.map((promise) => `check ${promise}`),
    ...strictChecks.map((promise) => `strict check ${promise}`),
    'strict done',
    'strict failed',
    ...holds.map((reason) => `hold ${reason}`),
    ...phases.map((phase) => `phase ${phase}`),
    ...SEEN.map((what) => `seen ${what}`),
  ]
}

export function missing(counters: Counters, names: readonly string[]): readonly string[] {
  return names.filter((name) => (counters[name] ?? 0) === 0)
}
