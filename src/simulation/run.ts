import { createHash } from 'node:crypto'
import { TransportError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Outside, Process } from '../base/process.ts'
import { seededRandom } from '../base/random.ts'
import { planCRD } from '../api/crd.ts'
import { createSandbox, type Sandbox } from '../sandbox/cluster.ts'
import { createFaults } from '../sandbox/faults.ts'
import { type ApplyObject, apply, standardCluster } from '../sandbox/standard-cluster.ts'
import { act, createPlan, type Stage } from './act.ts'
import type { Truth } from './checkers/excuses.ts'
import { type HistoryWrite, type Violation, whoIs } from './checkers/fact.ts'
import { createJudge, type Judge } from './checkers/judge.ts'
import { recordOf, type SeenPlan } from './checkers/seen.ts'
import { type Counters, counting } from './counters.ts'
import { createControllers } from './fleet-of-controllers.ts'
import { askRetry, failedPlans, mend } from './operator.ts'
import { phasesOf } from './phases.ts'
import { registerPrograms } from './programs.ts'
import { type ChannelAnswer, NAMESPACE, type Scenario } from './scenario.ts'
import { clock as clockText, traceWrite } from './trace.ts'

const MINUTE = 60_000
/** No write of a controller for this long, with no live work: it has ended. Longer than every timer of the controller but a Job's missing deadline. */
const QUIET_MS = 20 * MINUTE
/** The same while some record still shows live work: a Job without a deadline gets an hour. */
const LONG_QUIET_MS = 110 * MINUTE
/** Promise 11's bound after the calm. */
const BOUND_MS = 14 * 60 * MINUTE
/** Half as often as real kubelets renew their Leases: they would be most of all writes. */
const HEARTBEAT_MS = 20_000
const RETRY_EVERY_MS = 15 * MINUTE
const MAX_RETRIES = 6

