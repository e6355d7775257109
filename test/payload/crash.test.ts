/** The payload dies, or the machine does, at each of its steps. */
import { describe, expect, test } from '@jest/globals'
import { BINARY, carry, NEW, OLD, podInfo, rke2Machine, run } from './kit.ts'
import { Crash, type Fault, type Machine, program } from './machine.ts'

const IMAGES = { 'rke2-images.linux-amd64.tar.zst': 'new images' }
const OLD_FILE = program({ version: OLD })

function prepared(behaviour: 'good' | 'crash'): { machine: Machine; next: string } {
  const machine = rke2Machine()
  // An earlier upgrade has left its mark.
  machine.file(`${BINARY}.drover-previous`, program({ version: 'v1.33.3+rke2r1' }))
  podInfo(machine, 'uid-1', 1, '')
  return { machine, next: carry(machine, { version: NEW, behaviour }, 'rke2', IMAGES) }
}

/** All steps of a run in which nothing goes wrong. */
async function stepsOf(behaviour: 'good' | 'crash'): Promise<readonly string[]> {
  const { machine } = prepared(behaviour)
  await run(machine)
  return machine.state.steps
}

async function dies(machine: Machine, at: number, fault: Fault): Promise<void> {
  machine.state.faultAt = at
  machine.state.fault = fault
  await run(machine).catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error
  })
}

const file = (machine: Machine) => machine.inodeAt(BINARY)?.data
const running = (machine: Machine) => machine.procs.get(machine.service?.pid ?? 0)?.inode?.data
const leftovers = (machine: Machine) =>
  [...machine.names('/usr/local/bin'), ...machine.names('/var/lib/rancher/rke2/agent/images'), ...machine.names('/var/lib/drover')].filter(
    (name) => name.startsWith('.') || name.endsWith('.next'),
  )

const good = await stepsOf('good')
const bad = await stepsOf('crash')

/** The journal is on the disk with the decision to roll back. */
const decided =
  bad.indexOf(
    'sync /var/lib/drover',
    bad.lastIndexOf('write /var/lib/drover/journal.json.next', bad.indexOf('link /usr/local/bin/.rke2.drover-back')),
  ) + 1

test('the steps are those that matter', () => {
  expect(good.filter((step) => step.includes('/usr/local/bin'))).toEqual([
    'create /usr/local/bin/.rke2.drover-next',
    'half of /usr/local/bin/.rke2.drover-next',
    'copied /usr/local/bin/.rke2.drover-next',
    'attributes /usr/local/bin/.rke2.drover-next',
    'sync /usr/local/bin/.rke2.drover-next',
    'link /usr/local/bin/.rke2.drover-kept',
    'rename /usr/local/bin/rke2.drover-previous',
    'write /usr/local/bin/rke2.drover-previous.json.next',
    'emptied /usr/local/bin/rke2.drover-previous.json.next',
    'written /usr/local/bin/rke2.drover-previous.json.next',
    'rename /usr/local/bin/rke2.drover-previous.json',
    'sync /usr/local/bin',
    'rename /usr/local/bin/rke2',
    'sync /usr/local/bin',
  ])
  expect(good.length).toBeGreaterThan(35)
  expect(bad.length).toBeGreaterThan(good.length)
  expect(decided).toBeGreaterThan(20)
})

