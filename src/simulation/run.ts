import type { Log } from '../base/log.ts'
import type { Process } from '../base/process.ts'
import { seededRandom } from '../base/random.ts'
import { createSandbox, type Sandbox } from '../sandbox/cluster.ts'
import { createFaults } from '../sandbox/faults.ts'
import { act, createPlan, type Stage } from './act.ts'
import { sprung } from './ambush.ts'
import { buildCluster, channelServer } from './build.ts'
import { isDone, type Truth } from './checkers/excuses.ts'
import { type Violation, whoIs } from './checkers/fact.ts'
import { createJudge, type Judge } from './checkers/judge.ts'
import { jobEnd, keyOf, recordOf } from './checkers/seen.ts'
import { type Counters, counting } from './counters.ts'
import { createControllers } from './fleet-of-controllers.ts'
import { approve, askRetry, awaited, failedPlans, mend, restartStale } from './operator.ts'
import { phasesOf } from './phases.ts'
import { type Action, NAMESPACE, type Scenario } from './scenario.ts'
import { registerPrograms } from './programs.ts'
import { splitBrain } from './split-brain.ts'
import { hookAgent, SNAPSHOT_EVERY_MS, takeSnapshot } from './surroundings.ts'
import { clock as clockText } from './trace.ts'
import { watchHistory } from './watch-history.ts'
import { webhookServer } from './webhooks.ts'

const MINUTE = 60_000
/** No write of a controller for this long, with no live work: it has ended. Longer than every timer of the controller but a Job's missing deadline. */
const QUIET_MS = 20 * MINUTE
/** The same while some record still shows live work: a Job without a deadline gets an hour. */
const LONG_QUIET_MS = 110 * MINUTE
/** Promise 11's bound after the calm. */
const BOUND_MS = 14 * 60 * MINUTE
/** Half as often as real kubelets renew their Leases: they would be most of all writes. */
const HEARTBEAT_MS = 20_000
const RETRY_EVERY_MS = 15 * MINUTE
const MAX_RETRIES = 6
const EAGER_EVERY_MS = 3 * MINUTE
const EAGER_RETRIES = 4
const APPROVE_EVERY_MS = 3 * MINUTE

