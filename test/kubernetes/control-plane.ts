/** A real Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler. Up in about five seconds. */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { systemClock } from '../../src/base/clock.ts'
import type { Json } from '../../src/base/json.ts'
import { silentLog } from '../../src/base/log.ts'
import { createHttpsTransport, type HttpsTransport } from '../../src/kube/client/https-transport.ts'
import { buildKube } from './binary.ts'

/** Who everything in the cluster's own service is. */
export const ADMIN = 'admin'

export interface ControlPlaneOptions {
  /** Users with a token of their own and no rights but RBAC's, besides `admin` and `machines` (both system:masters). */
  readonly users?: readonly string[]
  /** Nodes whose kubelets get a token of their own, with the rights of a node and no more. */
  readonly nodes?: readonly string[]
  /** Where the API server listens and is found. Default 127.0.0.1. */
  readonly address?: string
  /**
   * What is written to the audit log of `admin`, `machines` and the service accounts. Default `Metadata`; `None` = no log. `Request`: of service
   * accounts and `users` everything with its body; and everybody's writes of Nodes, Plans and Jobs with the answer too, whose resourceVersion is
   * the one order that all writes have.
   */
  readonly audit?: 'None' | 'Metadata' | 'Request'
  /** After how long without a heartbeat a node is Unknown, in seconds. Default 12. */
  readonly nodeGraceSeconds?: number
  /** More flags for the API server. */
  readonly apiServerFlags?: readonly string[]
}

