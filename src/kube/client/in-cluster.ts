import { readFileSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import type { TlsMaterial } from './https-transport.ts'
import type { Env } from './proxy.ts'
import { createTokenSource } from './token-source.ts'

/** How to reach an API server and who we are there. */
export interface Access {
  readonly server: string
  readonly tls: () => TlsMaterial
  readonly token?: (refused?: string) => Promise<string | undefined>
  readonly headers?: Readonly<Record<string, string>>
  /** By URL, e.g. `http://proxy:3128`. */
  readonly proxy?: string
  /** The namespace to work in when none is set. */
  readonly namespace?: string
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Access as every pod has it; undefined outside a cluster. Nothing is read yet but the namespace: files may turn up late. */
export function inClusterAccess(env: Env, clock: Clock, directory: string = SERVICE_ACCOUNT): Access | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? ''
  const port = env['KUBERNETES_SERVICE_PORT'] ?? ''
  if (host === '' || port === '') return undefined
  const tokenFile = join(directory, 'token')
  const namespace = namespaceIn(join(directory, 'namespace'))
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    tls: watchedCa(join(directory, 'ca.crt')),
    token: createTokenSource(clock, tokenFile, () => readFile(tokenFile, 'utf8')),
    ...(namespace === undefined ? {} : { namespace }),
  }
}

function namespaceIn(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim()
    return text === '' ? undefined : text
  } catch {
    return undefined
  }
}

/** Reads the file again when its modification time changes. While it cannot be read the last content stands, at first the system's roots. */
export function watchedCa(file: string): () => TlsMaterial {
  let material: TlsMaterial = {}
  let readAt: number | undefined
  return () => {
    try {
      const { mtimeMs } = statSync(file)
      if (mtimeMs === readAt) return material
      const ca = readFileSync(file, 'utf8')
      readAt = mtimeMs
      if (ca !== material.ca) material = { ca }
    } catch {
      // The handshake will fail and say so; the next request looks again.
    }
    return material
  }
}
