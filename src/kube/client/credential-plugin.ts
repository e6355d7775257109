import type { User } from '@kubernetes/client-node'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { TlsMaterial } from './https-transport.ts'
import type { CurrentContext } from './kubeconfig-file.ts'
import { createTokenSource } from './token-source.ts'

/** Credentials that a program or a provider hands out. */
export interface CredentialPlugin {
  /** Undefined when it gives a certificate only. Rejects with a TransportError while it gives nothing. */
  readonly token: (refused?: string) => Promise<string | undefined>
  /** The material with the certificate that the plugin gave, if it gave one; the same object while that is the same. */
  readonly withCertificate: (fixed: TlsMaterial) => TlsMaterial
}

/** Somebody may have to type a second factor. */
const ANSWER_MS = 60_000
/** A plugin that answers with a certificate only. */
const NO_TOKEN = '-'

/**
 * Asks the user's `exec` plugin or `auth-provider`, one caller at a time, and anew when the credential was refused. `read` gives the
 * kubeconfig as it stands then. The official client knows how to run each kind; it is loaded only for that, for its weight.
 */
export async function createCredentialPlugin(read: () => CurrentContext, clock: Clock): Promise<CredentialPlugin> {
  const { KubeConfig } = await import('./official-kubeconfig.ts')
  const load = (): InstanceType<typeof KubeConfig> => {
    const { cluster, user } = read()
    const config = new KubeConfig()
    // It refuses to build an agent for plain http, which we do not even want from it.
    config.loadFromClusterAndUser({ name: 'cluster', server: cluster.server.replace(/^http:/, 'https:'), skipTLSVerify: false }, {
      name: user?.name ?? '',
      exec: user?.exec ?? undefined,
      authProvider: user?.['auth-provider'] ?? undefined,
    } as User)
    return config
  }
  let certificate: { readonly cert: string; readonly key: string } | undefined
  let combined: TlsMaterial | undefined
  let config = load()
  let given: string | undefined
  let stale = false

  async function ask(): Promise<string> {
    // A new configuration has an empty cache; the old one gives the refused credential until it expires.
    if (stale) config = load()
    stale = false
    const options: { cert?: unknown; key?: unknown; headers?: Record<string, unknown> } = {}
    await answered(config.applyToHTTPSOptions(options))
    if (typeof options.cert === 'string' && typeof options.key === 'string' && options.cert !== certificate?.cert) {
      certificate = { cert: options.cert, key: options.key }
      combined = undefined
    }
    return typeof options.headers?.['Authorization'] === 'string' ? options.headers['Authorization'].replace(/^Bearer /, '') : NO_TOKEN
  }

  /** Who does not answer keeps its process; the next caller starts another. */
  async function answered(asking: Promise<void>): Promise<void> {
    const timer = new AbortController()
    const late = clock.sleep(ANSWER_MS, timer.signal).then(() => {
      throw new Error(`no answer within ${ANSWER_MS / 1000} s`)
    })
    try {
      await Promise.race([asking, late])
    } catch (error) {
      throw messageOf(error) === '' ? new Error('it failed without a word', { cause: error }) : error
    } finally {
      timer.abort()
    }
  }

  const source = createTokenSource(clock, 'the kubeconfig credential plugin', ask)
  return {
    async token(refused) {
      stale ||= refused !== undefined && refused === given
      given = await source(refused)
      return given === NO_TOKEN ? undefined : given
    },
    withCertificate(fixed) {
      if (certificate === undefined) return fixed
      combined ??= { ...fixed, ...certificate }
      return combined
    },
  }
}
