/**
 * `npm run test:kubernetes -- --nodes N`: one Plan over N nodes of a real control plane, at default settings but for minReadySeconds. The API server's
 * audit log says whether a limit was exceeded; the exit code is 1 when one was, when a node is not done, or when the rollout cost more than it may.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseCpuMs, parseKilobytes } from '../../bench/controller-process.ts'
import { exceeded, type Figure, line } from '../../bench/figure.ts'
import { startOf } from '../../bench/shipped.ts'
import { systemClock } from '../../src/base/clock.ts'
import { auditEntries } from './audit.ts'
import { agentPlan, type Cluster, DROVER, NEW, OLD, startCluster } from './cluster.ts'
import { MACHINES, type MachineReport, runMachines, startCrowd } from './crowd-machines.ts'
import { judgeLog } from './judge.ts'
import { root } from './root.ts'

/** Most requests to the API server for a node, watches, Leases and Events aside, as `npm run bench` counts them on virtual time. */
const REQUESTS_A_NODE = 9
/** `npm run bench` holds it below 110; on a busy machine the collector is late. */
const PEAK_MB = 125
/** As real kubelets do. */
const HEARTBEAT_MS = 10_000
/** Silence of a starved machine must not read as the loss of its node. */
const NODE_GRACE_SECONDS = 60
const UPGRADE_MS = 1000
const REGISTER_SECONDS = 600
/** Before the Plan, for what the controller reads at its start. */
const REST_MS = 10_000
/** The slowest rollout that is waited for. */
const SECONDS_A_NODE = 3
const LEAST_SECONDS = 300
const SAMPLE_MS = 500
/** Problems that are printed. */
const TOLD = 20

const say = (text: string): void => void process.stdout.write(`${text}\n`)

interface Settings {
  readonly nodes: number
  readonly concurrency: number
  readonly minReady: string
}

