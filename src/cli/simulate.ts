/** `drover simulate`: random worlds on virtual time, judged at every write. */
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { systemClock } from '../base/clock.ts'
import type { Fields, Log } from '../base/log.ts'
import { runController } from '../controller/run.ts'
import { parseSettings } from '../controller/settings.ts'
import { type Counters, missing, required, sumCounters } from '../simulation/counters.ts'
import { playSeeds, type SeedOutcome } from '../simulation/pool.ts'
import { type ControllerUnderTest, type RunResult, runScenario } from '../simulation/run.ts'
import { makeScenario } from '../simulation/world.ts'

/** A run of at least so many seeds must have exercised everything. */
const COVERED_FROM = 300
/** Broken promises shown of one seed. */
const MOST_LINES = 6
const SEED_LIMIT_MS = 180_000
const CHECKS = [
  '1 limits',
  '2 claim first',
  '3 only our cordons',
  '4 done means done',
  '4.5 no start while held',
  '5 quorum',
  '6 forward only',
  '7 look before cordon',
  '8 no hot loop',
  '9 never twice',
  '11 it ends',
  '12 nothing left behind',
  '1 policy in force',
  '1 policy budget',
  '1 policy waves',
  '1 policy windows',
  '1 policy after',
  '1 policy failures',
  '1 policy drain',
  '1 policy given back',
  '1 policy gates',
  '1 policy hooks',
  '1 policy kured',
  '1 policy snapshots',
]
/** Those that hold in strict compatibility too, and the two that are tried there all the same. */
const STRICT_CHECKS = [
  '1 limits',
  '2 claim first',
  '4.5 no start while held',
  '8 no hot loop',
  '9 never twice',
  '11 it ends',
  '12 nothing left behind',
]
/** Reasons that a Plan's conditions show in these worlds; the others need unreadable objects or another controller. */
const HOLDS = [
  'Paused',
  'Aborted',
  'NamespaceHeld',
  'Waiting',
  'WaitingForPlan',
  'ImageVersionMismatch',
  'ConcurrencyZero',
  'NodeHeld',
  'NodeBusy',
  'NodeNotReady',
  'CordonedByOthers',
  'UntoleratedTaint',
  'Downgrade',
  'SkippedMinor',
  'AheadOfServers',
  'ControlPlaneBusy',
  'EtcdQuorum',
  'Pulling',
  'ImageUnavailable',
  'DryRunPending',
  'BudgetReached',
  'NodeFailed',
  'SyncJob',
  'Complete',
  'NoMatchingNodes',
  'Excluded',
  'PolicyConflict',
  'PolicyUnreadable',
  'PolicyGone',
  'WavePending',
  'WaveSoaking',
  'AwaitingApproval',
  'MaxFailuresExceeded',
  'GatePending',
  'HookOverdue',
  'KuredLocked',
  'NoRecentEtcdSnapshot',
]
const SHOWN_PHASES = ['Pending', 'Preflight', 'Draining', 'Upgrading', 'Verifying', 'Soaking', 'Failed']

const USAGE = `Usage: drover simulate [--seeds N] [--seed FIRST] [--jobs N] [--keep-going] [--trace]
  --seeds N       how many worlds (default 300)
  --seed FIRST    seed of the first (default 1)
  --jobs N        how many at once (default 2)
  --keep-going    go on after the first violation
  --trace         one after the other in this process, printing every write and fault
  --log           with --trace: the controllers' log lines too
  --counters      print all counters`

const controller: ControllerUnderTest = (process, env, signal) => runController(process, parseSettings(env, []).settings, signal)

/** Exit code 0 if no promise was broken and, in a large run, everything was exercised; 1 if not; 2 for a wrong command line. */
export async function run(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const options = parse(argv)
  if (options === undefined) return 2
  if (options.worker) return work()
  const { first, count } = options
  const seeds = Array.from({ length: count }, (_, i) => first + i)
  const outcomes: SeedOutcome[] = []
  const started = systemClock.mono()
  const take = (outcome: SeedOutcome): boolean => {
    outcomes.push(outcome)
    const words = complaint(outcome)
    if (words !== undefined) say(words)
    else if (outcomes.length % 25 === 0 || outcomes.length === count) say(`${outcomes.length} of ${count} worlds, ${seconds(started)} s`)
    return words !== undefined && !options.keepGoing
  }
  if (options.trace) for (const seed of seeds) take({ seed, result: await play(seed, say, options.log) })
  else await playSeeds({ worker: self(), jobs: options.jobs, seeds, limitMs: SEED_LIMIT_MS, clock: systemClock, onOutcome: take })
  return conclude(outcomes, options, seconds(started))
}

