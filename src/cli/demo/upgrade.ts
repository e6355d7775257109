/** The demo itself, apart from its sockets: it runs on any clock. */
import type { JsonObject } from '../../base/json.ts'
import { silentLog } from '../../base/log.ts'
import type { Outside } from '../../base/process.ts'
import { runController } from '../../controller/run.ts'
import { parseSettings } from '../../controller/settings.ts'
import { type Client, createClient } from '../../kube/client/client.ts'
import type { Sandbox } from '../../sandbox/cluster.ts'
import { standardCluster } from '../../sandbox/standard-cluster.ts'
import { judge, type Verdict } from './judge.ts'
import { type Model, modelOf } from './model.ts'
import {
  AGENT_LABELS,
  AGENTS,
  BLOCKED_FOR_MS,
  BLOCKER,
  ENVIRONMENT,
  FROM,
  MACHINE,
  NAMESPACE,
  PLANS,
  plans,
  SERVERS,
  TARGET,
  WORKLOADS,
} from './scenario.ts'
import type { Screen } from './screen.ts'
import { countRequests, passed, summary } from './summary.ts'

const CONTROLLER = 'system:serviceaccount:system-upgrade:drover'
const PLANS_PATH = `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans`
const LOOK_EVERY_MS = 250
/** A demo that is not over by then has failed. */
const LIMIT_MS = 120_000
/** Longest wait for the controller's clean end. */
const STOP_MS = 10_000

export interface Upgrade {
  readonly sandbox: Sandbox
  readonly screen: Screen
  readonly outside: Outside
  /** URL of the channel that both Plans name. */
  readonly channel: string
  readonly signal: AbortSignal
}

/** Machines and workloads, all Ready. */
export async function buildCluster(sandbox: Sandbox): Promise<void> {
  await standardCluster(sandbox, {
    servers: SERVERS,
    agents: AGENTS,
    version: FROM,
    workloads: WORKLOADS,
    machine: (spec) => ({ ...spec, ...MACHINE, ...(spec.role === 'agent' ? { labels: { ...spec.labels, ...AGENT_LABELS } } : {}) }),
  })
}

/** Runs a controller, applies the Plans, shows what happens and judges it. 0 = everything as promised. */
export async function upgrade(options: Upgrade): Promise<number> {
  const { sandbox, outside } = options
  const { settings } = parseSettings(ENVIRONMENT, [])
  const controller = sandbox.spawn((own, ended) => runController(own, settings, ended), { name: 'drover', user: CONTROLLER, outside })
  try {
    return await watchUpgrade(options)
  } finally {
    controller.stop()
    await Promise.race([controller.done, sandbox.clock.sleep(STOP_MS)])
  }
}

async function watchUpgrade({ sandbox, screen, channel, signal }: Upgrade): Promise<number> {
  const { clock } = sandbox
  const viewer = createClient({ ...sandbox.process('viewer', 'viewer'), log: silentLog }, { signal })
  const started = clock.mono()
  await applyPlans(viewer, plans(channel), () => clock.sleep(LOOK_EVERY_MS, signal), signal)
  let model: Model = await look(viewer)
  let blockedSince: number | undefined
  let helped = false
  while (!model.complete && clock.mono() - started < LIMIT_MS) {
    screen.show(model, clock.mono() - started, clock.wall())
    await clock.sleep(LOOK_EVERY_MS, signal)
    model = await look(viewer)
    const blocked = model.nodes.find((row) => row.waitsFor.includes('PodDisruptionBudget') && row.waitsFor.includes(BLOCKER))
    if (blocked !== undefined) blockedSince ??= clock.mono()
    if (!helped && blockedSince !== undefined && clock.mono() - blockedSince >= BLOCKED_FOR_MS) {
      helped = true
      await viewer.mergePatch(`/apis/apps/v1/namespaces/default/deployments/${BLOCKER}`, { spec: { replicas: 2 } })
      screen.note(`Somebody scaled ${BLOCKER} to two replicas: its budget will allow one to be evicted.`)
    }
  }
  const elapsedMs = clock.mono() - started
  screen.show(model, elapsedMs, clock.wall())
  const judgement = judge({
    history: sandbox.history,
    planNames: PLANS,
    target: TARGET,
    blocker: { namespace: 'default', budget: BLOCKER, podPrefix: `${BLOCKER}-` },
    controller: CONTROLLER,
  })
  const others = machineVerdicts(sandbox, model, elapsedMs)
  const requests = countRequests(sandbox.server.requests.rows(), CONTROLLER)
  screen.print(['', ...summary({ judgement, others, elapsedMs, from: FROM, target: TARGET, requests })])
  return passed({ judgement, others }) ? 0 : 1
}

/** The CRD is made by the controller, so the first attempts may come too early. */
async function applyPlans(client: Client, objects: readonly JsonObject[], pause: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (const object of objects) {
    for (let left = 80; ; left--) {
      try {
        await client.create(PLANS_PATH, object)
        break
      } catch (error) {
        if (left === 0 || signal.aborted) throw error
        await pause()
      }
    }
  }
}

async function look(client: Client): Promise<Model> {
  const [found, nodes] = await Promise.all([client.list(PLANS_PATH), client.list('/api/v1/nodes')])
  return modelOf(found.items, nodes.items, (role) => PLANS[role])
}

/** What the simulated machines saw themselves, and what the viewer did. */
function machineVerdicts(sandbox: Sandbox, model: Model, elapsedMs: number): Verdict[] {
  const { etcd, machines } = sandbox
  const behind = [...machines.values()].filter((machine) => machine.running !== TARGET).map((machine) => machine.name)
  return [
    {
      what: 'etcd itself had quorum',
      ok: etcd.lost === 0 && etcd.members.size === SERVERS,
      seen: `lost ${etcd.lost} times, ${etcd.members.size} members`,
    },
    {
      what: 'machines run what their kubelets report',
      ok: behind.length === 0 && machines.size === SERVERS + AGENTS,
      seen: behind.length === 0 ? `${machines.size} machines on ${TARGET}` : `not on ${TARGET}: ${behind.join(', ')}`,
    },
    {
      what: 'both Plans say Complete',
      ok: model.complete,
      seen: model.complete
        ? `after ${Math.round(elapsedMs / 1000)} s`
        : model.plans.map((plan) => `${plan.name}: ${plan.note || 'complete'}`).join('; '),
    },
  ]
}
