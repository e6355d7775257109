/** Newer RKE2 wants HOME, which systemd gives no service of the system, and the unit of an older tarball does not set. */
import { posix } from 'node:path'
import type { Service } from './find.ts'
import type { Host } from './host.ts'

/** The file that got the line; undefined when none was needed or possible. */
export async function ensureHome({ machine }: Host, service: Service): Promise<string | undefined> {
  const { distribution, environment, unit } = service
  if (distribution !== 'rke2' || unit === undefined || environment['HOME'] !== undefined) return undefined
  const stem = posix.basename(unit.name, '.service')
  // Its own files, not those that others added and write anew.
  const own = unit.environmentFiles.filter((file) => [stem, `${stem}.env`].includes(posix.basename(file)))
  const path = own.findLast((file) => machine.unwritable(posix.dirname(file)) === undefined)
  if (path === undefined) return undefined
  const text = machine.text(path)
  if (text !== undefined && /^HOME=/m.test(text)) return undefined
  const next = `${path}.drover-next`
  machine.write(next, `${text === undefined || text === '' || text.endsWith('\n') ? (text ?? '') : `${text}\n`}HOME=/root\n`)
  if (text === undefined) machine.setMode(next, 0o644)
  else await machine.keepAttributes(path, next)
  machine.sync(next)
  machine.rename(next, path)
  machine.sync(posix.dirname(path))
  return path
}
