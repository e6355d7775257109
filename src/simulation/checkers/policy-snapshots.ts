import { policyChecker } from './admission.ts'
import { isDisruptive, type Truth } from './excuses.ts'
import { type Checker, type Fact, took } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { WATCH_LAG_MS } from './policy-past.ts'
import { lengthOf } from './policy-seen.ts'
import { isEtcd, isServer } from './seen.ts'
import { type Witness, witnessing } from './witness.ts'

/** A list of snapshots counts for five minutes; the rest is for what is written then. */
const NOTICE_MS = 330_000

interface Snapshot {
  readonly seen: number
  readonly createdAt: number
}

/** `etcdSnapshot.policy: Require`: no server is taken without a snapshot that could be restored and is young enough by the clock of who takes it. */
export function policySnapshots(mirror: Mirror, truth: Truth, witness: Witness = witnessing()): Checker {
  const usable: Snapshot[] = []
  return policyChecker(
    '1 policy snapshots',
    mirror,
    ({ etcdSnapshot }, { node, plan, write, again }) => {
      if (etcdSnapshot?.policy !== 'Require' || !isServer(node) || !isDisruptive(plan) || again) return null
      if (![...mirror.nodes.values()].some(isEtcd)) return null
      witness.add('snapshot required')
      const now = truth.wall?.(write.user, write.mono) ?? 0
      const maxAge = lengthOf(etcdSnapshot.maxAge ?? '24h') + NOTICE_MS + mirror.policies.slack(write.mono) - WATCH_LAG_MS
      const found = usable.some(({ seen, createdAt }) => seen <= write.mono && now - createdAt <= maxAge)
      return found ? undefined : `no etcd snapshot is younger than ${etcdSnapshot.maxAge}`
    },
    (fact: Fact) => {
      if (fact.kind !== 'write' || fact.write.ref.resource !== 'etcdsnapshotfiles' || !took(fact.write)) return
      const { status } = fact.write.after as { status?: { readyToUse?: boolean; size?: string; creationTime?: string } }
      if (status?.readyToUse === true && status.size !== '0')
        usable.push({ seen: fact.write.mono, createdAt: Date.parse(status.creationTime ?? '') })
    },
  )
}
