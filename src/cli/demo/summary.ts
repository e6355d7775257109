/** The demo's last words. */
import type { Judgement, Verdict } from './judge.ts'
import { duration } from './view.ts'

export interface Figures {
  readonly judgement: Judgement
  /** Verdicts from elsewhere, e.g. what the simulated machines saw. */
  readonly others: readonly Verdict[]
  readonly elapsedMs: number
  readonly from: string
  readonly target: string
  /** Requests of the controller, watches, Leases and Events aside. */
  readonly requests: number
}

export interface RequestRow {
  readonly user: string
  readonly verb: string
  readonly resource: string
  readonly count: number
}

/** How many requests the user made: all but watches, Leases and Events, which a quiet cluster gets as well. */
export function countRequests(rows: readonly RequestRow[], user: string): number {
  return rows
    .filter((row) => row.user === user && row.verb !== 'watch' && row.resource !== 'leases' && row.resource !== 'events')
    .reduce((sum, row) => sum + row.count, 0)
}

export function passed({ judgement, others }: Pick<Figures, 'judgement' | 'others'>): boolean {
  return [...judgement.verdicts, ...others].every((verdict) => verdict.ok)
}

export function summary(figures: Figures): string[] {
  const { judgement, others, requests } = figures
  const verdicts = [...judgement.verdicts, ...others]
  const each = judgement.nodes === 0 ? 0 : requests / judgement.nodes
  return [
    'Summary',
    `  nodes      ${judgement.nodes}, from ${figures.from} to ${figures.target}`,
    `  time       ${duration(figures.elapsedMs)}`,
    `  evictions  ${judgement.evictions.accepted} made, ${judgement.evictions.refused} refused by a PodDisruptionBudget and tried again`,
    `  requests   ${requests} by the controller, ${each.toFixed(1)} a node (watches, Leases and Events aside)`,
    "  checked, from the API server's history and the machines' own:",
    ...verdicts.map((verdict) => `    ${verdict.ok ? 'ok    ' : 'BROKEN'}  ${verdict.what}: ${verdict.seen}`),
  ]
}
