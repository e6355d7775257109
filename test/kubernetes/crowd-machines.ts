/** The machines of a crowd, in a process of their own: a thousand of them would starve whoever measures beside them. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { connect } from '../../src/kube/client/config.ts'
import type { Machine } from '../../src/sandbox/machines/machine.ts'
import type { Program } from '../../src/sandbox/programs/program.ts'
import { versionOf } from '../../src/sandbox/programs/upgrade.ts'
import { pause } from '../../src/sandbox/timers.ts'
import { startMachines } from './machines.ts'

/** The first argument of the process. */
export const MACHINES = '--machines'

export interface CrowdSpec {
  readonly kubeconfig: string
  /** Agents `agent-1`… */
  readonly count: number
  readonly version: string
  readonly heartbeatMs: number
  /** How long an upgrade works before it replaces the binary and restarts the service. */
  readonly upgradeMs: number
}

/** What a machine can say of itself. */
export interface MachineReport {
  readonly name: string
  readonly running: string
  /** How often its binary was replaced. */
  readonly replaced: number
  /** How often its service went down. */
  readonly downs: number
  /** How often a container was started that ran a program. */
  readonly programs: number
}

export interface Crowd {
  /** How many are registered and Ready. */
  ready(): number
  /** CPU seconds so far; the machines are dear, and share the machine with what is measured. */
  report(): Promise<{ readonly machines: readonly MachineReport[]; readonly cpuSeconds: number }>
  stop(): Promise<void>
}

type Message = { readonly ready: number } | { readonly machines: readonly MachineReport[]; readonly cpuSeconds: number }

/** Starts this program again as the machines. */
export function startCrowd(spec: CrowdSpec): Crowd {
  const child = fork(process.argv[1] ?? '', [MACHINES, JSON.stringify(spec)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  let ready = 0
  let failed: string | undefined
  child.on('message', (message: Message) => {
    if ('ready' in message) ready = message.ready
  })
  const gone = once(child, 'exit').then(([code]: unknown[]) => {
    failed = `the machines' process ended with ${String(code)}`
  })
  return {
    ready() {
      if (failed !== undefined) throw new Error(failed)
      return ready
    },
    async report() {
      child.send('report')
      for (;;) {
        const [message] = (await Promise.race([once(child, 'message'), gone.then(() => [undefined])])) as [Message | undefined]
        if (message === undefined) throw new Error(failed)
        if ('machines' in message) return message
      }
    },
    async stop() {
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** In the machines' process: runs until the parent is gone or kills it. */
export async function runMachines(text: string): Promise<void> {
  const spec = JSON.parse(text) as CrowdSpec
  process.once('disconnect', () => process.exit(0))
  const { transport } = await connect({
    clock: systemClock,
    log: silentLog,
    env: {},
    kubeConfig: spec.kubeconfig,
    userAgent: 'machines',
    qps: 10_000,
    burst: 10_000,
  })
  const machines = await startMachines({ as: () => transport, heartbeatMs: spec.heartbeatMs })
  machines.fleet.programs.set('rancher/rke2-upgrade', upgrade(spec.upgradeMs))
  for (let i = 1; i <= spec.count; i++) machines.add({ name: `agent-${i}`, role: 'agent', version: spec.version })
  process.on('message', () => send({ machines: [...machines.all.values()].map(reportOf), cpuSeconds: cpuSeconds() }))
  for (;;) {
    send({ ready: [...machines.all.values()].filter((machine) => machine.ready).length })
    await systemClock.sleep(500)
  }
}

const send = (message: Message): void => void process.send?.(message)

/** What an upgrade image does, in a time that is known. */
const upgrade =
  (ms: number): Program =>
  async (_pod, machine, io) => {
    const target = versionOf(io.version)
    if (!(await pause(io.clock, ms, io.killed))) return 143
    // The first pod of an upgrade never tells of its success, so a Job that nobody suspends in time makes a second.
    if (machine.onDisk === target) return 0
    machine.replaceBinary(target)
    machine.restartService()
    return 0
  }

function reportOf({ name, running, timeline }: Machine): MachineReport {
  const count = (what: string): number => timeline.filter((event) => event.what === what).length
  return { name, running, replaced: count('replaced'), downs: count('serviceDown'), programs: count('programStart') }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
