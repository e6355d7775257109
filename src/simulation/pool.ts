import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Clock } from '../base/clock.ts'
import type { RunResult } from './run.ts'

/** What came of one seed: its result, or why there is none (the process died or took too long). */
export type SeedOutcome = { readonly seed: number; readonly result: RunResult } | { readonly seed: number; readonly broken: string }

export interface PoolOptions {
  /** Command line of a worker: it reads seeds from its standard input, one a line, and answers each with one line of JSON. */
  readonly worker: readonly [string, ...string[]]
  readonly jobs: number
  readonly seeds: Iterable<number>
  /** Longest time for one seed, in milliseconds. */
  readonly limitMs: number
  readonly clock: Clock
  /** Return true to give out no more seeds. */
  readonly onOutcome: (outcome: SeedOutcome) => boolean
}

/** Plays seeds in child processes, `jobs` at a time. A worker that dies or hangs costs its seed and is replaced. */
export async function playSeeds(options: PoolOptions): Promise<void> {
  const seeds = options.seeds[Symbol.iterator]()
  let enough = false
  const next = (): number | undefined => {
    const { value, done } = enough ? { value: undefined, done: true } : seeds.next()
    return done === true ? undefined : value
  }

  async function lane(): Promise<void> {
    let worker: Worker | undefined
    for (let seed = next(); seed !== undefined; seed = next()) {
      worker ??= startWorker(options.worker)
      const outcome = await playOne(worker, seed)
      if ('broken' in outcome) {
        worker.child.kill('SIGKILL')
        worker = undefined
      }
      enough = options.onOutcome(outcome) || enough
    }
    worker?.child.stdin?.end()
  }

  async function playOne(worker: Worker, seed: number): Promise<SeedOutcome> {
    const timer = new AbortController()
    const late = options.clock.sleep(options.limitMs, timer.signal).then(
      () => `took longer than ${options.limitMs / 1000} s`,
      () => '',
    )
    worker.child.stdin?.write(`${seed}\n`)
    const line = await Promise.race([worker.line(), worker.ended, late.then((broken) => ({ broken }))])
    timer.abort()
    if (typeof line !== 'string') return { seed, broken: line.broken }
    return { seed, result: JSON.parse(line) as RunResult }
  }

  await Promise.all(Array.from({ length: options.jobs }, lane))
}

interface Worker {
  readonly child: ChildProcess
  line(): Promise<string>
  readonly ended: Promise<{ readonly broken: string }>
}

function startWorker([command, ...args]: readonly [string, ...string[]]): Worker {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = new Promise<{ broken: string }>((resolve) => {
    child.on('error', (error) => resolve({ broken: error.message }))
    child.on('exit', (code, signal) => resolve({ broken: `the worker ended with ${signal ?? `exit code ${code}`}` }))
  })
  return {
    child,
    ended,
    async line() {
      const { value, done } = await lines.next()
      return done === true ? new Promise<never>(() => undefined) : (value as string)
    },
  }
}
