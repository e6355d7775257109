/** Which RKE2 or K3s runs on this machine, by evidence: processes, their files, their control groups. */
import { posix } from 'node:path'
import type { Distribution } from '../rollout/version.ts'
import type { Host, MachineFiles } from './host.ts'
import { type Configuration, readConfiguration, readUnit, type Unit } from './layout.ts'
import { environmentOf, listProcesses, type Process, unitOf } from './processes.ts'
import { Refusal } from './refusal.ts'

export type Role = 'server' | 'agent'
/** Who starts the service again when it ends: systemd, OpenRC's supervise-daemon, another first process (or what it started), nobody known. */
export type Supervisor = 'systemd' | 'openrc' | 'other' | 'none'

export interface Service {
  readonly distribution: Distribution
  readonly role: Role
  /** The topmost of its processes, whose end is the service's end. */
  readonly main: Process
  /** All of its processes that run its program, main among them. */
  readonly processes: readonly Process[]
  /** The file to replace, without symbolic links. */
  readonly binary: string
  /** The file runs itself (RKE2); otherwise it is a launcher that unpacks what runs (K3s). */
  readonly direct: boolean
  readonly unit: Unit | undefined
  readonly supervisor: Supervisor
  readonly configuration: Configuration
  readonly environment: Readonly<Record<string, string>>
}

export interface Found {
  readonly services: readonly Service[]
  /** What looked like one and is none, with the reason; for people. */
  readonly passedOver: readonly string[]
}

const PROGRAM = /^(rke2|k3s)(?:[-.][\w.-]+)?$/
/** Where K3s unpacks itself: named by the sum of what is unpacked. */
export const UNPACKED = /\/data\/([0-9a-f]{64})\/bin\/[^/]+$/
/** What RKE2 unpacks and starts, below its data. */
const RKE2_CHILD = /^(\/.+)\/data\/[^/]+\/bin\/(?:kubelet|containerd)$/

/** @throws Refusal `NoPrivilege` */
export function findServices(host: Host): Found {
  const processes = listProcesses(host)
  const byPid = new Map(processes.map((process) => [process.pid, process]))
  const passedOver: string[] = []
  const groups = new Map<number, Process[]>()
  for (const process of processes) {
    if (!PROGRAM.test(posix.basename(process.exe))) continue
    if (!process.native) {
      passedOver.push(`process ${process.pid} (${process.exe}): in a container`)
      continue
    }
    const top = topOf(process, byPid)
    groups.set(top.pid, [...(groups.get(top.pid) ?? []), process])
  }
  const services: Service[] = []
  for (const [pid, group] of groups) {
    const main = byPid.get(pid)
    if (main === undefined) continue
    const service = serviceOf(host.machine, main, group, byPid)
    if (typeof service === 'string') passedOver.push(`process ${pid} (${main.words.join(' ')}): ${service}`)
    else services.push(service)
  }
  return { services, passedOver }
}

/** The one service. With a unit's name, the one of that unit. */
export function onlyService({ services, passedOver }: Found, unit: string | undefined): Service {
  const wanted = services.filter((service) => unit === undefined || service.unit?.name === unit || service.unit?.name === `${unit}.service`)
  const [service, second] = wanted
  if (service === undefined) {
    const others = [...services.map(described), ...passedOver]
    throw new Refusal(
      'NotRunning',
      `no RKE2 or K3s server or agent runs on this machine${others.length === 0 ? '' : `; looked at: ${others.join('; ')}`}`,
    )
  }
  if (second !== undefined) {
    throw new Refusal('Ambiguous', `several services run on this machine, name one with --unit: ${wanted.map(described).join('; ')}`)
  }
  return service
}

function described({ main, distribution, role, binary, unit }: Service): string {
  return `process ${main.pid}: ${distribution} ${role}, ${binary}${unit === undefined ? '' : `, ${unit.name}`}`
}

/** `k3s init` and the like start the service as a child of the same program. */
function topOf(process: Process, byPid: ReadonlyMap<number, Process>): Process {
  let top = process
  for (;;) {
    const parent = byPid.get(top.parent)
    if (parent === undefined || !parent.native || !PROGRAM.test(posix.basename(parent.exe))) return top
    top = parent
  }
}

