import { describe, expect, test } from '@jest/globals'
import { BINARY, carry, NEW, OLD, podInfo, rke2Machine, run } from './kit.ts'
import { type Machine, program, sha256 } from './machine.ts'

const content = (machine: Machine, path = BINARY): string | undefined => machine.inodeAt(path)?.data
const running = (machine: Machine): string | undefined => machine.procs.get(machine.service?.pid ?? 0)?.inode?.data
const journal = (machine: Machine) =>
  JSON.parse(content(machine, '/var/lib/drover/journal.json') ?? '{}') as { phase: string; tried: unknown[] }

describe('a good release', () => {
  test('is put in place, started by systemd and proven, in one run', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW })

    const { code, result } = await run(machine)

    expect(result).toMatchObject({ result: 'Upgraded', from: OLD, to: NEW, final: true })
    expect(code).toBe(0)
    expect(content(machine)).toBe(next)
    expect(running(machine)).toBe(next)
    expect(machine.state.ran).toContain('systemctl restart --no-block rke2-agent.service')
    expect(machine.inodeAt(BINARY)?.attributes).toBe('root 0755 system_u:object_r:container_runtime_exec_t:s0 user.note=kept')
    expect(content(machine, `${BINARY}.drover-previous`)).toBe(program({ version: OLD }))
    expect(JSON.parse(content(machine, `${BINARY}.drover-previous.json`) ?? '')).toMatchObject({
      previous: { version: OLD, sha256: sha256(program({ version: OLD })) },
      installed: { version: NEW, sha256: sha256(next) },
    })
    expect(machine.names('/usr/local/bin')).toEqual(['rke2', 'rke2.drover-previous', 'rke2.drover-previous.json'])
    expect(machine.service?.starts).toBe(2)
    expect(machine.state.ran.slice(-2)).toEqual([
      'systemctl reset-failed rke2-agent.service',
      'systemctl restart --no-block rke2-agent.service',
    ])
  })

  test('a unit that takes its time to stop', async () => {
    const machine = rke2Machine()
    machine.file(BINARY, program({ version: OLD, behaviour: 'deaf' }))
    machine.host.kill(machine.service?.pid ?? 0, 'SIGKILL')
    machine.advance(10_000)
    const next = carry(machine, { version: NEW })

    expect((await run(machine)).result.result).toBe('Upgraded')
    expect(running(machine)).toBe(next)
  })

  test('another file than the one that was put in place does not count', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW })
    machine.state.onTime = () => {
      if (running(machine) === next) machine.file(BINARY, program({ version: 'v1.33.6+rke2r1' }))
    }

    expect((await run(machine)).result).toMatchObject({ result: 'RolledBack', message: expect.stringContaining('does not run the file') })
  })

  test('a copy that is not what was read is not put in place', async () => {
    const machine = rke2Machine()
    carry(machine, { version: NEW })
    const files = machine.host.machine
    const lossy = {
      ...machine.host,
      machine: { ...files, copyIn: async (from: string, to: string) => (await files.copyIn(from, to), 'other') },
    }

    expect((await run({ ...machine, host: lossy })).result).toMatchObject({
      result: 'BadPayload',
      message: expect.stringContaining('changed while'),
    })
    expect(content(machine)).toBe(program({ version: OLD }))
    expect(machine.names('/usr/local/bin')).toEqual(['rke2'])
  })

  test('again: nothing is touched', async () => {
    const machine = rke2Machine()
    carry(machine, { version: NEW })
    await run(machine)
    machine.state.steps.length = 0

    const { code, result } = await run(machine)

    expect(result.result).toBe('AlreadyThere')
    expect(code).toBe(0)
    expect(machine.state.steps).toEqual([])
    expect(machine.service?.starts).toBe(2)
  })

  test('without systemd the service and its children are ended, and whoever supervises it starts it', async () => {
    const machine = rke2Machine()
    machine.procs.delete(1)
    machine.addProcess({ pid: 1, parent: 0, comm: 'init', exe: '/sbin/init', cmdline: '/sbin/init\0', startTicks: 1 })
    const next = carry(machine, { version: NEW })

    const { result } = await run(machine)

    expect(result.result).toBe('Upgraded')
    expect(machine.state.steps.filter((name) => name.startsWith('kill'))).toEqual(['kill SIGTERM', 'kill SIGTERM'])
    expect(running(machine)).toBe(next)
  })

  test('a service that does not heed SIGTERM is killed', async () => {
    const machine = rke2Machine()
    machine.procs.delete(1)
    machine.addProcess({ pid: 1, parent: 0, comm: 'init', exe: '/sbin/init', cmdline: '/sbin/init\0', startTicks: 1 })
    machine.file(BINARY, program({ version: OLD, behaviour: 'deaf' }))
    machine.host.kill(machine.service?.pid ?? 0, 'SIGKILL')
    machine.advance(10_000)
    carry(machine, { version: NEW })

    expect((await run(machine)).result.result).toBe('Upgraded')
    expect(machine.state.steps).toContain('kill SIGKILL')
  })
})

