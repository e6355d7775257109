/** Container images without a builder: OCI layouts in an archive, as `ctr images import` takes them. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Image {
  /** With registry and tag. */
  readonly name: string
  /** Folders, the lowest first. A folder that several images share is stored once. */
  readonly layers: readonly string[]
  readonly entrypoint: readonly string[]
  /** Its arguments, unless a pod gives others. Default: none. */
  readonly cmd?: readonly string[]
}

interface Blob {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export function writeImages(archive: string, images: readonly Image[]): void {
  const work = mkdtempSync(`${archive}.`)
  try {
    const blobs = join(work, 'blobs/sha256')
    mkdirSync(blobs, { recursive: true })
    const add = (mediaType: string, content: Buffer): Blob => {
      const hash = createHash('sha256').update(content).digest('hex')
      writeFileSync(join(blobs, hash), content)
      return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${hash}`, size: content.length }
    }
    const addJson = (mediaType: string, content: object): Blob => add(`${mediaType}+json`, Buffer.from(JSON.stringify(content)))
    const layers = new Map<string, Blob>()
    const layer = (folder: string): Blob => {
      const known = layers.get(folder) ?? add('layer.v1.tar', pack(folder, join(work, 'layer.tar')))
      layers.set(folder, known)
      return known
    }
    const manifests = images.map((image) => {
      const stack = image.layers.map(layer)
      const config = addJson('config.v1', {
        os: 'linux',
        architecture: ARCHITECTURES[process.arch] ?? process.arch,
        config: { Entrypoint: image.entrypoint, Cmd: image.cmd ?? [], Env: [`PATH=${PATH}`] },
        rootfs: { type: 'layers', diff_ids: stack.map(({ digest }) => digest) },
      })
      const mediaType = 'application/vnd.oci.image.manifest.v1+json'
      return {
        ...addJson('manifest.v1', { schemaVersion: 2, mediaType, config, layers: stack }),
        annotations: { 'io.containerd.image.name': image.name },
      }
    })
    writeFileSync(join(work, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
    writeFileSync(join(work, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    execFileSync('tar', ['-C', work, '-cf', `${archive}.new`, 'oci-layout', 'index.json', 'blobs'])
    renameSync(`${archive}.new`, archive)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** The same folder gives the same bytes. */
function pack(folder: string, file: string): Buffer {
  execFileSync('tar', ['-C', folder, '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-cf', file, '.'])
  const content = readFileSync(file)
  rmSync(file)
  return content
}
