/** Is the running process one of the file on disk? The file alone does not tell: it may be new while the old program runs on. */
import { type Service, UNPACKED } from './find.ts'
import type { Host } from './host.ts'
import { startedAt } from './processes.ts'

/** K3s carries what it unpacks under a name that is its sum. */
const CARRIED = /[0-9a-f]{64}\.tar\.(?:zst|xz|gz)/

/** The program that runs is the one that the file holds. */
export async function runsFile(host: Host, { main, binary, direct }: Service): Promise<boolean> {
  const { machine } = host
  const running = `/proc/${main.pid}/exe`
  if (direct) {
    const [file, image] = [machine.stat(binary), machine.stat(running)]
    if (file === undefined) return false
    if (file.identity === image?.identity) return true
    try {
      return (await machine.sha256(running)) === (await machine.sha256(binary))
    } catch {
      return false // It ended while it was read.
    }
  }
  const carried = await machine.find(binary, CARRIED)
  const unpacked = UNPACKED.exec(main.exe)?.[1]
  if (carried !== undefined) return carried.slice(0, 64) === unpacked
  // Nothing in the file names what it unpacks: then only time tells.
  const [file, started] = [machine.stat(binary), startedAt(machine, main)]
  return file !== undefined && started !== undefined && started >= file.modifiedAt
}
