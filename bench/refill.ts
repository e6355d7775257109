/** Whether slots are refilled in the write that frees them, read from the API server's history. */
import type { Write } from '../src/sandbox/server/types.ts'

export interface Refills {
  /** Slots freed while another node waited to be taken. */
  readonly freed: number
  /** Of these, how many the same write left empty. */
  readonly leftEmpty: number
}

interface PlanLike {
  readonly metadata: { readonly name: string }
  readonly spec?: { readonly concurrency?: number }
  readonly status?: { readonly applying?: readonly string[]; readonly latestHash?: string }
}

interface NodeLike {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> }
}

/**
 * `nodes`: the hostnames that the Plan selects. A node waits while it has no done label and is not in `applying`; who that is at the moment of
 * a write is told by the writes before it.
 */
export function countRefills(history: readonly Write[], plan: string, nodes: ReadonlySet<string>): Refills {
  const label = `plan.upgrade.cattle.io/${plan}`
  const labels = new Map<string, string | undefined>()
  let freed = 0
  let leftEmpty = 0
  for (const { ref, status, dryRun, before, after } of history) {
    if (status >= 300 || dryRun || after === undefined) continue
    if (ref.resource === 'nodes') labels.set(ref.name ?? '', (after as unknown as NodeLike).metadata.labels?.[label])
    if (ref.resource !== 'plans' || ref.name !== plan || before === undefined) continue
    const old = before as unknown as PlanLike
    const now = after as unknown as PlanLike
    const applying = new Set(now.status?.applying)
    const dropped = (old.status?.applying ?? []).filter((hostname) => !applying.has(hostname))
    if (dropped.length === 0) continue
    const waited = new Set(old.status?.applying)
    const waiting = [...nodes].filter((name) => !waited.has(name) && labels.get(name) !== now.status?.latestHash).length
    const added = [...applying].filter((hostname) => !waited.has(hostname)).length
    const refillable = Math.min(dropped.length, waiting)
    freed += refillable
    leftEmpty += Math.max(0, refillable - added)
  }
  return { freed, leftEmpty }
}
