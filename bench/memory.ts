/** Memory and CPU time of the bundled controller at rest and through a rollout. */
import { formatTime } from '../src/base/clock.ts'
import type { JsonObject } from '../src/base/json.ts'
import type { Sandbox } from '../src/sandbox/cluster.ts'
import type { ControllerProcess } from './controller-process.ts'
import { fatNode } from './fat-nodes.ts'
import { type Figure, median } from './figure.ts'
import type { Shipped } from './shipped.ts'
import { complete, patch, resume, watchedCluster } from './watched-cluster.ts'

export interface MemoryBench {
  readonly nodes: number
  /** How long a cluster at rest is watched, in milliseconds. */
  readonly restMs: number
  readonly limits: { readonly restMB: number; readonly restCpu?: number; readonly rolloutMB?: number }
  /** Upgrade all nodes afterwards. */
  readonly rollout: boolean
}

/** A kubelet posts a status without change this often (nodeStatusReportFrequency). */
const STATUS_EVERY_MS = 300_000
const SAMPLE_MS = 200
/** The collector gives back what the first lists took some 20 s after they are done. */
const SETTLE_MS = 30_000
const ROLLOUT_MS = 600_000

export async function* measureMemory(shipped: Shipped, bench: MemoryBench): AsyncGenerator<Figure> {
  const { nodes, limits, restMs } = bench
  const title = `${nodes} nodes`
  const ending = new AbortController()
  const cluster = await watchedCluster(shipped, nodes)
  const { sandbox } = cluster
  try {
    yield {
      name: `size of a Node, ${title}`,
      measured: JSON.stringify(fatNode(sandbox.server.peek('nodes', 'agent-7') as JsonObject)).length / 1000,
      unit: ' KB',
    }
    const { controller } = await cluster.start()
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
    await cluster.stop()
  }
}

async function* measureRollout(sandbox: Sandbox, controller: ControllerProcess, { nodes, limits }: MemoryBench): AsyncGenerator<Figure> {
  const began = sandbox.clock.mono()
  const cpu = controller.cpuMs()
  await resume(sandbox)
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
