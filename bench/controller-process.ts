/** The bundled controller as a process of its own, and what the operating system says of it (Linux: /proc). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kubeconfig } from '../src/sandbox/listen.ts'

export interface ControllerProcess {
  /** CPU time so far of all its threads, in milliseconds (ticks of 10). */
  cpuMs(): number
  /** Resident memory now, in MB of 10^6 bytes. */
  rssMB(): number
  /** The most it ever was. */
  peakMB(): number
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>
}

export interface ControllerProcessOptions {
  /** The bundle's entry. */
  readonly bundle: string
  /** Of Node. */
  readonly flags: readonly string[]
  readonly url: string
  readonly user: string
  /** For kubeconfig and log. */
  readonly folder: string
  readonly env?: Readonly<Record<string, string>>
}

/** USER_HZ of Linux on every architecture that Node runs on. */
const TICKS_A_SECOND = 100
const STOP_MS = 30_000

export function startController({ bundle, flags, url, user, folder, env }: ControllerProcessOptions): ControllerProcess {
  const config = join(folder, 'kubeconfig')
  writeFileSync(config, kubeconfig(url, user))
  const log = openSync(join(folder, 'controller.log'), 'w')
  // Nothing of our own environment: neither its settings nor its NODE_OPTIONS are the controller's.
  const child = spawn(process.execPath, [...flags, bundle, '--kubeconfig', config, '--namespace', 'system-upgrade'], {
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', DROVER_METRICS_ADDRESS: '127.0.0.1:0', ...env },
  })
  closeSync(log)
  const gone = once(child, 'exit')
  const { pid } = child
  if (pid === undefined) throw new Error(`cannot start ${bundle}`)
  const read = (file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8')
    } catch (error) {
      throw new Error(`the controller is gone:\n${readFileSync(join(folder, 'controller.log'), 'utf8').slice(-2000)}`, { cause: error })
    }
  }
  const field = (name: string): number => parseKilobytes(read('status'), name)
  return {
    cpuMs: () => parseCpuMs(read('stat')),
    rssMB: () => field('VmRSS') * 1.024e-3,
    peakMB: () => field('VmHWM') * 1.024e-3,
    async stop() {
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await gone
      clearTimeout(killer)
    },
  }
}

/** utime + stime of /proc/PID/stat. The command's name stands in parentheses and may contain anything. */
export function parseCpuMs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_A_SECOND
}

/** A field of /proc/PID/status that is given in kB (of 1024 bytes). */
export function parseKilobytes(status: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)
  if (found === null) throw new Error(`/proc/PID/status has no ${name}`)
  return Number(found[1])
}
