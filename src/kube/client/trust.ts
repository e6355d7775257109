import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import type { Env } from './proxy.ts'

/** Where distributions keep the system's roots; charts mount the host's. The first that exists counts, as in Go's `crypto/x509`. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

export interface Trust {
  /** PEM, one certificate an entry: Node's own roots and those found. */
  readonly certificates: readonly string[]
  /** What was read; the trust is out of date when one of these changes. */
  readonly files: readonly string[]
  /** Entries named in the environment that could not be read, and blocks that are no certificate. */
  readonly problems: readonly string[]
}

/**
 * Whom to believe outside the cluster: Node's bundled roots, SSL_CERT_FILE (or the system's bundle), every file in the SSL_CERT_DIR
 * directories (colon-separated), and NODE_EXTRA_CA_CERTS. Node itself reads only the last, and only until a `ca` is given.
 */
export async function loadTrust(env: Env, systemBundles: readonly string[] = SYSTEM_BUNDLES): Promise<Trust> {
  const problems: string[] = []
  const files: string[] = []
  const certificates = new Set<string>(rootCertificates)

  async function read(file: string, required: boolean): Promise<boolean> {
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch {
      if (required) problems.push(file)
      return false
    }
    files.push(file)
    for (const block of text.match(CERTIFICATE) ?? []) {
      if (readable(block)) certificates.add(block)
      else problems.push(`${file}: not a certificate`)
    }
    return true
  }

  const named = env['SSL_CERT_FILE'] ?? ''
  if (named !== '') await read(named, true)
  else for (const bundle of systemBundles) if (await read(bundle, false)) break
  for (const directory of (env['SSL_CERT_DIR'] ?? '').split(':').filter((part) => part !== '')) {
    for (const name of await entries(directory, problems)) await read(join(directory, name), false)
  }
  const extra = env['NODE_EXTRA_CA_CERTS'] ?? ''
  if (extra !== '') await read(extra, true)
  return { certificates: [...certificates], files, problems }
}

async function entries(directory: string, problems: string[]): Promise<string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch {
    problems.push(directory)
    return []
  }
}

/** The certificates of a text; undefined when it holds none, or one that cannot be read. */
export function certificatesIn(text: string): readonly string[] | undefined {
  const blocks = text.match(CERTIFICATE) ?? []
  return blocks.length > 0 && blocks.every(readable) ? blocks : undefined
}

function readable(pem: string): boolean {
  try {
    return new X509Certificate(pem).fingerprint256 !== ''
  } catch {
    return false
  }
}

/** Changes when a file does: mounted Secrets and ConfigMaps are swapped, not rewritten, so size and time both count. */
export async function stampOf(files: readonly string[]): Promise<string> {
  const stamps = await Promise.all(
    files.map(async (file) => {
      try {
        const { mtimeMs, size, ino } = await stat(file)
        return `${file}:${mtimeMs}:${size}:${ino}`
      } catch {
        return `${file}:gone`
      }
    }),
  )
  return stamps.join('\n')
}
