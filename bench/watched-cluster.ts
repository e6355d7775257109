/** The cluster that the bundled controller is measured on: a sandbox in this process, over HTTP, with nodes as heavy as real ones. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { planCRD } from '../src/api/crd.ts'
import type { Json } from '../src/base/json.ts'
import { createSandbox, type Sandbox } from '../src/sandbox/cluster.ts'
import { listen } from '../src/sandbox/listen.ts'
import { apply, standardCluster } from '../src/sandbox/standard-cluster.ts'
import { agentPlan, CONTROLLER, NEW, OLD } from '../test/controller/harness.ts'
import { type ControllerProcess, startController } from './controller-process.ts'
import { withFatNodes } from './fat-nodes.ts'
import type { Shipped } from './shipped.ts'

export interface WatchedCluster {
  readonly sandbox: Sandbox
  /** Starts the controller; resolves with it and the CPU time, in milliseconds, that it took until its first write to a Plan. */
  start(): Promise<{ readonly controller: ControllerProcess; readonly cpuMs: number }>
  /** Ends the controller too. */
  stop(): Promise<void>
}

const START_MS = 60_000
const SERVERS = 3
const CONCURRENCY = 50
/** What makes a machine's turn short; memory does not depend on it. */
const FAST = { DROVER_VERIFY_MIN_READY: '1s', DROVER_LEASE_RETRY: '2s' }
const QUICK_MACHINE = { pullMs: 300, restartMs: [200, 800] } as const
const PLAN_PATH = '/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans/agent-plan'

const never = new AbortController().signal

/** Servers that are done, agents that are not, and a Plan for them that is paused. */
export async function watchedCluster({ bundle, flags, env }: Shipped, nodes: number): Promise<WatchedCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'drover-bench-'))
  // The bench posts the status of unchanged nodes itself, evenly spread: machines that all started at once would post all at once.
  const sandbox = createSandbox({ clock: 'real', statusEveryMs: 24 * 3_600_000 })
  const listener = await listen(withFatNodes(sandbox.server, (user) => user === CONTROLLER))
  let controller: ControllerProcess | undefined
  const stop = async (): Promise<void> => {
    await controller?.stop()
    await listener.close()
    await sandbox.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await fill(sandbox, nodes)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    sandbox,
    stop,
    async start() {
      const reconciled = firstWriteTo(sandbox, 'plans')
      const started = startController({ bundle, url: listener.url, user: CONTROLLER, folder, flags, env: { ...FAST, ...env } })
      controller = started
      const cpuMs = await within(
        START_MS,
        'the first reconcile',
        reconciled.then(() => started.cpuMs()),
      )
      return { controller: started, cpuMs }
    },
  }
}

/** Lets the Plan go on. */
export function resume(sandbox: Sandbox): Promise<void> {
  return patch(sandbox, PLAN_PATH, { metadata: { annotations: { 'drover.io/paused': null } } })
}

/** A merge patch. Throws on any answer but 200. */
export async function patch(sandbox: Sandbox, path: string, body: Json, user = 'admin'): Promise<void> {
  const response = await sandbox.as(user).send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }, never)
  if (response.status !== 200) throw new Error(`PATCH ${path}: ${response.status} ${JSON.stringify(response.body)}`)
}

/** Whether the Plan says so. */
export function complete(sandbox: Sandbox): boolean {
  const plan = sandbox.server.peek('plans.upgrade.cattle.io', 'agent-plan', 'system-upgrade')
  const status = plan?.['status'] as { conditions?: readonly { type: string; status: string }[] } | undefined
  return status?.conditions?.some((condition) => condition.type === 'Complete' && condition.status === 'True') === true
}

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
