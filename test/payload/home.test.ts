/** RKE2 of older tarballs, whose units set no HOME: upgraded and gone back, with Rancher's own drop-in and with settings of people. */
import { posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { carry, NEW, OLD, run } from './kit.ts'
import { createMachine, type Machine, program } from './machine.ts'

interface Layout {
  readonly name: string
  readonly binary: string
  readonly role: 'server' | 'agent'
  readonly files: Readonly<Record<string, string>>
  readonly readOnly?: readonly string[]
  /** The environment file that gets HOME. */
  readonly home: string
}

/** Its unit, which is the same everywhere but for folders. */
const unitText = (binary: string, environment: string, role: string): string =>
  [
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    'EnvironmentFile=-/etc/sysconfig/%N',
    `EnvironmentFile=-${environment}/%N.env`,
    'KillMode=process',
    `ExecStart=${binary} ${role}`,
    '',
  ].join('\n')

const layouts: readonly Layout[] = [
  ...(['server', 'agent'] as const).map((role) => ({
    name: `RKE2 ${role}, tar`,
    binary: '/usr/local/bin/rke2',
    role,
    files: {
      [`/usr/local/lib/systemd/system/rke2-${role}.service`]: unitText('/usr/local/bin/rke2', '/usr/local/lib/systemd/system', role),
      // Rancher's own, which it writes anew.
      [`/etc/systemd/system/rke2-${role}.service.d/20-rancher.conf`]:
        '[Service]\nEnvironmentFile=-/usr/local/lib/systemd/system/rke2-sa.env\n',
      '/usr/local/lib/systemd/system/rke2-sa.env': 'RESTART_STAMP=1\n',
      '/usr/local/bin/rke2-killall.sh': '#!/bin/sh\n',
    },
    home: `/usr/local/lib/systemd/system/rke2-${role}.env`,
  })),
  {
    name: 'RKE2 server, tar beside a read-only /usr/local',
    binary: '/opt/rke2/bin/rke2',
    role: 'server',
    readOnly: ['/usr'],
    files: {
      '/etc/systemd/system/rke2-server.service': unitText('/opt/rke2/bin/rke2', '/opt/rke2/lib/systemd/system', 'server'),
      '/opt/rke2/lib/systemd/system/rke2-server.env': 'HTTPS_PROXY=http://proxy:3128\n',
      '/opt/rke2/bin/rke2-killall.sh': '#!/bin/sh\n',
    },
    home: '/opt/rke2/lib/systemd/system/rke2-server.env',
  },
]

function lay({ binary, role, files, readOnly }: Layout): Machine {
  const machine = createMachine()
  machine.file(binary, program({ version: OLD }), 'root 0755 kept')
  for (const [path, data] of Object.entries(files)) machine.file(path, data)
  machine.state.readOnly = [...(readOnly ?? [])]
  machine.addProcess({ pid: 1, parent: 0, comm: 'systemd', exe: '/usr/lib/systemd/systemd', cmdline: '/sbin/init\0' })
  machine.serve({
    binary,
    cmdline: `${binary} ${role}${'\0'.repeat(20)}`,
    unit: `rke2-${role}.service`,
    environ: 'PATH=/usr/local/bin:/usr/bin:/opt/bin\0',
  })
  return machine
}

describe.each(layouts)('$name', (layout) => {
  const { binary, role, files, home } = layout

  test('is upgraded; only the file of its environment gets a line', async () => {
    const machine = lay(layout)
    const next = carry(machine, { version: NEW })
    const { result, said } = await run(machine)

    expect(result).toMatchObject({ result: 'Upgraded', from: OLD, to: NEW })
    expect(said[0]).toBe(`found rke2 ${role}, ${binary}, rke2-${role}.service`)
    expect(machine.inodeAt(binary)).toMatchObject({ data: next, attributes: 'root 0755 kept' })
    expect(machine.inodeAt(`${binary}.drover-previous`)?.attributes).toBe('root 0755 kept')
    const after = { ...files, [home]: `${files[home] ?? ''}HOME=/root\n` }
    expect(Object.fromEntries(Object.keys(after).map((path) => [path, machine.inodeAt(path)?.data]))).toEqual(after)
    // Beside the program there is nothing but what was there, the old one and its record.
    const names = ['rke2', 'rke2-killall.sh', 'rke2.drover-previous', 'rke2.drover-previous.json']
    expect(machine.names(posix.dirname(binary))).toEqual(names)
  })

  test('goes back from a release that crashes', async () => {
    const machine = lay(layout)
    const old = machine.inodeAt(binary)?.data
    carry(machine, { version: NEW, behaviour: 'crash' })

    expect((await run(machine)).result.result).toBe('RolledBack')
    expect(machine.inodeAt(binary)).toMatchObject({ data: old, attributes: 'root 0755 kept' })
    expect(machine.service?.pid).toBeDefined()
  })
})
