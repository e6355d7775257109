import { type Checker, type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { hostnameOf, isEtcd, keyOf, recordOf, type SeenNode, type SeenPlan } from './seen.ts'
import { liveJobs, type Touch, touchesOf } from './touch.ts'

type Work = NonNullable<ReturnType<typeof recordOf>>['work']

/** In milliseconds. */
const WATCH_LAG_MS = 180_000

/**
 * Promise 2. Whatever starts work on a node finds its hostname in the Plan's `status.applying`, unless the node is already past the point of no return
 * and the Plan has gone (then the record counts); and no other Plan has live work or a live Job on it.
 */
export function claimFirst(mirror: Mirror): Checker {
  /** When Plans were deleted last. */
  const gone = new Map<string, number>()
  let checks = 0

  /** Its Plan was deleted so recently that a late watch need not have shown it; past the point of no return of an etcd member it is read anew. */
  function justGone(touch: Touch, node: SeenNode, mono: number): boolean {
    if (isEtcd(node) && (touch.what === 'begin' || touch.what === 'run')) return false
    const since = gone.get(touch.plan ?? '')
    return since !== undefined && mono - since <= WATCH_LAG_MS
  }

  function notePlan(write: HistoryWrite): void {
    if (write.ref.resource !== 'plans' || !took(write) || write.after !== undefined || write.before === undefined) return
    gone.set(keyOf((write.before as SeenPlan).metadata), write.mono)
  }

  /** A slot is given back only when the record shows no live work of that Plan any more. */
  function releases(write: HistoryWrite): readonly string[] {
    const before = write.before as SeenPlan | undefined
    const after = write.after as SeenPlan | undefined
    if (write.ref.resource !== 'plans' || before === undefined || after === undefined || !took(write) || whoIs(write.user) !== 'drover')
      return []
    const kept = new Set(after.status?.applying ?? [])
    const broken: string[] = []
    for (const hostname of before.status?.applying ?? []) {
      if (kept.has(hostname)) continue
      checks += 1
      const node = mirror.nodeByHostname(hostname)
      const work = recordOf(node)?.work
      const live = work?.planUID === after.metadata.uid && recordOf(node)?.nodeUID === node?.metadata.uid
      if (live) broken.push(`${keyOf(after.metadata)} gives back the slot of ${hostname}, whose record shows live work`)
    }
    return broken
  }

  return {
    promise: '2 claim first',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write') return []
      notePlan(fact.write)
      const broken: string[] = [...releases(fact.write)]
      for (const touch of touchesOf(fact.write, mirror)) {
        if (!touch.starts) continue
        checks += 1
        const node = mirror.nodes.get(touch.node)
        const before = fact.write.ref.resource === 'nodes' ? (fact.write.before as SeenNode) : node
        const work = recordOf(before)?.work
        if (touch.plan === undefined) {
          broken.push(`${touch.what} of ${touch.node} for no Plan`)
          continue
        }
        if (
          node !== undefined &&
          !stands(mirror, touch.plan, hostnameOf(node)) &&
          !drivenOn(mirror, touch.plan, work) &&
          !justGone(touch, node, fact.write.mono)
        ) {
          broken.push(`${touch.what} of ${touch.node} for ${touch.plan}, which does not hold it in status.applying`)
        }
        if (work !== undefined && work.plan !== touch.plan)
          broken.push(`${touch.what} of ${touch.node} for ${touch.plan} while ${work.plan} works on it`)
        const other = liveJobs(touch.node, mirror).find((live) => live.plan !== touch.plan)
        if (other !== undefined) broken.push(`${touch.what} of ${touch.node} for ${touch.plan} while a Job of ${other.plan} runs there`)
      }
      return broken
    },
  }
}

function stands(mirror: Mirror, plan: string, hostname: string | undefined): boolean {
  return hostname !== undefined && mirror.plan(plan).claims.has(hostname)
}

function drivenOn(mirror: Mirror, plan: string, work: Work): boolean {
  return work?.startedAt !== undefined && mirror.plans.get(plan)?.metadata.uid !== work.planUID
}
