import type { Process } from '../base/process.ts'
import type { Spawn, Spawned, WriteFate } from '../sandbox/spawn.ts'

export type RunController = (process: Process, signal: AbortSignal) => Promise<void>

export interface ControllersOptions {
  readonly spawn: Spawn
  readonly run: RunController
  readonly specs: readonly { readonly skewMs: number; readonly startMs: number }[]
  /** Chance of dying around a write; read at each write. */
  readonly crashRate: () => number
  readonly random: () => number
  readonly at: (delayMs: number, what: () => void) => void
  readonly onKill: (name: string, how: string) => void
  /** A controller that ended by itself without being asked to. */
  readonly onEnd: (name: string, error: unknown) => void
}

export interface Controllers {
  start(): void
  crash(index: number, backAfterMs: number): void
  stall(index: number, ms: number): void
  crashAroundWrite(plan: {
    readonly controller: number
    readonly write: number
    readonly side: 'crashBefore' | 'crashAfter'
    readonly backAfterMs: number
  }): void
  /** Asks all to end and starts none again. */
  stop(): void
}

/** Replicas of the controller that come back after they die, as a Deployment's pods do: under a new name each time. */
export function createControllers(options: ControllersOptions): Controllers {
  const replicas = options.specs.map(() => ({
    incarnation: 0,
    writes: 0,
    spawned: undefined as Spawned | undefined,
    backAfterMs: 10_000,
    ambushes: new Map<number, { side: WriteFate; backAfterMs: number }>(),
  }))
  let stopped = false

  function start(index: number): void {
    const replica = replicas[index]
    const spec = options.specs[index]
    if (replica === undefined || spec === undefined || stopped) return
    replica.incarnation += 1
    replica.backAfterMs = 10_000
    const name = `drover-${index}-${replica.incarnation}`
    const spawned = options.spawn(options.run, {
      name,
      user: `drover-${index}`,
      skewMs: spec.skewMs,
      onWrite: (_, request) => fate(index, name, request.path),
    })
    replica.spawned = spawned
    void spawned.done.then((ending) => {
      if (stopped || replica.spawned !== spawned) return
      if (ending !== 'crashed') options.onEnd(name, ending === 'finished' ? undefined : ending.error)
      options.at(replica.backAfterMs, () => start(index))
    })
  }

  function fate(index: number, name: string, path: string): WriteFate {
    const replica = replicas[index]
    if (replica === undefined || /\/(leases|events|selfsubjectaccessreviews)/.test(path)) return 'go'
    replica.writes += 1
    const ambush = replica.ambushes.get(replica.writes)
    if (ambush !== undefined) {
      replica.backAfterMs = ambush.backAfterMs
      options.onKill(name, ambush.side)
      return ambush.side
    }
    if (options.random() >= options.crashRate()) return 'go'
    const side = options.random() < 0.5 ? 'crashBefore' : 'crashAfter'
    replica.backAfterMs = options.random() < 0.5 ? 1_000 : 30_000
    options.onKill(name, side)
    return side
  }

  return {
    start: () => options.specs.forEach((spec, index) => options.at(spec.startMs, () => start(index))),
    crash(index, backAfterMs) {
      const replica = replicas[index % replicas.length]
      if (replica?.spawned?.alive !== true) return
      replica.backAfterMs = backAfterMs
      options.onKill(replica.spawned.process.name, 'any time')
      replica.spawned.crash()
    },
    stall: (index, ms) => replicas[index % replicas.length]?.spawned?.stall(ms),
    crashAroundWrite({ controller, write, side, backAfterMs }) {
      replicas[controller % replicas.length]?.ambushes.set(write, { side, backAfterMs })
    },
    stop() {
      stopped = true
      for (const replica of replicas) replica.spawned?.stop()
    },
  }
}
