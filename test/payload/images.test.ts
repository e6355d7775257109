/** Air gap: the images that a payload brings along. */
import { expect, test } from '@jest/globals'
import { BINARY, carry, NEW, OLD, rke2Machine, run } from './kit.ts'
import { program } from './machine.ts'

const folder = '/var/lib/rancher/rke2/agent/images'
const name = 'rke2-images.linux-amd64.tar.zst'

test('images are in place before the restart, superseded ones go after success', async () => {
  const machine = rke2Machine()
  machine.file(`${folder}/${name}`, 'old images')
  machine.file(`${folder}/mine.tar`, 'other images')
  carry(machine, { version: NEW }, 'rke2', { [name]: 'new images' })

  expect((await run(machine)).result.result).toBe('Upgraded')

  expect(machine.names(folder)).toEqual(['mine.tar', `rke2-images.linux-amd64.drover-v1.33.5-rke2r1.tar.zst`])
  const { steps } = machine.state
  expect(steps.findIndex((step) => step.startsWith(`rename ${folder}`))).toBeLessThan(steps.indexOf('systemctl restart'))
  expect(steps.indexOf(`remove ${folder}/${name}`)).toBeGreaterThan(steps.indexOf('systemctl restart'))

  carry(machine, { version: 'v1.33.6+rke2r1' }, 'rke2', { [name]: 'newer images' })
  expect((await run(machine)).result.result).toBe('Upgraded')
  expect(machine.names(folder)).toEqual(['mine.tar', `rke2-images.linux-amd64.drover-v1.33.6-rke2r1.tar.zst`])
})

test('after a roll back the old ones are there, the new ones not', async () => {
  const machine = rke2Machine()
  machine.file(`${folder}/${name}`, 'old images')
  carry(machine, { version: NEW, behaviour: 'crash' }, 'rke2', { [name]: 'new images' })

  expect((await run(machine)).result.result).toBe('RolledBack')
  expect(machine.names(folder)).toEqual([name])
})

test('a copy of a tarball that is not what was read: nothing of it is left, and the program is not touched', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW }, 'rke2', { [name]: 'new images' })
  machine.folder(folder)
  const files = machine.host.machine
  const lossy = {
    ...machine.host,
    machine: { ...files, copyIn: async (from: string, to: string) => (await files.copyIn(from, to), 'other') },
  }

  expect((await run({ ...machine, host: lossy })).result).toMatchObject({
    result: 'BadPayload',
    message: expect.stringContaining('images/rke2-images.linux-amd64.tar.zst changed while'),
  })
  expect(machine.names(folder)).toEqual([])
  expect(machine.inodeAt(BINARY)?.data).toBe(program({ version: OLD }))
})

test('a tarball that is not what was recorded', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW }, 'rke2', { [name]: 'new images' })
  machine.carried(`/opt/images/${name}`, 'new imag')
  expect((await run(machine)).result).toMatchObject({ result: 'BadPayload', message: expect.stringContaining('images/') })
  expect(machine.service?.starts).toBe(1)
})
