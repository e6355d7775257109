/** Air gap: the images of the new release, where the restarted service looks for them before it asks a registry. */
import { posix } from 'node:path'
import type { Host } from './host.ts'
import { asRefusal } from './replace.ts'
import { Refusal } from './refusal.ts'
import { type CarriedImages, IMAGES } from './release.ts'

export const imagesFolder = (dataDir: string): string => `${dataDir}/agent/images`

/** `rke2-images.linux-amd64.tar.zst` of v1.33.4+rke2r1 → `rke2-images.linux-amd64.drover-v1.33.4-rke2r1.tar.zst` */
export function placedName(name: string, version: string): string {
  const ending = IMAGES.exec(name)?.[0] ?? ''
  return `${name.slice(0, name.length - ending.length)}.drover-${version.replaceAll('+', '-')}${ending}`
}

export const placedPaths = (dataDir: string, images: readonly CarriedImages[], version: string): readonly string[] =>
  images.map(({ name }) => `${imagesFolder(dataDir)}/${placedName(name, version)}`)

/** Each whole or not at all; the service ignores files without a known ending. Those that are there already are left. */
export async function placeImages(host: Host, dataDir: string, images: readonly CarriedImages[], version: string): Promise<void> {
  const { machine } = host
  if (images.length === 0) return
  const folder = imagesFolder(dataDir)
  machine.makeDirectory(folder)
  for (const { name, path, sha256 } of images) {
    const target = `${folder}/${placedName(name, version)}`
    if (machine.stat(target) !== undefined && (await machine.sha256(target)) === sha256) continue
    const next = `${folder}/.${name}.drover-partial`
    try {
      machine.remove(next)
      const written = await machine.copyIn(path, next)
      if (written !== sha256) throw new Refusal('BadPayload', `${path} changed while it was copied: its sum is ${written} now`)
      machine.setMode(next, 0o644)
      machine.sync(next)
      machine.rename(next, target)
      machine.sync(folder)
    } catch (error) {
      try {
        machine.remove(next)
      } catch {
        // The next attempt removes it.
      }
      throw asRefusal(error, target)
    }
  }
}

/** After success: what an earlier payload placed, and tarballs that were put there by hand under the names that the new ones have by nature. */
export function removeSuperseded(
  { machine }: Host,
  dataDir: string,
  images: readonly CarriedImages[],
  version: string,
  earlier: readonly string[],
): void {
  if (images.length === 0) return
  const current = placedPaths(dataDir, images, version)
  const byHand = images.map(({ name }) => `${imagesFolder(dataDir)}/${name}`)
  for (const path of [...earlier, ...byHand]) if (!current.includes(path)) machine.remove(path)
  machine.sync(imagesFolder(dataDir))
}

export function removeImages({ machine }: Host, paths: readonly string[]): void {
  for (const path of paths) machine.remove(path)
  const [first] = paths
  if (first !== undefined && machine.stat(posix.dirname(first)) !== undefined) machine.sync(posix.dirname(first))
}