function settings(): Settings {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '1000' },
      concurrency: { type: 'string', default: '50' },
      'min-ready': { type: 'string', default: '0s' },
    },
  })
  const whole = (name: 'nodes' | 'concurrency'): number => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is ${values[name]}, expected is a whole number above 0`)
    return value
  }
  return { nodes: whole('nodes'), concurrency: whole('concurrency'), minReady: values['min-ready'] }
}

async function main(wanted: Settings): Promise<boolean> {
  const cluster = await startCluster({
    audit: 'Request',
    servers: 1,
    agents: 0,
    heartbeatMs: HEARTBEAT_MS,
    nodeGraceSeconds: NODE_GRACE_SECONDS,
  })
  const kubeconfig = await cluster.plane.kubeconfig('machines')
  const crowd = startCrowd({ kubeconfig, count: wanted.nodes, version: OLD, heartbeatMs: HEARTBEAT_MS, upgradeMs: UPGRADE_MS })
  try {
    await cluster.until('all machines registered and Ready', async () => crowd.ready() === wanted.nodes, REGISTER_SECONDS)
    say(`${wanted.nodes} nodes are Ready`)
    const cost = await rollOut(cluster, wanted)
    const { machines, cpuSeconds } = await crowd.report()
    const problems = [...(await judgedProblems(cluster, wanted)), ...machines.flatMap(problemOf)]
    say(`concurrency ${wanted.concurrency}, minReady ${wanted.minReady}, an upgrade takes ${UPGRADE_MS} ms and a restart`)
    const second = machines.filter(({ programs }) => programs > 1).length
    const told: readonly Figure[] = [
      ...cost,
      { name: 'CPU of the machines', measured: cpuSeconds, unit: ' s' },
      { name: "nodes on which a Job's second pod ran", measured: second, unit: '' },
    ]
    for (const figure of told) say(line(figure))
    for (const problem of problems.slice(0, TOLD)) say(`BROKEN ${problem}`)
    if (problems.length > TOLD) say(`BROKEN and ${problems.length - TOLD} more`)
    return problems.length === 0 && !cost.some(exceeded)
  } finally {
    await crowd.stop()
    await cluster.stop()
  }
}

/** Runs the Plan to its end; what it cost. */
async function rollOut(cluster: Cluster, { nodes, concurrency, minReady }: Settings): Promise<readonly Figure[]> {
  const { flags, env } = startOf(readFileSync(`${root}Dockerfile`, 'utf8'))
  const controller = await cluster.controller({
    flags,
    env: { ...env, DROVER_METRICS_ADDRESS: '127.0.0.1:0', DROVER_VERIFY_MIN_READY: minReady },
  })
  const read = (file: string): string => readFileSync(`/proc/${controller.child.pid}/${file}`, 'utf8')
  const megabytes = (field: string): number => parseKilobytes(read('status'), field) * 1.024e-3
  await cluster.until('the controller leads', async () => controller.output().includes('"msg":"leading"'))
  await systemClock.sleep(REST_MS)
  const before = { cpuMs: parseCpuMs(read('stat')), mb: megabytes('VmRSS'), wall: Date.now() }

  await cluster.apply(agentPlan({ concurrency }))
  let highest = 0
  const complete = async (): Promise<boolean> => {
    highest = Math.max(highest, megabytes('VmRSS'))
    await systemClock.sleep(SAMPLE_MS)
    return (await cluster.condition('agents', 'Complete')).startsWith('True')
  }
  await cluster.until('the Plan is complete', complete, LEAST_SECONDS + nodes * SECONDS_A_NODE)
  const after = { cpuMs: parseCpuMs(read('stat')), mb: megabytes('VmRSS'), wall: Date.now() }
  const seconds = (after.wall - before.wall) / 1000
  const cpu = (after.cpuMs - before.cpuMs) / 1000
  const requests = await countRequests(cluster.plane.auditLog, before.wall * 1000, after.wall * 1000)
  const sum = (of: (what: string) => boolean): number => [...requests].reduce((total, [what, count]) => total + (of(what) ? count : 0), 0)
  const isEvent = (what: string): boolean => what.endsWith(' events')
  for (const [what, count] of requests) say(`  ${(count / nodes).toFixed(3)} a node: ${what}`)
  return [
    {
      name: 'API requests a node, watches, Leases and Events aside',
      measured: sum((what) => !isEvent(what)) / nodes,
      unit: '',
      limit: REQUESTS_A_NODE,
    },
    { name: 'Events a node', measured: sum(isEvent) / nodes, unit: '' },
    { name: 'nodes a second', measured: nodes / seconds, unit: '' },
    { name: 'CPU of the controller', measured: cpu, unit: ' s' },
    { name: 'CPU of the controller a node', measured: cpu / nodes, unit: ' s' },
    { name: 'CPU of the controller before the Plan', measured: before.cpuMs / 1000, unit: ' s' },
    { name: 'RSS before the Plan', measured: before.mb, unit: ' MB' },
    { name: 'RSS at its end', measured: after.mb, unit: ' MB' },
    { name: 'RSS through the rollout, highest', measured: highest, unit: ' MB', limit: PEAK_MB },
    { name: 'RSS since the start, highest', measured: megabytes('VmHWM'), unit: ' MB' },
  ]
}

/** The controller's requests between two times (microseconds), by `verb resource`, most frequent first. */
async function countRequests(file: string, from: number, until: number): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for await (const { user, verb, resource, received } of auditEntries(file)) {
    if (user !== DROVER || verb === 'watch' || resource === 'leases' || received < from || received > until) continue
    const key = `${verb} ${resource}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return new Map([...counts].toSorted(([, a], [, b]) => b - a))
}

async function judgedProblems(cluster: Cluster, { nodes, concurrency }: Settings): Promise<readonly string[]> {
  const verdict = await judgeLog(cluster.plane.auditLog, { maxUnavailable: concurrency })
  const { broken, admitted, mostInFlight, mostUnavailable, started, left } = verdict
  say(`judged by the audit log: ${admitted} admissions, at most ${mostInFlight} in flight and ${mostUnavailable} unavailable`)
  return [
    ...broken,
    ...left,
    ...(admitted === nodes ? [] : [`${admitted} nodes were admitted, expected are ${nodes}`]),
    ...(started.size === nodes ? [] : [`${started.size} nodes ran an upgrade Job, expected are ${nodes}`]),
  ]
}

/** What the machine itself says. */
function problemOf({ name, running, replaced, downs }: MachineReport): readonly string[] {
  if (running === NEW && replaced === 1 && downs === 1) return []
  return [`${name} runs ${running}; its binary was replaced ${replaced} times and its service went down ${downs} times`]
}

if (process.argv[2] === MACHINES) await runMachines(process.argv[3] ?? '')
else process.exit((await main(settings())) ? 0 : 1)
