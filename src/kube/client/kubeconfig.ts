import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import type { KubeConfig, User } from '@kubernetes/client-node'
import { parse } from 'yaml'
import type { Clock } from '../../base/clock.ts'
import { DroverError, messageOf } from '../../base/errors.ts'
import { isObject } from './api-error.ts'
import type { TlsMaterial } from './https-transport.ts'
import type { Access } from './in-cluster.ts'
import type { Env } from './proxy.ts'
import { createTokenSource } from './token-source.ts'

/** A list of kubeconfig files: the one given, else KUBECONFIG, else ~/.kube/config. */
export function kubeconfigFiles(explicit: string | undefined, env: Env): readonly string[] {
  const named = explicit ?? env['KUBECONFIG'] ?? ''
  const files = named.split(delimiter).filter((file) => file !== '')
  return files.length > 0 ? files : [join(env['HOME'] ?? homedir(), '.kube', 'config')]
}

/** Access by kubeconfig. The official client merges the files and runs credential plugins; it is loaded only here, for its weight. */
export async function kubeconfigAccess(files: readonly string[], clock: Clock): Promise<Access> {
  const { KubeConfig: Config } = await import('./official-kubeconfig.ts')
  const load = (): KubeConfig => {
    const [config = new Config(), ...others] = files.map((file) => {
      const one = new Config()
      one.loadFromFile(file)
      return one
    })
    // The first file to say something wins, as with kubectl; the client refuses duplicates instead.
    for (const other of others) {
      config.clusters.push(...other.clusters.filter(({ name }) => config.getCluster(name) === null))
      config.users.push(...other.users.filter(({ name }) => config.getUser(name) === null))
      config.contexts.push(...other.contexts.filter(({ name }) => config.getContextObject(name) === null))
      config.currentContext ||= other.currentContext
    }
    return config
  }
  let config: KubeConfig
  try {
    config = load()
  } catch (error) {
    throw new DroverError('Kubeconfig', `${files.join(', ')}: ${messageOf(error)}`, { retry: 'never', cause: error })
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null) {
    throw new DroverError('Kubeconfig', `${files.join(', ')}: current-context ${JSON.stringify(config.currentContext)} names no cluster`, {
      retry: 'never',
    })
  }
  const user = config.getCurrentUser() ?? undefined
  const namespace = config.getContextObject(config.currentContext)?.namespace
  const raw = user === undefined ? {} : rawUser(files, user.name)
  const plugin = user?.exec || user?.authProvider ? createPlugin(load, clock) : undefined
  if (plugin !== undefined) await plugin.token().catch(() => undefined)
  const fixed = material(cluster, user)
  const token = plugin === undefined ? tokenOf(user, raw, clock) : plugin.token
  return {
    server: cluster.server,
    // A plugin may hand out a client certificate instead of a token.
    tls: () => plugin?.withCertificate(fixed) ?? fixed,
    headers: headersOf(user, raw),
    ...(token === undefined ? {} : { token }),
    ...(cluster.proxyUrl === undefined ? {} : { proxy: cluster.proxyUrl }),
    ...(namespace === undefined ? {} : { namespace }),
  }
}

type Cluster = NonNullable<ReturnType<KubeConfig['getCurrentCluster']>>

function material(cluster: Cluster, user: User | undefined): TlsMaterial {
  const ca = pem(cluster.caFile, cluster.caData)
  const cert = pem(user?.certFile, user?.certData)
  const key = pem(user?.keyFile, user?.keyData)
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(cluster.tlsServerName === undefined ? {} : { servername: cluster.tlsServerName }),
    ...(cluster.skipTLSVerify ? { rejectUnauthorized: false } : {}),
  }
}

/** Data wins over a file, as with kubectl. */
function pem(file: string | null | undefined, data: string | null | undefined): string | undefined {
  if (data) return Buffer.from(data, 'base64').toString('utf8')
  return file ? readFileSync(file, 'utf8') : undefined
}

/** The user as it stands in the file: the official client drops `tokenFile` and all of impersonation but the name. */
function rawUser(files: readonly string[], name: string): Readonly<Record<string, unknown>> {
  for (const file of files) {
    const document: unknown = parse(readFileSync(file, 'utf8'))
    const users = isObject(document) && Array.isArray(document['users']) ? (document['users'] as unknown[]) : []
    for (const entry of users) {
      if (!isObject(entry) || entry['name'] !== name) continue
      const user: unknown = entry['user']
      if (!isObject(user)) return {}
      const { tokenFile } = user
      const path = typeof tokenFile === 'string' && !isAbsolute(tokenFile) ? join(dirname(file), tokenFile) : tokenFile
      return { ...user, tokenFile: path }
    }
  }
  return {}
}

function tokenOf(user: User | undefined, raw: Readonly<Record<string, unknown>>, clock: Clock): Access['token'] {
  const { tokenFile } = raw
  // The file wins over the literal, as with kubectl.
  if (typeof tokenFile === 'string' && tokenFile !== '') return createTokenSource(clock, tokenFile, () => readFile(tokenFile, 'utf8'))
  const literal = user?.token
  return literal ? async () => literal : undefined
}

function headersOf(user: User | undefined, raw: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  if (user?.username) headers['authorization'] = `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`
  if (typeof raw['as'] === 'string') headers['impersonate-user'] = raw['as']
  if (typeof raw['as-uid'] === 'string') headers['impersonate-uid'] = raw['as-uid']
  return headers
}

interface Plugin {
  readonly token: (refused?: string) => Promise<string | undefined>
  /** The material with the certificate that the plugin gave, if it gave one; the same object while that is the same. */
  readonly withCertificate: (fixed: TlsMaterial) => TlsMaterial
}

/** Credentials from an exec plugin or auth provider, asked for by one caller at a time and anew when they were refused. */
function createPlugin(load: () => KubeConfig, clock: Clock): Plugin {
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
    await overHttps(config).applyToHTTPSOptions(options)
    if (typeof options.cert === 'string' && typeof options.key === 'string' && options.cert !== certificate?.cert) {
      certificate = { cert: options.cert, key: options.key }
      combined = undefined
    }
    return typeof options.headers?.['Authorization'] === 'string' ? options.headers['Authorization'].replace(/^Bearer /, '') : NO_TOKEN
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

/** A plugin that answers with a certificate only. */
const NO_TOKEN = '-'

/** The official client refuses to build an agent for plain http, which we do not even want from it. */
function overHttps(config: KubeConfig): KubeConfig {
  config.clusters = config.clusters.map((cluster) => ({ ...cluster, server: cluster.server.replace(/^http:/, 'https:') }))
  return config
}