describe('the file is new and the old program runs', () => {
  test('it is restarted: not done until it runs', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW })
    machine.file(BINARY, next)

    const { result } = await run(machine)

    expect(result.result).toBe('Upgraded')
    expect(running(machine)).toBe(next)
    expect(machine.service?.starts).toBe(2)
  })

  test('and it does not come up: what was there before is in the record, and goes back', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW, behaviour: 'hang' })
    machine.file(`${BINARY}.drover-previous`, program({ version: OLD }))
    const record = (sha: string) =>
      JSON.stringify({
        v: 1,
        previous: { version: OLD, sha256: sha256(program({ version: OLD })) },
        installed: { version: NEW, sha256: sha },
        at: '',
        planHash: '',
      })
    machine.file(`${BINARY}.drover-previous.json`, record(sha256(next)))
    machine.file(BINARY, next)

    expect((await run(machine)).result.result).toBe('RolledBack')

    machine.file(BINARY, next)
    machine.file(`${BINARY}.drover-previous.json`, record(sha256('another')))
    expect((await run(machine)).result.result).toBe('NotProven')
  })

  test('and it does not come up: nothing is known of what was before, so nothing is guessed', async () => {
    const machine = rke2Machine()
    machine.file(BINARY, carry(machine, { version: NEW, behaviour: 'crash' }))

    const { code, result } = await run(machine)

    expect(result.result).toBe('NotProven')
    expect(code).toBe(23)
  })

  test('a lower version that only waits for a restart is refused', async () => {
    const machine = rke2Machine()
    machine.file(BINARY, carry(machine, { version: 'v1.33.3+rke2r1' }))

    expect((await run(machine)).result.result).toBe('Downgrade')
    expect(machine.service?.starts).toBe(1)
  })
})

describe('a good release that needs several starts', () => {
  // Such as a kubelet that finds its containerd not ready yet, on a busy machine.
  test('a supervisor that starts it again at once does not use up the patience', async () => {
    const machine = rke2Machine()
    machine.state.restartMs = 1000
    carry(machine, { version: NEW, behaviour: 'stumbling' })

    expect((await run(machine)).result).toMatchObject({ result: 'Upgraded', to: NEW })
    expect(machine.service?.starts).toBe(8)
  })

  test('when it has had its time, it is rolled back', async () => {
    const machine = rke2Machine()
    carry(machine, { version: NEW, behaviour: 'stumbling' })

    const { result } = await run(machine)
    expect(result).toMatchObject({ result: 'RolledBack', message: expect.stringMatching(/it ended [456] times soon after its start/) })
  })
})

