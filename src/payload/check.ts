/** Everything that can be known before anything is changed. */
import { posix } from 'node:path'
import type { Version } from '../rollout/version.ts'
import { architectureOf } from './elf.ts'
import type { Service } from './find.ts'
import type { Host } from './host.ts'
import { imagesFolder } from './images.ts'
import { Refusal } from './refusal.ts'
import type { Release } from './release.ts'
import { checkPackage } from './rpm.ts'

/** Left free besides what is written, for the machine to go on living. */
const RESERVE = 32 * 1024 * 1024
const SYSTEMCTL_MS = 30_000
const MIB = 1024 * 1024

export interface CheckOptions {
  /** `refuse` a file that belongs to an RPM package, or `replace` it nevertheless. */
  readonly rpm: 'refuse' | 'replace'
}

/** The architecture first: only then can the new program be asked for its version. */
export function checkArchitecture(host: Host, service: Pick<Service, 'binary'>, release: Release): void {
  const own = architectureOf(host.machine.head(service.binary, 64))
  if (own === undefined) return // What is in place is broken already; a whole program can only be better.
  if (own !== release.architecture) {
    throw new Refusal('WrongArchitecture', `the machine runs ${own}, the image carries a program for ${release.architecture}`)
  }
}

/** @throws Refusal `ReadOnly`, `NoSpace`, `OwnedByPackage`, `NotRunning`, `NotSupervised` */
export async function checkTarget(host: Host, service: Service, release: Release, to: Version, options: CheckOptions): Promise<void> {
  const { machine } = host
  const { binary, supervisor, main } = service
  if (machine.stat(binary)?.kind !== 'file') {
    throw new Refusal('NotRunning', `process ${main.pid} was started from ${binary}, where no file is any more; put one back first`)
  }
  if (supervisor === 'none') {
    throw new Refusal('NotSupervised', `process ${main.pid} belongs to no systemd service, so nothing would start it again`)
  }
  if (supervisor === 'systemd' && service.unit !== undefined) await checkUnit(host, service.unit.name)
  if (options.rpm === 'refuse') await checkPackage(host, service, to)
  const folder = posix.dirname(binary)
  checkFolder(host, folder, release.size)
  if (release.images.length === 0) return
  const images = imagesFolder(service.configuration.dataDir)
  const existing = machine.stat(images) === undefined ? service.configuration.dataDir : images
  checkFolder(
    host,
    existing,
    release.images.reduce((sum, { size }) => sum + size, 0),
  )
}

/** systemd can be talked to, and would start the service again. */
async function checkUnit(host: Host, unit: string): Promise<void> {
  const { code, stdout, stderr } = await host.runOnMachine(['systemctl', 'show', '--property=LoadState', '--value', unit], SYSTEMCTL_MS)
  if (code === 0 && stdout.trim() === 'loaded') return
  const said = code === 0 ? stdout.trim() : stderr.trim().slice(-200)
  throw new Refusal(
    'NotSupervised',
    `systemd would not restart ${unit}: ${said === '' ? `systemctl ended with ${code ?? 'nothing'}` : said}`,
  )
}

function checkFolder({ machine }: Host, folder: string, bytes: number): void {
  const code = machine.unwritable(folder)
  if (code !== undefined) {
    const transactional = machine.stat('/usr/sbin/transactional-update') !== undefined
    const advice = transactional
      ? 'this is a transactional system: install the new version with transactional-update and reboot, or move the installation to /opt/rke2'
      : 'make it writable, or move the installation to /opt/rke2'
    throw new Refusal('ReadOnly', `${folder} cannot be written (${code}); ${advice}`)
  }
  const free = machine.freeBytes(folder)
  if (free < bytes + RESERVE) {
    const [needed, left] = [bytes + RESERVE, free].map((size) => Math.ceil(size / MIB))
    throw new Refusal('NoSpace', `${folder} has ${left} MiB free, ${needed} MiB are needed`)
  }
}
