import type { PayloadResult } from '../../src/api/payload-result.ts'
import { parsePayloadResult } from '../../src/api/payload-result.ts'
import { DEFAULTS, type PayloadOptions } from '../../src/payload/options.ts'
import { runPayload } from '../../src/payload/run.ts'
import { createMachine, type Machine, type Program, program, sha256 } from './machine.ts'

export const OLD = 'v1.33.4+rke2r1'
export const NEW = 'v1.33.5+rke2r1'
export const BINARY = '/usr/local/bin/rke2'

/** The image of a payload, with sums that are right. */
export function carry(machine: Machine, about: Program, name = 'rke2', images: Readonly<Record<string, string>> = {}): string {
  const data = program(about)
  machine.carried(`/opt/${name}`, data)
  for (const [file, content] of Object.entries(images)) machine.carried(`/opt/images/${file}`, content)
  const sums = [`${sha256(data)}  ${name}`, ...Object.entries(images).map(([file, content]) => `${sha256(content)}  images/${file}`)]
  machine.carried('/opt/SHA256SUMS', `${sums.join('\n')}\n`)
  return data
}

/** A machine under systemd with a running RKE2 from the tarball. */
export function rke2Machine(role: 'agent' | 'server' = 'agent', version = OLD): Machine {
  const machine = createMachine()
  machine.addProcess({ pid: 1, parent: 0, comm: 'systemd', exe: '/usr/lib/systemd/systemd', cmdline: '/sbin/init\0', startTicks: 1 })
  machine.file(BINARY, program({ version }), 'root 0755 system_u:object_r:container_runtime_exec_t:s0 user.note=kept')
  machine.file(`/usr/local/lib/systemd/system/rke2-${role}.service`, UNIT(role), 'root 0644')
  machine.serve({
    binary: BINARY,
    cmdline: `/usr/local/bin/rke2 ${role}\0`,
    unit: `rke2-${role}.service`,
    environ: 'HOME=/root\0PATH=/usr/bin\0',
  })
  return machine
}

const UNIT = (role: string) =>
  [
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    'EnvironmentFile=-/etc/sysconfig/%N',
    'EnvironmentFile=-/usr/local/lib/systemd/system/%N.env',
    'KillMode=process',
    `ExecStart=/usr/local/bin/rke2 ${role}`,
    '',
  ].join('\n')

export interface Ran {
  readonly code: number
  readonly result: PayloadResult
  readonly said: readonly string[]
}

export async function run(
  machine: Machine,
  command: 'upgrade' | 'prepare' = 'upgrade',
  options: Partial<PayloadOptions> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Ran> {
  const said: string[] = []
  const code = await runPayload(machine.host, command, {
    options: { ...DEFAULTS, ...options },
    say: (text) => void said.push(text),
    signal,
  })
  const result = parsePayloadResult(machine.state.messages.at(-1) ?? '')
  if (result === undefined) throw new Error(`no result: ${machine.state.messages.at(-1)}`)
  return { code, result, said }
}

export const podInfo = (machine: Machine, planUID: string, attempt: number, retry: string): void =>
  machine.carried(
    '/run/system-upgrade/pod/annotations',
    `drover.io/attempt="${planUID}/${attempt}/${retry}"\nkubernetes.io/config.seen="2026"\n`,
  )
