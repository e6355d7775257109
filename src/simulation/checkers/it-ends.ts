import { type Excuse, isDone, nodeExcuse, plansOf, planExcuse, selectedBy, type Truth } from './excuses.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isCordoned, keyOf, recordOf, type SeenNode } from './seen.ts'

/**
 * Promise 11, judged at the end, when faults and inputs have stopped and the bounded time is over: every selected node that nothing holds is done,
 * none carries a cordon of ours, and no controller writes any more. What may hold is derived anew in excuses.ts; the controller's own word does not count.
 */
export function itEnds(mirror: Mirror, truth: Truth, excused: Map<Excuse, number> = new Map()): Checker {
  let checks = 0

  /** Held with our cordon on: before the point of no return, or after a failed attempt whose pods ran, which keeps the cordon as SUC does. */
  function waits(node: SeenNode): boolean {
    const record = recordOf(node)
    const key = record?.cordon?.plan ?? ''
    const plan = mirror.plans.get(key)
    if (plan === undefined || (record?.past?.[key]?.result !== 'Failed' && record?.work?.plan !== key)) return false
    return planExcuse(plan, mirror, truth) !== undefined || nodeExcuse(node, plan, mirror, truth) !== undefined
  }
  return {
    promise: '11 it ends',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'end') return []
      const broken: string[] = []
      if (fact.stillWriting) broken.push('a controller still writes though nothing changes any more')
      for (const plan of plansOf(mirror, truth)) {
        const held = planExcuse(plan, mirror, truth)
        if (held !== undefined) {
          count(excused, held)
          continue
        }
        for (const node of selectedBy(plan, mirror)) {
          checks += 1
          if (isDone(node, plan)) continue
          const excuse = nodeExcuse(node, plan, mirror, truth)
          if (excuse !== undefined) {
            count(excused, excuse)
            continue
          }
          const past = recordOf(node)?.past?.[keyOf(plan.metadata)]
          const word = past === undefined ? '' : ` (its record says ${past.result} ${past.reason ?? ''}: ${past.message ?? ''})`
          broken.push(`${node.metadata.name} is not done by ${keyOf(plan.metadata)} and nothing holds it${word}`)
        }
      }
      for (const node of mirror.nodes.values()) {
        checks += 1
        const byUs = isCordoned(node) && mirror.node(node.metadata.uid).cordon?.by === 'drover'
        if (byUs && truth.well(node.metadata.name) && !waits(node)) broken.push(`${node.metadata.name} still carries our cordon`)
      }
      return broken
    },
  }
}

function count(excused: Map<Excuse, number>, excuse: Excuse): void {
  excused.set(excuse, (excused.get(excuse) ?? 0) + 1)
}
