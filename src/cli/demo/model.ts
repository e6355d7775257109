/** What the demo shows, computed from Plans and Nodes as the API server hands them out: no knowledge of the controller's memory. */
import type { JsonObject } from '../../base/json.ts'
import { at, list, object, text, time } from './json.ts'

export interface NodeRow {
  readonly name: string
  readonly role: 'server' | 'agent'
  /** What the kubelet reports, e.g. `v1.33.4+rke2r1`. */
  readonly version: string
  /** The Plan that selects the node. */
  readonly plan: string
  readonly phase: string
  /** When the phase began, milliseconds since the epoch; undefined if nobody said. */
  readonly sinceMs: number | undefined
  /** Why the node does not move on; empty if nothing holds it. */
  readonly waitsFor: string
  readonly cordoned: boolean
  readonly ready: boolean
}

export interface PlanRow {
  readonly name: string
  readonly target: string
  readonly done: number
  readonly selected: number
  readonly complete: boolean
  /** Reason and message of the leading condition, e.g. why nothing starts; empty when complete, or when nobody has said anything. */
  readonly note: string
}

export interface Model {
  readonly nodes: readonly NodeRow[]
  readonly plans: readonly PlanRow[]
  readonly done: number
  /** Every Plan says Complete for its current generation and every node is done. */
  readonly complete: boolean
  /** Nodes that a Plan's status calls failed. */
  readonly failed: readonly string[]
}

/** Reasons in the condition Complete that are about a whole Plan. Others are about one of its nodes, or say that work goes on. */
const ABOUT_THE_PLAN = [
  'NotReady',
  'Waiting',
  'WaitingForPlan',
  'Paused',
  'Aborted',
  'NamespaceHeld',
  'ImageVersionMismatch',
  'PodRejected',
]

/** Which Plan of the demo is about the node. */
export type PlanOf = (role: NodeRow['role']) => string

export function modelOf(plans: readonly JsonObject[], nodes: readonly JsonObject[], planOf: PlanOf): Model {
  const views = new Map(plans.map((plan) => [text(at(plan, 'metadata', 'name')), planView(plan)]))
  const rows = nodes.map((node) => nodeRow(node, views, planOf)).toSorted(byRoleAndName)
  const done = rows.filter((row) => row.phase === 'Done').length
  return {
    nodes: rows,
    plans: [...views].map(([name, view]) => planRow(name, view, rows)).toSorted((a, b) => firstOf(a, rows) - firstOf(b, rows)),
    done,
    complete: rows.length > 0 && done === rows.length && [...views.values()].every((view) => view.complete),
    failed: rows.filter((row) => row.phase === 'Failed').map((row) => row.name),
  }
}

interface PlanView {
  readonly target: string
  readonly hash: string
  readonly complete: boolean
  /** Reason and message of the first condition that says why the Plan is not complete. */
  readonly note: string
  /** The same, if it holds each of the Plan's nodes. */
  readonly hold: string
  readonly statuses: ReadonlyMap<string, { phase: string; sinceMs: number | undefined; message: string }>
}

function planView(plan: JsonObject): PlanView {
  const status = object(plan['status'])
  const conditions = new Map(list(status['conditions']).map((condition) => [text(condition['type']), condition]))
  const complete = conditions.get('Complete')
  const current = status['observedGeneration'] === undefined || status['observedGeneration'] === at(plan, 'metadata', 'generation')
  const leading = leadingCondition(conditions)
  return {
    target: text(status['latestVersion']),
    hash: text(status['latestHash']),
    complete: complete?.['status'] === 'True' && current,
    note: leading === undefined ? '' : describe(leading),
    hold: leading !== undefined && ABOUT_THE_PLAN.includes(text(leading['reason'])) ? describe(leading) : '',
    statuses: new Map(
      list(status['nodeStatuses']).map((entry) => [
        text(entry['name']),
        { phase: text(entry['phase']), sinceMs: time(entry['since']), message: text(entry['message']) },
      ]),
    ),
  }
}

/** The condition that explains most: what is wrong, then what is stuck, then what is not complete. */
function leadingCondition(conditions: ReadonlyMap<string, JsonObject>): JsonObject | undefined {
  for (const type of ['Validated', 'LatestResolved']) {
    const condition = conditions.get(type)
    if (condition?.['status'] === 'False') return condition
  }
  const stalled = conditions.get('Stalled')
  if (stalled?.['status'] === 'True') return stalled
  const complete = conditions.get('Complete')
  return complete === undefined || complete['status'] === 'True' ? undefined : complete
}

function describe(condition: JsonObject): string {
  const reason = text(condition['reason'])
  const message = text(condition['message'])
  if (message === '') return reason
  return reason === '' || message.startsWith(reason) ? message : `${reason}: ${message}`
}

function nodeRow(node: JsonObject, plans: ReadonlyMap<string, PlanView>, planOf: PlanOf): NodeRow {
  const name = text(at(node, 'metadata', 'name'))
  const labels = object(at(node, 'metadata', 'labels'))
  const role = labels['node-role.kubernetes.io/control-plane'] === 'true' ? 'server' : 'agent'
  const plan = planOf(role)
  const view = plans.get(plan)
  const conditions = list(at(node, 'status', 'conditions'))
  return {
    name,
    role,
    version: text(at(node, 'status', 'nodeInfo', 'kubeletVersion')),
    plan,
    cordoned: at(node, 'spec', 'unschedulable') === true,
    ready: conditions.some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True'),
    ...progress(name, labels, plan, view),
  }
}

function progress(
  name: string,
  labels: JsonObject,
  plan: string,
  view: PlanView | undefined,
): Pick<NodeRow, 'phase' | 'sinceMs' | 'waitsFor'> {
  if (view === undefined) return { phase: 'Pending', sinceMs: undefined, waitsFor: `Plan ${plan} does not exist` }
  const status = view.statuses.get(name)
  if (status !== undefined) return { phase: status.phase, sinceMs: status.sinceMs, waitsFor: status.message }
  // The list in the status is bounded; nodes that it leaves out are done, or wait like everybody else.
  const finished = view.hash !== '' && labels[`plan.upgrade.cattle.io/${plan}`] === view.hash
  if (finished) return { phase: 'Done', sinceMs: undefined, waitsFor: '' }
  return { phase: 'Pending', sinceMs: undefined, waitsFor: view.hold }
}

function planRow(name: string, view: PlanView, rows: readonly NodeRow[]): PlanRow {
  const own = rows.filter((row) => row.plan === name)
  return {
    name,
    target: view.target,
    done: own.filter((row) => row.phase === 'Done').length,
    selected: own.length,
    complete: view.complete,
    note: view.complete ? '' : view.note,
  }
}

/** Place of the Plan's first node: Plans stand in the order of their nodes. */
function firstOf(plan: PlanRow, rows: readonly NodeRow[]): number {
  const index = rows.findIndex((row) => row.plan === plan.name)
  return index < 0 ? rows.length : index
}

function byRoleAndName(a: NodeRow, b: NodeRow): number {
  if (a.role !== b.role) return a.role === 'server' ? -1 : 1
  return a.name < b.name ? -1 : 1
}
