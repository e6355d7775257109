import { describe, expect, test } from '@jest/globals'
import { BINARY, carry, NEW, OLD, rke2Machine, run } from './kit.ts'
import { type Machine, program } from './machine.ts'

const SNAPSHOTS = '/var/lib/rancher/rke2/server/db/snapshots'
const HASH = { planHash: '0123456789abcdef' }

function server(): Machine {
  const machine = rke2Machine('server')
  machine.folder('/var/lib/rancher/rke2/server/db/etcd')
  return machine
}

/** `rke2 etcd-snapshot save` leaves a file whose name it makes of the given one. */
function snapshots(machine: Machine, code = 0): void {
  machine.state.programs.set(`${BINARY} etcd-snapshot save`, {
    code,
    stdout: 'Snapshot drover-01234567-node-1-1700000000 saved.\n',
    stderr: code === 0 ? '' : 'fatal: no etcd leader',
    effect: () => {
      if (code === 0) machine.file(`${SNAPSHOTS}/drover-01234567-node-1-1700000000`, 'snapshot')
    },
  })
}

const snapshotCommands = (machine: Machine) => machine.state.ran.filter((command) => command.includes('etcd-snapshot'))

test('of an agent: all checks, and nothing is changed', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })

  const { code, result } = await run(machine, 'prepare')

  expect(result).toMatchObject({ result: 'Prepared', message: `ready for ${NEW}`, from: OLD, to: NEW })
  expect(result.snapshot).toBeUndefined()
  expect(code).toBe(0)
  expect(machine.state.steps).toEqual([])
  expect(machine.service?.starts).toBe(1)
})

test.each([
  ['Downgrade', { version: 'v1.33.3+rke2r1' }],
  ['MinorSkipped', { version: 'v1.35.0+rke2r1' }],
  ['WrongArchitecture', { version: NEW, architecture: 'arm64' }],
] as const)('%s is refused before the cordon', async (reason, release) => {
  const machine = server()
  carry(machine, release)
  expect((await run(machine, 'prepare', HASH)).result.result).toBe(reason)
  expect(machine.state.ran).toEqual([])
})

test('what only shows on the machine is refused before the cordon, too', async () => {
  const full = rke2Machine()
  carry(full, { version: NEW })
  full.state.free = 1000
  expect((await run(full, 'prepare')).result.result).toBe('NoSpace')

  const other = rke2Machine()
  carry(other, { version: 'v1.33.5+k3s1' }, 'k3s')
  expect((await run(other, 'prepare')).result.result).toBe('WrongDistribution')

  const unnamed = rke2Machine()
  carry(unnamed, { version: NEW })
  expect((await run(unnamed, 'prepare', { planVersion: 'v1.33.6-rke2r1' })).result.result).toBe('WrongVersion')

  const broken = rke2Machine()
  carry(broken, { version: NEW })
  const proc = broken.procs.get(broken.service?.pid ?? 0)
  if (proc !== undefined) broken.procs.set(proc.pid, { ...proc, inode: broken.file('/elsewhere', 'no program') })
  broken.file(BINARY, 'half of a program')
  expect((await run(broken, 'prepare')).result).toMatchObject({ result: 'Failed', message: expect.stringContaining('says its version') })
})

test('already there: nothing to do, no snapshot', async () => {
  const machine = server()
  machine.file(BINARY, carry(machine, { version: NEW }))
  machine.host.kill(machine.service?.pid ?? 0, 'SIGTERM')
  machine.advance(20_000)
  machine.state.steps.length = 0

  expect((await run(machine, 'prepare', HASH)).result.message).toBe(`${NEW} is in place and runs already`)
  expect(machine.state.ran).toEqual([])
})

test('the file is there and the old program runs: the step is judged by what runs', async () => {
  const machine = server()
  snapshots(machine)
  machine.file(BINARY, carry(machine, { version: 'v1.35.0+rke2r1' }))
  expect((await run(machine, 'prepare', HASH)).result.result).toBe('MinorSkipped')
})

describe('etcd snapshot of a server', () => {
  test('is taken and named', async () => {
    const machine = server()
    snapshots(machine)
    carry(machine, { version: NEW })

    const { result } = await run(machine, 'prepare', HASH)

    expect(result).toMatchObject({ result: 'Prepared', snapshot: 'drover-01234567-node-1-1700000000' })
    expect(snapshotCommands(machine)).toEqual([`${BINARY} etcd-snapshot save --name drover-01234567`])
  })

  test('a retry within the hour does not take another', async () => {
    const machine = server()
    snapshots(machine)
    carry(machine, { version: NEW })
    await run(machine, 'prepare', HASH)
    expect((await run(machine, 'prepare', HASH)).result.snapshot).toBe('drover-01234567-node-1-1700000000')
    expect(snapshotCommands(machine)).toHaveLength(1)

    machine.advance(3_700_000)
    await run(machine, 'prepare', HASH)
    expect(snapshotCommands(machine)).toHaveLength(2)
  })

  test('that fails is a refusal, with what was said', async () => {
    const machine = server()
    snapshots(machine, 1)
    carry(machine, { version: NEW })

    const { code, result } = await run(machine, 'prepare', HASH)

    expect(result).toMatchObject({ result: 'SnapshotFailed', log: expect.stringContaining('no etcd leader') })
    expect(code).toBe(24)
    expect((await run(machine, 'prepare', { ...HASH, snapshot: false })).result.result).toBe('Prepared')
  })

  test('is left out without an etcd, and on agents', async () => {
    const without = rke2Machine('server')
    const agent = rke2Machine()
    agent.folder('/var/lib/rancher/rke2/server/db/etcd')
    for (const machine of [without, agent]) {
      carry(machine, { version: NEW })
      expect((await run(machine, 'prepare', HASH)).result.snapshot).toBeUndefined()
      expect(snapshotCommands(machine)).toEqual([])
    }
  })

  test('that was put where the configuration says is found there', async () => {
    const machine = server()
    machine.file('/etc/rancher/rke2/config.yaml', 'etcd-snapshot-dir: /backup/etcd\n')
    machine.file(`/backup/etcd/drover-01234567-node-1-1700000000`, '')
    carry(machine, { version: NEW })

    expect((await run(machine, 'prepare', HASH)).result.snapshot).toBe('drover-01234567-node-1-1700000000')
    expect(snapshotCommands(machine)).toEqual([])
  })

  test('knows the data directory, and a name that only the output tells', async () => {
    const machine = server()
    machine.file('/etc/rancher/rke2/config.yaml', 'data-dir: /srv/rke2\n')
    machine.folder('/srv/rke2/server/db/etcd')
    machine.state.programs.set(`${BINARY} etcd-snapshot`, { code: 0, stdout: 'Snapshot on-s3-1 saved.\n' })
    carry(machine, { version: NEW })

    expect((await run(machine, 'prepare', HASH)).result.snapshot).toBe('on-s3-1')
    expect(snapshotCommands(machine)).toEqual([`${BINARY} etcd-snapshot save --name drover-01234567 --data-dir /srv/rke2`])
  })
})

test('the program in place is asked, not the one that would be', async () => {
  const machine = rke2Machine()
  machine.file(BINARY, program({ version: 'v1.33.9+rke2r1' }))
  carry(machine, { version: NEW })
  expect((await run(machine, 'prepare')).result).toMatchObject({ result: 'Downgrade', message: expect.stringContaining('v1.33.9+rke2r1') })
})
