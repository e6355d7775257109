/** Memory and CPU time of the bundled controller, over HTTP against a sandbox in this process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { planCRD } from '../src/api/crd.ts'
import { formatTime } from '../src/base/clock.ts'
import type { Json, JsonObject } from '../src/base/json.ts'
import { createSandbox, type Sandbox } from '../src/sandbox/cluster.ts'
import { listen } from '../src/sandbox/listen.ts'
import { apply, standardCluster } from '../src/sandbox/standard-cluster.ts'
import { agentPlan, CONTROLLER, NEW, OLD } from '../test/controller/harness.ts'
import { type ControllerProcess, startController } from './controller-process.ts'
import type { Shipped } from './shipped.ts'
import { fatNode, withFatNodes } from './fat-nodes.ts'
import { type Figure, median } from './figure.ts'

export interface MemoryBench {
  readonly nodes: number
  /** How long a cluster at rest is watched, in milliseconds. */
  readonly restMs: number
  readonly limits: { readonly restMB: number; readonly restCpu?: number; readonly startCpuMs?: number; readonly rolloutMB?: number }
  /** Upgrade all nodes afterwards. */
  readonly rollout: boolean
}

/** A kubelet posts a status without change this often (nodeStatusReportFrequency). */
const STATUS_EVERY_MS = 300_000
const SAMPLE_MS = 200
const START_MS = 60_000
/** The collector gives back what the first lists took some 20 s after they are done. */
const SETTLE_MS = 30_000
const ROLLOUT_MS = 600_000
const SERVERS = 3
const CONCURRENCY = 50

const never = new AbortController().signal

