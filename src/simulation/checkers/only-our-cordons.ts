import type { Checker, HistoryWrite } from './fact.ts'
import { took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { hostnameOf, isCordoned, recordOf, type SeenNode } from './seen.ts'

/**
 * Promise 3. A controller lifts only a cordon that a controller set, or one that SUC (or its Job) set and the record says was adopted; any change by
 * somebody else in between makes it theirs. Cordon and record are one PATCH, and no record may claim a cordon that somebody else set.
 */
export function onlyOurCordons(mirror: Mirror): Checker {
  let checks = 0
  /** Who set the cordon that stands, by node UID: the mirror forgets it with the write that lifts it. */
  const owners = new Map<string, string>()

  function judge(write: HistoryWrite, before: SeenNode, after: SeenNode): readonly string[] {
    const { name, uid } = after.metadata
    const owner = owners.get(uid)
    const old = recordOf(before)
    const now = recordOf(after)
    if (isCordoned(before) && !isCordoned(after)) {
      checks += 1
      const adopted = old?.cordon?.adopted !== undefined && owner === 'suc'
      if (owner !== 'drover' && !adopted) return [`uncordon of ${name}, which was cordoned by ${owner ?? 'somebody before the rollout'}`]
      if (old?.cordon === undefined) return [`uncordon of ${name}, whose record names no cordon`]
      return []
    }
    if (!isCordoned(before) && isCordoned(after)) {
      checks += 1
      return now?.cordon === undefined || write.verb !== 'patch' ? [`cordon of ${name} without its record in the same PATCH`] : []
    }
    if (now?.cordon !== undefined && old?.cordon === undefined && isCordoned(before)) {
      checks += 1
      const right = now.cordon.adopted !== undefined ? owner === 'suc' : owner === 'drover'
      return right ? [] : [`the record of ${name} (${hostnameOf(after)}) claims a cordon set by ${owner ?? 'somebody before the rollout'}`]
    }
    return []
  }

  return {
    promise: '3 only our cordons',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write' || fact.write.ref.resource !== 'nodes' || !took(fact.write)) return []
      const before = fact.write.before as SeenNode | undefined
      const after = fact.write.after as SeenNode | undefined
      if (after === undefined) return []
      const who = whoIs(fact.write.user)
      const broken = who === 'drover' && before !== undefined ? judge(fact.write, before, after) : []
      if (!isCordoned(after)) owners.delete(after.metadata.uid)
      else if (!isCordoned(before)) owners.set(after.metadata.uid, mirror.node(after.metadata.uid).cordon?.by ?? who)
      return broken
    },
  }
}