export interface ControlPlane {
  /** `https://address:port`. */
  readonly url: string
  /** PEM of whom to trust. */
  readonly ca: string
  /** Of the Kubernetes programs; its first argument names one, such as `kubectl`. */
  readonly binary: string
  /** Holds everything this control plane writes. */
  readonly folder: string
  readonly auditLog: string
  /** The API as a user: `admin`, one of `users`, `system:serviceaccount:NAMESPACE:NAME`; every other name is a part of the cluster. */
  as(user: string): HttpsTransport
  /** Path of a kubeconfig for a user; of a service account with a token good for a day. */
  kubeconfig(user: string, namespace?: string): Promise<string>
  /** Ends the API server with a signal and waits until it is gone. */
  stopApiServer(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Starts it again on the same port, and waits until it is ready. */
  startApiServer(): Promise<void>
  /** Ends everything and removes the folder. */
  stop(): Promise<void>
}

const START_MS = 60_000
const STOP_MS = 10_000
/** What the tests need of kube-controller-manager; the rest only costs CPU. */
const CONTROLLERS = [
  'daemonset-controller',
  'deployment-controller',
  'disruption-controller',
  'garbage-collector-controller',
  'job-controller',
  'namespace-controller',
  'node-lifecycle-controller',
  'pod-garbage-collector-controller',
  'replicaset-controller',
  'root-ca-certificate-publisher-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'statefulset-controller',
  'taint-eviction-controller',
  'ttl-after-finished-controller',
]

/** A rule of the audit policy. */
const ANSWERED_WRITES = {
  level: 'RequestResponse',
  verbs: ['create', 'update', 'patch', 'delete'],
  resources: [
    { group: '', resources: ['nodes', 'nodes/status'] },
    { group: 'upgrade.cattle.io', resources: ['plans', 'plans/status'] },
    { group: 'batch', resources: ['jobs', 'jobs/status'] },
  ],
  omitManagedFields: true,
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binary = await buildKube()
  const folder = mkdtempSync(join(tmpdir(), 'drover-kubernetes-'))
  const at = (name: string): string => join(folder, name)
  const [clientPort, peerPort, apiPort, controllerPort, schedulerPort] = await freePorts(5)
  const etcdUrl = `http://127.0.0.1:${clientPort}`
  const address = options.address ?? '127.0.0.1'
  const url = `https://${address}:${apiPort}`
  const programs = new Map<string, ChildProcess>()
  const transports = new Map<string, HttpsTransport>()
  const nodes = new Set(options.nodes?.map((name) => `system:node:${name}`))
  const tokens = new Map([ADMIN, 'machines', ...(options.users ?? []), ...nodes].map((user) => [user, randomBytes(16).toString('hex')]))
  const audit = options.audit ?? 'Metadata'

  /** Starts a program; what it writes goes to a file of its name. */
  function start(program: string, flags: readonly string[]): void {
    const output = openSync(at(`${program}.log`), 'a')
    const env = { PATH: process.env['PATH'], HOME: folder, KUBE_DIE_WITH_PARENT: '1' }
    const child = spawn(binary, [program, ...flags], { cwd: folder, stdio: ['ignore', output, output], env })
    closeSync(output)
    programs.set(program, child)
  }

  async function end(program: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = programs.get(program)
    programs.delete(program)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await gone
    clearTimeout(killer)
  }

  /** Until a program answers; throws with its last words when it ends or takes too long. */
  async function until(program: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + START_MS
    while (!(await holds().catch(() => false))) {
      const child = programs.get(program)
      if (Date.now() > deadline || child?.exitCode !== null || child.signalCode !== null) {
        throw new Error(`${program} did not become ready; its last words:\n${readFileSync(at(`${program}.log`), 'utf8').slice(-3000)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  function writeFiles(): void {
    mkdirSync(at('certificates'))
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(at('accounts.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }))
    writeFileSync(at('accounts.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    const group = (user: string): string =>
      user === ADMIN || user === 'machines' ? ',"system:masters"' : nodes.has(user) ? ',"system:nodes"' : ''
    writeFileSync(at('tokens.csv'), [...tokens].map(([user, token]) => `${token},${user},${user}${group(user)}\n`).join(''))
    // Watches, health and the cluster's own loops would fill the disk and say nothing of the program under test.
    const own = ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler']
    const rules = [
      { level: 'None', users: own },
      { level: 'None', users: ['machines'], resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
      { level: 'None', nonResourceURLs: ['*'] },
      ...(audit === 'Request' ? [ANSWERED_WRITES, { level: 'None', users: [ADMIN, 'machines'] }] : []),
      { level: audit },
    ]
    writeFileSync(at('audit.yaml'), stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules }))
  }

  function startApi(): void {
    start('kube-apiserver', [
      `--etcd-servers=${etcdUrl}`,
      `--secure-port=${apiPort}`,
      `--bind-address=${address}`,
      `--advertise-address=${address}`,
      `--cert-dir=${at('certificates')}`,
      `--token-auth-file=${at('tokens.csv')}`,
      ...(nodes.size === 0
        ? ['--authorization-mode=RBAC']
        : ['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction']),
      '--allow-privileged=true',
      '--service-cluster-ip-range=10.43.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${at('accounts.pub')}`,
      `--service-account-signing-key-file=${at('accounts.key')}`,
      '--kubelet-preferred-address-types=InternalIP',
      // Clients come all from one address: fairness between them is not what is tried here.
      '--endpoint-reconciler-type=none',
      ...(audit === 'None'
        ? []
        : // In one file, however long.
          [`--audit-policy-file=${at('audit.yaml')}`, `--audit-log-path=${at('audit.log')}`, '--audit-log-maxsize=10000']),
      ...(options.apiServerFlags ?? []),
    ])
  }

  const apiReady = async (): Promise<boolean> => {
    if (!existsSync(at('certificates/apiserver.crt'))) return false
    const { status } = await plane.as(ADMIN).send({ method: 'GET', path: '/readyz', timeoutMs: 2000 }, new AbortController().signal)
    return status === 200
  }

  /** A token for a user: a fixed one, or one asked for in the name of a service account. */
  async function tokenOf(user: string): Promise<string> {
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user)
    if (account === null) return tokens.get(user) ?? (tokens.get('machines') as string)
    const path = `/api/v1/namespaces/${account[1]}/serviceaccounts/${account[2]}/token`
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400 } }
    const answer = await plane.as(ADMIN).send({ method: 'POST', path, body: body as Json }, new AbortController().signal)
    const token = (answer.body as { status?: { token?: string } } | null)?.status?.token
    if (token === undefined) throw new Error(`no token for ${user}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return token
  }

  const plane: ControlPlane = {
    url,
    get ca() {
      return readFileSync(at('certificates/apiserver.crt'), 'utf8')
    },
    binary,
    folder,
    auditLog: at('audit.log'),
    as(user) {
      const known = transports.get(user)
      if (known !== undefined) return known
      let token: Promise<string> | undefined
      const tls = { ca: '', rejectUnauthorized: true }
      const transport = createHttpsTransport({
        server: url,
        clock: systemClock,
        log: silentLog,
        // The server writes its certificate at its first start.
        tls: () => {
          if (tls.ca === '') tls.ca = plane.ca
          return tls
        },
        token(refused) {
          if (refused !== undefined) token = undefined
          token ??= tokenOf(user).catch((error: unknown) => {
            token = undefined
            throw error
          })
          return token
        },
        userAgent: user,
        qps: 10_000,
        burst: 10_000,
      })
      transports.set(user, transport)
      return transport
    },
    async kubeconfig(user, namespace = 'default') {
      const file = at(`${user.replaceAll(':', '_')}-${namespace}.kubeconfig`)
      const cluster = { server: url, 'certificate-authority-data': Buffer.from(plane.ca).toString('base64') }
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'test', cluster }],
        users: [{ name: user, user: { token: await tokenOf(user) } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user, namespace } }],
        'current-context': 'test',
      }
      writeFileSync(file, stringify(config), { mode: 0o600 })
      return file
    },
    stopApiServer: (signal = 'SIGTERM') => end('kube-apiserver', signal),
    async startApiServer() {
      startApi()
      await until('kube-apiserver', apiReady)
    },
    async stop() {
      for (const transport of transports.values()) transport.close()
      // Nothing here is worth a clean end, and the API server takes its time.
      await Promise.all([...programs.keys()].map((program) => end(program, 'SIGKILL')))
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }

  try {
    writeFiles()
    start('etcd', [
      `--data-dir=${at('etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ])
    startApi()
    await until('kube-apiserver', apiReady)
    const config = await plane.kubeconfig(ADMIN, 'kube-system')
    start('kube-controller-manager', [
      `--kubeconfig=${config}`,
      `--secure-port=${controllerPort}`,
      '--bind-address=127.0.0.1',
      '--leader-elect=false',
      `--controllers=${CONTROLLERS.join(',')}`,
      `--service-account-private-key-file=${at('accounts.key')}`,
      `--root-ca-file=${at('certificates/apiserver.crt')}`,
      '--kube-api-qps=1000',
      '--kube-api-burst=2000',
      '--node-monitor-period=1s',
      `--node-monitor-grace-period=${options.nodeGraceSeconds ?? 12}s`,
    ])
    start('kube-scheduler', [
      `--kubeconfig=${config}`,
      `--secure-port=${schedulerPort}`,
      '--bind-address=127.0.0.1',
      '--leader-elect=false',
      '--kube-api-qps=1000',
      '--kube-api-burst=2000',
    ])
  } catch (error) {
    await plane.stop()
    throw error
  }
  return plane
}

/** Ports that nobody uses now; asked for together, so that all differ. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = servers.map(
    (server) =>
      new Promise<number>((resolve, reject) => {
        server.once('error', reject)
        server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
      }),
  )
  const found = await Promise.all(ports)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return found
}
