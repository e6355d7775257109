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
  readonly requests: Requests
}

export interface RequestRow {
  readonly user: string
  readonly verb: string
  readonly resource: string
  readonly count: number
}

/** The controller's requests by what they were for. Watches, Leases and Events, which a quiet cluster gets as well, are left out. */
export interface Requests {
  /** Once, at its start: the CRD and the check of its own permissions. */
  readonly start: number
  /** Looking for pods and budgets, and evicting. */
  readonly draining: number
  readonly rest: number
}

const ASIDE = ['leases', 'events']
const START = ['customresourcedefinitions', 'selfsubjectaccessreviews']
const isDraining = ({ verb, resource }: RequestRow) =>
  resource === 'pods/eviction' || (verb === 'list' && ['pods', 'poddisruptionbudgets'].includes(resource))

export function countRequests(rows: readonly RequestRow[], user: string): Requests {
  const counted = rows.filter((row) => row.user === user && row.verb !== 'watch' && !ASIDE.includes(row.resource))
  const sum = (some: readonly RequestRow[]) => some.reduce((total, row) => total + row.count, 0)
  const start = sum(counted.filter((row) => START.some((name) => row.resource.endsWith(name))))
  const draining = sum(counted.filter(isDraining))
  return { start, draining, rest: sum(counted) - start - draining }
}

export function passed({ judgement, others }: Pick<Figures, 'judgement' | 'others'>): boolean {
  return [...judgement.verdicts, ...others].every((verdict) => verdict.ok)
}

export function summary(figures: Figures): string[] {
  const { judgement, others, requests } = figures
  const verdicts = [...judgement.verdicts, ...others]
  const each = judgement.nodes === 0 ? 0 : requests.rest / judgement.nodes
  return [
    'Summary',
    `  nodes      ${judgement.nodes}, from ${figures.from} to ${figures.target}`,
    `  time       ${duration(figures.elapsedMs)}`,
    `  evictions  ${judgement.evictions.accepted} made, ${judgement.evictions.refused} refused by a PodDisruptionBudget and tried again`,
    `  requests   ${requests.rest} by the controller, ${each.toFixed(1)} a node; ${requests.draining} more to drain, ${requests.start} at its start`,
    '             (watches, Leases and Events aside)',
    "  checked, from the API server's history and the machines' own:",
    ...verdicts.map((verdict) => `    ${verdict.ok ? 'ok    ' : 'BROKEN'}  ${verdict.what}: ${verdict.seen}`),
  ]
}
