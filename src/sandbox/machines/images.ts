import { createHash } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'

/** What registries offer. Every image exists unless it is said to be missing. */
export interface ImageRegistry {
  /** Images that cannot be pulled, as references without a default registry. Delete one and it appears. */
  readonly missing: Set<string>
  /** The image appears at that wall time, in milliseconds. */
  missingUntil(image: string, wallMs: number): void
  /** Undefined = it can be pulled now; else why not. */
  refusal(image: string): string | undefined
  /** The image's identity, as containerStatuses show it. */
  idOf(image: string): string
}

export function createImages(clock: Clock): ImageRegistry {
  const missing = new Set<string>()
  const until = new Map<string, number>()
  const ids = new Map<string, string>()
  return {
    missing,
    missingUntil: (image, wallMs) => void until.set(familiar(image), wallMs),
    refusal(image) {
      const name = familiar(image)
      if (!missing.has(name) && (until.get(name) ?? 0) <= clock.wall()) return undefined
      return `rpc error: code = NotFound desc = failed to pull and unpack image "${canonical(name)}": failed to resolve reference "${canonical(name)}": ${canonical(name)}: not found`
    },
    idOf(image) {
      let id = ids.get(image)
      if (id === undefined) {
        id = `${canonical(familiar(image)).replace(/:[^:/]*$/, '')}@sha256:${createHash('sha256').update(image).digest('hex')}`
        ids.set(image, id)
      }
      return id
    },
  }
}

/** `docker.io/rancher/x:v1` and `index.docker.io/rancher/x:v1` → `rancher/x:v1`, `docker.io/library/busybox` → `busybox`. */
function familiar(image: string): string {
  return image.replace(/^(index\.)?docker\.io\//, '').replace(/^library\//, '')
}

function canonical(image: string): string {
  const first = image.split('/')[0] ?? ''
  if (image.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost')) return image
  return `docker.io/${image.includes('/') ? '' : 'library/'}${image}`
}

/** Repository (without a default registry) and tag of a reference; `latest` when none is given. */
export function splitImage(image: string): { readonly repository: string; readonly tag: string } {
  const name = familiar(image).replace(/@sha256:.*$/, '')
  const colon = name.lastIndexOf(':')
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { repository: name, tag: 'latest' }
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) }
}
