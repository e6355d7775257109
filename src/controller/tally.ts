/** Publishes what a decision says as metrics: nodes by Plan and phase, holds by reason, how long phases lasted. */
import type { Clock } from '../base/clock.ts'
import type { HoldCount, Metrics, PhaseCount } from '../observability/metrics.ts'
import type { Decision, Phase } from '../rollout/world.ts'

export function createTally(metrics: Metrics, clock: Clock): (decision: Decision) => void {
  const entered = new Map<string, { phase: Phase; at: number }>()
  return ({ reports }) => {
    const now = clock.mono()
    const phases: PhaseCount[] = []
    const holds: HoldCount[] = []
    const alive = new Set<string>()
    for (const [plan, report] of reports) {
      const byPhase = new Map<string, number>()
      const byReason = new Map<string, number>()
      for (const hold of report.holds) byReason.set(hold.reason, (byReason.get(hold.reason) ?? 0) + 1)
      for (const [node, { phase, holds: nodeHolds }] of report.nodes) {
        const key = `${plan} ${node}`
        alive.add(key)
        byPhase.set(phase, (byPhase.get(phase) ?? 0) + 1)
        for (const hold of nodeHolds) byReason.set(hold.reason, (byReason.get(hold.reason) ?? 0) + 1)
        const before = entered.get(key)
        if (before?.phase === phase) continue
        if (before !== undefined) metrics.phaseEnded(before.phase, (now - before.at) / 1000)
        entered.set(key, { phase, at: now })
      }
      for (const [phase, count] of byPhase) phases.push({ plan, phase, count })
      for (const [reason, count] of byReason) holds.push({ plan, reason, count })
    }
    for (const key of entered.keys()) if (!alive.has(key)) entered.delete(key)
    metrics.nodes(phases)
    metrics.holds(holds)
  }
}
