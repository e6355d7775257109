/** The machine's processes, as `/proc` shows them. */
import { messageOf } from '../base/errors.ts'
import type { Host, MachineFiles } from './host.ts'
import { Refusal } from './refusal.ts'

export interface Process {
  readonly pid: number
  readonly parent: number
  /** Clock ticks since boot at which it started: with the pid it names a process for ever. */
  readonly startTicks: number
  readonly comm: string
  /** The running file, as the machine names it; another file may have the name by now. */
  readonly exe: string
  /** The command line in words. RKE2 and K3s overwrite theirs with one text without arguments. */
  readonly words: readonly string[]
  /** Lives in the machine's own process namespace and sees the machine's own root: no container. */
  readonly native: boolean
}

const DELETED = ' (deleted)'
/** Of all architectures that RKE2 and K3s run on. */
const TICKS_PER_SECOND = 100

export const identityOf = ({ pid, startTicks }: Process): string => `${pid}/${startTicks}`

/** Everything that runs a file; kernel threads and processes that end meanwhile are left out. */
export function listProcesses(host: Host): readonly Process[] {
  const { machine } = host
  const { pidSpace, root } = firstProcess(machine)
  const found: Process[] = []
  for (const name of machine.list('/proc') ?? []) {
    if (!/^\d+$/.test(name)) continue
    const process = readProcess(machine, Number(name), pidSpace, root)
    if (process !== undefined) found.push(process)
  }
  return found
}

function firstProcess(machine: MachineFiles): { readonly pidSpace: string; readonly root: string } {
  let seen = 'there is no /proc/1'
  try {
    const pidSpace = machine.link('/proc/1/ns/pid')
    const root = machine.stat('/proc/1/root')?.identity
    if (pidSpace !== undefined && root !== undefined) return { pidSpace, root }
  } catch (error) {
    seen = messageOf(error)
  }
  throw new Refusal(
    'NoPrivilege',
    `cannot look at the machine's first process (${seen}): the container has to be privileged, with hostPID and the machine's / at /host`,
  )
}

function readProcess(machine: MachineFiles, pid: number, pidSpace: string, root: string): Process | undefined {
  const folder = `/proc/${pid}`
  try {
    const link = machine.link(`${folder}/exe`)
    const stat = machine.text(`${folder}/stat`)
    if (link === undefined || stat === undefined) return undefined
    // The name in parentheses may hold anything, closing parentheses and spaces too.
    const end = stat.lastIndexOf(')')
    const fields = stat.slice(end + 2).split(' ')
    return {
      pid,
      parent: Number(fields[1]),
      startTicks: Number(fields[19]),
      comm: stat.slice(stat.indexOf('(') + 1, end),
      exe: link.endsWith(DELETED) ? link.slice(0, -DELETED.length) : link,
      words: wordsOf(machine.text(`${folder}/cmdline`) ?? ''),
      native: machine.link(`${folder}/ns/pid`) === pidSpace && machine.stat(`${folder}/root`)?.identity === root,
    }
  } catch {
    // It ended while it was looked at, or it is one that nobody may look at; such a one is no service of ours.
    return undefined
  }
}

function wordsOf(cmdline: string): readonly string[] {
  const pieces = cmdline.split('\0').filter((piece) => piece !== '')
  return pieces.length === 1 ? (pieces[0] ?? '').trim().split(/\s+/) : pieces
}

/** The environment a process was started with. */
export function environmentOf(machine: MachineFiles, pid: number): Readonly<Record<string, string>> {
  const entries = (machine.text(`/proc/${pid}/environ`) ?? '').split('\0').filter((entry) => entry.includes('='))
  return Object.fromEntries(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]))
}

/** The systemd service whose control group the process is in. */
export function unitOf(machine: MachineFiles, pid: number): string | undefined {
  const lines = (machine.text(`/proc/${pid}/cgroup`) ?? '').split('\n')
  const group = lines.find((line) => line.startsWith('0::/') && line !== '0::/') ?? lines.find((line) => line.includes(':name=systemd:'))
  // Of a session the service is the session's keeper, not what runs in it.
  if (group === undefined || group.includes('/user.slice/')) return undefined
  return group.split('/').findLast((part) => part.endsWith('.service'))
}

/** Milliseconds since the epoch at which the process started; undefined when the machine does not say. */
export function startedAt(machine: MachineFiles, { startTicks }: Process): number | undefined {
  const boot = /^btime (\d+)$/m.exec(machine.text('/proc/stat') ?? '')?.[1]
  return boot === undefined ? undefined : Number(boot) * 1000 + (startTicks / TICKS_PER_SECOND) * 1000
}
