/** K3s: a launcher that unpacks what runs, one process, and a datastore within it. */
import { describe, expect, test } from '@jest/globals'
import { carry, run } from './kit.ts'
import { createMachine, type Machine, type Program, program } from './machine.ts'

const BINARY = '/usr/local/bin/k3s'
const OLD = 'v1.33.4+k3s1'
const [A, B] = ['a'.repeat(64), 'b'.repeat(64)]

function k3s(about: Partial<Program> = {}, environ = 'PATH=/usr/local/bin:/usr/bin\0', openrc = false): Machine {
  const machine = createMachine()
  const exe = openrc ? '/sbin/init' : '/usr/lib/systemd/systemd'
  machine.addProcess({ pid: 1, parent: 0, comm: openrc ? 'init' : 'systemd', exe, cmdline: '/sbin/init\0', startTicks: 1 })
  machine.file(BINARY, program({ version: OLD, carries: A, ...about }))
  machine.file('/etc/systemd/system/k3s.service', '[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n')
  machine.file('/var/lib/rancher/k3s/server/db/state.db', 'rows').modifiedAt -= 3_600_000
  const parent = openrc
    ? machine.addProcess({ parent: 1, comm: 'supervise-daemon', exe: '/sbin/supervise-daemon', cmdline: 'supervise-daemon\0k3s\0' })
    : 1
  const cmdline = '/usr/local/bin/k3s server\0\0\0'
  machine.serve({ binary: BINARY, cmdline, parent, environ, ...(openrc ? {} : { unit: 'k3s.service' }) })
  return machine
}

const file = (machine: Machine) => machine.inodeAt(BINARY)?.data

test('the launcher is replaced, and what runs afterwards is what the new one carries', async () => {
  const machine = k3s()
  const next = carry(machine, { version: 'v1.33.5+k3s1', carries: B }, 'k3s')

  expect((await run(machine)).result).toMatchObject({ result: 'Upgraded', from: OLD, to: 'v1.33.5+k3s1' })
  expect(file(machine)).toBe(next)
  expect(machine.procs.get(machine.service?.pid ?? 0)?.exe).toBe(`/var/lib/rancher/k3s/data/${B}/bin/k3s`)
  expect((await run(machine)).result.result).toBe('AlreadyThere')
})

test('the launcher is new and the old program runs: restarted', async () => {
  const machine = k3s()
  machine.file(BINARY, carry(machine, { version: 'v1.33.5+k3s1', carries: B }, 'k3s'))

  expect((await run(machine)).result.result).toBe('Upgraded')
  expect(machine.service?.starts).toBe(2)
})

describe('a new minor version that does not stay', () => {
  const next = (behaviour: Program['behaviour']) => ({
    version: 'v1.34.1+k3s1',
    carries: B,
    ...(behaviour === undefined ? {} : { behaviour }),
  })

  test('and has not written to the datastore goes back', async () => {
    const machine = k3s()
    carry(machine, next('flaky'), 'k3s')
    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('and has: it stays, and the way back is said', async () => {
    const machine = k3s()
    carry(machine, next('touch'), 'k3s')
    const { result } = await run(machine)
    expect(result).toMatchObject({ result: 'DatastoreTouched', message: expect.stringContaining('has written to the datastore') })
    // It lives in a file of SQLite, of which there are no snapshots.
    expect(result.log).toContain(
      'to go back: systemctl stop k3s && /usr/local/bin/k3s-killall.sh && mv /usr/local/bin/k3s.drover-previous /usr/local/bin/k3s; ' +
        'put back the copy of /var/lib/rancher/k3s/server/db from before; systemctl start k3s',
    )
  })

  test('and has, under OpenRC, with an etcd of its own: the way back is that of OpenRC and of etcd', async () => {
    const machine = k3s({}, undefined, true)
    machine.folder('/var/lib/rancher/k3s/server/db/etcd')
    machine.file('/var/lib/rancher/k3s/server/db/snapshots/drover-one', '')
    carry(machine, next('touch'), 'k3s')
    expect((await run(machine)).result.log).toContain(
      'to go back: rc-service k3s stop && /usr/local/bin/k3s-killall.sh && mv /usr/local/bin/k3s.drover-previous /usr/local/bin/k3s && ' +
        '/usr/local/bin/k3s server --cluster-reset --cluster-reset-restore-path=/var/lib/rancher/k3s/server/db/snapshots/drover-one && ' +
        'rc-service k3s start',
    )
  })

  test('and has, before a payload that died: its successor knows', async () => {
    const machine = k3s()
    carry(machine, next('touch'), 'k3s')
    const stop = new AbortController()
    machine.state.onTime = () => {
      const { data, modifiedAt } = machine.inodeAt('/var/lib/rancher/k3s/server/db/state.db') ?? { data: '', modifiedAt: 0 }
      if (data.includes('v1.34.1') && machine.host.clock.wall() > modifiedAt + 4000) stop.abort()
    }
    expect((await run(machine, 'upgrade', {}, stop.signal)).result.result).toBe('Interrupted')
    // From now on it ends before it writes.
    machine.file(BINARY, file(machine) ?? '')
    machine.state.onTime = () => {
      const pid = machine.service?.pid
      if (pid !== undefined) machine.host.kill(pid, 'SIGKILL')
    }
    expect((await run(machine)).result.result).toBe('DatastoreTouched')
  })

  test('what the old one wrote while it stopped is none of the new one', async () => {
    const machine = k3s({ behaviour: 'deaf' })
    const pid = machine.service?.pid
    const db = machine.inodeAt('/var/lib/rancher/k3s/server/db/state.db')
    carry(machine, next('flaky'), 'k3s')
    machine.state.onTime = () => {
      if (machine.service?.pid === pid && db !== undefined) db.modifiedAt = machine.host.clock.wall()
    }
    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('with an external datastore nobody can see it: it stays', async () => {
    const machine = k3s({}, 'PATH=/usr/local/bin\0K3S_DATASTORE_ENDPOINT=postgres://db\0')
    carry(machine, next('flaky'), 'k3s')
    expect((await run(machine)).result).toMatchObject({
      result: 'DatastoreTouched',
      message: expect.stringMatching(
        /ran with an external datastore.*; restore the backup of the external datastore; systemctl start k3s$/,
      ),
    })
  })

  test('a patch goes back even so', async () => {
    const machine = k3s()
    carry(machine, { version: 'v1.33.5+k3s1', carries: B, behaviour: 'touch' }, 'k3s')
    expect((await run(machine)).result.result).toBe('RolledBack')
  })
})
