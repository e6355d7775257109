import { linkedController } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { TransportError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { silentLog } from '../base/log.ts'
import type { Outside, Process, Request, Response, Transport, WatchResponse } from '../base/process.ts'
import { seededRandom } from '../base/random.ts'
import { skewed } from './clock.ts'
import { nowhere } from '../base/nowhere.ts'

/** What becomes of a write of a process that is to be killed around it. */
export type WriteFate = 'go' | 'crashBefore' | 'crashAfter'

export interface SpawnOptions {
  /** Unique in the world. */
  readonly name: string
  /** The user it is to the API server. Default: the name. */
  readonly user?: string
  /** How far its wall clock is ahead, in milliseconds. Default 0. */
  readonly skewMs?: number
  readonly log?: Log
  readonly outside?: Outside
  /** Asked before each write of this process (n counts from 1). `crashBefore`: it dies before the server sees it; `crashAfter`: the write takes effect, the answer never arrives. Default: `go`. */
  readonly onWrite?: (n: number, request: Request) => WriteFate
}

export type Ending = 'finished' | 'crashed' | { readonly error: unknown }

export interface Spawned {
  readonly process: Process
  /** Dies at once: none of its sleeps and requests ever settles again. Writes already sent take effect as the network decides. */
  crash(): void
  /** Everything it sends, receives and waits for in the next `ms` milliseconds happens only after them. */
  stall(ms: number): void
  /** Asks it to end: aborts the signal given to `run`. */
  stop(): void
  /** Never rejects. */
  readonly done: Promise<Ending>
  /** Writes it has tried. */
  readonly writes: number
  readonly alive: boolean
}

export type Spawn = (run: (process: Process, signal: AbortSignal) => Promise<void>, options: SpawnOptions) => Spawned

export interface SpawnWorld {
  readonly clock: Clock
  readonly server: { as(user: string): Transport }
  readonly random: () => number
  readonly log?: Log
  readonly outside?: Outside
}

export function createSpawn(world: SpawnWorld): Spawn {
  return (run, options) => {
    const life = createLife(world.clock)
    const transport = mortalTransport(world.server.as(options.user ?? options.name), life, options.onWrite)
    const stop = new AbortController()
    const outside = options.outside ?? world.outside ?? nowhere
    const clock = mortalClock(options.skewMs === undefined ? world.clock : skewed(world.clock, { wallOffsetMs: options.skewMs }), life)
    const process: Process = {
      name: options.name,
      clock,
      // Its own generator: what one process draws does not change what another sees.
      random: seededRandom(Math.floor(world.random() * 2 ** 32)),
      transport,
      outside: {
        get: (...request) => life.mortal(outside.get(...request)),
        post: (...request) => life.mortal(outside.post(...request)),
      },
      log: options.log ?? world.log ?? silentLog,
    }
    const ended = run(process, stop.signal).then(
      (): Ending => 'finished',
      (error: unknown): Ending => ({ error }),
    )
    return {
      process,
      crash: () => life.crash(),
      stall: (ms) => life.stall(ms),
      stop: () => stop.abort(new TransportError('Aborted', 'the process was asked to stop')),
      done: Promise.race([
        ended.then((ending) => {
          life.end()
          return ending
        }),
        life.crashed.then((): Ending => 'crashed'),
      ]),
      get writes() {
        return life.writes
      },
      get alive() {
        return life.alive
      },
    }
  }
}

interface Life {
  alive: boolean
  writes: number
  readonly crashed: Promise<void>
  /** Aborts what the server still does for it (open watches) when it is gone. */
  readonly gone: AbortSignal
  crash(): void
  end(): void
  stall(ms: number): void
  /** Resolves when the process is not stalled; never, when it is dead. */
  awake(): Promise<void>
  /** The same outcome, seen by a process that may be stalled or dead by then. */
  mortal<T>(promise: Promise<T>): Promise<T>
}

function createLife(clock: Clock): Life {
  const gone = new AbortController()
  let stalledUntil = Number.NEGATIVE_INFINITY
  let tellCrash: () => void = () => undefined
  const crashed = new Promise<void>((resolve) => {
    tellCrash = resolve
  })
  const never = new Promise<never>(() => undefined)

  const life: Life = {
    alive: true,
    writes: 0,
    crashed,
    gone: gone.signal,
    crash() {
      if (!life.alive) return
      life.alive = false
      tellCrash()
      gone.abort(new TransportError('ConnectionLost', 'the process died'))
    },
    end() {
      life.alive = false
      gone.abort(new TransportError('ConnectionLost', 'the process ended'))
    },
    stall(ms) {
      stalledUntil = Math.max(stalledUntil, clock.mono() + ms)
    },
    async awake() {
      while (life.alive && clock.mono() < stalledUntil) await clock.sleep(stalledUntil - clock.mono())
      if (!life.alive) await never
    },
    async mortal(promise) {
      let failed = false
      let value: unknown
      try {
        value = await promise
      } catch (error) {
        failed = true
        value = error
      }
      if (!life.alive) return never
      if (clock.mono() < stalledUntil) await life.awake()
      if (failed) throw value
      return value as Awaited<typeof promise>
    },
  }
  return life
}

function mortalClock(clock: Clock, life: Life): Clock {
  return { wall: () => clock.wall(), mono: () => clock.mono(), sleep: (ms, signal) => life.mortal(clock.sleep(ms, signal)) }
}

function mortalTransport(inner: Transport, life: Life, onWrite: SpawnOptions['onWrite']): Transport {
  async function send(request: Request, signal: AbortSignal): Promise<Response> {
    await life.awake()
    if (request.method === 'GET') return life.mortal(inner.send(request, signal))
    const fate = onWrite?.(++life.writes, request) ?? 'go'
    if (fate === 'crashBefore') life.crash()
    if (!life.alive) return life.mortal(Promise.reject(new TransportError('ConnectionLost', 'the process died')))
    const sent = inner.send(request, signal)
    if (fate === 'go') return life.mortal(sent)
    await sent.catch(() => undefined)
    life.crash()
    return life.mortal(sent)
  }
  async function watch(request: Request, signal: AbortSignal): Promise<WatchResponse> {
    await life.awake()
    const { controller, unlink } = linkedController(signal, life.gone)
    const opening = inner.watch(request, controller.signal)
    // Beside the way to the process: unlinking takes no turn of its own.
    opening.then((answer) => answer.status !== 200 && unlink(), unlink)
    const answer = await life.mortal(opening)
    return { ...answer, events: mortalEvents(answer.events, life, unlink) }
  }
  return { send, watch }
}

/** `onEnd` is called when no more events come, even if the process does not live to hear it. */
function mortalEvents<T>(events: AsyncIterable<T>, life: Life, onEnd: () => void): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const inner = events[Symbol.asyncIterator]()
      return {
        next() {
          const step = inner.next()
          step.then(({ done }) => done === true && onEnd(), onEnd)
          return life.mortal(step)
        },
        return() {
          onEnd()
          return inner.return === undefined ? Promise.resolve({ done: true, value: undefined }) : inner.return()
        },
      }
    },
  }
}
