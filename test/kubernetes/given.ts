/** A cluster that somebody has, in place of a control plane of our own: `DROVER_TEST_KUBECONFIG` is its kubeconfig, and its user may do everything. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { systemClock } from '../../src/base/clock.ts'
import type { Json } from '../../src/base/json.ts'
import { silentLog } from '../../src/base/log.ts'
import { createHttpsTransport, type HttpsTransport } from '../../src/kube/client/https-transport.ts'
import { kubeconfigAccess } from '../../src/kube/client/kubeconfig.ts'
import { kubeBinary } from './binary.ts'
import type { ControlPlane, ControlPlaneOptions } from './control-plane.ts'

const named = process.env['DROVER_TEST_KUBECONFIG'] ?? ''
/** Path of the kubeconfig; undefined = a control plane of our own. */
export const GIVEN = named === '' ? undefined : resolve(named)

/** Ours where it is built, else the one on the PATH. Throws when there is none. */
export function kubectlCommand(): readonly string[] {
  if (existsSync(kubeBinary())) return [kubeBinary(), 'kubectl']
  if (spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).status === 0) return ['kubectl']
  throw new Error('these tests need kubectl on the PATH')
}

/** What is asked for here cannot be had of a given cluster. */
const OWN_OPTIONS: ReadonlySet<string> = new Set(['users', 'nodes', 'address', 'audit', 'nodeGraceSeconds', 'apiServerFlags'])

/** The given cluster in the shape of a control plane. What only one of our own can do throws. */
export async function useCluster(kubeconfig: string, options: ControlPlaneOptions): Promise<ControlPlane> {
  const asked = Object.entries(options).find(([name, value]) => OWN_OPTIONS.has(name) && value !== undefined)
  if (asked !== undefined)
    throw new Error(`option ${asked[0]} needs a control plane of our own, and DROVER_TEST_KUBECONFIG names a cluster`)
  const access = await kubeconfigAccess([kubeconfig], systemClock)
  const folder = mkdtempSync(join(tmpdir(), 'drover-given-'))
  const transports = new Map<string, HttpsTransport>()
  const { server, proxy } = access
  if (proxy !== undefined) throw new Error('a given cluster behind a proxy-url is not supported')
  const shared = { server, clock: systemClock, log: silentLog, qps: 10_000, burst: 10_000 }
  const never = new AbortController().signal
  const unable = (what: string): never => {
    throw new Error(`DROVER_TEST_KUBECONFIG names a cluster of which the tests do not have ${what}`)
  }
  /** Whom to trust, without the given user's own certificate. One object: the transport takes another for another trust. */
  const { cert: _cert, key: _key, ...trusted } = access.tls()
  const trust = () => trusted
  const administrator = createHttpsTransport({
    ...shared,
    tls: access.tls,
    ...(access.token === undefined ? {} : { token: access.token }),
    ...(access.headers === undefined ? {} : { headers: access.headers }),
    userAgent: 'drover-tests',
  })

  async function tokenOf(namespace: string, name: string): Promise<string> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400 } }
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
    const answer = await administrator.send({ method: 'POST', path, body: body as Json }, never)
    const token = (answer.body as { status?: { token?: string } } | null)?.status?.token
    if (token === undefined) throw new Error(`no token for ${namespace}/${name}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return token
  }

  const plane: ControlPlane = {
    url: server,
    get ca() {
      return trusted.ca ?? ''
    },
    binary: kubectlCommand()[0] ?? '',
    folder,
    get auditLog() {
      return unable('the audit log')
    },
    as(user) {
      const [, namespace, name] = accountOf(user)
      if (namespace === undefined || name === undefined) return administrator
      const known = transports.get(user)
      if (known !== undefined) return known
      let token: Promise<string> | undefined
      const transport = createHttpsTransport({
        ...shared,
        tls: trust,
        token(refused) {
          if (refused !== undefined) token = undefined
          token ??= tokenOf(namespace, name).catch((error: unknown) => {
            token = undefined
            throw error
          })
          return token
        },
        userAgent: user,
      })
      transports.set(user, transport)
      return transport
    },
    async kubeconfig(user, namespace = 'default') {
      const [, of, name] = accountOf(user)
      if (of === undefined || name === undefined) return kubeconfig
      const { ca, servername, rejectUnauthorized } = trusted
      const cluster = {
        server,
        ...(rejectUnauthorized === false ? { 'insecure-skip-tls-verify': true } : {}),
        ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
        ...(servername === undefined ? {} : { 'tls-server-name': servername }),
      }
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'given', cluster }],
        users: [{ name: user, user: { token: await tokenOf(of, name) } }],
        contexts: [{ name: 'given', context: { cluster: 'given', user, namespace } }],
        'current-context': 'given',
      }
      const file = join(folder, `${user.replaceAll(':', '_')}-${namespace}.kubeconfig`)
      writeFileSync(file, stringify(config), { mode: 0o600 })
      return file
    },
    stopApiServer: async () => unable('the API server in their hands'),
    startApiServer: async () => unable('the API server in their hands'),
    async stop() {
      administrator.close()
      for (const transport of transports.values()) transport.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return plane
}

/** What a test run brings into a cluster and must not find there. */
const OURS = ['crd/plans.upgrade.cattle.io', 'namespace/system-upgrade', 'namespace/cattle-system']

/** Throws where an upgrade controller lives: its Plans and nodes are not for tests. */
export async function refuseLivedIn(kubectl: Kubectl): Promise<void> {
  const found = await kubectl('get', ...OURS, '--ignore-not-found', '--output=name')
  if (found.trim() === '') return
  throw new Error(`the given cluster has ${found.trim().split('\n').join(', ')}: these tests want a cluster without an upgrade controller`)
}

/** Takes away the Plans and pods of a run, then what it applied and `manifests/`. The machines must still be on, or pods would never end. */
export async function tidyGiven(kubectl: Kubectl, remove: () => Promise<void>, namespaces: readonly string[]): Promise<void> {
  await kubectl('delete', 'plans.upgrade.cattle.io', '--all', '--all-namespaces')
  for (const namespace of namespaces)
    await kubectl('--namespace', namespace, 'delete', 'pods', '--all', '--force', '--grace-period=0', '--wait=false')
  await remove()
  await kubectl('delete', '--ignore-not-found', '--timeout=180s', '--kustomize', 'manifests')
}

/** Takes away the nodes of a run, when nobody renews their Leases any more. `machines`: the names of all there have been. */
export async function forgetMachines(kubectl: Kubectl, machines: readonly string[]): Promise<void> {
  if (machines.length === 0) return
  await kubectl('delete', 'nodes', '--ignore-not-found', ...machines)
  await kubectl('--namespace', 'kube-node-lease', 'delete', 'leases', '--ignore-not-found', ...machines)
}

export type Kubectl = (...args: readonly string[]) => Promise<string>

/** Label of all nodes that are simulated, in a given cluster. */
export const SIMULATED = 'example.com/simulated'

const accountOf = (user: string): readonly (string | undefined)[] => /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? []
