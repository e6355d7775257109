import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../base/clock.ts'
import { DroverError, messageOf } from '../../base/errors.ts'
import { createCredentialPlugin } from './credential-plugin.ts'
import type { TlsMaterial } from './https-transport.ts'
import type { Access } from './in-cluster.ts'
import { type KubeconfigCluster, type KubeconfigUser, readKubeconfig } from './kubeconfig-file.ts'
import { createTokenSource } from './token-source.ts'

/** Access by the current context of kubeconfig files that exist. Throws a DroverError `Kubeconfig` that names file and field. */
export async function kubeconfigAccess(files: readonly string[], clock: Clock): Promise<Access> {
  const { cluster, user, namespace } = readKubeconfig(files)
  const plugin = user?.exec || user?.['auth-provider'] ? await createCredentialPlugin(() => readKubeconfig(files), clock) : undefined
  // A certificate must be there before the first connection. A failure is told by the first request.
  if (plugin !== undefined) await plugin.token().catch(() => undefined)
  const fixed = material(cluster, user)
  const token = plugin === undefined ? tokenOf(user, clock) : plugin.token
  const proxy = cluster['proxy-url']
  return {
    server: cluster.server.replace(/\/$/, ''),
    // A plugin may hand out a client certificate instead of a token.
    tls: () => plugin?.withCertificate(fixed) ?? fixed,
    headers: headersOf(user),
    ...(token === undefined ? {} : { token }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(namespace === undefined ? {} : { namespace }),
  }
}

function material(cluster: KubeconfigCluster, user: KubeconfigUser | undefined): TlsMaterial {
  const ca = pem('certificate-authority', cluster['certificate-authority'], cluster['certificate-authority-data'])
  const cert = pem('client-certificate', user?.['client-certificate'], user?.['client-certificate-data'])
  const key = pem('client-key', user?.['client-key'], user?.['client-key-data'])
  const servername = cluster['tls-server-name']
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(cluster['insecure-skip-tls-verify'] ? { rejectUnauthorized: false } : {}),
  }
}

/** Data wins over a file, as with kubectl. */
function pem(field: string, file: string | undefined, data: string | undefined): string | undefined {
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8')
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new DroverError('Kubeconfig', `${field}: ${messageOf(error)}`, { retry: 'never', cause: error })
  }
}

function tokenOf(user: KubeconfigUser | undefined, clock: Clock): Access['token'] {
  const { tokenFile, token } = user ?? {}
  // The file wins over the literal, as with kubectl.
  if (tokenFile !== undefined) return createTokenSource(clock, tokenFile, () => readFile(tokenFile, 'utf8'))
  return token === undefined ? undefined : async () => token
}

function headersOf(user: KubeconfigUser | undefined): Readonly<Record<string, string>> {
  const { username, password = '', as, 'as-uid': uid } = user ?? {}
  return {
    ...(username === undefined ? {} : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }),
    ...(as === undefined ? {} : { 'impersonate-user': as }),
    ...(uid === undefined ? {} : { 'impersonate-uid': uid }),
  }
}
