/** Quorum (design §2, promise 5): what is taken down must leave a majority of healthy, schedulable members. */
import { type Hold, hold } from '../../api/reasons.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView } from '../world.ts'
import type { Context } from './gate.ts'

/** A member whose heartbeat was not seen to advance for this long counts as down at the point of no return. */
const HEARTBEAT_MAX_AGE_MS = 60_000

export function etcdQuorum(state: PlanState, node: NodeView, context: Context): Hold | undefined {
  return quorum(state, node, context, () => true)
}

/** At the point of no return a member counts as healthy only while its heartbeat is seen to advance. */
export function etcdQuorumSeen(state: PlanState, node: NodeView, context: Context): Hold | undefined {
  const { observed, now } = context.world
  const beats = (member: NodeView): boolean => {
    const at = observed.beats.get(member.name)?.advancedAt
    return at !== undefined && now.mono - at <= HEARTBEAT_MAX_AGE_MS
  }
  const found = quorum(state, node, context, beats)
  if (found === undefined || etcdQuorum(state, node, context) !== undefined) return found
  const silent = context.cluster.etcdMembers.filter((member) => member.name !== node.name && !beats(member)).map((member) => member.name)
  const refused = silent.map((name) => observed.beats.get(name)?.refused).find((text) => text !== undefined)
  if (refused !== undefined) return hold('Refused', `heartbeats of etcd members cannot be read: ${refused}`)
  return hold(
    'HeartbeatMissing',
    `etcd member${silent.length === 1 ? '' : 's'} ${silent.join(', ')}: no heartbeat seen to advance in the last minute, and without ${silent.length === 1 ? 'it' : 'them'} too few would remain`,
  )
}

function quorum(state: PlanState, node: NodeView, { cluster, ledger }: Context, beats: (member: NodeView) => boolean): Hold | undefined {
  if (!state.disruptive || !node.etcd) return undefined
  const members = cluster.etcdMembers
  const others = members.filter((member) => member.name !== node.name)
  const healthy = others.filter(
    (member) =>
      member.ready === 'True' &&
      !member.unschedulable &&
      member.etcdVoter !== false &&
      ledger.inFlight(member) === undefined &&
      beats(member),
  )
  const down = others
    .filter((member) => !healthy.includes(member))
    .map(({ name, etcdVoter }) => (etcdVoter === false ? `${name} (EtcdIsVoter is not True)` : name))
  if (members.length >= 3) {
    const majority = Math.floor(members.length / 2) + 1
    if (healthy.length >= majority) return undefined
    return hold(
      'EtcdQuorum',
      `without ${node.name} only ${healthy.length} of ${members.length} etcd members would be healthy and schedulable, ${majority} are needed; not healthy: ${down.join(', ') || 'none'}`,
    )
  }
  if (down.length === 0) return undefined
  return hold('EtcdQuorum', `with ${members.length} etcd members all others must be healthy and schedulable; not so: ${down.join(', ')}`)
}
