/**
 * Nodes whose drain did not end in time and that gave their slot back (policy `drain.onTimeout`): Release lets them go and tries again later,
 * after all others; Quarantine keeps them cordoned until a person says so. Remembered in the node's record, so that nothing spins.
 */
import { type Hold, hold } from '../../api/reasons.ts'
import type { Blocked, NodeRecord, PlanKey, Work } from '../../api/record.ts'
import { formatTime } from '../../base/clock.ts'
import { limitOf } from '../../kube/objects/int-or-percent.ts'
import { warnings } from '../events.ts'
import { backoffMs, isArmed } from '../failures.ts'
import type { NodeGate } from '../gates/gate.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { patchNode, recordOf, withoutWork } from '../verdict.ts'
import type { NodeView } from '../world.ts'
import { upToThree } from './some-names.ts'

/** What is remembered of a drain of this hash that did not end; undefined also while the node is worked on, and once it is done. */
export function blockedOn(state: PlanState, node: NodeView): Blocked | undefined {
  const { work, blocked } = recordOf(node)
  const entry = blocked?.[state.key]
  if (entry?.hash !== state.hash || work !== undefined || node.labels[state.label] === state.hash) return undefined
  return entry
}

/** It waits for a person, cordoned. */
export function isQuarantined(state: PlanState, node: NodeView): boolean {
  const entry = blockedOn(state, node)
  return entry?.how === 'Quarantine' && !isArmed(state, entry)
}

/** Wall-clock time of the next try; undefined = it takes a person. */
function nextTry(state: PlanState, entry: Blocked): number | undefined {
  if (isArmed(state, entry)) return 0
  return entry.how === 'Quarantine' ? undefined : Date.parse(entry.at) + backoffMs(state, entry.attempts)
}

/** The node was given back because of its drain, and its time has not come again. */
export const notBlocked: NodeGate = (state, node, { world }) => {
  const { cordon, blocked } = recordOf(node)
  if (cordon !== undefined && cordon.plan !== state.key && blocked?.[cordon.plan]?.how === 'Quarantine')
    return hold(
      'Quarantined',
      `Plan ${cordon.plan} could not drain node ${node.name} and keeps it cordoned; set drover.io/retry on that Plan`,
      {
        blockedBy: `Plan/${cordon.plan}`,
      },
    )
  const entry = blockedOn(state, node)
  if (entry === undefined) return undefined
  const next = nextTry(state, entry)
  if (next === undefined)
    return hold(
      'Quarantined',
      `node ${node.name} could not be drained (try ${entry.attempts}, ${entry.at}) and stays cordoned: ${entry.message}; see to it, then set drover.io/retry on the Plan to a new value`,
    )
  if (world.now.wall >= next) return undefined
  return hold(
    'DrainPutOff',
    `node ${node.name} could not be drained (try ${entry.attempts}, ${entry.at}): ${entry.message}; the next begins at ${formatTime(next)}`,
    {
      retryAt: next,
    },
  )
}

/** With more than `drain.maxBlockedNodes` nodes given back a Plan takes only those again. */
export function tooManyBlocked(state: PlanState): Hold | undefined {
  const { policy, drain } = state.rules
  const blocked = [...state.selected.values()].filter((node) => blockedOn(state, node) !== undefined)
  const limit = limitOf(drain.maxBlockedNodes, state.selected.size)
  if (blocked.length <= limit) return undefined
  const quarantined = blocked.find((node) => isQuarantined(state, node))
  const first = quarantined ?? blocked[0]
  return hold(
    'TooManyBlockedNodes',
    `${blocked.length} node${blocked.length === 1 ? '' : 's'} could not be drained in time (${upToThree(blocked.map(({ name }) => name))}); ${policy === undefined ? 'the default' : `RolloutPolicy ${policy.name}`} allows ${limit}`,
    { blockedBy: `Node//${first?.name}`, endedBy: quarantined === undefined ? 'cluster' : 'person' },
  )
}

/** Plans of which the record no longer has to remember a drain: gone or aborted, of another hash, or done with the node or without it. */
export function outdatedBlocks(node: NodeView, stateOf: (plan: PlanKey) => PlanState | 'unknown' | 'gone'): readonly PlanKey[] {
  return Object.entries(recordOf(node).blocked ?? {}).flatMap(([plan, entry]) => {
    const state = stateOf(plan)
    if (state === 'unknown') return []
    if (state === 'gone' || !state.selected.has(node.name)) return [plan]
    if (state.hash === '') return []
    return entry.hash !== state.hash || node.labels[state.label] === state.hash ? [plan] : []
  })
}

export function withoutBlocks(record: NodeRecord, plans: readonly PlanKey[]): NodeRecord {
  if (record.blocked === undefined || plans.length === 0) return record
  return { ...record, blocked: Object.fromEntries(Object.entries(record.blocked).filter(([plan]) => !plans.includes(plan))) }
}

/** Gives the node back before the point of no return, with a memory of why. */
export function giveBack(
  { state, node }: { readonly state: PlanState; readonly node: NodeView },
  work: Work,
  how: Blocked['how'],
  message: string,
  pass: Pass,
): void {
  const record = recordOf(node)
  const before = record.blocked?.[work.plan]
  const entry: Blocked = {
    hash: work.hash,
    how,
    attempts: (before?.hash === work.hash ? before.attempts : 0) + 1,
    message: message.slice(0, 512),
    at: formatTime(pass.now.wall),
    retrySeen: work.retry,
    generation: work.generation,
  }
  const what = how === 'Release' ? 'given back, to be tried again later' : 'it gives its slot back and stays cordoned'
  pass.step(node.name, [
    patchNode(node, { ...withoutWork(record), blocked: { ...record.blocked, [work.plan]: entry } }, { uncordon: how === 'Release' }),
    ...warnings(node, state, 'DrainTimeout', `${message}; ${what}`),
  ])
}
