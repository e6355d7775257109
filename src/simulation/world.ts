import { seededRandom } from '../base/random.ts'
import { type FaultKind, faultKinds } from '../sandbox/faults.ts'
import type { MachineSpec } from '../sandbox/machines/machine.ts'
import type { WorkloadSpec } from '../sandbox/standard-cluster.ts'
import { type Dice, dice } from './dice.ts'
import { makeHappenings } from './happenings.ts'
import { makePlans, type PlanDraft } from './plans.ts'
import { makePolicies } from './policies.ts'
import type { Happening, Scenario } from './scenario.ts'

const MINUTE = 60_000
/** One world in so many runs in strict compatibility. By number, so that the others stay what they are. */
const STRICT_EVERY = 6

/** What plans.ts and happenings.ts need to know of the world that is being made. */
export interface Draft {
  readonly seed: number
  readonly distro: 'rke2' | 'k3s'
  readonly machines: readonly MachineSpec[]
  readonly calmMs: number
}

/** A random world. The same seed gives the same world, always. */
export function makeScenario(seed: number): Scenario {
  const d = dice(seededRandom(seed))
  const distro = d.pick(['rke2', 'rke2', 'k3s'] as const)
  const machines = makeMachines(d, distro)
  const chaos = d.chance(0.88)
  const draft: Draft = { seed, distro, machines, calmMs: chaos ? d.int(6, 40) * MINUTE : MINUTE }
  const plans: PlanDraft = makePlans(d, draft)
  const strict = seed % STRICT_EVERY === 0
  const policies = makePolicies(draft, plans, chaos, strict)
  return {
    seed,
    machines: policies.machines,
    workloads: [...makeWorkloads(d, machines.length), ...policies.workloads],
    plans: policies.plans,
    batches: policies.batches,
    surroundings: policies.surroundings,
    policies: policies.policies,
    leftovers: d.chance(0.1) ? d.some([...machines.keys()], 0.15).slice(0, 3) : [],
    eagerOperator: chaos && d.chance(0.5),
    secrets: plans.secrets,
    channels: plans.channels,
    controllers: makeControllers(d),
    splitBrain: chaos && d.chance(0.15),
    env: { ...makeEnv(d), ...(strict ? { DROVER_COMPATIBILITY: 'strict' } : {}) },
    rates: chaos ? makeRates(d) : {},
    crashRate: chaos && d.chance(0.7) ? d.pick([0.01, 0.03, 0.1]) : 0,
    happenings: inOrder([...(chaos ? makeHappenings(d, draft, plans) : []), ...policies.happenings]),
    calmMs: draft.calmMs,
  }
}

function makeMachines(d: Dice, distro: 'rke2' | 'k3s'): readonly MachineSpec[] {
  const suffix = distro === 'rke2' ? 'rke2r1' : 'k3s1'
  const servers = d.pick([1, 2, 3, 3, 3, 3, 5, 5, 7])
  const agents = d.chance(0.04) ? 40 : d.chance(0.5) ? d.int(0, 6) : d.int(4, 20)
  const mixed = d.chance(0.2)
  const version = (role: 'server' | 'agent') => {
    if (!mixed || d.chance(0.7)) return `v1.33.3+${suffix}`
    return `${d.pick(role === 'server' ? ['v1.33.2', 'v1.33.4', 'v1.33.5', 'v1.32.9'] : ['v1.33.2', 'v1.32.9', 'v1.31.8', 'v1.33.4'])}+${suffix}`
  }
  const make = (role: 'server' | 'agent', i: number): MachineSpec => ({
    name: d.chance(0.1) ? `${role}-${i}.example.org` : `${role}-${i}`,
    role,
    version: version(role),
    pullMs: d.int(500, 20_000),
    restartMs: [1_000, d.pick([5_000, 20_000, 70_000])],
    ...(role === 'agent' && d.chance(0.08) ? { taints: [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' as const }] } : {}),
  })
  return [
    ...Array.from({ length: servers }, (_, i) => make('server', i + 1)),
    ...Array.from({ length: agents }, (_, i) => make('agent', i + 1)),
  ]
}

function makeWorkloads(d: Dice, nodes: number): readonly WorkloadSpec[] {
  const all = Array.from({ length: d.int(0, 3) }, (_, i): WorkloadSpec => {
    const name = `app-${i + 1}`
    const replicas = d.int(1, Math.min(4, Math.max(1, nodes)))
    if (d.chance(0.15)) return { name, replicas, minAvailable: replicas }
    if (d.chance(0.3)) return { name, replicas, graceSeconds: d.int(1, 20), emptyDir: d.chance(0.3) }
    return { name, replicas: replicas + 1, maxUnavailable: 1, graceSeconds: d.int(1, 20) }
  })
  return d.chance(0.3) ? [...all, { name: 'agent-ds', replicas: 0, kind: 'DaemonSet' }] : all
}

function makeControllers(d: Dice): Scenario['controllers'] {
  const count = d.pick([1, 1, 2, 2, 2, 3])
  return Array.from({ length: count }, (_, i) => ({
    skewMs: d.chance(0.4) ? d.int(-600_000, 600_000) : 0,
    startMs: i === 0 || d.chance(0.7) ? 0 : d.int(0, 20 * MINUTE),
  }))
}

function makeEnv(d: Dice): Readonly<Record<string, string>> {
  return {
    SYSTEM_UPGRADE_CONTROLLER_NAME: 'system-upgrade-controller',
    SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: 'system-upgrade',
    SYSTEM_UPGRADE_JOB_BACKOFF_LIMIT: d.pick(['2', '2', '4']),
    SYSTEM_UPGRADE_JOB_TTL_SECONDS_AFTER_FINISH: d.pick(['60', '300', '900']),
    SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL: '2m',
    DROVER_VERIFY_MIN_READY: d.pick(['1ms', '10s', '30s']),
    DROVER_VERIFY_TIMEOUT: d.pick(['3m', '5m', '15m']),
    DROVER_LEASE_DURATION: d.pick(['30s', '90s']),
    DROVER_LEASE_RENEW_DEADLINE: '20s',
    DROVER_LEASE_RETRY: '5s',
    DROVER_METRICS_ADDRESS: '',
    ...(d.chance(0.1) ? { DROVER_CLUSTER_MAX_UNAVAILABLE: d.pick(['1', '2', '50%']) } : {}),
  }
}

/** How likely each kind is when it is on at all; watches ask once an event, hence less. */
const TYPICAL: Readonly<Record<FaultKind, number>> = {
  conflict: 0.05,
  throttled: 0.05,
  serverError: 0.05,
  resetBefore: 0.04,
  hang: 0.01,
  answerLost: 0.05,
  outage: 0,
  watchLag: 0.1,
  watchCut: 0.01,
  watchGone: 0.3,
  watchSilent: 0.002,
}

/** Some kinds in some worlds: where everything happens at once, little is seen of each. */
function makeRates(d: Dice): Scenario['rates'] {
  const rates: Partial<Record<FaultKind, number>> = {}
  for (const kind of faultKinds) if (TYPICAL[kind] > 0 && d.chance(0.4)) rates[kind] = TYPICAL[kind] * d.pick([0.3, 1, 2])
  return rates
}

const inOrder = (happenings: readonly Happening[]) => happenings.toSorted((a, b) => a.atMs - b.atMs)
