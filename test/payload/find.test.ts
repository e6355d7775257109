/** Finding, on process tables and file trees as they are on real machines (made by hand; machines that installers laid out are in recorded.test.ts). */
import { describe, expect, test } from '@jest/globals'
import { findServices, onlyService } from '../../src/payload/find.ts'
import { runsFile } from '../../src/payload/running.ts'
import { createMachine, type Machine, type Proc, program } from './machine.ts'

const HASH = 'a'.repeat(64)
const OTHER = 'b'.repeat(64)
const K3S = `/var/lib/rancher/k3s/data/${HASH}/bin/k3s`

type Recorded = Omit<Proc, 'startTicks' | 'inode'>

const SYSTEMD: Recorded = {
  pid: 1,
  parent: 0,
  comm: 'systemd',
  exe: '/usr/lib/systemd/systemd',
  cmdline: '/usr/lib/systemd/systemd\0--switched-root\0',
}
const cgroup = (unit: string) => `0::/system.slice/${unit}\n`

function record(processes: readonly Recorded[], files: Readonly<Record<string, string>> = {}): Machine {
  const machine = createMachine()
  for (const [path, data] of Object.entries(files)) machine.file(path, data)
  for (const [index, proc] of processes.entries()) {
    const inode = machine.inodeAt(proc.exe)
    machine.addProcess({ ...proc, ...(inode === undefined ? {} : { inode }), startTicks: 100 + index })
  }
  return machine
}

const only = (machine: Machine, unit?: string) => onlyService(findServices(machine.host), unit)

const unitFile = (lines: readonly string[]) => ['[Service]', 'Type=notify', ...lines, 'Restart=always', ''].join('\n')

