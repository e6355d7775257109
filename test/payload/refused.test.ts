/** What is refused before anything is changed. */
import { expect, test } from '@jest/globals'
import { BINARY, carry, NEW, rke2Machine, run } from './kit.ts'
import { type Machine, sha256 } from './machine.ts'

const content = (machine: Machine, path = BINARY): string | undefined => machine.inodeAt(path)?.data

/** Recorded of version 1.35.0, as Debian and Alpine build it. */
const BUSYBOX_RPM = `rpm: invalid option -- 'f'
BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) multi-call binary.

Usage: rpm -i PACKAGE.rpm; rpm -qp[ildc] PACKAGE.rpm

Manipulate RPM packages

Commands:
\t-i\tInstall package
\t-qp\tQuery package
\t-qpi\tShow information
\t-qpl\tList contents
\t-qpd\tList documents
\t-qpc\tList config files
`

const untouched = async (machine: Machine, code: number, reason: string, message: RegExp, options = {}): Promise<void> => {
  const before = [content(machine), machine.service?.pid, machine.names('/usr/local/bin').join()]
  const ran = await run(machine, 'upgrade', options)
  expect(ran.result.result).toBe(reason)
  expect(ran.result.message).toMatch(message)
  expect(ran.code).toBe(code)
  expect([content(machine), machine.service?.pid, machine.names('/usr/local/bin').join()]).toEqual(before)
  expect(machine.state.steps).toEqual([])
}

test('a lower version', async () => {
  const machine = rke2Machine('agent', 'v1.33.10+rke2r1')
  carry(machine, { version: 'v1.33.9+rke2r3' })
  await untouched(machine, 10, 'Downgrade', /v1\.33\.9\+rke2r3 is lower than v1\.33\.10\+rke2r1/)
  expect((await run(machine, 'upgrade', { allowDowngrade: true })).result.result).toBe('Upgraded')
})

test('another architecture', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW, architecture: 'arm64' })
  await untouched(machine, 15, 'WrongArchitecture', /amd64.*arm64/)
})

test('a truncated program', async () => {
  const machine = rke2Machine()
  const whole = carry(machine, { version: NEW })
  machine.carried('/opt/rke2', whole.slice(0, -7))
  await untouched(machine, 16, 'BadPayload', /truncated or changed/)
})

test('no sums, no program, no ELF header', async () => {
  const machine = rke2Machine()
  machine.carried('/opt/SHA256SUMS', '')
  await untouched(machine, 16, 'BadPayload', /neither rke2 nor k3s/)
  machine.carried('/opt/rke2', '#!/bin/sh')
  await untouched(machine, 16, 'BadPayload', /has no sum of rke2/)
  machine.carried('/opt/SHA256SUMS', `${sha256('#!/bin/sh')}  rke2\n`)
  await untouched(machine, 16, 'BadPayload', /no ELF header/)
  machine.carried('/opt/SHA256SUMS', 'rke2')
  await untouched(machine, 16, 'BadPayload', /no line of sha256sum/)
})

test('another distribution, another version than the Plan says', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  await untouched(machine, 27, 'WrongVersion', /the Plan says v1\.33\.6-rke2r1/, { planVersion: 'v1.33.6-rke2r1' })
  const other = rke2Machine()
  carry(other, { version: 'v1.33.5+k3s1' }, 'k3s')
  await untouched(other, 26, 'WrongDistribution', /runs rke2/)
})

test('no space, for the program or for the images', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.state.free = 33_000_000
  await untouched(machine, 17, 'NoSpace', /\/usr\/local\/bin has 32 MiB free, 33 MiB are needed/)
  machine.state.free = 34_000_000
  machine.folder('/var/lib/rancher/rke2')
  carry(machine, { version: NEW }, 'rke2', { 'rke2-images.tar.zst': 'x'.repeat(1_000_000) })
  await untouched(machine, 17, 'NoSpace', /\/var\/lib\/rancher\/rke2 has 33 MiB free/)
})