describe('a bad release is rolled back', () => {
  test.each(['crash', 'hang', 'flaky', 'mute', 'orphan', 'flapping'] as const)('%s', async (behaviour) => {
    const machine = rke2Machine()
    carry(machine, { version: NEW, behaviour })

    const { code, result } = await run(machine)

    expect(result).toMatchObject({ result: 'RolledBack', final: true })
    expect(result.message).toContain(`${NEW} did not come up`)
    expect(result.log).toContain(`starting ${NEW}`)
    expect(code).toBe(20)
    expect(content(machine)).toBe(program({ version: OLD }))
    expect(running(machine)).toBe(program({ version: OLD }))
    expect(machine.names('/usr/local/bin').filter((name) => name.startsWith('.'))).toEqual([])
    expect(journal(machine)).toMatchObject({ phase: 'failed', tried: [{ reason: 'RolledBack' }] })
  })

  test.each(['crash', 'flaky'] as const)('%s is noticed long before the time is up', async (behaviour) => {
    const machine = rke2Machine()
    carry(machine, { version: NEW, behaviour })

    expect((await run(machine)).result.seconds).toBeLessThan(120)
  })

  test('an attempt that the Plan asked for once more, without a retry value, is one', async () => {
    const machine = rke2Machine()
    podInfo(machine, 'uid-1', 1, '')
    carry(machine, { version: NEW, behaviour: 'crash' })
    await run(machine)

    podInfo(machine, 'uid-1', 2, '')
    expect((await run(machine)).result.result).toBe('RolledBack')
    podInfo(machine, 'uid-2', 1, '')
    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('the same attempt is refused afterwards; a new retry is not', async () => {
    const machine = rke2Machine()
    podInfo(machine, 'uid-1', 1, '')
    carry(machine, { version: NEW, behaviour: 'crash' })
    await run(machine)
    const starts = machine.service?.starts

    const again = await run(machine)
    expect(again.result).toMatchObject({ result: 'AlreadyTried', final: true })
    expect(again.code).toBe(19)
    expect(machine.service?.starts).toBe(starts)
    expect((await run(machine, 'prepare')).result.result).toBe('AlreadyTried')

    podInfo(machine, 'uid-1', 2, '2026-11-21')
    expect((await run(machine)).result.result).toBe('RolledBack')
    expect((await run(machine)).result.result).toBe('AlreadyTried')
    // The Plan as it was in an older snapshot.
    podInfo(machine, 'uid-1', 1, '')
    expect((await run(machine)).result.result).toBe('AlreadyTried')
    expect((await run(machine, 'upgrade', { force: true })).result.result).toBe('RolledBack')

    podInfo(machine, 'uid-1', 1, '')
    carry(machine, { version: 'v1.33.6+rke2r1' })
    expect((await run(machine)).result.result).toBe('Upgraded')
  })

  test("without Drover's mark, the Job is the attempt", async () => {
    const machine = rke2Machine()
    const job = (uid: string) =>
      machine.carried('/run/system-upgrade/pod/labels', `batch.kubernetes.io/controller-uid="${uid}"\njob-name="apply"\n`)
    job('one')
    carry(machine, { version: NEW, behaviour: 'crash' })
    await run(machine)

    expect((await run(machine)).result.result).toBe('AlreadyTried')
    job('two')
    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('--no-rollback leaves it', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW, behaviour: 'hang' })

    expect((await run(machine, 'upgrade', { rollback: false })).result.result).toBe('NotProven')
    expect(content(machine)).toBe(next)
  })

  test('the kept file is another one by now: it is not put in place', async () => {
    const machine = rke2Machine()
    const next = carry(machine, { version: NEW, behaviour: 'hang' })
    machine.state.onTime = () => void machine.file(`${BINARY}.drover-previous`, 'something else')

    const { code, result } = await run(machine)

    expect(result.result).toBe('RollbackFailed')
    expect(code).toBe(21)
    expect(content(machine)).toBe(next)
  })
})

describe('servers', () => {
  const manifest = (etcd: string, apiserver: string) =>
    [
      ['etcd.yaml', `image: index.docker.io/rancher/hardened-etcd:${etcd}-k3s1-build20250612`],
      ['kube-apiserver.yaml', `image: index.docker.io/rancher/hardened-kubernetes:${apiserver}`],
    ] as const
  const server = (version = OLD): Machine => {
    const machine = rke2Machine('server', version)
    for (const [name, text] of manifest('v3.5.21', version)) machine.file(`/var/lib/rancher/rke2/agent/pod-manifests/${name}`, text)
    return machine
  }

  test('within a minor version they go back', async () => {
    const machine = server()
    carry(machine, { version: NEW, behaviour: 'touch' })

    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('a new minor version that did not get as far as its datastore goes back', async () => {
    const machine = server()
    carry(machine, { version: 'v1.34.1+rke2r1', behaviour: 'crash' })

    expect((await run(machine)).result.result).toBe('RolledBack')
  })

  test('a new minor version that did stays, and the way back is said', async () => {
    const machine = server()
    machine.file('/etc/rancher/rke2/config.yaml', 'etcd-snapshot-dir: /backup\n')
    machine.file('/var/lib/rancher/rke2/server/db/snapshots/another', '')
    machine.file('/backup/drover-one', '')
    const next = carry(machine, { version: 'v1.34.1+rke2r1', behaviour: 'touch' })

    const { code, result } = await run(machine)

    expect(result).toMatchObject({ result: 'DatastoreTouched', final: true })
    expect(code).toBe(22)
    const wayBack =
      'systemctl stop rke2-server && /usr/local/bin/rke2-killall.sh && mv /usr/local/bin/rke2.drover-previous /usr/local/bin/rke2 && ' +
      '/usr/local/bin/rke2 server --cluster-reset --cluster-reset-restore-path=/backup/drover-one && ' +
      'systemctl start rke2-server'
    expect(result.message).toContain(`To go back: ${wayBack}`)
    // The machine keeps it: with its kubelet gone, nobody hears the message.
    expect(journal(machine)).toMatchObject({ phase: 'failed', wayBack, tried: [{ reason: 'DatastoreTouched' }] })
    expect(content(machine)).toBe(next)
  })

  test('a patch that brings a new minor version of etcd counts as one', async () => {
    const machine = server()
    carry(machine, { version: NEW, behaviour: 'hang' })
    machine.state.onTime = () => {
      for (const [name, text] of manifest('v3.6.4', NEW)) {
        const inode = machine.inodeAt(`/var/lib/rancher/rke2/agent/pod-manifests/${name}`)
        if (inode !== undefined) inode.data = text
      }
    }

    expect((await run(machine)).result).toMatchObject({ result: 'DatastoreTouched', message: expect.stringContaining('from v3.5 to v3.6') })
  })

  test('a payload that dies after the datastore was taken over has a successor that knows', async () => {
    const machine = server()
    carry(machine, { version: 'v1.34.1+rke2r1', behaviour: 'touch' })
    const stop = new AbortController()
    machine.state.onTime = () => {
      if (machine.inodeAt('/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml')?.data.includes('# v1.34.1')) stop.abort()
    }
    expect((await run(machine, 'upgrade', {}, stop.signal)).result.result).toBe('Interrupted')
    machine.state.onTime = undefined

    expect((await run(machine)).result.result).toBe('DatastoreTouched')
  })

  test('skip no minor version, unless told; agents may', async () => {
    const machine = server()
    carry(machine, { version: 'v1.35.0+rke2r1' })
    expect(await run(machine)).toMatchObject({ code: 11, result: { result: 'MinorSkipped' } })
    expect((await run(machine, 'upgrade', { allowSkip: true })).result.result).toBe('Upgraded')

    const agent = rke2Machine('agent')
    carry(agent, { version: 'v1.35.0+rke2r1' })
    expect((await run(agent)).result.result).toBe('Upgraded')
  })
})

test('a second payload waits for the first, and finds its work done', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })

  const [first, second] = await Promise.all([run(machine), run(machine)])

  expect([first.result.result, second.result.result].toSorted()).toEqual(['AlreadyThere', 'Upgraded'])
  expect(machine.service?.starts).toBe(2)
})