describe('RKE2', () => {
  test('a prefix of its own, reached through links, with arguments of the unit', () => {
    const machine = record(
      [
        SYSTEMD,
        {
          pid: 700,
          parent: 1,
          comm: 'rke2',
          exe: '/data/tools/rke2/bin/rke2',
          cmdline: '/opt/tools/bin/rke2\0agent\0--data-dir\0/data/rke2\0',
          cgroup: cgroup('rke2-agent.service'),
        },
      ],
      { '/data/tools/rke2/bin/rke2': program({ version: 'v1.33.4+rke2r1' }) },
    )
    machine.symlink('/opt/tools', '/data/tools/rke2')

    expect(only(machine)).toMatchObject({
      role: 'agent',
      binary: '/data/tools/rke2/bin/rke2',
      configuration: { dataDir: '/data/rke2' },
      unit: { path: undefined },
    })
  })

  test('--debug before the subcommand', () => {
    const machine = record(
      [
        SYSTEMD,
        {
          pid: 700,
          parent: 1,
          comm: 'rke2',
          exe: '/usr/local/bin/rke2',
          cmdline: '/usr/local/bin/rke2\0--debug\0agent\0',
          cgroup: cgroup('rke2-agent.service'),
        },
      ],
      {
        '/usr/local/bin/rke2': '',
      },
    )
    expect(only(machine).role).toBe('agent')
  })

  test("drop-ins have the last word on the unit's command, and add their environment files", () => {
    const unit = 'rke2-server.service'
    const machine = record(
      [
        SYSTEMD,
        { pid: 700, parent: 1, comm: 'rke2', exe: '/usr/local/bin/rke2', cmdline: '/usr/local/bin/rke2 server\0', cgroup: cgroup(unit) },
      ],
      {
        '/usr/local/bin/rke2': '',
        [`/usr/local/lib/systemd/system/${unit}`]: unitFile(['EnvironmentFile=-/etc/default/%N', 'ExecStart=/usr/local/bin/rke2 server']),
        [`/usr/local/lib/systemd/system/${unit}.d/10-data.conf`]:
          '[Service]\nExecStart=\nExecStart=/usr/local/bin/rke2 server --data-dir /srv/b\n',
        [`/etc/systemd/system/${unit}.d/10-data.conf`]: '[Service]\nExecStart=\nExecStart=/usr/local/bin/rke2 server --data-dir /srv/a\n',
        [`/usr/local/lib/systemd/system/${unit}.d/20-rancher.conf`]:
          '[Service]\nEnvironmentFile=-/usr/local/lib/systemd/system/rke2-sa.env\n',
        // By name they come before 10-data, whatever their folder.
        [`/etc/systemd/system/${unit}.d/05-first.conf`]: '[Service]\nExecStart=\nExecStart=/usr/local/bin/rke2 server --data-dir /srv/d\n',
        [`/usr/lib/systemd/system/${unit}.d/01-zero.conf`]:
          '[Service]\nExecStart=\nExecStart=/usr/local/bin/rke2 server --data-dir /srv/e\n',
        [`/etc/systemd/system/${unit}.d/notes.txt`]: 'ExecStart=/usr/local/bin/rke2 server --data-dir /srv/c\n',
      },
    )
    expect(only(machine)).toMatchObject({
      configuration: { dataDir: '/srv/a' },
      unit: { environmentFiles: ['/etc/default/rke2-server', '/usr/local/lib/systemd/system/rke2-sa.env'] },
    })
  })

  test('cgroup v1', () => {
    const machine = record(
      [
        SYSTEMD,
        {
          pid: 700,
          parent: 1,
          comm: 'rke2',
          exe: '/usr/local/bin/rke2',
          cmdline: '/usr/local/bin/rke2 agent\0',
          cgroup: '4:memory:/system.slice\n1:name=systemd:/system.slice/rke2-agent.service\n0::/\n',
        },
      ],
      { '/usr/local/bin/rke2': '' },
    )
    expect(only(machine).unit?.name).toBe('rke2-agent.service')
  })

  test('other commands of the program, editors of its files and shells that name it are none', () => {
    const rke2 = (pid: number, cmdline: string, exe = '/usr/local/bin/rke2') => ({ pid, parent: 600, comm: 'rke2', exe, cmdline })
    const machine = record([
      SYSTEMD,
      rke2(601, '/usr/local/bin/rke2\0etcd-snapshot\0save\0--name\0server\0'),
      rke2(602, '/usr/local/bin/rke2\0certificate\0rotate\0'),
      rke2(603, 'sh\0-c\0/usr/local/bin/rke2 server\0', '/usr/bin/dash'),
      rke2(604, 'grep\0rke2 server\0', '/usr/bin/grep'),
      rke2(605, '/usr/bin/rke2-killall.sh\0', '/usr/bin/bash'),
    ])

    expect(() => only(machine)).toThrow(
      /no RKE2 or K3s server or agent runs on this machine; looked at: process 601 .*neither a server nor an agent; process 602/,
    )
  })

  test('two of them: an error that lists both; --unit chooses', () => {
    const two = (pid: number, role: string) => ({
      pid,
      parent: 1,
      comm: 'rke2',
      exe: '/usr/local/bin/rke2',
      cmdline: `/usr/local/bin/rke2 ${role}\0`,
      cgroup: cgroup(`rke2-${role}.service`),
    })
    const machine = record([SYSTEMD, two(700, 'server'), two(701, 'agent')], { '/usr/local/bin/rke2': '' })

    expect(() => only(machine)).toThrow(
      'several services run on this machine, name one with --unit: process 700: rke2 server, /usr/local/bin/rke2, rke2-server.service; process 701: rke2 agent, /usr/local/bin/rke2, rke2-agent.service',
    )
    expect(only(machine, 'rke2-agent').main.pid).toBe(701)
    expect(only(machine, 'rke2-server.service').main.pid).toBe(700)
  })

  test('a name with parentheses and spaces does not confuse the process table', () => {
    const machine = record(
      [
        SYSTEMD,
        {
          pid: 700,
          parent: 1,
          comm: 'a) S 9 (b',
          exe: '/usr/local/bin/rke2',
          cmdline: '/usr/local/bin/rke2 agent\0',
          cgroup: cgroup('rke2-agent.service'),
        },
      ],
      {
        '/usr/local/bin/rke2': '',
      },
    )
    expect(only(machine).main).toMatchObject({ parent: 1, comm: 'a) S 9 (b' })
  })
})