test('a file system that cannot be written', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.state.readOnly = ['/usr']
  await untouched(machine, 12, 'ReadOnly', /\/usr\/local\/bin cannot be written \(EROFS\)/)
  machine.file('/usr/sbin/transactional-update', '')
  await untouched(machine, 12, 'ReadOnly', /transactional-update and reboot/)
})

test('a file of a package', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.file('/usr/bin/rpm', '')
  machine.file('/usr/bin/dnf', '')
  machine.state.programs.set('rpm -qf', { code: 0, stdout: 'rke2-common-1.33.4~rke2r1-0.el9\n' })
  await untouched(machine, 18, 'OwnedByPackage', /dnf install -y rke2-agent-1\.33\.5~rke2r1/)
  // rpm cannot say, and there is a database.
  machine.file('/var/lib/rpm/rpmdb.sqlite', '')
  machine.state.programs.set('rpm -qf', { code: 1, stdout: '', stderr: 'error: cannot open Packages database' })
  await untouched(machine, 18, 'OwnedByPackage', /cannot open Packages database/)
  machine.state.programs.set('rpm -qf', { code: 1, stdout: `file ${BINARY} is not owned by any package\n` })
  expect((await run(machine)).result.result).toBe('Upgraded')
})

test.each([
  ['/var/lib/rpm/Packages', true],
  ['/var/lib/rpm/rpmdb.sqlite', true],
  ['/usr/lib/sysimage/rpm/Packages.db', true],
  ['/usr/share/rpm/rpmdb.sqlite', true],
  ['/var/lib/rpm/.rpm.lock', false],
])("busybox's rpm says nothing of owners; %s decides: a database is %s", async (path, database) => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.file('/bin/busybox', '')
  machine.symlink('/bin/rpm', 'busybox')
  machine.file(path, '')
  machine.state.programs.set('rpm -qf', { code: 1, stdout: '', stderr: BUSYBOX_RPM })
  if (database) await untouched(machine, 18, 'OwnedByPackage', /may belong to a package \(rpm: rpm: invalid option -- 'f'/)
  else expect((await run(machine)).result.result).toBe('Upgraded')
})

test('--rpm=replace goes on', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.file('/usr/bin/rpm', '')
  machine.state.programs.set('rpm -qf', { code: 0, stdout: 'rke2-common-1.33.4~rke2r1-0.el9\n' })
  expect((await run(machine, 'upgrade', { rpm: 'replace' })).result.result).toBe('Upgraded')
})

test('nothing that would start it again', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  const proc = machine.procs.get(machine.service?.pid ?? 0)
  if (proc !== undefined) machine.procs.set(proc.pid, { ...proc, cgroup: '0::/user.slice/session-3.scope\n' })
  await untouched(machine, 25, 'NotSupervised', /no systemd service/)
  if (proc !== undefined)
    machine.procs.set(proc.pid, { ...proc, cgroup: '0::/user.slice/user-0.slice/user@0.service/app.slice/run-1.scope\n' })
  await untouched(machine, 25, 'NotSupervised', /no systemd service/)
})

test('a systemd that does not know the unit, or cannot be talked to', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.state.programs.set('systemctl show', { code: 0, stdout: 'not-found\n' })
  await untouched(machine, 25, 'NotSupervised', /would not restart rke2-agent\.service: not-found/)
  machine.state.programs.set('systemctl show', { code: 1, stdout: '', stderr: 'Failed to connect to bus' })
  await untouched(machine, 25, 'NotSupervised', /Failed to connect to bus/)
})

test('nothing running, after a moment of patience', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.procs.delete(machine.service?.pid ?? 0)
  await untouched(machine, 13, 'NotRunning', /no RKE2 or K3s server or agent runs/)
})

test('a journal that cannot be read', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.file('/var/lib/drover/journal.json', '{"v":2}')
  await untouched(machine, 1, 'Failed', /journal\.json on the machine cannot be read/)
})

test('another payload at work', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.state.locked = true
  await untouched(machine, 29, 'Busy', /another payload/)
})
