/** What the payload's image carries: the new program with its recorded sum, and perhaps a tarball of images. */
import type { Distribution } from '../rollout/version.ts'
import { architectureOf } from './elf.ts'
import type { Host } from './host.ts'
import { Refusal } from './refusal.ts'

export interface CarriedImages {
  readonly path: string
  readonly name: string
  readonly size: number
  readonly sha256: string
}

export interface Release {
  readonly distribution: Distribution
  /** In the image. */
  readonly path: string
  readonly size: number
  readonly sha256: string
  readonly architecture: string
  readonly images: readonly CarriedImages[]
}

const SUMS = 'SHA256SUMS'
/** The same file under the names of the release pages and of the upstream upgrade images. */
const PROGRAMS: Readonly<Record<Distribution, readonly string[]>> = {
  rke2: ['rke2', 'rke2.linux-amd64', 'rke2.linux-arm64'],
  k3s: ['k3s', 'k3s-arm64', 'k3s-armhf'],
}
export const IMAGES = /\.(?:tar|tar\.gz|tgz|tar\.zst|tzst|tar\.lz4|tar\.bz2|tbz)$/

/**
 * Reads the image's folder and checks every file against its recorded sum.
 * @throws Refusal `BadPayload` when something is missing, truncated or unknown
 */
export async function readRelease(host: Host, folder: string): Promise<Release> {
  const { image } = host
  const sums = readSums(image.text(`${folder}/${SUMS}`), `${folder}/${SUMS}`)
  const programs = (['rke2', 'k3s'] as const).flatMap((distribution) =>
    PROGRAMS[distribution].filter((name) => image.stat(`${folder}/${name}`)?.kind === 'file').map((name) => ({ distribution, name })),
  )
  const [program, second] = programs
  if (program === undefined) throw new Refusal('BadPayload', `the image has no program in ${folder}: neither rke2 nor k3s`)
  if (second !== undefined)
    throw new Refusal('BadPayload', `the image has several programs in ${folder}: ${programs.map(({ name }) => name).join(', ')}`)
  const checked = async (path: string, name: string) => {
    const recorded = sums.get(name)
    if (recorded === undefined) throw new Refusal('BadPayload', `${folder}/${SUMS} has no sum of ${name}`)
    const sha256 = await image.sha256(path)
    const size = image.stat(path)?.size ?? 0
    if (sha256 !== recorded) {
      throw new Refusal(
        'BadPayload',
        `${path} is not what was recorded (${size} bytes, sum ${sha256}, recorded ${recorded}): truncated or changed`,
      )
    }
    return { path, name, size, sha256 }
  }
  const { path, size, sha256 } = await checked(`${folder}/${program.name}`, program.name)
  const architecture = architectureOf(image.head(path, 64))
  if (architecture === undefined) throw new Refusal('BadPayload', `${path} is no program for Linux (no ELF header)`)
  const images: CarriedImages[] = []
  for (const name of (image.list(`${folder}/images`) ?? []).filter((entry) => IMAGES.test(entry))) {
    images.push({ ...(await checked(`${folder}/images/${name}`, `images/${name}`)), name })
  }
  return { distribution: program.distribution, path, size, sha256, architecture, images }
}

function readSums(text: string | undefined, path: string): ReadonlyMap<string, string> {
  if (text === undefined) throw new Refusal('BadPayload', `the image has no ${path}, so nothing can be checked`)
  const sums = new Map<string, string>()
  for (const line of text.split('\n').filter((entry) => entry.trim() !== '')) {
    const match = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line.trim())
    if (match === null) throw new Refusal('BadPayload', `${path}: this is no line of sha256sum: ${line.slice(0, 100)}`)
    sums.set(match[2] ?? '', match[1] ?? '')
  }
  return sums
}
