/**
 * The two ways of working (DROVER_COMPATIBILITY), as one value each: whatever strict compatibility turns off, or does as SUC does it, stands
 * here, and the rest of the decision only asks `state.conduct` (design §4, last part). Claim, record and start are the same in both.
 */
import type { Hold } from '../api/reasons.ts'
import type { Settings } from '../base/settings.ts'
import { type Admission, admit } from './admit.ts'
import { driveStarted, type Started } from './after-start.ts'
import { etcdQuorumSeen } from './gates/etcd.ts'
import type { Context, NodeGate, PlanGate } from './gates/gate.ts'
import { NODE_GATES, STRICT_NODE_GATES } from './gates/node-gates.ts'
import {
  KEEP_PLAN_GATES,
  PLAN_GATES,
  START_PLAN_GATES,
  STRICT_KEEP_PLAN_GATES,
  STRICT_PLAN_GATES,
  STRICT_START_PLAN_GATES,
} from './gates/plan-gates.ts'
import type { Pass } from './pass.ts'
import { type PlanState, type Resolve, resolveVersion } from './plan-state.ts'
import type { Slots } from './slots.ts'
import { admitAsSUC } from './strict/admit.ts'
import { driveByJob } from './strict/after-start.ts'
import { tidyAsSUC } from './strict/jobs.ts'
import { resolveAsSUC } from './strict/resolve.ts'
import { statusAsSUC } from './strict/status.ts'
import { type Telling, tellReaders, type Told } from './tell.ts'

export interface Conduct {
  readonly mode: Settings['compatibility']
  readonly planGates: readonly PlanGate[]
  /** Gates of the Plan that are asked again before the point of no return. */
  readonly startPlanGates: readonly PlanGate[]
  /** Gates of the Plan whose closing gives a node back that has not been started. */
  readonly keepPlanGates: readonly PlanGate[]
  readonly nodeGates: readonly NodeGate[]
  /** Asked of the node at the point of no return, beside the others. */
  readonly startNodeGates: readonly NodeGate[]
  /** Who is claimed next. Native looks ahead: image pulled, apply pod tried, drain forecast; nodes at the target are done (promise 7). */
  readonly admit: (state: PlanState, slots: Slots, holds: readonly Hold[], context: Context, pass: Pass) => Admission
  /** Drover prepares, cordons and drains; otherwise the Job's init containers do (promise 3). */
  readonly clearsNodes: boolean
  /** The node's word counts: one that failed and is at the target after all is done (promise 4). */
  readonly nodeIsWitness: boolean
  /** Of SUC's nodes without a Job one is finished first, and its Jobs are adopted wherever they run; otherwise just what stands in `applying` goes on. */
  readonly sortsLeftovers: boolean
  readonly resolve: Resolve
  /** From the point of no return to the verdict: the node's word, or the Job's (promise 4). */
  readonly drive: (started: Started, pass: Pass) => void
  readonly tell: (telling: Telling, pass: Pass) => Told | undefined
  /** What becomes of Jobs beside the nodes that work with them. */
  readonly tidyJobs: (context: Context, pass: Pass) => void
}

const NATIVE: Conduct = {
  mode: 'native',
  planGates: PLAN_GATES,
  startPlanGates: START_PLAN_GATES,
  keepPlanGates: KEEP_PLAN_GATES,
  nodeGates: NODE_GATES,
  startNodeGates: [etcdQuorumSeen],
  admit,
  clearsNodes: true,
  nodeIsWitness: true,
  sortsLeftovers: true,
  resolve: resolveVersion,
  drive: driveStarted,
  tell: tellReaders,
  tidyJobs: () => undefined,
}

const STRICT: Conduct = {
  mode: 'strict',
  planGates: STRICT_PLAN_GATES,
  startPlanGates: STRICT_START_PLAN_GATES,
  keepPlanGates: STRICT_KEEP_PLAN_GATES,
  nodeGates: STRICT_NODE_GATES,
  startNodeGates: [],
  admit: admitAsSUC,
  clearsNodes: false,
  nodeIsWitness: false,
  sortsLeftovers: false,
  resolve: resolveAsSUC,
  drive: driveByJob,
  tell: statusAsSUC,
  tidyJobs: tidyAsSUC,
}

export function conductOf({ compatibility }: Pick<Settings, 'compatibility'>): Conduct {
  return compatibility === 'strict' ? STRICT : NATIVE
}
