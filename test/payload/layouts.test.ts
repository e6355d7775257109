/** Upgrades and roll backs on machines laid out as the installers of RKE2 and K3s lay them out (facts of their scripts and packages, not their text). */
import { posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { PayloadOptions } from '../../src/payload/options.ts'
import { carry, run } from './kit.ts'
import { createMachine, type Machine, type Program, program } from './machine.ts'

const [A, B] = ['a'.repeat(64), 'b'.repeat(64)]

interface Layout {
  readonly name: string
  readonly distribution: 'rke2' | 'k3s'
  readonly binary: string
  readonly role: 'server' | 'agent'
  /** Undefined: OpenRC starts the service. */
  readonly unit?: string
  readonly files: Readonly<Record<string, string>>
  readonly readOnly?: readonly string[]
  readonly environ?: string
  readonly options?: Partial<PayloadOptions>
  /** The environment file that gets HOME. */
  readonly home?: string
}

/** RKE2's unit, which is the same everywhere but for folders. */
const rke2Unit = (binary: string, environment: string, role: string): string =>
  [
    '[Unit]',
    `Conflicts=rke2-${role === 'server' ? 'agent' : 'server'}.service`,
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    'EnvironmentFile=-/etc/sysconfig/%N',
    `EnvironmentFile=-${environment}/%N.env`,
    'KillMode=process',
    'Delegate=yes',
    'TimeoutStartSec=0',
    'Restart=always',
    'RestartSec=5s',
    'ExecStartPre=-/sbin/modprobe overlay',
    `ExecStart=${binary} ${role}`,
    '',
  ].join('\n')

const scripts = (folder: string, distribution: string): Record<string, string> => ({
  [`${folder}/${distribution}-killall.sh`]: '#!/bin/sh\n',
  [`${folder}/${distribution}-uninstall.sh`]: '#!/bin/sh\n',
})

/** K3s' installer writes each argument on a line of its own, in quotes. */
const k3sUnit = (binary: string, name: string, args: readonly string[]): string =>
  [
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    'EnvironmentFile=-/etc/sysconfig/%N',
    `EnvironmentFile=-/etc/systemd/system/${name}.service.env`,
    'KillMode=process',
    'Restart=always',
    'RestartSec=5s',
    `ExecStart=${binary} \\`,
    ...args.map((arg, index) => (index === 0 ? `    ${arg} \\` : `\t'${arg}' \\`)),
    '',
  ].join('\n')

const layouts: readonly Layout[] = [
  ...(['server', 'agent'] as const).map((role) => ({
    name: `RKE2 ${role}, tar`,
    distribution: 'rke2' as const,
    binary: '/usr/local/bin/rke2',
    role,
    unit: `rke2-${role}.service`,
    files: {
      [`/usr/local/lib/systemd/system/rke2-${role}.service`]: rke2Unit('/usr/local/bin/rke2', '/usr/local/lib/systemd/system', role),
      // Rancher's own, which it writes anew.
      [`/etc/systemd/system/rke2-${role}.service.d/20-rancher.conf`]:
        '[Service]\nEnvironmentFile=-/usr/local/lib/systemd/system/rke2-sa.env\n',
      '/usr/local/lib/systemd/system/rke2-sa.env': 'RESTART_STAMP=1\n',
      ...scripts('/usr/local/bin', 'rke2'),
    },
    home: `/usr/local/lib/systemd/system/rke2-${role}.env`,
  })),
  {
    name: 'RKE2 server, tar beside a read-only /usr/local',
    distribution: 'rke2',
    binary: '/opt/rke2/bin/rke2',
    role: 'server',
    unit: 'rke2-server.service',
    readOnly: ['/usr'],
    files: {
      '/etc/systemd/system/rke2-server.service': rke2Unit('/opt/rke2/bin/rke2', '/opt/rke2/lib/systemd/system', 'server'),
      '/opt/rke2/lib/systemd/system/rke2-server.env': 'HTTPS_PROXY=http://proxy:3128\n',
      ...scripts('/opt/rke2/bin', 'rke2'),
    },
    home: '/opt/rke2/lib/systemd/system/rke2-server.env',
  },
  {
    name: 'RKE2 server, packages',
    distribution: 'rke2',
    binary: '/usr/bin/rke2',
    role: 'server',
    unit: 'rke2-server.service',
    environ: 'HOME=/root\0RKE2_SELINUX=true\0PATH=/usr/bin\0',
    files: {
      '/usr/bin/rpm': '',
      '/usr/bin/dnf': '',
      '/var/lib/rpm/rpmdb.sqlite': '',
      '/usr/lib/systemd/system/rke2-server.service': rke2Unit('/usr/bin/rke2', '/usr/lib/systemd/system', 'server'),
      '/etc/sysconfig/rke2-server': 'HOME=/root\nRKE2_SELINUX=true\n',
      ...scripts('/usr/bin', 'rke2'),
    },
    options: { rpm: 'replace' },
  },
  {
    name: 'K3s server, systemd',
    distribution: 'k3s',
    binary: '/usr/local/bin/k3s',
    role: 'server',
    unit: 'k3s.service',
    files: {
      '/etc/systemd/system/k3s.service': k3sUnit('/usr/local/bin/k3s', 'k3s', ['server', '--disable', 'traefik']),
      '/etc/systemd/system/k3s.service.env': 'K3S_TOKEN=secret\n',
      ...scripts('/usr/local/bin', 'k3s'),
    },
  },
  {
    name: 'K3s agent of a name of its own, below a read-only /usr/local',
    distribution: 'k3s',
    binary: '/opt/bin/k3s',
    role: 'agent',
    unit: 'k3s-edge.service',
    readOnly: ['/usr'],
    files: {
      '/etc/systemd/system/k3s-edge.service': k3sUnit('/opt/bin/k3s', 'k3s-edge', ['agent']),
      '/etc/systemd/system/k3s-edge.service.env': 'K3S_URL=https://server:6443\n',
      ...scripts('/opt/bin', 'k3s'),
    },
  },
  {
    name: 'K3s server, OpenRC',
    distribution: 'k3s',
    binary: '/usr/local/bin/k3s',
    role: 'server',
    files: {
      '/etc/init.d/k3s': '#!/sbin/openrc-run\nsupervisor=supervise-daemon\nrespawn_delay=5\n',
      '/etc/rancher/k3s/k3s.env': 'K3S_TOKEN=secret\n',
      ...scripts('/usr/local/bin', 'k3s'),
    },
  },
]

const VERSIONS = { rke2: ['v1.33.4+rke2r1', 'v1.33.5+rke2r1'], k3s: ['v1.33.4+k3s1', 'v1.33.5+k3s1'] } as const

function lay(layout: Layout): Machine {
  const { distribution, binary, role, unit, files, readOnly, environ } = layout
  const machine = createMachine()
  const [old] = VERSIONS[distribution]
  machine.file(binary, program({ version: old, ...(distribution === 'k3s' ? { carries: A } : {}) }), 'root 0755 kept')
  for (const [path, data] of Object.entries(files)) machine.file(path, data)
  machine.state.readOnly = [...(readOnly ?? [])]
  const supervised = unit !== undefined
  machine.addProcess({
    pid: 1,
    parent: 0,
    comm: supervised ? 'systemd' : 'init',
    exe: supervised ? '/usr/lib/systemd/systemd' : '/sbin/init',
    cmdline: '/sbin/init\0',
  })
  const parent = supervised
    ? 1
    : machine.addProcess({
        parent: 1,
        comm: 'supervise-daemon',
        exe: '/sbin/supervise-daemon',
        cmdline: `supervise-daemon\0k3s\0--start\0--\0${binary}\0server\0`,
      })
  machine.serve({
    binary,
    parent,
    cmdline: `${binary} ${role}${'\0'.repeat(20)}`,
    ...(supervised ? { unit } : {}),
    environ: environ ?? 'PATH=/usr/local/bin:/usr/bin:/opt/bin\0',
  })
  return machine
}

function carryNew(machine: Machine, distribution: 'rke2' | 'k3s', behaviour: Program['behaviour'] = 'good'): string {
  return carry(machine, { version: VERSIONS[distribution][1], behaviour, ...(distribution === 'k3s' ? { carries: B } : {}) }, distribution)
}

const contents = (machine: Machine, { files }: Layout) =>
  Object.fromEntries(Object.keys(files).map((path) => [path, machine.inodeAt(path)?.data]))

describe.each(layouts)('$name', (layout) => {
  const { distribution, binary, unit, files, home, options } = layout
  const [from, to] = VERSIONS[distribution]

  test('is upgraded; units, scripts and settings stay as they are', async () => {
    const machine = lay(layout)
    const next = carryNew(machine, distribution)
    const { result, said } = await run(machine, 'upgrade', options)

    expect(result).toMatchObject({ result: 'Upgraded', from, to })
    expect(said[0]).toBe(`found ${distribution} ${layout.role}, ${binary}${unit === undefined ? '' : `, ${unit}`}`)
    expect(machine.inodeAt(binary)).toMatchObject({ data: next, attributes: 'root 0755 kept' })
    expect(machine.inodeAt(`${binary}.drover-previous`)?.attributes).toBe('root 0755 kept')
    expect(machine.state.ran.some((line) => line === `systemctl restart --no-block ${unit}`)).toBe(unit !== undefined)
    expect(machine.state.steps.includes('kill SIGTERM')).toBe(unit === undefined)
    const before = home === undefined ? {} : { [home]: `${files[home] ?? ''}HOME=/root\n` }
    expect(contents(machine, layout)).toEqual({ ...files, ...(home !== undefined && home in files ? before : {}) })
    if (home !== undefined) expect(machine.inodeAt(home)?.data).toBe(before[home])
    // Beside the program there is nothing but what was there, the old one and its record.
    const beside = Object.keys(files).filter((path) => posix.dirname(path) === posix.dirname(binary))
    const names = [binary, `${binary}.drover-previous`, `${binary}.drover-previous.json`, ...beside].map((path) => posix.basename(path))
    expect(machine.names(posix.dirname(binary))).toEqual(names.toSorted())
  })

  test('goes back from a release that crashes', async () => {
    const machine = lay(layout)
    const old = machine.inodeAt(binary)?.data
    carryNew(machine, distribution, 'crash')

    expect((await run(machine, 'upgrade', options)).result.result).toBe('RolledBack')
    expect(machine.inodeAt(binary)).toMatchObject({ data: old, attributes: 'root 0755 kept' })
    expect(machine.service?.pid).toBeDefined()
  })
})

test('packages: refused with the command to use, unless told', async () => {
  const layout = layouts.find(({ name }) => name === 'RKE2 server, packages')
  if (layout === undefined) throw new Error('no such layout')
  const machine = lay(layout)
  machine.state.programs.set('rpm -qf', { code: 0, stdout: 'rke2-common-1.33.4~rke2r1-0.el9\n' })
  carryNew(machine, 'rke2')

  expect((await run(machine)).result).toMatchObject({
    result: 'OwnedByPackage',
    message: expect.stringContaining(
      '/usr/bin/rke2 belongs to the package rke2-common-1.33.4~rke2r1-0.el9; upgrade it with: dnf install -y rke2-server-1.33.5~rke2r1',
    ),
  })
  expect(machine.state.steps).toEqual([])
})