/** What is under test: the real controller, or a stand-in. */
export type ControllerUnderTest = (process: Process, env: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<void>

export interface RunOptions {
  readonly controller: ControllerUnderTest
  /** Gets one line for each write, fault and action. */
  readonly trace?: (line: string) => void
  /** Where the controllers log to. Default: nowhere. */
  readonly log?: Log
  /** Ends the run at the first violation. Default true. */
  readonly stopAtViolation?: boolean
}

export interface RunResult {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly counters: Counters
  /** Over every write, its time and what it left: equal for equal runs. */
  readonly hash: string
  readonly virtualMs: number
  readonly writes: number
}

/** Plays one world to its end, or to the first violation, on virtual time. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<RunResult> {
  const random = seededRandom(scenario.seed ^ 0x5eed)
  const channels = new Map(Object.entries(scenario.channels))
  const faults = createFaults({ random: seededRandom(scenario.seed ^ 0xfa17) })
  const outside = channelServer(channels)
  const sandbox = createSandbox({
    seed: scenario.seed,
    faults,
    outside,
    heartbeatMs: HEARTBEAT_MS,
    ...(options.log === undefined ? {} : { log: options.log }),
  })
  registerPrograms(sandbox.programs)
  const { counters, add, addByPhase } = counting()
  const judge = createJudge(truthOf(sandbox))
  const watching = watchHistory(sandbox, judge, add, options.trace)
  await buildCluster(sandbox, scenario)

  const start = sandbox.clock.mono()
  const calmAt = start + scenario.calmMs
  const virtual = sandbox.virtual
  if (virtual === undefined) throw new Error('a simulation needs virtual time')
  const at = (delayMs: number, what: () => void) => void virtual.at(sandbox.clock.mono() + delayMs, what)
  let lastInput = start
  const happened = (what: string, more: { node?: string; plan?: string } = {}) => {
    lastInput = sandbox.clock.mono()
    judge.see({ kind: 'outside', mono: lastInput, what, ...more })
    options.trace?.(`       ${clockText(lastInput)} ** ${what} ${JSON.stringify(more)}`)
  }
  const calm = () => sandbox.clock.mono() >= calmAt

  const controllers = createControllers({
    spawn: sandbox.spawn,
    run: (process, signal) => options.controller(process, scenario.env, signal),
    specs: scenario.controllers,
    crashRate: () => (calm() ? 0 : scenario.crashRate),
    random,
    at,
    onKill(name, how) {
      addByPhase('kill', phasesOf(judge.mirror))
      add(`kill ${how}`)
      options.trace?.(`       ${clockText(sandbox.clock.mono())} ** kill ${name} ${how}`)
    },
    onEnd(name, error) {
      add('controller ended')
      options.trace?.(`       ${clockText(sandbox.clock.mono())} ** ${name} ended: ${String(error)}`)
    },
  })
  const stage: Stage = {
    sandbox,
    scenario,
    channels,
    people: { last: Promise.resolve() },
    controllers,
    later: (ms, what) =>
      at(Math.max(0, Math.min(ms, calmAt - sandbox.clock.mono())), () => {
        happened('undo')
        what()
      }),
  }

  faults.rates = { ...scenario.rates }
  faults.exposed = (call) => whoIs(call.user) === 'drover'
  faults.onFault = (kind) => addByPhase(`fault ${kind}`, watching.phases())
  controllers.start()
  for (const plan of scenario.plans) createPlan(stage, plan)
  for (const { atMs, action } of scenario.happenings) {
    at(atMs, () => {
      add(action.do)
      const node = 'machine' in action ? scenario.machines[action.machine]?.name : undefined
      happened(`${action.do} ${JSON.stringify(action)}`, {
        ...(node === undefined ? {} : { node }),
        ...('plan' in action ? { plan: action.plan } : {}),
      })
      act(stage, action)
    })
  }
  at(scenario.calmMs, () => {
    happened('calm')
    mend(stage)
  })
  let retries = 0
  const operate = () => {
    const failed = failedPlans(judge.mirror)
    if (failed.length > 0 && retries < MAX_RETRIES) {
      retries += 1
      for (const plan of failed) {
        add('operator retry')
        happened(`retry ${plan}`, { plan })
        askRetry(stage, plan, retries)
      }
    }
    at(RETRY_EVERY_MS, operate)
  }
  at(scenario.calmMs + 2 * MINUTE, operate)

  const opensBy = scenario.plans.some((plan) => plan.spec['window'] !== undefined) ? start + 45 * MINUTE : start
  const over = () => {
    const now = sandbox.clock.mono()
    if (options.stopAtViolation !== false && judge.violations.length > 0) return true
    const quiet = now - Math.max(watching.lastControllerWrite(), lastInput, calmAt, opensBy)
    return quiet > QUIET_MS && (quiet > LONG_QUIET_MS || !busy(judge))
  }
  const ended = await sandbox.run(over, scenario.calmMs + BOUND_MS)
  if (judge.violations.length === 0) judge.see({ kind: 'end', mono: sandbox.clock.mono(), stillWriting: !ended })
  controllers.stop()
  await sandbox.stop()
  for (const [promise, count] of Object.entries(judge.checks())) add(`check ${promise}`, count)
  for (const [excuse, count] of judge.excused) add(`excused ${excuse}`, count)
  return {
    seed: scenario.seed,
    violations: judge.violations,
    counters,
    hash: watching.hash(),
    virtualMs: sandbox.clock.mono() - start,
    writes: sandbox.history.length,
  }
}

function busy(judge: Judge): boolean {
  return [...judge.mirror.nodes.values()].some((node) => recordOf(node)?.work !== undefined)
}

function truthOf(sandbox: Sandbox): Truth {
  return {
    namespace: NAMESPACE,
    well(name) {
      const machine = sandbox.machines.get(name)
      return machine !== undefined && machine.power === 'on' && machine.service === 'up' && !machine.trouble.notReady
    },
    namespaceHeld: () => sandbox.server.peek('namespaces', NAMESPACE)?.metadata.annotations?.['drover.io/hold'] === 'true',
  }
}

interface Watching {
  lastControllerWrite(): number
  phases(): ReturnType<typeof phasesOf>
  hash(): string
}

/** Feeds the judge with every write, and with what the members of etcd did before it. */
function watchHistory(sandbox: Sandbox, judge: Judge, add: (name: string) => void, trace: ((line: string) => void) | undefined): Watching {
  const hash = createHash('sha256')
  let etcdSeen = 0
  let last = 0
  let phases: ReturnType<typeof phasesOf> | undefined
  sandbox.server.onWrite((write) => {
    for (; etcdSeen < sandbox.etcd.timeline.length; etcdSeen += 1) {
      const event = sandbox.etcd.timeline[etcdSeen]
      if (event !== undefined) judge.see({ kind: 'etcd', mono: event.at, member: event.member, up: event.up })
    }
    const seen: HistoryWrite = write
    hash.update(
      `${write.n}|${write.mono}|${write.user}|${write.verb}|${write.ref.resource}|${write.ref.name}|${write.status}|${write.after?.metadata.resourceVersion}\n`,
    )
    const before = judge.violations.length
    judge.see({ kind: 'write', write: seen })
    const line = trace === undefined ? undefined : traceWrite(seen)
    if (line !== undefined) trace?.(line)
    for (const violation of judge.violations.slice(before)) trace?.(`!!!!!! promise ${violation.promise}: ${violation.message}`)
    if (whoIs(write.user) !== 'drover' || write.ref.resource === 'leases') return
    last = write.mono
    phases = undefined
    if (write.ref.resource === 'plans' && write.ref.subresource === 'status')
      for (const shown of shownIn(write.after as unknown as SeenPlan | undefined)) add(shown)
  })
  return {
    lastControllerWrite: () => last,
    phases() {
      phases ??= phasesOf(judge.mirror)
      return phases
    },
    hash: () => hash.digest('hex'),
  }
}

/** What a Plan's status shows: the reasons of its conditions, and the phases of its nodes. */
function shownIn(plan: SeenPlan | undefined): readonly string[] {
  const status = plan?.status as
    | { readonly conditions?: readonly { readonly reason?: string }[]; readonly nodeStatuses?: readonly { readonly phase?: string }[] }
    | undefined
  const reasons = (status?.conditions ?? []).map(({ reason }) => `hold ${reason}`)
  const phases = (status?.nodeStatuses ?? []).map(({ phase }) => `phase ${phase}`)
  return [...new Set([...reasons, ...phases])]
}

/** The release channels of a world. The real protocol: a redirect names the version. */
function channelServer(channels: ReadonlyMap<string, ChannelAnswer>): Outside {
  return {
    async get(url) {
      const answer = channels.get(url) ?? { status: 404, body: '' }
      if (answer === 'down') throw new TransportError('ConnectionFailed', 'connection refused')
      if ('redirect' in answer) return { status: 302, statusLine: 'HTTP/1.1 302 Found', headers: { location: answer.redirect }, body: '' }
      return { status: answer.status, statusLine: `HTTP/1.1 ${answer.status} Answer`, headers: {}, body: answer.body }
    },
  }
}

/** Machines, workloads, Secrets and the Plan's CRD; time passes until all of it stands. */
async function buildCluster(sandbox: Sandbox, scenario: Scenario): Promise<void> {
  const servers = scenario.machines.filter((spec) => spec.role === 'server')
  const agents = scenario.machines.filter((spec) => spec.role === 'agent')
  const byName = new Map(scenario.machines.map((spec) => [spec.name, spec]))
  await standardCluster(sandbox, {
    servers: servers.length,
    agents: agents.length,
    serverName: (i) => servers[i - 1]?.name ?? `server-${i}`,
    agentName: (i) => agents[i - 1]?.name ?? `agent-${i}`,
    workloads: scenario.workloads,
    machine: (spec) => ({ ...spec, ...byName.get(spec.name) }),
  })
  const objects: readonly ApplyObject[] = [planCRD as unknown as ApplyObject, ...scenario.secrets.map(secret)]
  let applied = 0
  let failure: unknown
  for (const object of objects) {
    apply(sandbox, object).then(
      () => (applied += 1),
      (error: unknown) => (failure = error),
    )
  }
  const done = await sandbox.run(() => applied === objects.length || failure !== undefined, MINUTE)
  if (failure !== undefined) throw failure
  if (!done) throw new Error('the cluster could not be filled')
}

function secret(name: string): ApplyObject {
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: NAMESPACE }, type: 'Opaque', data: { token: 'YQ==' } }
  return object
}
