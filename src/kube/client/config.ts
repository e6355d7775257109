import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { DroverError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { createHttpsTransport, type HttpsTransport, type HttpsTransportOptions } from './https-transport.ts'
import { type Access, inClusterAccess } from './in-cluster.ts'
import { createTunnelAgent, type Env } from './proxy.ts'

export interface ConfigOptions extends Pick<HttpsTransportOptions, 'userAgent' | 'qps' | 'burst' | 'observe'> {
  readonly clock: Clock
  readonly log: Log
  readonly env: Env
  /** `--kubeconfig`: one file or a list. */
  readonly kubeConfig?: string | undefined
  /** `--master`: the API server's URL, over whatever a kubeconfig says; alone it is used without credentials, as for `kubectl proxy`. */
  readonly masterURL?: string | undefined
  /** Where the service account is mounted. Default the well-known path. */
  readonly serviceAccount?: string
}

export interface Connection {
  readonly transport: HttpsTransport
  readonly server: string
  /** The namespace of the service account or of the kubeconfig's context. */
  readonly namespace: string | undefined
}

/** Connects as client-go does: a kubeconfig that is named, else `--master` alone, else the pod's service account, else KUBECONFIG or ~/.kube/config. */
export async function connect(options: ConfigOptions): Promise<Connection> {
  const access = await findAccess(options)
  const server = options.masterURL === undefined || options.masterURL === '' ? access.server : options.masterURL
  const { clock, log, userAgent, qps, burst, observe } = options
  const transport = createHttpsTransport({
    server,
    clock,
    log,
    tls: access.tls,
    ...(access.proxy === undefined ? {} : { agent: tunnel(access.proxy, server, access) }),
    ...(access.token === undefined ? {} : { token: access.token }),
    ...(access.headers === undefined ? {} : { headers: access.headers }),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(qps === undefined ? {} : { qps }),
    ...(burst === undefined ? {} : { burst }),
    ...(observe === undefined ? {} : { observe }),
  })
  return { transport, server, namespace: access.namespace }
}

async function findAccess({ clock, env, kubeConfig, masterURL, serviceAccount }: ConfigOptions): Promise<Access> {
  const named = kubeConfig !== undefined && kubeConfig !== ''
  if (!named && masterURL !== undefined && masterURL !== '') return { server: masterURL, tls: () => ANONYMOUS }
  const pod = named ? undefined : inClusterAccess(env, clock, serviceAccount)
  if (pod !== undefined) return pod
  const files = kubeconfigFiles(named ? kubeConfig : undefined, env)
  const missing = files.filter((file) => !existsSync(file))
  const present = files.filter((file) => existsSync(file))
  if (present.length === 0) {
    throw new DroverError(
      'Kubeconfig',
      `No cluster to talk to: not in a pod, and ${missing.join(', ')} is not there. Set KUBECONFIG or --kubeconfig`,
      {
        retry: 'never',
      },
    )
  }
  // A pod pays for no YAML parser.
  const { kubeconfigAccess } = await import('./kubeconfig.ts')
  return kubeconfigAccess(present, clock)
}

/** A list of kubeconfig files: the one given, else KUBECONFIG, else ~/.kube/config. */
function kubeconfigFiles(explicit: string | undefined, env: Env): readonly string[] {
  const named = explicit ?? env['KUBECONFIG'] ?? ''
  const files = named.split(delimiter).filter((file) => file !== '')
  return files.length > 0 ? files : [join(env['HOME'] ?? homedir(), '.kube', 'config')]
}

const ANONYMOUS = {}

function tunnel(proxy: string, server: string, access: Access): ReturnType<typeof createTunnelAgent> {
  const url = new URL(proxy)
  if (!server.startsWith('https:') || !/^https?:$/.test(url.protocol)) {
    throw new DroverError('Kubeconfig', `proxy-url ${url.protocol}//${url.host}: only http(s) proxies to https servers are supported`, {
      retry: 'never',
    })
  }
  return createTunnelAgent(url, { ...access.tls(), keepAlive: true, maxSockets: 128 })
}