describe.each(['SIGKILL', 'power loss, renames kept', 'power loss, only what was synced'] as const)('%s', (end) => {
  const dead = (machine: Machine): void => {
    if (end === 'SIGKILL') machine.revive()
    else machine.powerLoss(end === 'power loss, renames kept' ? 'kept' : 'synced')
  }

  test.each(good.map((step, index) => [index + 1, step] as const))(
    'at step %i of an upgrade, %s: the file is whole, a retry succeeds',
    async (at) => {
      const { machine, next } = prepared('good')
      await dies(machine, at, 'crash')
      expect(machine.state.steps).toHaveLength(at)
      dead(machine)

      expect([OLD_FILE, next]).toContain(file(machine))
      const placed = machine.inodeAt('/var/lib/rancher/rke2/agent/images/rke2-images.linux-amd64.drover-v1.33.5-rke2r1.tar.zst')
      expect(['new images', undefined]).toContain(placed?.data)
      const { result } = await run(machine)

      expect(['Upgraded', 'AlreadyThere']).toContain(result.result)
      expect(file(machine)).toBe(next)
      expect(running(machine)).toBe(next)
      expect(machine.inodeAt(`${BINARY}.drover-previous`)?.data).toBe(OLD_FILE)
      expect(machine.inodeAt(BINARY)?.attributes).toContain('system_u:object_r:container_runtime_exec_t:s0')
      expect(leftovers(machine)).toEqual([])
      expect(machine.names('/var/lib/rancher/rke2/agent/images')).toEqual(['rke2-images.linux-amd64.drover-v1.33.5-rke2r1.tar.zst'])
    },
  )

  test.each(bad.map((step, index) => [index + 1, step] as const))(
    'at step %i of a roll back, %s: a retry ends with the old version',
    async (at) => {
      const { machine, next } = prepared('crash')
      await dies(machine, at, 'crash')
      expect(machine.state.steps).toHaveLength(at)
      dead(machine)

      expect([OLD_FILE, next]).toContain(file(machine))
      const { result } = await run(machine)

      expect(['RolledBack', 'AlreadyTried']).toContain(result.result)
      // Once it was decided to go back, the bad release is not tried again.
      if (at > decided) expect(machine.state.steps).not.toContain('create /usr/local/bin/.rke2.drover-next')
      expect(file(machine)).toBe(OLD_FILE)
      machine.advance(10_000)
      expect(running(machine)).toBe(OLD_FILE)
      expect((await run(machine)).result.result).toBe('AlreadyTried')
      expect(leftovers(machine)).toEqual([])
      expect(machine.names('/var/lib/rancher/rke2/agent/images')).toEqual([])
    },
  )
})

test('the record beside the program is gone after the crash: the journal knows what was there', async () => {
  const { machine } = prepared('crash')
  await dies(machine, bad.indexOf('rename /usr/local/bin/rke2') + 2, 'crash')
  machine.revive()
  machine.host.machine.remove(`${BINARY}.drover-previous.json`)

  expect((await run(machine)).result.result).toBe('RolledBack')
  expect(file(machine)).toBe(OLD_FILE)
})

describe.each(['ENOSPC', 'EROFS', 'EIO'] as const)('%s', (fault) => {
  const beforeTheFile = good.indexOf('rename /usr/local/bin/rke2') + 1

  test.each(good.map((step, index) => [index + 1, step] as const))(
    'at step %i, %s: said, the file is whole, a retry succeeds',
    async (at, step) => {
      const { machine, next } = prepared('good')
      await dies(machine, at, fault)

      const [message] = machine.state.messages
      expect([OLD_FILE, next]).toContain(file(machine))
      if (at <= beforeTheFile) {
        expect(file(machine)).toBe(OLD_FILE)
        expect(running(machine)).toBe(OLD_FILE)
        expect(JSON.parse(message ?? '{}')).not.toMatchObject({ result: 'Upgraded' })
        // Nothing half-written is left behind.
        expect(leftovers(machine).filter((name) => name.startsWith('.'))).toEqual([])
        if (step.includes('/usr/local/bin/.')) expect(message).toContain({ ENOSPC: 'NoSpace', EROFS: 'ReadOnly', EIO: 'Failed' }[fault])
      }
      machine.revive()

      expect(['Upgraded', 'AlreadyThere']).toContain((await run(machine)).result.result)
      expect(running(machine)).toBe(next)
      expect(leftovers(machine)).toEqual([])
    },
  )
})
