/** A real control plane, simulated machines as its nodes, what `manifests/` grants, and the controller as a process of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { stringify } from 'yaml'
import { systemClock } from '../../src/base/clock.ts'
import { messageOf } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Process } from '../../src/base/process.ts'
import { type Client, createClient } from '../../src/kube/client/client.ts'
import type { MachineSpec } from '../../src/sandbox/machines/machine.ts'
import { ADMIN, type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts'
import { forgetMachines, GIVEN, kubectlCommand, refuseLivedIn, SIMULATED, tidyGiven, useCluster } from './given.ts'
import { type Machines, startMachines } from './machines.ts'
import { DISTRIBUTION, NEW, OLD } from './releases.ts'
import { root } from './root.ts'
import { nowhere } from '../../src/base/nowhere.ts'

export { NEW, OLD }

export const NAMESPACE = 'system-upgrade'
/** The service account that `manifests/` gives the controller. */
export const DROVER = `system:serviceaccount:${NAMESPACE}:drover`
export const PLANS = `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans`
export const JOBS = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs`

export interface ClusterOptions extends ControlPlaneOptions {
  /** Machines `server-1`… Default 1. */
  readonly servers?: number
  /** Machines `agent-1`… Default 3. */
  readonly agents?: number
  /** What servers begin with. Default `NEW`, so that agents may be upgraded; a Plan for servers wants `OLD`. */
  readonly serverVersion?: string
  /** Last word on each machine; agents begin at `OLD`. */
  readonly machine?: (spec: MachineSpec) => MachineSpec
  /** Default 2000. */
  readonly heartbeatMs?: number
}

/** A controller that runs as people run it. */
export interface Controller {
  readonly child: ChildProcess
  /** Everything it wrote. */
  output(): string
  /** SIGTERM and, when it does not end within 30 s, SIGKILL. Resolves with the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

export interface ControllerOptions {
  /** Default: the manifests' service account. */
  readonly user?: string
  /** Instead of the API server's, for a proxy in between. */
  readonly server?: string
  readonly env?: Readonly<Record<string, string>>
  /** Of Node. Default none. */
  readonly flags?: readonly string[]
}

export interface Plan {
  readonly metadata: { readonly name: string; readonly uid: string; readonly annotations?: Readonly<Record<string, string>> }
  readonly status?: {
    readonly latestHash?: string
    readonly latestVersion?: string
    readonly applying?: readonly string[]
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: string }[]
    readonly nodeStatuses?: readonly { readonly name: string; readonly phase: string; readonly message?: string }[]
  }
}

export interface Cluster {
  readonly plane: ControlPlane
  readonly machines: Machines
  /** The API as `admin`, in raw JSON. */
  readonly api: Client
  /** As `admin`; rejects with what it wrote when it fails. */
  kubectl(...args: readonly string[]): Promise<string>
  /** `kubectl apply` of objects. */
  apply(...objects: readonly object[]): Promise<void>
  /** Starts a controller; its settings are those that ship but for quick nodes: one second of minReady, no metrics port. */
  controller(options?: ControllerOptions): Promise<Controller>
  node(name: string): Promise<Node>
  nodes(): Promise<readonly Node[]>
  plan(name: string): Promise<Plan>
  jobs(): Promise<readonly Job[]>
  pods(namespace?: string): Promise<readonly Pod[]>
  /** `status reason: message` of a Plan's condition; an empty text when it has none. */
  condition(plan: string, type: string): Promise<string>
  /** Waits until it holds. After `seconds` (default 120) it throws with what Plans, nodes and controllers say. */
  until(what: string, holds: () => Promise<boolean>, seconds?: number): Promise<void>
  stop(): Promise<void>
}

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const plane = GIVEN === undefined ? await startControlPlane(options) : await useCluster(GIVEN, options)
  const life = new AbortController()
  const controllers: Controller[] = []
  let machines: Machines | undefined
  const own: Process = {
    name: 'test',
    clock: systemClock,
    random: Math.random,
    transport: plane.as(ADMIN),
    outside: nowhere,
    log: silentLog,
  }
  const api = createClient(own, { signal: life.signal })
  const adminConfig = await plane.kubeconfig(ADMIN)

  const withInput = (input: string, ...args: readonly string[]): Promise<string> => {
    const [command = '', ...first] = GIVEN === undefined ? [plane.binary, 'kubectl'] : kubectlCommand()
    return run(command, [...first, '--kubeconfig', adminConfig, ...args], input)
  }
  const kubectl = (...args: readonly string[]): Promise<string> => withInput('', ...args)
  const applied: object[] = []
  let settled = false
  const list = async <T>(path: string): Promise<readonly T[]> => (await api.list<T>(path)).items

  async function describe(): Promise<string> {
    const plans = await list<Plan>('/apis/upgrade.cattle.io/v1/plans').catch(() => [])
    const nodes = await list<Node>('/api/v1/nodes').catch(() => [])
    return [
      ...plans.map(({ metadata, status }) => `Plan ${metadata.name}: ${JSON.stringify(status)}`),
      ...nodes.slice(0, 10).map((node) => `Node ${node.metadata?.name}: ${summary(node)}`),
      ...controllers.map((one, i) => `controller ${i}, last words:\n${one.output().slice(-3000)}`),
    ].join('\n')
  }

  async function tidy(): Promise<void> {
    const namespaces = applied.flatMap((object) => {
      const { kind, metadata } = object as { readonly kind?: string; readonly metadata?: { readonly name?: string } }
      return kind === 'Namespace' ? (metadata?.name ?? []) : []
    })
    const remove = async (): Promise<void> => {
      if (applied.length > 0) await withInput(asText(applied), 'delete', '--ignore-not-found', '--timeout=180s', '-f', '-')
    }
    await tidyGiven(kubectl, remove, [NAMESPACE, ...namespaces])
  }

  const cluster: Omit<Cluster, 'machines'> = {
    plane,
    api,
    kubectl,
    async apply(...objects) {
      applied.push(...objects)
      await withInput(asText(objects), 'apply', '-f', '-')
    },
    async controller({ user = DROVER, server, env = {}, flags = [] } = {}) {
      const config = await plane.kubeconfig(user, NAMESPACE)
      const controller = startController(flags, {
        SYSTEM_UPGRADE_CONTROLLER_KUBE_CONFIG: config,
        SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: NAMESPACE,
        ...(server === undefined ? {} : { SYSTEM_UPGRADE_CONTROLLER_MASTER_URL: server }),
        DROVER_METRICS_ADDRESS: '',
        DROVER_VERIFY_MIN_READY: '1s',
        ...env,
      })
      controllers.push(controller)
      return controller
    },
    node: (name) => api.get<Node>(`/api/v1/nodes/${name}`),
    nodes: async () =>
      (await list<Node>('/api/v1/nodes')).filter(({ metadata }) => GIVEN === undefined || metadata?.labels?.[SIMULATED] !== undefined),
    plan: (name) => api.get<Plan>(`${PLANS}/${name}`),
    jobs: () => list<Job>(JOBS),
    pods: (namespace = NAMESPACE) => list<Pod>(`/api/v1/namespaces/${namespace}/pods`),
    async condition(plan, type) {
      const found = (await cluster.plan(plan)).status?.conditions?.find((one) => one.type === type)
      return found === undefined ? '' : `${found.status} ${found.reason ?? ''}: ${found.message ?? ''}`
    },
    async until(what, holds, seconds = 120) {
      const end = Date.now() + seconds * 1000
      let last: unknown
      const ask = async (): Promise<boolean> => {
        try {
          return await holds()
        } catch (error) {
          last = error
          return false
        }
      }
      while (!(await ask())) {
        if (Date.now() > end)
          throw new Error(
            `after ${seconds} s there was still not: ${what}\n${last === undefined ? '' : messageOf(last)}\n${await describe()}`,
          )
        await systemClock.sleep(100)
      }
    },
    async stop() {
      await Promise.all(controllers.map((one) => one.kill()))
      try {
        if (settled) await tidy()
      } finally {
        await machines?.stop()
        if (settled) await forgetMachines(kubectl, [...(machines?.all.keys() ?? [])])
        life.abort()
        await plane.stop()
      }
    },
  }

  try {
    if (GIVEN !== undefined) {
      await refuseLivedIn(kubectl)
      settled = true
    }
    await kubectl('apply', '-k', 'manifests')
    // The controller runs here as a process; its Deployment would run nothing on a simulated machine.
    await kubectl('--namespace', NAMESPACE, 'scale', 'deployment/drover', '--replicas=0')
    machines = await startMachines({
      as: (user) => plane.as(user),
      ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    })
    const added = [...specs('server', options.servers ?? 1, options.serverVersion ?? NEW), ...specs('agent', options.agents ?? 3, OLD)].map(
      (spec) => machines?.add(marked(options.machine?.(spec) ?? spec)),
    )
    await cluster.until('all machines registered and Ready', async () => added.every((machine) => machine?.ready))
    return { ...cluster, machines }
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

function specs(role: 'server' | 'agent', count: number, version: string): readonly MachineSpec[] {
  return Array.from({ length: count }, (_, i) => ({ name: `${role}-${i + 1}`, role, version }))
}

/** In a given cluster the tests know their nodes by a label. */
export const marked = (spec: MachineSpec): MachineSpec =>
  GIVEN === undefined ? spec : { ...spec, labels: { ...spec.labels, [SIMULATED]: 'true' } }

const asText = (objects: readonly object[]): string => objects.map((object) => stringify(object)).join('---\n')

/** A Plan for all agents that cordons, one node at a time; `spec` has the last word. */
export const agentPlan = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata: { name: 'agents', namespace: NAMESPACE, ...metadata },
  spec: {
    concurrency: 1,
    cordon: true,
    nodeSelector: {
      matchExpressions: [
        { key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' },
        ...(GIVEN === undefined ? [] : [{ key: SIMULATED, operator: 'Exists' }]),
      ],
    },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: `rancher/${DISTRIBUTION}-upgrade` },
    version: NEW,
    ...spec,
  },
})

function summary({ metadata, spec, status }: Node): string {
  return JSON.stringify({
    version: status?.nodeInfo?.kubeletVersion,
    unschedulable: spec?.unschedulable,
    ready: status?.conditions?.find(({ type }) => type === 'Ready')?.status,
    record: metadata?.annotations?.['drover.io/node-upgrade'],
    labels: Object.entries(metadata?.labels ?? {}).filter(([key]) => key.startsWith('plan.upgrade.cattle.io/')),
  })
}

function startController(flags: readonly string[], env: Readonly<Record<string, string>>): Controller {
  const { PATH, HOME } = process.env
  // Nothing of the test's own environment, such as jest's Node options.
  const child = spawn(process.execPath, [...flags, 'dist/main.js'], {
    cwd: root,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (text) => (output += text))
  child.stderr.on('data', (text) => (output += text))
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const over = (): boolean => child.exitCode !== null || child.signalCode !== null
  return {
    child,
    output: () => output,
    async stop() {
      if (!over()) child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), 30_000)
      await gone
      clearTimeout(killer)
      return child.exitCode
    },
    async kill() {
      if (!over()) child.kill('SIGKILL')
      await gone
    },
  }
}

function run(command: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { cwd: root, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${args.slice(0, 6).join(' ')}: ${stderr || error.message}`))
    })
    child.stdin?.end(input)
  })
}