/** Or why it is no service. */
function serviceOf(machine: MachineFiles, main: Process, group: readonly Process[], byPid: ReadonlyMap<number, Process>): Service | string {
  const role = group.map(({ words }) => roleOf(words)).find((found) => found !== undefined)
  if (role === undefined) return 'neither a server nor an agent'
  const distribution = PROGRAM.exec(posix.basename(main.exe))?.[1] as Distribution
  const environment = environmentFor(machine, main, byPid)
  const unitName = unitOf(machine, main.pid)
  const unit = unitName === undefined ? undefined : readUnit(machine, unitName)
  const direct = !UNPACKED.test(main.exe)
  const binary = direct ? main.exe : launcherOf(machine, group, unit, environment)
  if (binary === undefined) return `its launcher was not found; it runs as ${main.exe}`
  const words = [...group.flatMap((process) => process.words), ...(unit?.command ?? [])]
  return {
    distribution,
    role,
    main,
    processes: group,
    binary: machine.real(binary),
    direct,
    unit,
    supervisor: supervisorOf(main, unit, byPid),
    configuration: readConfiguration(machine, distribution, words, environment, dataDirSeen(main, group, byPid)),
    environment,
  }
}

/**
 * The subcommand: the first word after the program's that is neither an option nor, perhaps, an option's value. Called by another name, the same
 * file is a kubectl or crictl.
 */
function roleOf(words: readonly string[]): Role | undefined {
  if (!PROGRAM.test(posix.basename(words[0] ?? ''))) return undefined
  for (const [index, word] of words.entries()) {
    if (index === 0 || word.startsWith('-')) continue
    if (word === 'server' || word === 'agent') return word
    const before = words[index - 1] ?? ''
    if (index === 1 || !before.startsWith('-') || before.includes('=')) return undefined
  }
  return undefined
}

function launcherOf(
  machine: MachineFiles,
  group: readonly Process[],
  unit: Unit | undefined,
  environment: Readonly<Record<string, string>>,
): string | undefined {
  const words = [...group.map((process) => process.words[0] ?? ''), unit?.command[0] ?? '']
  const absolute = words.filter((word) => word.startsWith('/'))
  const folders = (environment['PATH'] ?? '')
    .split(':')
    .filter((folder) => folder.startsWith('/') && !/\/data\/[0-9a-f]{64}\//.test(`${folder}/`))
  const bare = words.filter((word) => PROGRAM.test(word))
  const searched = bare.flatMap((word) => folders.map((folder) => `${folder}/${word}`))
  return [...absolute, ...searched].find((path) => machine.stat(path)?.kind === 'file')
}

function supervisorOf(main: Process, unit: Unit | undefined, byPid: ReadonlyMap<number, Process>): Supervisor {
  const first = byPid.get(1)
  if (first !== undefined && (first.comm === 'systemd' || first.exe.endsWith('/systemd'))) return unit === undefined ? 'none' : 'systemd'
  if (isOpenRc(byPid.get(main.parent))) return 'openrc'
  return 'other'
}

/** By its file: the kernel keeps fifteen characters of a name, one fewer than this one has. */
const isOpenRc = (parent: Process | undefined): boolean => posix.basename(parent?.exe ?? '') === 'supervise-daemon'

/**
 * RKE2 and K3s overwrite the first variable of theirs together with their arguments. From systemd that is LANG or PATH; from OpenRC it may be any,
 * and its supervisor still has them all.
 */
function environmentFor(machine: MachineFiles, main: Process, byPid: ReadonlyMap<number, Process>): Readonly<Record<string, string>> {
  const own = environmentOf(machine, main.pid)
  return isOpenRc(byPid.get(main.parent)) ? { ...environmentOf(machine, main.parent), ...own } : own
}

/** Where the running programs were unpacked: a wrapper may hold the arguments, and the process itself does not show them. */
function dataDirSeen(main: Process, group: readonly Process[], byPid: ReadonlyMap<number, Process>): string | undefined {
  if (UNPACKED.test(main.exe)) return main.exe.replace(UNPACKED, '')
  const own = new Set(group.map(({ pid }) => pid))
  const children = [...byPid.values()].filter(({ parent, native }) => native && own.has(parent))
  return children.map(({ exe }) => RKE2_CHILD.exec(exe)?.[1]).find((folder) => folder !== undefined)
}
