import { type Checker, type HistoryWrite, took } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isEtcd, keyOf, recordOf, type SeenNode, type SeenPlan } from './seen.ts'
import { placeOf, touchesOf } from './touch.ts'

/** For agents the Plan is looked at through a watch, which may lag. In milliseconds. */
const WATCH_LAG_MS = 180_000

/**
 * The point of no return (design §4.5): no node passes it while people hold it. A hold on the Node itself cannot be overlooked, since the PATCH names
 * its resourceVersion. A Plan that was paused, or aborted at this hash, before the node's apply Job was made has to be seen for an etcd member (its
 * Plan is read anew after that), and within the lag of a watch for any other node.
 */
export function heldStart(mirror: Mirror): Checker {
  const stopped = new Map<string, { readonly since: number; readonly how: string }>()
  /** When the last apply Job for a node was made. */
  const made = new Map<string, number>()
  let checks = 0

  function notePlan(write: HistoryWrite): void {
    const plan = (write.after ?? write.before) as SeenPlan | undefined
    if (plan === undefined) return
    const key = keyOf(plan.metadata)
    const how = write.after === undefined ? undefined : stopOf(plan)
    if (how === undefined) stopped.delete(key)
    else if (stopped.get(key)?.how !== how) stopped.set(key, { since: write.mono, how })
  }

  function judge(write: HistoryWrite, node: SeenNode, plan: string): readonly string[] {
    checks += 1
    const broken: string[] = []
    if (isHeld((write.before as SeenNode | undefined)?.metadata.annotations?.['drover.io/hold']))
      broken.push(`begin of ${node.metadata.name}, which people hold`)
    const stop = stopped.get(plan)
    const known = isEtcd(node) ? (made.get(node.metadata.name) ?? write.mono) : write.mono - WATCH_LAG_MS
    const meant = stop !== undefined && (stop.how === 'paused' || recordOf(node)?.work?.hash?.startsWith(stop.how) === true)
    if (stop !== undefined && meant && stop.since <= known)
      broken.push(
        `begin of ${node.metadata.name} for ${plan}, stopped by people (${stop.how}) ${Math.round(write.mono - stop.since)} ms before`,
      )
    return broken
  }

  return {
    promise: '4.5 no start while held',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write' || !took(fact.write)) return []
      const { write } = fact
      if (write.ref.resource === 'plans') notePlan(write)
      if (write.ref.resource === 'jobs' && write.verb === 'create') {
        const job = mirror.jobs.get(`${write.ref.namespace}/${write.ref.name}`)
        const place = job === undefined ? undefined : placeOf(job, mirror)
        if (place?.prepares === false) made.set(place.node, write.mono)
      }
      const touch = touchesOf(write, mirror).find(({ what }) => what === 'begin')
      const node = touch === undefined ? undefined : mirror.nodes.get(touch.node)
      return touch?.plan === undefined || node === undefined ? [] : judge(write, node, touch.plan)
    },
  }
}

/** `paused`, or the hash that is aborted. */
function stopOf(plan: SeenPlan): string | undefined {
  if (isHeld(plan.metadata.annotations?.['drover.io/paused'])) return 'paused'
  return plan.metadata.annotations?.['drover.io/abort']
}

function isHeld(value: string | undefined): boolean {
  return value !== undefined && value !== 'false'
}
