/** Quorum (design §2, promise 5): what is taken down must leave a majority of healthy, schedulable members. */
import { type Hold, hold } from '../../api/reasons.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView, World } from '../world.ts'
import type { Context } from './gate.ts'

/** A member whose heartbeat was not seen to advance for this long counts as down at the point of no return. */
export const HEARTBEAT_MAX_AGE_MS = 60_000

export function etcdQuorum(state: PlanState, node: NodeView, { cluster, ledger }: Context): Hold | undefined {
  if (!state.disruptive || !node.etcd) return undefined
  const members = cluster.etcdMembers
  const others = members.filter((member) => member.name !== node.name)
  const healthy = others.filter((member) => member.ready === 'True' && !member.unschedulable && !ledger.inFlight(member))
  const down = others.filter((member) => !healthy.includes(member)).map((member) => member.name)
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

/** Etcd members, other than the node, whose heartbeat was not seen to advance lately. */
export function silentMembers(node: NodeView, members: readonly NodeView[], world: Pick<World, 'observed' | 'now'>): string[] {
  return members
    .filter((member) => member.name !== node.name)
    .filter((member) => {
      const at = world.observed.beats.get(member.name)?.advancedAt
      return at === undefined || world.now.mono - at > HEARTBEAT_MAX_AGE_MS
    })
    .map((member) => member.name)
}