describe('K3s', () => {
  const files = { '/usr/local/bin/k3s': program({ version: 'v1.33.4+k3s1', carries: HASH }), [K3S]: program({ version: 'v1.33.4+k3s1' }) }
  const server: Recorded = {
    pid: 500,
    parent: 1,
    comm: 'k3s-server',
    exe: K3S,
    cmdline: `/usr/local/bin/k3s server${'\0'.repeat(12)}`,
    cgroup: cgroup('k3s.service'),
    environ: `PATH=/var/lib/rancher/k3s/data/${HASH}/bin:/usr/local/bin:/usr/bin\0K3S_DATA_DIR=/var/lib/rancher/k3s/data/${HASH}\0`,
  }

  test('systemd: the launcher is replaced, not what it unpacks', async () => {
    const machine = record(
      [
        SYSTEMD,
        server,
        {
          pid: 530,
          parent: 500,
          comm: 'containerd',
          exe: K3S,
          cmdline: 'containerd\0-c\0/var/lib/rancher/k3s/agent/etc/containerd/config.toml\0',
          cgroup: cgroup('k3s.service'),
        },
      ],
      {
        ...files,
        '/etc/systemd/system/k3s.service': unitFile([
          'EnvironmentFile=-/etc/systemd/system/k3s.service.env',
          "ExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--data-dir' \\\n\t'/srv/k3s' \\",
        ]),
      },
    )
    const service = only(machine)

    expect(service).toMatchObject({
      distribution: 'k3s',
      role: 'server',
      binary: '/usr/local/bin/k3s',
      direct: false,
      supervisor: 'systemd',
      configuration: { dataDir: '/srv/k3s' },
    })
    expect(service.processes.map(({ pid }) => pid)).toEqual([500, 530])
    expect(await runsFile(machine.host, service)).toBe(true)

    machine.file('/usr/local/bin/k3s', program({ version: 'v1.33.5+k3s1', carries: OTHER }))
    expect(await runsFile(machine.host, only(machine))).toBe(false)
  })

  test('a launcher that names nothing it unpacks: time tells', async () => {
    const machine = record([SYSTEMD, server], { ...files, '/usr/local/bin/k3s': program({ version: 'v1.33.4+k3s1' }) })
    machine.file('/proc/stat', 'cpu 1\nbtime 1700000000\n')
    const inode = machine.inodeAt('/usr/local/bin/k3s')
    if (inode === undefined) throw new Error('no file')

    inode.modifiedAt = 1_700_000_000_000
    expect(await runsFile(machine.host, only(machine))).toBe(true)
    inode.modifiedAt = 1_700_000_005_000
    expect(await runsFile(machine.host, only(machine))).toBe(false)
  })

  test('a wrapper that is no K3s, such as a debugger, is not taken for it', () => {
    const machine = record(
      [
        SYSTEMD,
        {
          pid: 490,
          parent: 1,
          comm: 'dlv',
          exe: '/usr/local/bin/dlv',
          cmdline: 'dlv\0exec\0/usr/local/bin/k3s\0--\0server\0',
          cgroup: cgroup('k3s.service'),
        },
        { ...server, parent: 490 },
      ],
      files,
    )
    expect(only(machine).main.pid).toBe(500)
  })

  test('its kubectl, crictl and ctr are the same file, and no service, whatever the namespace is called', () => {
    const tool = (pid: number, cmdline: string) => ({ ...server, pid, cmdline, cgroup: cgroup('backup.service') })
    const machine = record([SYSTEMD, server, tool(700, 'kubectl\0-n\0server\0get\0pods\0'), tool(701, 'crictl\0--config\0agent\0ps\0')], {
      ...files,
      '/etc/systemd/system/backup.service': unitFile(['ExecStart=/usr/local/bin/kubectl -n server get pods']),
    })
    machine.symlink('/usr/local/bin/kubectl', 'k3s')
    expect(only(machine).main.pid).toBe(500)
  })

  test('called by a bare name: found where its PATH leads, not among what it unpacked', () => {
    const machine = record([SYSTEMD, { ...server, cmdline: 'k3s server\0' }], files)
    expect(only(machine).binary).toBe('/usr/local/bin/k3s')
  })

  test('a launcher that is gone is no guess', () => {
    const machine = record([SYSTEMD, { ...server, environ: '' }], { [K3S]: '' })
    expect(() => only(machine)).toThrow(/its launcher was not found; it runs as .*\/bin\/k3s/)
  })

  test('an external datastore', () => {
    const external = (more: Partial<Recorded>, config = '') =>
      only(record([SYSTEMD, { ...server, ...more }], { ...files, '/etc/rancher/k3s/config.yaml': config })).configuration.externalDatastore
    expect(external({})).toBe(false)
    expect(external({ environ: 'K3S_DATASTORE_ENDPOINT=mysql://db\0PATH=/usr/bin\0' })).toBe(true)
    expect(external({}, 'datastore-endpoint: postgres://db\n')).toBe(true)
    expect(external({}, 'datastore-endpoint: sqlite\n')).toBe(false)
    expect(external({}, '{{{ not yaml')).toBe(false)
  })
})

test('without privilege: what is missing is said', () => {
  const machine = createMachine()
  expect(() => findServices(machine.host)).toThrow(/the container has to be privileged, with hostPID/)
})

test('nothing at all', () => {
  expect(() => only(record([SYSTEMD]))).toThrow(/^no RKE2 or K3s server or agent runs on this machine$/)
})