function conclude(outcomes: readonly SeedOutcome[], options: Options, took: string): number {
  const failures = outcomes.filter((outcome) => complaint(outcome) !== undefined)
  const results = outcomes.flatMap((outcome) => ('result' in outcome ? [outcome.result] : []))
  const counters = sumCounters(results.map((result) => result.counters))
  const zeros = missing(counters, required(CHECKS, STRICT_CHECKS, HOLDS, SHOWN_PHASES))
  print(counters, options.counters)
  const lacking = outcomes.length >= COVERED_FROM && zeros.length > 0
  if (zeros.length > 0)
    say(`${lacking ? 'Never exercised' : `Not exercised (required from ${COVERED_FROM} worlds on)`}: ${zeros.join(', ')}`)
  const writes = results.reduce((sum, result) => sum + result.writes, 0)
  const hours = results.reduce((sum, result) => sum + result.virtualMs, 0) / 3_600_000
  say(`${outcomes.length} worlds, ${writes} writes, ${hours.toFixed(0)} h of virtual time in ${took} s: ${failures.length} failed`)
  if (failures.length > 0) say(`failed seeds: ${failures.map((failure) => failure.seed).join(' ')}`)
  return failures.length > 0 || lacking ? 1 : 0
}

function print(counters: Counters, all: boolean): void {
  const groups = [
    ['promises checked', /^check /],
    ['in strict compatibility', /^strict /],
    ['kills', /^kill/],
    ['faults', /^fault /],
    ['holds shown', /^hold /],
    ['phases shown', /^phase /],
    ['came to bear', /^seen /],
    ['rightly not done', /^excused /],
  ] as const
  for (const [title, pattern] of groups) {
    const rows = Object.entries(counters).filter(([name]) => pattern.test(name))
    if (!all && title === 'faults') say(`${title}: ${rows.reduce((sum, [, count]) => sum + count, 0)} in ${rows.length} kinds by phase`)
    else
      say(
        `${title}: ${rows
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, count]) => `${name.replace(pattern, '').trim()} ${count}`)
          .join(', ')}`,
      )
  }
}

/** What is wrong with an outcome, with the command that shows it again. */
function complaint(outcome: SeedOutcome): string | undefined {
  const again = `  replay: npm run simulate -- --seed ${outcome.seed} --seeds 1 --trace`
  if ('broken' in outcome) return `seed ${outcome.seed}: ${outcome.broken}\n${again}`
  const { violations } = outcome.result
  if (violations.length === 0) return undefined
  const lines = violations.slice(0, MOST_LINES).map(({ promise, write, message }) => `  promise ${promise}, write ${write}: ${message}`)
  const more = violations.length > MOST_LINES ? [`  and ${violations.length - MOST_LINES} more`] : []
  return [`seed ${outcome.seed} breaks a promise:`, ...lines, ...more, again].join('\n')
}

async function play(seed: number, trace?: (line: string) => void, logs = false): Promise<RunResult> {
  return runScenario(makeScenario(seed), {
    controller,
    ...(trace === undefined ? {} : { trace, ...(logs ? { log: lineLog(trace) } : {}) }),
  })
}

/** A log that writes into the trace. */
function lineLog(write: (line: string) => void, with_: Fields = {}): Log {
  const at = (level: string) => (message: string, fields?: Fields) =>
    write(
      `       ${level} ${message} ${JSON.stringify({ ...with_, ...fields }, (_, value: unknown) => (value instanceof Error ? value.message : value))}`,
    )
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => lineLog(write, { ...with_, ...fields }),
  }
}

async function work(): Promise<number> {
  // Whoever asked has gone: nobody is left to tell.
  process.stdout.on('error', () => process.exit(1))
  for await (const line of createInterface({ input: process.stdin })) {
    const result = await play(Number(line))
    process.stdout.write(`${JSON.stringify(result)}\n`)
  }
  return 0
}

/** The command line that starts this command once more, as a worker. */
function self(): readonly [string, ...string[]] {
  return [process.execPath, process.argv[1] ?? '', 'simulate', '--worker']
}

interface Options {
  readonly first: number
  readonly count: number
  readonly jobs: number
  readonly keepGoing: boolean
  readonly trace: boolean
  readonly log: boolean
  readonly counters: boolean
  readonly worker: boolean
}

function parse(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        seeds: { type: 'string', default: '300' },
        seed: { type: 'string', default: '1' },
        jobs: { type: 'string', default: '2' },
        'keep-going': { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        log: { type: 'boolean', default: false },
        counters: { type: 'boolean', default: false },
        worker: { type: 'boolean', default: false },
      },
    })
    const number = (name: 'seeds' | 'seed' | 'jobs') => {
      const value = Number(values[name])
      if (!Number.isInteger(value) || value < (name === 'seed' ? 0 : 1)) throw new Error(`--${name} must be a whole number`)
      return value
    }
    return {
      first: number('seed'),
      count: number('seeds'),
      jobs: number('jobs'),
      keepGoing: values['keep-going'],
      trace: values.trace,
      log: values.log,
      counters: values.counters,
      worker: values.worker,
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`)
    return undefined
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const seconds = (since: number): string => ((systemClock.mono() - since) / 1000).toFixed(0)
