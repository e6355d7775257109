/**
 * A world as plain data: what there is at the start, and what happens when. Made from a seed by world.ts, carried out by run.ts. Times are virtual
 * milliseconds after the controllers start.
 */
import type { FaultKind } from '../sandbox/faults.ts'
import type { WorkloadSpec } from '../sandbox/standard-cluster.ts'
import type { MachineSpec } from '../sandbox/machines/machine.ts'

export const NAMESPACE = 'system-upgrade'

export interface PlanObject {
  readonly apiVersion: 'upgrade.cattle.io/v1'
  readonly kind: 'Plan'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: Readonly<Record<string, unknown>>
}

export interface PolicyObject {
  readonly apiVersion: 'drover.io/v1alpha1'
  readonly kind: 'RolloutPolicy'
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: Readonly<Record<string, unknown>>
}

/** Something that a person, a machine or the network does. Machines and controllers are named by their index. */
export type Action =
  // controllers
  | { readonly do: 'crashController'; readonly controller: number; readonly backAfterMs: number }
  | {
      readonly do: 'crashAroundWrite'
      readonly controller: number
      readonly write: number
      readonly side: 'crashBefore' | 'crashAfter'
      readonly backAfterMs: number
    }
  | { readonly do: 'stallController'; readonly controller: number; readonly ms: number }
  | { readonly do: 'apiOutage'; readonly ms: number }
  | { readonly do: 'compact' }
  | { readonly do: 'silentWatches' }
  // machines
  | { readonly do: 'powerCut'; readonly machine: number; readonly ms: number }
  | { readonly do: 'reboot'; readonly machine: number }
  | { readonly do: 'flap'; readonly machine: number; readonly times: number }
  | { readonly do: 'notReady'; readonly machine: number; readonly ms: number }
  | { readonly do: 'removeMachine'; readonly machine: number; readonly deleteNodeAfterMs: number }
  | { readonly do: 'recreateMachine'; readonly machine: number }
  | { readonly do: 'slowKubelet'; readonly machine: number; readonly ms: number }
  | { readonly do: 'failProgram'; readonly machine: number; readonly times: number }
  | { readonly do: 'dieAfterReplace'; readonly machine: number; readonly times: number }
  | { readonly do: 'hangProgram'; readonly machine: number }
  | { readonly do: 'badRelease'; readonly version: string; readonly how: 'crash' | 'hang' }
  | { readonly do: 'imageMissing'; readonly image: string; readonly ms: number }
  // whatever a controller does next: see Ambush
  | { readonly do: 'ambush'; readonly ambush: Ambush }
  // people
  | { readonly do: 'editPlan'; readonly plan: string; readonly spec: Readonly<Record<string, unknown>> }
  | { readonly do: 'deletePlan'; readonly plan: string; readonly againAfterMs?: number }
  | {
      readonly do: 'annotatePlan'
      readonly plan: string
      readonly annotation: 'paused' | 'retry'
      readonly value: string
      readonly undoAfterMs?: number
    }
  | { readonly do: 'abortPlan'; readonly plan: string; readonly undoAfterMs: number }
  | { readonly do: 'holdNode'; readonly machine: number; readonly undoAfterMs: number }
  | { readonly do: 'holdNamespace'; readonly undoAfterMs: number }
  | { readonly do: 'cordon'; readonly machine: number; readonly undoAfterMs?: number }
  | { readonly do: 'uncordon'; readonly machine: number }
  | { readonly do: 'recordon'; readonly machine: number }
  | { readonly do: 'taint'; readonly machine: number; readonly undoAfterMs?: number }
  | { readonly do: 'disableNode'; readonly machine: number; readonly plan: string; readonly undoAfterMs?: number }
  | { readonly do: 'rotateSecret'; readonly name: string }
  | { readonly do: 'deleteJob' }
  | { readonly do: 'moveChannel'; readonly url: string; readonly answer: ChannelAnswer }
  // what policies look at
  | { readonly do: 'gateRed'; readonly object: string; readonly undoAfterMs: number }
  | { readonly do: 'kuredLock'; readonly holder: string; readonly undoAfterMs: number }
  | { readonly do: 'etcdSnapshot'; readonly usable: boolean }
  // people and RolloutPolicies
  | { readonly do: 'editPolicy'; readonly policy: string; readonly spec: Readonly<Record<string, unknown>> }
  | { readonly do: 'pausePolicy'; readonly policy: string; readonly undoAfterMs: number }
  /** Unreadable, until it has its own `windows` again. */
  | { readonly do: 'breakPolicy'; readonly policy: string; readonly windows: unknown; readonly undoAfterMs: number }
  /** Another that means a Plan by name. */
  | { readonly do: 'rivalPolicy'; readonly policy: PolicyObject; readonly undoAfterMs: number }
  /** It comes back, or at once these Plans are allowed to go on without. */
  | { readonly do: 'deletePolicy'; readonly policy: string; readonly againAfterMs: number }
  | { readonly do: 'deletePolicy'; readonly policy: string; readonly plans: readonly string[] }

