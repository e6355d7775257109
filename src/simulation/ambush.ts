import type { HistoryWrite } from './checkers/fact.ts'
import type { Mirror } from './checkers/mirror.ts'
import { type Touch, touchesOf } from './checkers/touch.ts'
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
  for (const touch of touchesOf(write, mirror)) {
    const index = stage.ambushes.findIndex((ambush) => ambush.on === touch.what)
    const ambush = stage.ambushes[index]
    if (ambush === undefined) continue
    stage.ambushes.splice(index, 1)
    const action = actionOf(stage, ambush, touch)
    if (action !== undefined) found.push({ delayMs: ambush.delayMs, strike: ambush.strike, action })
  }
  return found
}

function actionOf(stage: Stage, { strike, other }: Ambush, touch: Touch): Action | undefined {
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
    case 'silentWatches':
      return { do: 'silentWatches' }
  }
}
