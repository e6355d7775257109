import { setMaxListeners } from 'node:events'
import { type Clock, systemClock } from '../base/clock.ts'
import { type Log, silentLog } from '../base/log.ts'
import type { Outside, Process, Transport } from '../base/process.ts'
import { seededRandom } from '../base/random.ts'
import { createClient } from './client.ts'
import { type VirtualClock, virtualClock } from './clock.ts'
import { startControllers } from './controllers/controllers.ts'
import type { NodeLifecycleOptions } from './controllers/node-lifecycle.ts'
import { createFaults, type Faults } from './faults.ts'
import type { Etcd } from './machines/etcd.ts'
import { type BadRelease, createFleet } from './machines/fleet.ts'
import type { ImageRegistry } from './machines/images.ts'
import { createMachine, type Machine, type MachineSpec } from './machines/machine.ts'
import type { Program } from './programs/program.ts'
import { standardPrograms } from './programs/standard.ts'
import { type ApiServer, type ApiServerOptions, createApiServer } from './server/server.ts'
import type { Write } from './server/types.ts'
import { createSpawn, type Spawn } from './spawn.ts'
import { nowhere } from '../base/nowhere.ts'

export interface SandboxOptions {
  /** Default 1. The same seed and the same calls give the same run on the virtual clock. */
  readonly seed?: number
  /** Default `virtual`. */
  readonly clock?: 'virtual' | 'real'
  /** Where virtual wall time begins. Default 2026-01-01T00:00:00Z. */
  readonly startWallMs?: number
  /** Default: no faults; latency 1–5 ms on the virtual clock, none on the real one. */
  readonly faults?: Faults
  /** Whether fault rates reach the cluster's own controllers and machines too. Default false. */
  readonly exposeCluster?: boolean
  readonly allow?: ApiServerOptions['allow']
  readonly admit?: ApiServerOptions['admit']
  readonly bookmarkMs?: number
  readonly freeze?: boolean
  /** The world outside, for spawned processes and `process()`. Default: none. */
  readonly outside?: Outside
  readonly log?: Log
  /** How often a kubelet renews its Lease, in milliseconds. Default 10 000. */
  readonly heartbeatMs?: number
  /** How often a kubelet posts an unchanged status, in milliseconds. Default 300 000. */
  readonly statusEveryMs?: number
  readonly nodeLifecycle?: NodeLifecycleOptions
}

/** A Kubernetes cluster in memory: API server, controllers, machines. */
export interface Sandbox {
  readonly clock: Clock
  /** The clock, if it is virtual. */
  readonly virtual: VirtualClock | undefined
  readonly random: () => number
  readonly server: ApiServer
  readonly history: readonly Write[]
  readonly faults: Faults
  /** What containers do, by image repository without a default registry. */
  readonly programs: Map<string, Program>
  readonly images: ImageRegistry
  /** Releases whose kubelet never comes back, by version. */
  readonly releases: Map<string, BadRelease>
  readonly etcd: Etcd
  readonly machines: ReadonlyMap<string, Machine>
  /** Builds a machine and switches it on; it registers as time passes (see `Machine.ready`). */
  machine(spec: MachineSpec): Machine
  as(user: string): Transport
  /** A process outside of `spawn`, for commands. */
  process(name: string, user?: string): Process
  readonly spawn: Spawn
  /** Serves the API over HTTP on 127.0.0.1; needs the real clock. */
  listen(port?: number): Promise<{ readonly url: string; close(): Promise<void> }>
  /** Lets time pass until `until()` holds (true) or `limitMs` are over (false). The real clock is polled every 20 ms. */
  run(until: () => boolean, limitMs: number): Promise<boolean>
  /** Lets time pass until `work` has settled and returns what it came to. Throws when that takes longer than `limitMs` (default 10 minutes). */
  finish<T>(work: Promise<T>, limitMs?: number): Promise<T>
  /** Ends controllers and machines. */
  stop(): Promise<void>
}

/** The cluster's own parts. They see no faults unless asked for; whoever replaces `faults.exposed` decides that anew. */
function isClusterPart(user: string): boolean {
  return /^system:(kube-controller-manager|kube-scheduler|nodes|node:.*)$/.test(user)
}