/**
 * Waits for the next controller's write of that kind on some node, and strikes `delayMs` later: at that node, at its Plan, or at another server.
 * Random moments rarely meet the few milliseconds that matter.
 */
export interface Ambush {
  readonly on: 'dryRun' | 'claim' | 'work' | 'cordon' | 'begin' | 'run'
  readonly delayMs: number
  readonly strike: (typeof STRIKES)[number]
  /** The controllers' watches of nodes and Plans tell of it late. */
  readonly late: boolean
  /** Index into the other servers, modulo their number. */
  readonly other: number
}

export const STRIKES = [
  'recordon',
  'uncordon',
  'powerCut',
  'reboot',
  'holdNode',
  'pausePlan',
  'abortPlan',
  'deletePlan',
  'cordonOther',
  'notReadyOther',
  'powerCutOther',
  'silentWatches',
  'stallController',
  'stallController',
  'failProgram',
  'failProgram',
  'dieAfterReplace',
  'hangProgram',
] as const

export type ChannelAnswer = { readonly redirect: string } | { readonly status: number; readonly body: string } | 'down'

export interface Happening {
  readonly atMs: number
  readonly action: Action
}

/** What policies look at outside of Drover. */
export interface Surroundings {
  /** ConfigMaps that gates look at. */
  readonly gateObjects?: readonly string[]
  /** Somebody answers hooks, sooner or later. */
  readonly hooks?: boolean
  readonly kured?: boolean
  /** The cluster tells of its etcd snapshots. */
  readonly snapshots?: boolean
}

export interface Scenario {
  readonly seed: number
  readonly machines: readonly MachineSpec[]
  /** Some budgets allow nothing; at `calmMs` all are lifted by a person. */
  readonly workloads: readonly WorkloadSpec[]
  readonly plans: readonly PlanObject[]
  /** Names of batch Jobs, whose pods come to their own end. */
  readonly batches: readonly string[]
  readonly surroundings: Surroundings
  /** There before the controllers are. */
  readonly policies: readonly PolicyObject[]
  /** Nodes that a former SUC left in `status.applying` of the first Plan, cordoned if that Plan cordons or drains: machine indexes. */
  readonly leftovers: readonly number[]
  /** Whether somebody asks for a retry of what failed while things still go wrong. */
  readonly eagerOperator: boolean
  readonly secrets: readonly string[]
  readonly channels: Readonly<Record<string, ChannelAnswer>>
  readonly controllers: readonly { readonly skewMs: number; readonly startMs: number }[]
  /** Until `calmMs` each controller has a Lease of its own: all lead at once, and nobody knows. */
  readonly splitBrain: boolean
  /** Environment of every controller, as the Deployment would set it. */
  readonly env: Readonly<Record<string, string>>
  /** In force until `calmMs`. */
  readonly rates: Partial<Readonly<Record<FaultKind, number>>>
  /** Chance that a controller dies around one of its writes, until `calmMs`. */
  readonly crashRate: number
  readonly happenings: readonly Happening[]
  /** From here on nothing goes wrong any more and everything that was broken is mended. */
  readonly calmMs: number
}
