/** Replaces a file on a real file system and kills itself at the step that it is told: `child.js ROOT SOURCE SUM STEP`. */
import { systemClock } from '../../../src/base/clock.ts'
import type { Host, MachineFiles } from '../../../src/payload/host.ts'
import { linuxHost } from '../../../src/payload/linux-host.ts'
import { replaceBinary } from '../../../src/payload/replace.ts'

const [root = '', source = '', sum = '', step = ''] = process.argv.slice(2)
const die = (): void => void process.kill(process.pid, 'SIGKILL')
let steps = 0
const CHANGES = ['write', 'keepAttributes', 'setMode', 'sync', 'rename', 'hardLink', 'remove', 'makeDirectory'] as const

const host = linuxHost({ clock: systemClock, root, terminationMessage: '' })
const machine: MachineFiles = {
  ...host.machine,
  ...Object.fromEntries(
    CHANGES.map((name) => [
      name,
      (...args: readonly never[]): unknown => {
        if (++steps === Number(step)) die()
        return (host.machine[name] as (...given: readonly never[]) => unknown)(...args)
      },
    ]),
  ),
  async copyIn(from, to) {
    // In the middle of it, too: a part of the file has been written by then.
    if (++steps === Number(step)) setTimeout(die, 2)
    const written = await host.machine.copyIn(from, to)
    if (steps === Number(step)) die()
    return written
  },
}
const killable: Host = { ...host, machine }

const release = (version: string) => ({ version, sha256: sum })
await replaceBinary(killable, '/bin/rke2', source, { v: 1, previous: release('old'), installed: release('new'), at: '', planHash: '' })
process.stdout.write(`${steps}\n`)