export async function* measureMemory({ bundle, flags, env }: Shipped, bench: MemoryBench): AsyncGenerator<Figure> {
  const { nodes, limits, restMs } = bench
  const title = `${nodes} nodes`
  const folder = mkdtempSync(join(tmpdir(), 'drover-bench-'))
  // The bench posts the status of unchanged nodes itself, evenly spread: machines that all started at once would post all at once.
  const sandbox = createSandbox({ clock: 'real', statusEveryMs: 24 * 3_600_000 })
  const ending = new AbortController()
  const listener = await listen(withFatNodes(sandbox.server, (user) => user === CONTROLLER))
  let controller: ControllerProcess | undefined
  try {
    await fill(sandbox, nodes)
    yield {
      name: `size of a Node, ${title}`,
      measured: JSON.stringify(fatNode(sandbox.server.peek('nodes', 'agent-7') as JsonObject)).length / 1000,
      unit: ' KB',
    }
    const reconciled = firstWriteTo(sandbox, 'plans')
    controller = startController({ bundle, url: listener.url, user: CONTROLLER, folder, flags, env: { ...FAST, ...env } })
    const startCpu = await within(
      START_MS,
      'the first reconcile',
      reconciled.then(() => controller?.cpuMs()),
    )
    yield { name: `start to first reconcile, ${title}`, measured: startCpu ?? Number.NaN, unit: ' ms CPU', ...limit(limits.startCpuMs) }
    void heartbeats(sandbox, nodes, ending.signal)
    await sandbox.clock.sleep(SETTLE_MS)
    const rest = await sample(sandbox, controller, restMs)
    yield { name: `RSS after the first lists, ${title}, peak`, measured: controller.peakMB(), unit: ' MB' }
    yield { name: `RSS at rest, ${title}`, measured: Math.max(...rest.rssMB), unit: ' MB', limit: limits.restMB }
    yield {
      name: `CPU over ${restMs / 1000} s at rest, ${title}`,
      measured: rest.cpuPercent,
      unit: ' % of a core',
      ...limit(limits.restCpu),
    }
    if (bench.rollout) yield* measureRollout(sandbox, controller, bench)
  } finally {
    ending.abort()
    await controller?.stop()
    await listener.close()
    await sandbox.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function* measureRollout(sandbox: Sandbox, controller: ControllerProcess, { nodes, limits }: MemoryBench): AsyncGenerator<Figure> {
  const began = sandbox.clock.mono()
  const cpu = controller.cpuMs()
  await patch(sandbox, PLAN_PATH, { metadata: { annotations: { 'drover.io/paused': null } } })
  const rssMB: number[] = []
  while (!complete(sandbox)) {
    if (sandbox.clock.mono() - began > ROLLOUT_MS) throw new Error(`the rollout over ${nodes} nodes did not end`)
    await sandbox.clock.sleep(SAMPLE_MS)
    rssMB.push(controller.rssMB())
  }
  const seconds = (sandbox.clock.mono() - began) / 1000
  yield { name: `RSS through a rollout, ${nodes} nodes, highest`, measured: Math.max(...rssMB), unit: ' MB', ...limit(limits.rolloutMB) }
  yield { name: `RSS through a rollout, ${nodes} nodes, median`, measured: median(rssMB), unit: ' MB' }
  yield { name: `CPU of that rollout, ${Math.round(seconds)} s`, measured: controller.cpuMs() - cpu, unit: ' ms' }
}

const limit = (value: number | undefined) => (value === undefined ? {} : { limit: value })

/** What makes a machine's turn short; memory does not depend on it. */
const FAST = { DROVER_VERIFY_MIN_READY: '1s', DROVER_LEASE_RETRY: '2s' }
const QUICK_MACHINE = { pullMs: 300, restartMs: [200, 800] } as const
const PLAN_PATH = '/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans/agent-plan'

/** Servers that are done, agents that are not, and a Plan for them that is paused. */
async function fill(sandbox: Sandbox, nodes: number): Promise<void> {
  await standardCluster(sandbox, {
    servers: SERVERS,
    agents: nodes - SERVERS,
    machine: (spec) => ({ ...spec, ...QUICK_MACHINE, version: spec.role === 'server' ? NEW : OLD }),
  })
  await apply(sandbox, planCRD as never)
  const plan = agentPlan({ concurrency: CONCURRENCY, prepare: undefined, drain: undefined }, { 'drover.io/paused': 'true' })
  for (let tries = 0; ; tries++) {
    try {
      return await apply(sandbox, plan as never)
    } catch (error) {
      // The CRD is not served at once.
      if (tries === 20) throw error
      await sandbox.clock.sleep(100)
    }
  }
}

function firstWriteTo(sandbox: Sandbox, resource: string): Promise<void> {
  return new Promise((resolve) => {
    const stop = sandbox.server.onWrite(({ user, ref }) => {
      if (user !== CONTROLLER || ref.resource !== resource) return
      stop()
      resolve()
    })
  })
}

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms / 1000} s`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Each node's status with a new heartbeat every five minutes, evenly spread. */
async function heartbeats(sandbox: Sandbox, nodes: number, signal: AbortSignal): Promise<void> {
  const names = [...sandbox.machines.keys()]
  for (let i = 0; !signal.aborted; i = (i + 1) % names.length) {
    await sandbox.clock.sleep(STATUS_EVERY_MS / nodes, signal).catch(() => undefined)
    const name = names[i] ?? ''
    const status = sandbox.server.peek('nodes', name)?.['status'] as { conditions?: readonly JsonObject[] } | undefined
    const conditions = status?.conditions?.map((condition) => ({ ...condition, lastHeartbeatTime: formatTime(sandbox.clock.wall()) }))
    if (conditions !== undefined) await patch(sandbox, `/api/v1/nodes/${name}/status`, { status: { conditions } }, `system:node:${name}`)
  }
}

async function sample(
  sandbox: Sandbox,
  controller: ControllerProcess,
  ms: number,
): Promise<{ rssMB: readonly number[]; cpuPercent: number }> {
  const began = sandbox.clock.mono()
  const cpu = controller.cpuMs()
  const rssMB: number[] = []
  while (sandbox.clock.mono() - began < ms) {
    await sandbox.clock.sleep(SAMPLE_MS)
    rssMB.push(controller.rssMB())
  }
  return { rssMB, cpuPercent: ((controller.cpuMs() - cpu) / (sandbox.clock.mono() - began)) * 100 }
}

async function patch(sandbox: Sandbox, path: string, body: Json, user = 'admin'): Promise<void> {
  const response = await sandbox.as(user).send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }, never)
  if (response.status !== 200) throw new Error(`PATCH ${path}: ${response.status} ${JSON.stringify(response.body)}`)
}

function complete(sandbox: Sandbox): boolean {
  const plan = sandbox.server.peek('plans.upgrade.cattle.io', 'agent-plan', 'system-upgrade')
  const status = plan?.['status'] as { conditions?: readonly { type: string; status: string }[] } | undefined
  return status?.conditions?.some((condition) => condition.type === 'Complete' && condition.status === 'True') === true
}
