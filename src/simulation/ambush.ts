import { type HistoryWrite, took, whoIs } from './checkers/fact.ts'
import type { Mirror } from './checkers/mirror.ts'
import type { SeenPlan, SeenPod } from './checkers/seen.ts'
import { touchesOf } from './checkers/touch.ts'
import type { Stage } from './act.ts'
import type { Action, Ambush } from './scenario.ts'

export interface Strike {
  readonly delayMs: number
  readonly strike: Ambush['strike']
  readonly action: Action
}

/** The ambushes that this write springs, each with what is to happen; they are disarmed. */
export function sprung(stage: Stage, write: HistoryWrite, mirror: Mirror): readonly Strike[] {
  if (stage.ambushes.length === 0) return []
  const found: Strike[] = []
  for (const moment of momentsOf(write, mirror)) {
    const index = stage.ambushes.findIndex((ambush) => ambush.on === moment.what)
    const ambush = stage.ambushes[index]
    if (ambush === undefined) continue
    stage.ambushes.splice(index, 1)
    const action = actionOf(stage, ambush, moment, write.user)
    if (action === undefined) continue
    if (ambush.late) tellLate(stage)
    found.push({ delayMs: ambush.delayMs, strike: ambush.strike, action })
  }
  return found
}

interface Moment {
  readonly what: string
  readonly node: string
  readonly plan?: string
}

/** What a write does to nodes; also the claim, and the dry run just before it. */
function momentsOf(write: HistoryWrite, mirror: Mirror): readonly Moment[] {
  if (write.dryRun) {
    const labels = (write.body as SeenPod | undefined)?.metadata.labels ?? {}
    const node = labels['upgrade.cattle.io/node'] ?? ''
    return [{ what: 'dryRun', node, plan: `${write.ref.namespace}/${labels['upgrade.cattle.io/plan']}` }]
  }
  if (write.ref.resource !== 'plans' || !took(write)) return touchesOf(write, mirror)
  const before = new Set((write.before as SeenPlan | undefined)?.status?.applying ?? [])
  const claimed = ((write.after as SeenPlan | undefined)?.status?.applying ?? []).find((hostname) => !before.has(hostname))
  const node = claimed === undefined ? undefined : mirror.nodeByHostname(claimed)
  return node === undefined ? [] : [{ what: 'claim', node: node.metadata.name, plan: `${write.ref.namespace}/${write.ref.name}` }]
}

/** The next few events of nodes and Plans reach the controllers late, and with them all that follow. */
function tellLate({ sandbox }: Stage): void {
  for (const resource of ['nodes', 'plans']) {
    for (let i = 0; i < 3; i += 1) sandbox.faults.once('watchLag', (call) => call.resource === resource && whoIs(call.user) === 'drover')
  }
}

function actionOf(stage: Stage, { strike, other }: Ambush, touch: Moment, user: string): Action | undefined {
  const { machines } = stage.scenario
  const machine = machines.findIndex((spec) => spec.name === touch.node)
  const others = machines.flatMap((spec, index) => (spec.role === 'server' && index !== machine ? [index] : []))
  const another = others[other % Math.max(1, others.length)]
  const plan = touch.plan?.slice(touch.plan.indexOf('/') + 1)
  const undoAfterMs = 180_000
  switch (strike) {
    case 'recordon':
    case 'uncordon':
    case 'reboot':
      return { do: strike, machine }
    case 'hangProgram':
      return { do: strike, machine }
    case 'failProgram':
    case 'dieAfterReplace':
      return { do: strike, machine, times: strike === 'failProgram' ? 20 : 2 }
    case 'powerCut':
      return { do: 'powerCut', machine, ms: undoAfterMs }
    case 'holdNode':
      return { do: 'holdNode', machine, undoAfterMs }
    case 'pausePlan':
      return plan === undefined ? undefined : { do: 'annotatePlan', plan, annotation: 'paused', value: 'true', undoAfterMs }
    case 'abortPlan':
      return plan === undefined ? undefined : { do: 'abortPlan', plan, undoAfterMs }
    case 'deletePlan':
      return plan === undefined ? undefined : { do: 'deletePlan', plan, againAfterMs: 60_000 }
    case 'cordonOther':
      return another === undefined ? undefined : { do: 'cordon', machine: another, undoAfterMs }
    case 'notReadyOther':
      return another === undefined ? undefined : { do: 'notReady', machine: another, ms: undoAfterMs }
    case 'powerCutOther':
      return another === undefined ? undefined : { do: 'powerCut', machine: another, ms: undoAfterMs }
    case 'stallController':
      // Longer than a Lease: another one takes over, and this one goes on where it was.
      return { do: 'stallController', controller: Number(user.slice('drover-'.length)), ms: other % 2 === 0 ? 45_000 : 100_000 }
    case 'silentWatches':
      return { do: 'silentWatches' }
  }
}
