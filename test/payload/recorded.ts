/** Machines as they were recorded (`recorded/README.md`), laid into the machine in memory. */
import { readFileSync } from 'node:fs'
import { createMachine, type Machine, program } from './machine.ts'

interface RecordedProcess {
  readonly pid: number
  readonly exe: string
  readonly stat: string
  readonly cmdline: string
  readonly environ: string
  readonly cgroup: string
  readonly pidSpace: string
  readonly root: string
}

type RecordedFile = { readonly link: string } | { readonly mode: string; readonly text?: string; readonly program?: true }

export interface Recording {
  readonly recorded: string
  readonly processes: readonly RecordedProcess[]
  readonly files: Readonly<Record<string, RecordedFile>>
}

export const OLD_VERSIONS = { rke2: 'v1.33.4+rke2r1', k3s: 'v1.33.4+k3s1' } as const
/** What the launcher of K3s had unpacked. */
const UNPACKED = /^\/.*\/data\/([0-9a-f]{64})\/bin\/k3s$/

export const readRecording = (name: string): Recording =>
  JSON.parse(readFileSync(new URL(`recorded/${name}.json`, import.meta.url), 'utf8')) as Recording

/** `␀` stands for a null byte, `␀{30}` for thirty. */
const withNulls = (text: string): string =>
  text.replaceAll(/␀(?:\{(\d+)\})?/g, (_, count: string | undefined) => '\0'.repeat(Number(count ?? 1)))

export function layRecording({ processes, files }: Recording): Machine {
  const machine = createMachine()
  const carries = processes.map(({ exe }) => UNPACKED.exec(exe)?.[1]).find((sum) => sum !== undefined)
  for (const [path, file] of Object.entries(files)) {
    if ('link' in file) machine.symlink(path, file.link)
    else machine.file(path, file.program === true ? programAt(path, carries) : (file.text ?? ''), `root ${file.mode} kept`)
  }
  // The machine has been up for as long as it was when it was recorded.
  machine.advance(Math.max(...processes.map(({ stat }) => Number(stat.split(' ').at(-1)))) * 10 + 60_000)
  const first = processes.find(({ pid }) => pid === 1)
  for (const { pid, stat, cmdline, environ, ...rest } of processes) {
    const [, comm = '', parent = '', ticks = ''] = /^\d+ \((.*)\) \S (\d+) (?:\S+ ){17}(\d+)\n$/.exec(stat) ?? []
    const inode = rest.root === first?.root ? machine.inodeAt(rest.exe) : undefined
    machine.addProcess({
      ...rest,
      ...(inode === undefined ? {} : { inode }),
      pid,
      stat,
      comm,
      parent: Number(parent),
      startTicks: Number(ticks),
      cmdline: withNulls(cmdline),
      environ: withNulls(environ),
    })
  }
  return machine
}

function programAt(path: string, carries: string | undefined): string {
  if (path.endsWith('/k3s')) {
    const launcher = !UNPACKED.test(path) && carries !== undefined
    return program({ version: OLD_VERSIONS.k3s, ...(launcher ? { carries } : {}) })
  }
  return program({ version: OLD_VERSIONS.rke2 })
}