test('stopped from outside while it proves: the next try proves it and is done', async () => {
  const machine = rke2Machine()
  const next = carry(machine, { version: NEW })
  const stop = new AbortController()
  machine.state.onTime = () => {
    if (running(machine) === next) stop.abort(new Error('SIGTERM received'))
  }

  const { code, result } = await run(machine, 'upgrade', {}, stop.signal)
  expect(result).toMatchObject({ result: 'Interrupted', final: false })
  expect(code).toBe(30)
  machine.state.onTime = undefined

  expect((await run(machine)).result).toMatchObject({ result: 'Upgraded', from: OLD })
  expect(machine.service?.starts).toBe(2)
})

describe('an attempt that broke off while it rolled back', () => {
  async function brokenOff(): Promise<Machine> {
    const machine = rke2Machine()
    podInfo(machine, 'uid-1', 1, '')
    carry(machine, { version: NEW, behaviour: 'crash' })
    await run(machine)
    const { steps } = machine.state
    const again = rke2Machine()
    podInfo(again, 'uid-1', 1, '')
    carry(again, { version: NEW, behaviour: 'crash' })
    again.state.faultAt = steps.lastIndexOf('systemctl restart') + 1
    await run(again).catch(() => {})
    again.revive()
    expect(journal(again)).toMatchObject({ phase: 'roll-back' })
    return again
  }

  test('is brought to its end by its next pod', async () => {
    const machine = await brokenOff()
    const { result } = await run(machine)
    expect(result).toMatchObject({ result: 'RolledBack', message: expect.stringContaining(`${NEW} did not come up`) })
    expect((await run(machine)).result).toMatchObject({
      result: 'AlreadyTried',
      message: expect.stringContaining(`RolledBack (${NEW} did not come up`),
    })
  })

  test('is brought to its end before the next attempt begins, whatever the image is like', async () => {
    const machine = await brokenOff()
    podInfo(machine, 'uid-1', 1, 'again')
    const next = carry(machine, { version: 'v1.33.6+rke2r1' })
    expect((await run(machine)).result).toMatchObject({ result: 'Upgraded', from: OLD })
    expect(running(machine)).toBe(next)

    // Asked for once more without a retry value, as after an edit of the Plan.
    const edited = await brokenOff()
    podInfo(edited, 'uid-1', 2, '')
    carry(edited, { version: 'v1.33.6+rke2r1' })
    expect((await run(edited)).result.result).toBe('Upgraded')

    const broken = await brokenOff()
    podInfo(broken, 'uid-1', 1, 'again')
    broken.carried('/opt/rke2', 'nothing')
    expect((await run(broken)).result.result).toBe('BadPayload')
    expect(running(broken)).toBe(program({ version: OLD }))
  })
})