/** What is under test: the real controller, or a stand-in. */
export type ControllerUnderTest = (process: Process, env: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<void>

export interface RunOptions {
  readonly controller: ControllerUnderTest
  /** Gets one line for each write, fault and action. */
  readonly trace?: (line: string) => void
  /** Where the controllers log to. Default: nowhere. */
  readonly log?: Log
  /** Ends the run at the first violation. Default true. */
  readonly stopAtViolation?: boolean
}

export interface RunResult {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly counters: Counters
  /** Over every write, its time and what it left: equal for equal runs. */
  readonly hash: string
  readonly virtualMs: number
  readonly writes: number
}

/** Plays one world to its end, or to the first violation, on virtual time. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<RunResult> {
  const random = seededRandom(scenario.seed ^ 0x5eed)
  const channels = new Map(Object.entries(scenario.channels))
  const faults = createFaults({ random: seededRandom(scenario.seed ^ 0xfa17) })
  const { counters, add, addByPhase } = counting()
  const outside = { get: channelServer(channels), post: webhookServer(add) }
  const sandbox = createSandbox({
    seed: scenario.seed,
    faults,
    outside,
    heartbeatMs: HEARTBEAT_MS,
    ...(options.log === undefined ? {} : { log: options.log }),
  })
  registerPrograms(sandbox.programs)
  const judge = createJudge(truthOf(sandbox, scenario))
  if (scenario.splitBrain && scenario.controllers.length > 1) add('split brain')
  const watching = watchHistory(sandbox, judge, add, options.trace, (write) => {
    answerHooks(write)
    for (const { delayMs, action, strike } of sprung(stage, write, judge.mirror)) {
      add(`ambush ${strike}`)
      at(delayMs, () => happen(action))
    }
  })
  await buildCluster(sandbox, scenario)

  const start = sandbox.clock.mono()
  const calmAt = start + scenario.calmMs
  const virtual = sandbox.virtual
  if (virtual === undefined) throw new Error('a simulation needs virtual time')
  const at = (delayMs: number, what: () => void) => void virtual.at(sandbox.clock.mono() + delayMs, what)
  let lastInput = start
  const happened = (what: string, more: { node?: string; plan?: string } = {}) => {
    lastInput = sandbox.clock.mono()
    judge.see({ kind: 'outside', mono: lastInput, what, ...more })
    options.trace?.(`       ${clockText(lastInput)} ** ${what} ${JSON.stringify(more)}`)
  }
  const calm = () => sandbox.clock.mono() >= calmAt

  const happen = (action: Action) => {
    if (action.do !== 'ambush') add(action.do)
    const node = 'machine' in action ? scenario.machines[action.machine]?.name : undefined
    happened(`${action.do} ${JSON.stringify(action)}`, {
      ...(node === undefined ? {} : { node }),
      ...('plan' in action ? { plan: action.plan } : {}),
    })
    act(stage, action)
  }

  const controllers = createControllers({
    spawn: sandbox.spawn,
    run: (process, signal) => options.controller(scenario.splitBrain ? torn(process, calm) : process, scenario.env, signal),
    specs: scenario.controllers,
    crashRate: () => (calm() ? 0 : scenario.crashRate),
    random,
    at,
    onKill(name, how) {
      addByPhase('kill', phasesOf(judge.mirror))
      add(`kill ${how}`)
      options.trace?.(`       ${clockText(sandbox.clock.mono())} ** kill ${name} ${how}`)
    },
    onEnd(name, error) {
      add('controller ended')
      options.trace?.(`       ${clockText(sandbox.clock.mono())} ** ${name} ended: ${String(error)}`)
    },
  })
  const stage: Stage = {
    sandbox,
    scenario,
    channels,
    people: { last: Promise.resolve() },
    ambushes: [],
    controllers,
    later: (ms, what) =>
      at(Math.max(0, Math.min(ms, calmAt - sandbox.clock.mono())), () => {
        happened('undo')
        what()
      }),
    soon: at,
    calm,
  }
  const answerHooks = hookAgent(stage, scenario)

  faults.rates = { ...scenario.rates }
  faults.exposed = (call) => whoIs(call.user) === 'drover'
  faults.onFault = (kind) => addByPhase(`fault ${kind}`, watching.phases())
  judge.see({ kind: 'outside', mono: start, what: 'start' })
  controllers.start()
  for (const plan of scenario.plans) createPlan(stage, plan)
  for (const { atMs, action } of scenario.happenings) at(atMs, () => happen(action))
  at(scenario.calmMs, () => {
    happened('calm')
    stage.ambushes.length = 0
    mend(stage)
  })
  let retries = 0
  const operate = (most: number) => {
    const failed = retries < most ? failedPlans(judge.mirror) : []
    if (failed.length > 0) retries += 1
    if (failed.length > 0 && calm()) restartStale(stage)
    for (const plan of failed) {
      add('operator retry')
      happened(`retry ${plan}`, { plan })
      askRetry(stage, plan, retries)
    }
  }
  const every = (ms: number, what: () => void) =>
    at(ms, () => {
      what()
      every(ms, what)
    })
  if (scenario.policies.length > 0) {
    every(APPROVE_EVERY_MS, () => {
      for (const { plan, value } of awaited(judge.mirror)) {
        add('operator approve')
        happened(`approve ${value}`, { plan })
        approve(stage, plan, value)
      }
    })
  }
  if (scenario.surroundings.snapshots === true)
    at(scenario.calmMs, () => {
      takeSnapshot(stage, true)
      every(SNAPSHOT_EVERY_MS, () => takeSnapshot(stage, true))
    })
  if (scenario.eagerOperator) every(EAGER_EVERY_MS, () => operate(calm() ? 0 : EAGER_RETRIES))
  at(scenario.calmMs, () => every(RETRY_EVERY_MS, () => operate(EAGER_RETRIES + MAX_RETRIES)))

  const windows = scenario.plans.some((plan) => plan.spec['window'] !== undefined) ? 45 * MINUTE : 0
  const policyWindows = scenario.policies.some(({ spec }) => spec['windows'] !== undefined || spec['exclusions'] !== undefined)
  const opensBy = start + Math.max(windows, policyWindows ? 60 * MINUTE + clocksApart(scenario) : 0)
  // Waves soak and retries wait by clocks that may be far apart.
  const enough = QUIET_MS + (scenario.policies.length > 0 ? clocksApart(scenario) : 0)
  const over = () => {
    const now = sandbox.clock.mono()
    if (options.stopAtViolation !== false && judge.violations.length > 0) return true
    const quiet = now - Math.max(watching.lastControllerWrite(), lastInput, calmAt, opensBy)
    return quiet > enough && (quiet > LONG_QUIET_MS || !busy(judge))
  }
  const ended = await sandbox.run(over, scenario.calmMs + BOUND_MS)
  if (judge.violations.length === 0) judge.see({ kind: 'end', mono: sandbox.clock.mono(), stillWriting: !ended })
  controllers.stop()
  await sandbox.stop()
  const mode = isStrict(scenario) ? 'strict check' : 'check'
  for (const [promise, count] of Object.entries(judge.checks())) add(`${mode} ${promise}`, count)
  if (isStrict(scenario)) for (const [what, count] of Object.entries(outcomesOf(judge.mirror))) add(`strict ${what}`, count)
  for (const [excuse, count] of judge.excused) add(`excused ${excuse}`, count)
  for (const [what, count] of judge.witnessed) add(`seen ${what}`, count)
  return {
    seed: scenario.seed,
    violations: judge.violations,
    counters,
    hash: watching.hash(),
    virtualMs: sandbox.clock.mono() - start,
    writes: sandbox.history.length,
  }
}

/** The process with a Lease of its own while `over` does not hold. */
function torn(process: Process, over: () => boolean): Process {
  const suffix = `-${/\d+/.exec(process.name)?.[0] ?? '0'}`
  return { ...process, transport: splitBrain(process.transport, suffix, () => !over()) }
}

function busy(judge: Judge): boolean {
  // Batch pods may be waited for, and a drain that was given up is tried again after a backoff.
  const waitedFor = [...judge.mirror.jobs.values()].some((job) => job.metadata.namespace !== NAMESPACE && jobEnd(job) === undefined)
  if (waitedFor) return true
  return [...judge.mirror.nodes.values()].some((node) => {
    const { work, blocked = {} } = recordOf(node) ?? {}
    return work !== undefined || Object.keys(blocked).length > 0
  })
}

/** How far apart the wall clocks of two controllers are at most. */
function clocksApart({ controllers }: Scenario): number {
  const skews = controllers.map(({ skewMs }) => skewMs)
  return Math.max(...skews) - Math.min(...skews)
}

const isStrict = ({ env }: Scenario): boolean => env['DROVER_COMPATIBILITY'] === 'strict'

/** How many nodes of Plans that still exist were done and failed in the end. */
function outcomesOf(mirror: Judge['mirror']): Readonly<Record<string, number>> {
  let [done, failed] = [0, 0]
  for (const plan of mirror.plans.values()) {
    for (const node of mirror.nodes.values()) {
      if (isDone(node, plan)) done += 1
      else if (recordOf(node)?.past?.[keyOf(plan.metadata)]?.result === 'Failed') failed += 1
    }
  }
  return { done, failed }
}

function truthOf(sandbox: Sandbox, scenario: Scenario): Truth {
  const maxUnavailable = scenario.env['DROVER_CLUSTER_MAX_UNAVAILABLE']
  const ahead = sandbox.clock.wall() - sandbox.clock.mono()
  return {
    ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
    strict: isStrict(scenario),
    clocksApartMs: clocksApart(scenario),
    wall: (user, mono) => ahead + mono + (scenario.controllers[Number(user.slice('drover-'.length))]?.skewMs ?? 0),
    namespace: NAMESPACE,
    well(name) {
      const machine = sandbox.machines.get(name)
      return machine !== undefined && machine.power === 'on' && machine.service === 'up' && !machine.trouble.notReady
    },
    namespaceHeld: () => sandbox.server.peek('namespaces', NAMESPACE)?.metadata.annotations?.['drover.io/hold'] === 'true',
  }
}
