/** `etcdSnapshot`: before a server is taken there is an etcd snapshot to go back to (design §6). Looked at only where a policy asks for it. */
import { type Hold, hold } from '../../api/reasons.ts'
import { formatTime } from '../../base/clock.ts'
import { formatMs } from '../../kube/objects/duration.ts'
import { planEvent } from '../events.ts'
import { isServer } from '../is-server.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { recordOf } from '../verdict.ts'
import type { NodeView, SnapshotView, World } from '../world.ts'
import type { Context, NodeGate } from './gate.ts'

/** While a server waits the list is asked for again so often. */
const LIST_MAX_AGE_MS = 60_000
/** A list that is older says nothing any more. */
const STALE_MS = 300_000
/** Clocks of servers may go ahead of ours by so much. */
const AHEAD_MS = 600_000

/** Asks for the list as long as a server of the Plan is to be taken, and says once where a recent snapshot is only wished for. */
export function watchSnapshots(state: PlanState, context: Context, pass: Pass): void {
  const { rules, selected, label, hash, ref } = state
  if (rules.etcdSnapshot.policy === 'Off' || !isAskedFor(state, context) || hash === '') return
  const open = [...selected.values()].some((node) => isServer(node) && node.labels[label] !== hash && !isTaken(state, node))
  if (!open) return
  pass.need({ kind: 'snapshots', maxAgeMs: LIST_MAX_AGE_MS })
  if (rules.etcdSnapshot.policy !== 'Warn') return
  const seen = pass.world.observed.snapshots.get('etcd')
  const found = missing(state, pass.world)
  if (found === undefined || seen === undefined || pass.now.mono - seen.at > STALE_MS) return
  if (pass.isNew(`no etcd snapshot ${ref.uid} ${hash}`))
    pass.step(`snapshot ${state.key}`, [planEvent(ref, 'Warning', 'NoRecentEtcdSnapshot', found.message)])
}

/** A server that has been taken already is not held for it: cordoned it would wait for the next scheduled snapshot. */
export const snapshotTaken: NodeGate = (state, node, context) => {
  if (state.rules.etcdSnapshot.policy !== 'Require' || !isServer(node) || !isAskedFor(state, context) || isTaken(state, node))
    return undefined
  return missing(state, context.world)
}

const isTaken = (state: PlanState, node: NodeView): boolean => recordOf(node).work?.plan === state.key

/** Only clusters with etcd of their own have snapshots, and only Plans that disrupt endanger it. */
function isAskedFor({ disruptive, conduct }: PlanState, { cluster }: Context): boolean {
  return disruptive && conduct.mode === 'native' && cluster.etcdMembers.length > 0
}

/** Why no snapshot counts; undefined = there is one. */
function missing({ rules }: PlanState, { observed, now }: World): Hold | undefined {
  const { maxAgeMs } = rules.etcdSnapshot
  const seen = observed.snapshots.get('etcd')
  if (seen === undefined || now.mono - seen.at > STALE_MS)
    return hold('NoRecentEtcdSnapshot', 'the etcd snapshots have not been listed yet')
  if (!seen.ok)
    return seen.refused === true
      ? hold('Refused', `the etcd snapshots cannot be listed: ${seen.error}`)
      : hold('NoRecentEtcdSnapshot', `the etcd snapshots cannot be listed: ${seen.error}`)
  if (seen.value === 'unknown')
    return hold(
      'NoRecentEtcdSnapshot',
      'the cluster has no etcdsnapshotfiles.k3s.cattle.io, by which RKE2 and K3s tell of their etcd snapshots; set etcdSnapshot.policy of the RolloutPolicy to Warn or Off to go on without',
      { endedBy: 'person' },
    )
  const usable = seen.value.filter(({ usable: can, createdAt }) => can && createdAt <= now.wall + AHEAD_MS)
  if (usable.some(({ createdAt }) => now.wall - createdAt <= maxAgeMs)) return undefined
  const newest = usable.reduce<SnapshotView | undefined>(
    (last, one) => (last !== undefined && last.createdAt >= one.createdAt ? last : one),
    undefined,
  )
  const what =
    newest === undefined
      ? `there is none that could be restored${seen.value.length === 0 ? '' : `, and ${seen.value.length} that could not`}`
      : `the newest, ${newest.name} of node ${newest.node}, is from ${formatTime(newest.createdAt)}`
  return hold('NoRecentEtcdSnapshot', `no etcd snapshot is younger than ${formatMs(maxAgeMs)}: ${what}; take one with etcd-snapshot save`)
}