test('stopped from outside while it rolls back: it finishes', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW, behaviour: 'crash' })
  const stop = new AbortController()
  machine.state.onTime = () => {
    if (machine.state.steps.includes('link /usr/local/bin/.rke2.drover-back')) stop.abort()
  }
  expect((await run(machine, 'upgrade', {}, stop.signal)).result.result).toBe('RolledBack')
  expect(stop.signal.aborted).toBe(true)
})

test('HOME is given to a unit that lacks it, before the restart', async () => {
  const machine = rke2Machine()
  const proc = machine.procs.get(machine.service?.pid ?? 0)
  if (proc !== undefined) machine.procs.set(proc.pid, { ...proc, environ: 'PATH=/usr/bin\0' })
  machine.file('/usr/local/lib/systemd/system/rke2-agent.env', 'RKE2_X=1', 'root 0640')
  carry(machine, { version: NEW })

  await run(machine)

  expect(content(machine, '/usr/local/lib/systemd/system/rke2-agent.env')).toBe('RKE2_X=1\nHOME=/root\n')
  expect(machine.inodeAt('/usr/local/lib/systemd/system/rke2-agent.env')?.attributes).toBe('root 0640')

  // Written down already, and only the process that runs does not have it yet.
  const again = machine.procs.get(machine.service?.pid ?? 0)
  if (again !== undefined) machine.procs.set(again.pid, { ...again, environ: 'PATH=/usr/bin\0' })
  carry(machine, { version: 'v1.33.6+rke2r1' })
  expect((await run(machine)).result.result).toBe('Upgraded')
  expect(content(machine, '/usr/local/lib/systemd/system/rke2-agent.env')).toBe('RKE2_X=1\nHOME=/root\n')
})
