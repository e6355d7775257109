/** Finding, upgrading and going back on machines that the installers of RKE2 and K3s have really laid out, with processes as the kernel showed them. */
import { readdirSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { findServices, onlyService } from '../../src/payload/find.ts'
import type { PayloadOptions } from '../../src/payload/options.ts'
import { runsFile } from '../../src/payload/running.ts'
import { carry, run } from './kit.ts'
import type { Machine, Program } from './machine.ts'
import { layRecording, OLD_VERSIONS, type Recording, readRecording } from './recorded.ts'

const HASH = '3d9ab1d2ed0dbe0cd22ae0b4fdb1ba3cbd9f3bd3b4a0c2f3c6a2f39c9ba5f0c1'
const NEW_VERSIONS = { rke2: 'v1.33.5+rke2r1', k3s: 'v1.33.5+k3s1' } as const

interface Layout {
  readonly name: string
  readonly distribution: 'rke2' | 'k3s'
  readonly role: 'server' | 'agent'
  readonly binary: string
  /** The comm of the main process. */
  readonly main: string
  /** Undefined: OpenRC starts the service. */
  readonly unit?: string
  readonly unitPath?: string
  readonly environmentFiles?: readonly string[]
  readonly command?: readonly string[]
  readonly dataDir: string
  readonly externalDatastore?: true
  readonly readOnly?: readonly string[]
  readonly options?: Partial<PayloadOptions>
  readonly passedOver?: number
}

const usual = (stem: string, own: string) => [`/etc/default/${stem}`, `/etc/sysconfig/${stem}`, own]

/** As the installer of RKE2 lays a server out from its archive. */
const rke2Server = {
  distribution: 'rke2',
  role: 'server',
  binary: '/usr/local/bin/rke2',
  main: 'rke2',
  unit: 'rke2-server.service',
  unitPath: '/usr/local/lib/systemd/system/rke2-server.service',
  environmentFiles: usual('rke2-server', '/usr/local/lib/systemd/system/rke2-server.env'),
} as const

/** As the installer of K3s lays a server out. */
const k3sServer = {
  distribution: 'k3s',
  role: 'server',
  binary: '/usr/local/bin/k3s',
  main: 'k3s-server',
  unit: 'k3s.service',
  unitPath: '/etc/systemd/system/k3s.service',
  environmentFiles: usual('k3s', '/etc/systemd/system/k3s.service.env'),
} as const

const layouts: readonly Layout[] = [
  {
    name: 'rke2-tar',
    ...rke2Server,
    command: ['/usr/local/bin/rke2', 'server'],
    dataDir: '/var/lib/rancher/rke2',
  },
  {
    name: 'rke2-read-only',
    distribution: 'rke2',
    role: 'agent',
    binary: '/opt/rke2/bin/rke2',
    main: 'rke2',
    unit: 'rke2-agent.service',
    unitPath: '/etc/systemd/system/rke2-agent.service',
    environmentFiles: usual('rke2-agent', '/opt/rke2/lib/systemd/system/rke2-agent.env'),
    command: ['/opt/rke2/bin/rke2', 'agent'],
    dataDir: '/var/lib/rancher/rke2',
    readOnly: ['/usr/local'],
  },
  {
    name: 'rke2-rpm',
    distribution: 'rke2',
    role: 'server',
    binary: '/usr/bin/rke2',
    main: 'rke2',
    unit: 'rke2-server.service',
    unitPath: '/usr/lib/systemd/system/rke2-server.service',
    environmentFiles: usual('rke2-server', '/usr/lib/systemd/system/rke2-server.env'),
    command: ['/usr/bin/rke2', 'server'],
    dataDir: '/var/lib/rancher/rke2',
    options: { rpm: 'replace' },
  },
  {
    name: 'rke2-debug',
    ...rke2Server,
    command: ['/usr/local/sbin/rke2-debug', 'server', '--data-dir', '/srv/rke2'],
    dataDir: '/srv/rke2',
  },
  {
    name: 'rke2-wrapper',
    ...rke2Server,
    command: ['/usr/local/sbin/rke2-wrapper'],
    dataDir: '/srv/rke2',
  },
  {
    name: 'k3s-wrapper',
    ...k3sServer,
    command: ['/usr/local/sbin/k3s-wrapper'],
    dataDir: '/srv/k3s',
  },
  {
    name: 'k3s',
    ...k3sServer,
    command: ['/usr/local/bin/k3s', 'server', '--disable', 'traefik', '--data-dir', '/srv/k3s'],
    dataDir: '/srv/k3s',
    passedOver: 1,
  },
  {
    name: 'k3s-read-only',
    distribution: 'k3s',
    role: 'agent',
    binary: '/opt/bin/k3s',
    main: 'k3s-agent',
    unit: 'k3s-edge.service',
    unitPath: '/etc/systemd/system/k3s-edge.service',
    environmentFiles: usual('k3s-edge', '/etc/systemd/system/k3s-edge.service.env'),
    dataDir: '/var/lib/rancher/k3s',
    readOnly: ['/usr/local'],
  },
  {
    name: 'k3s-log',
    ...k3sServer,
    dataDir: '/var/lib/rancher/k3s',
  },
  {
    name: 'k3s-container',
    ...k3sServer,
    dataDir: '/var/lib/rancher/k3s',
    // Of each of the two containers what runs K3s' file: its init, its server, its containerd.
    passedOver: 5,
  },
  {
    name: 'k3s-openrc',
    distribution: 'k3s',
    role: 'server',
    binary: '/usr/local/bin/k3s',
    main: 'k3s-server',
    dataDir: '/var/lib/rancher/k3s',
    externalDatastore: true,
  },
]

const only = (machine: Machine) => onlyService(findServices(machine.host), undefined)

test('each recording has its test, and says how it was made', () => {
  const recorded = readdirSync(new URL('recorded', import.meta.url)).filter((file) => file.endsWith('.json'))
  expect(recorded.toSorted()).toEqual([...layouts.map(({ name }) => `${name}.json`), 'k3s-container-only.json'].toSorted())
  for (const file of recorded) expect(readRecording(file.replace('.json', '')).recorded).toMatch(/; 2026-\d\d-\d\d, Linux /)
})

/** Its supervisor starts again what it had started: with the same arguments, as a child of the same process. */
function supervised(layout: Layout, recording: Recording): Machine {
  const machine = layRecording(recording)
  machine.state.readOnly = [...(layout.readOnly ?? [])]
  const { main } = only(machine)
  const proc = machine.procs.get(main.pid)
  if (proc === undefined) throw new Error('no main process')
  const kubelet = [...machine.procs.values()].find(({ comm }) => comm === 'kubelet')
  const child = [...machine.procs.values()].find((other) => other.parent === main.pid && other.comm === 'exe')?.cmdline
  const { unit, binary } = layout
  const { cmdline, parent, environ = '', pidSpace = '', root = '' } = proc
  machine.adopt(
    {
      binary,
      cmdline,
      parent,
      environ,
      place: { pidSpace, root },
      ...(unit === undefined ? {} : { unit }),
      ...(child === undefined ? {} : { child }),
    },
    main.pid,
    kubelet?.pid ?? main.pid,
  )
  return machine
}

function supervisedAs(name: string): Machine {
  const layout = layouts.find((one) => one.name === name)
  if (layout === undefined) throw new Error('no such layout')
  return supervised(layout, readRecording(name))
}

function carryNew(
  machine: Machine,
  distribution: 'rke2' | 'k3s',
  behaviour: Program['behaviour'] = 'good',
  version: string = NEW_VERSIONS[distribution],
): string {
  return carry(machine, { version, behaviour, ...(distribution === 'k3s' ? { carries: 'b'.repeat(64) } : {}) }, distribution)
}

describe.each(layouts)('$name', (layout) => {
  const { name, distribution, role, binary, unit, main, dataDir, options } = layout
  const recording = readRecording(name)
  const settings = Object.keys(recording.files).filter((path) => path !== binary)
  const contents = (machine: Machine) =>
    settings.map((path) => {
      const link = machine.host.machine.link(path)
      return [path, ...(link === undefined ? [machine.inodeAt(path)?.data, machine.inodeAt(path)?.attributes] : [link])]
    })

  test('is found', async () => {
    const machine = layRecording(recording)
    const service = only(machine)
    expect(service).toMatchObject({
      distribution,
      role,
      binary,
      direct: distribution === 'rke2',
      supervisor: unit === undefined ? 'openrc' : 'systemd',
      main: { comm: main },
      configuration: { dataDir, externalDatastore: layout.externalDatastore ?? false, snapshots: `${dataDir}/server/db/snapshots` },
    })
    expect(service.unit?.name).toBe(unit)
    expect(service.unit?.path).toBe(layout.unitPath)
    expect(service.unit?.environmentFiles).toEqual(layout.environmentFiles)
    if (layout.command !== undefined) expect(service.unit?.command).toEqual(layout.command)
    if (distribution === 'k3s') expect(service.main.exe).toBe(`${dataDir}/data/${HASH}/bin/k3s`)
    expect(findServices(machine.host).passedOver).toHaveLength(layout.passedOver ?? 0)
    expect(await runsFile(machine.host, service)).toBe(true)
  })

  test('is upgraded; units, scripts and settings stay as they are', async () => {
    const machine = supervised(layout, recording)
    const before = contents(machine)
    const beside = machine.names(posix.dirname(binary))
    const next = carryNew(machine, distribution)
    const { result, said } = await run(machine, 'upgrade', options)

    expect(result).toMatchObject({ result: 'Upgraded', from: OLD_VERSIONS[distribution], to: NEW_VERSIONS[distribution] })
    expect(said[0]).toBe(`found ${distribution} ${role}, ${binary}${unit === undefined ? '' : `, ${unit}`}`)
    expect(machine.inodeAt(binary)).toMatchObject({ data: next, attributes: 'root 0755 kept' })
    expect(machine.inodeAt(`${binary}.drover-previous`)?.attributes).toBe('root 0755 kept')
    expect(machine.state.ran.some((line) => line === `systemctl restart --no-block ${unit}`)).toBe(unit !== undefined)
    expect(machine.state.steps.includes('kill SIGTERM')).toBe(unit === undefined)
    expect(contents(machine)).toEqual(before)
    const kept = [`${binary}.drover-previous`, `${binary}.drover-previous.json`].map((path) => posix.basename(path))
    expect(machine.names(posix.dirname(binary))).toEqual([...beside, ...kept].toSorted())
  })

  test('goes back from a release that crashes', async () => {
    const machine = supervised(layout, recording)
    const old = machine.inodeAt(binary)?.data
    carryNew(machine, distribution, 'crash')

    expect((await run(machine, 'upgrade', options)).result.result).toBe('RolledBack')
    expect(machine.inodeAt(binary)).toMatchObject({ data: old, attributes: 'root 0755 kept' })
    expect(machine.service?.pid).toBeDefined()
  })
})

test('rke2-rpm: refused with the command to use, unless told', async () => {
  const machine = supervisedAs('rke2-rpm')
  // Of the package manager nothing is recorded but what it installs.
  for (const path of ['/usr/bin/rpm', '/usr/bin/dnf', '/var/lib/rpm/rpmdb.sqlite']) machine.file(path, '')
  machine.state.programs.set('rpm -qf', { code: 0, stdout: 'rke2-common-1.33.4~rke2r1-0.el8\n' })
  carryNew(machine, 'rke2')

  expect((await run(machine)).result).toMatchObject({
    result: 'OwnedByPackage',
    message: expect.stringContaining('upgrade it with: dnf install -y rke2-server-1.33.5~rke2r1'),
  })
  expect(machine.state.steps).toEqual([])
})

test('rke2-tar: the last of the configuration files has the last word', () => {
  const machine = layRecording(readRecording('rke2-tar'))
  machine.file('/etc/rancher/rke2/config.yaml', 'token: x\ndata-dir: /srv/first\n')
  machine.file('/etc/rancher/rke2/config.yaml.d/50-data.yaml', 'data-dir: /srv/rke2\n')
  expect(only(machine).configuration).toMatchObject({ dataDir: '/srv/rke2', snapshots: '/srv/rke2/server/db/snapshots' })
})

test('k3s-openrc: the variable that the title overwrote is known from the supervisor', () => {
  const { recorded, files, processes } = readRecording('k3s-openrc')
  // The shell chooses their order, so any of them may be the first one, and lost.
  const lost = processes.map((process) => {
    const environ = process.environ.replace(/^␀\{26\}K3S_DATASTORE_ENDPOINT=[^␀]*␀/, '␀{80}')
    return { ...process, environ }
  })
  expect(lost).not.toEqual(processes)
  const service = only(layRecording({ recorded, files, processes: lost }))
  expect(service.configuration).toMatchObject({ externalDatastore: true, dataDir: '/var/lib/rancher/k3s' })
  expect(service.environment['K3S_DATA_DIR']).toBe(`/var/lib/rancher/k3s/data/${HASH}`)
})

test('k3s-wrapper: a datastore that is not on the machine is not taken for an untouched one', async () => {
  // Its endpoint may stand in the wrapper, where nobody sees it.
  const machine = supervisedAs('k3s-wrapper')
  carryNew(machine, 'k3s', 'flaky', 'v1.34.1+k3s1')

  expect((await run(machine)).result).toMatchObject({
    result: 'DatastoreTouched',
    message: expect.stringMatching(/ran with a datastore that is not on this machine.*; restore the backup of the external datastore; /),
  })
})

test('k3s-container-only: what runs in a container is no service of the machine', async () => {
  const machine = layRecording(readRecording('k3s-container-only'))
  carryNew(machine, 'k3s')

  expect((await run(machine)).result).toMatchObject({
    result: 'NotRunning',
    message: expect.stringMatching(/no RKE2 or K3s server or agent runs on this machine; looked at: process \d+ .*in a container/),
  })
  expect(machine.state.steps).toEqual([])
})