export function createSandbox(options: SandboxOptions = {}): Sandbox {
  const seed = options.seed ?? 1
  // One generator a concern: more requests must not change which timer of an instant fires first.
  const virtual =
    options.clock === 'real'
      ? undefined
      : virtualClock({
          ...(options.startWallMs === undefined ? {} : { startWallMs: options.startWallMs }),
          random: seededRandom(seed ^ 0x5eed),
        })
  const clock = virtual ?? systemClock
  const random = seededRandom(seed)
  const log = options.log ?? silentLog
  const faults =
    options.faults ??
    createFaults({ random: seededRandom(seed ^ 0xfa17), ...(virtual === undefined ? { latencyMs: [0, 0] as const } : {}) })
  if (options.exposeCluster !== true) {
    const before = faults.exposed
    faults.exposed = (call) => !isClusterPart(call.user) && before(call)
  }
  const server = createApiServer({
    clock,
    random: seededRandom(seed ^ 0xa91),
    faults,
    accounts: true,
    ...(options.allow === undefined ? {} : { allow: options.allow }),
    ...(options.admit === undefined ? {} : { admit: options.admit }),
    ...(options.bookmarkMs === undefined ? {} : { bookmarkMs: options.bookmarkMs }),
    ...(options.freeze === undefined ? {} : { freeze: options.freeze }),
  })
  const life = new AbortController()
  // Everything in the cluster ends with this one signal.
  setMaxListeners(0, life.signal)
  const programs = standardPrograms()
  const fleet = createFleet({
    clock,
    random,
    signal: life.signal,
    log,
    programs,
    as: (user) => server.as(user),
    appendLog: (uid, container, line) => server.logs.append(uid, container, line),
    ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    ...(options.statusEveryMs === undefined ? {} : { statusEveryMs: options.statusEveryMs }),
  })
  const machines = new Map<string, Machine>()
  const own = (user: string) => createClient(server.as(user), clock, random, life.signal)
  const outside = options.outside ?? nowhere
  const started = Promise.all([
    fleet.start(),
    startControllers(own('system:kube-controller-manager'), own('system:kube-scheduler'), log, options.nodeLifecycle),
  ])
  void started.then(([, world]) =>
    world.nodes.onChange(({ before, after }) => {
      // The distribution's own controller removes the etcd member of a Node that is deleted.
      if (before !== undefined && after?.metadata.uid !== before.metadata.uid) fleet.etcd.remove(before.metadata.name)
    }),
  )
  let listeners: { close(): Promise<void> }[] = []

  const run: Sandbox['run'] = async (until, limitMs) => {
    if (virtual !== undefined) return (await virtual.run({ until, limitMs })) === 'until'
    const end = clock.mono() + limitMs
    while (!until()) {
      if (clock.mono() >= end) return false
      await clock.sleep(20)
    }
    return true
  }

  return {
    clock,
    virtual,
    random,
    server,
    history: server.history,
    faults,
    programs,
    images: fleet.images,
    releases: fleet.releases,
    etcd: fleet.etcd,
    machines,
    machine(spec) {
      const machine = createMachine(fleet, spec)
      machines.set(spec.name, machine)
      return machine
    },
    as: (user) => server.as(user),
    process: (name, user) => ({ name, clock, random, transport: server.as(user ?? name), outside, log: log.with({ process: name }) }),
    spawn: createSpawn({ clock, server, random, log, outside }),
    async listen(port) {
      if (virtual !== undefined) throw new Error('a sandbox on virtual time cannot be reached over HTTP: create it with clock: real')
      // Loaded when needed: a simulation has no sockets.
      const { listen } = await import('./listen.ts')
      const listener = await listen(server, port === undefined ? {} : { port })
      listeners.push(listener)
      return listener
    },
    run,
    async finish(work, limitMs = 600_000) {
      let settled = false
      const mark = (): void => {
        settled = true
      }
      work.then(mark, mark)
      if (!(await run(() => settled, limitMs))) throw new Error(`not finished after ${limitMs} ms of sandbox time`)
      return work
    },
    async stop() {
      life.abort()
      const open = listeners
      listeners = []
      for (const listener of open) await listener.close()
    },
  }
}
