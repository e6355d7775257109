/** `drover demo`: a cluster in memory is upgraded before your eyes, and judged afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DroverError, messageOf } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import { silentLog } from '../base/log.ts'
import { runController } from '../controller/run.ts'
import { parseSettings } from '../controller/settings.ts'
import { type Client, createClient } from '../kube/client/client.ts'
import { createOutside } from '../kube/client/outside.ts'
import { createSandbox, type Sandbox } from '../sandbox/cluster.ts'
import { listen } from '../sandbox/listen.ts'
import { standardCluster } from '../sandbox/standard-cluster.ts'
import { startChannelServer } from './channel-server.ts'
import { judge, type Verdict } from './demo/judge.ts'
import { type Model, modelOf } from './demo/model.ts'
import {
  AGENT_LABELS,
  AGENTS,
  BLOCKED_FOR_MS,
  BLOCKER,
  ENVIRONMENT,
  FROM,
  HEARTBEAT_MS,
  MACHINE,
  NAMESPACE,
  PLANS,
  plans,
  SEED,
  SERVERS,
  SHORTENED,
  TARGET,
  WORKLOADS,
} from './demo/scenario.ts'
import { openScreen, type Screen } from './demo/screen.ts'
import { countRequests, passed, summary } from './demo/summary.ts'

const CONTROLLER = 'system:serviceaccount:system-upgrade:drover'
const PLANS_PATH = `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans`
const LOOK_EVERY_MS = 250
/** A demo that is not over by then has failed. */
const LIMIT_MS = 120_000
/** Longest wait for the controller's clean end. */
const STOP_MS = 10_000

/** Exit code 0 if everything was as promised, 1 if not. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv.length > 0) throw new DroverError('Usage', 'usage: drover demo (it takes no arguments)', { retry: 'never' })
  const screen = openScreen(process.stdout, process.env)
  const folder = mkdtempSync(join(tmpdir(), 'drover-demo-'))
  try {
    return await demo(screen, join(folder, 'kubeconfig'), signal)
  } catch (error) {
    screen.print([signal.aborted ? 'Interrupted.' : `The demo failed: ${messageOf(error)}`])
    return 1
  } finally {
    screen.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function demo(screen: Screen, kubeconfigPath: string, signal: AbortSignal): Promise<number> {
  const sandbox = createSandbox({ clock: 'real', heartbeatMs: HEARTBEAT_MS, seed: SEED })
  const channel = await startChannelServer({ channels: { stable: TARGET } })
  const door = await listen(sandbox.server, { kubeconfigPath })
  try {
    screen.print(introduction(kubeconfigPath))
    await standardCluster(sandbox, {
      servers: SERVERS,
      agents: AGENTS,
      version: FROM,
      workloads: WORKLOADS,
      machine: (spec) => ({
        ...spec,
        pullMs: MACHINE.pullMs,
        restartMs: [...MACHINE.restartMs],
        ...(spec.role === 'agent' ? { labels: { ...spec.labels, ...AGENT_LABELS } } : {}),
      }),
    })
    const outside = createOutside({ clock: sandbox.clock, log: silentLog, env: {} })
    const { settings } = parseSettings(ENVIRONMENT, [])
    const controller = sandbox.spawn((own, ended) => runController(own, settings, ended), { name: 'drover', user: CONTROLLER, outside })
    try {
      return await watchUpgrade(sandbox, screen, `${channel.url}/stable`, signal)
    } finally {
      controller.stop()
      await Promise.race([controller.done, sandbox.clock.sleep(STOP_MS)])
    }
  } finally {
    await door.close()
    await channel.close()
    await sandbox.stop()
  }
}

async function watchUpgrade(sandbox: Sandbox, screen: Screen, channel: string, signal: AbortSignal): Promise<number> {
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

function introduction(kubeconfigPath: string): string[] {
  return [
    `A cluster in memory, ${SERVERS} servers and ${AGENTS} agents, goes from RKE2 ${FROM} to ${TARGET}.`,
    'The servers go first, one at a time. Then the agents, two at a time, drained.',
    ...SHORTENED.map((text) => `Shortened: ${text}.`),
    'Follow along from a second terminal:',
    `  export KUBECONFIG=${kubeconfigPath}`,
    '  kubectl get nodes -w',
    `  kubectl -n ${NAMESPACE} get plans -w`,
    '',
  ]
}
