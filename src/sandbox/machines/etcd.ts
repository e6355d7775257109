import type { Clock } from '../../base/clock.ts'

/** One change of the membership, and what it left. */
export interface EtcdMoment {
  /** Mono milliseconds. */
  readonly at: number
  readonly member: string
  readonly up: boolean
  readonly total: number
  readonly healthy: number
  readonly quorum: boolean
}

/** The etcd of the simulated cluster: who is a member, who is up, and whether a majority is, at any moment since the start. */
export interface Etcd {
  readonly members: ReadonlyMap<string, { readonly up: boolean }>
  readonly timeline: readonly EtcdMoment[]
  readonly hasQuorum: boolean
  /** How often the majority was lost. */
  readonly lost: number
  /** A member joins, comes up or goes down. */
  set(member: string, up: boolean): void
  /** A member leaves for good. */
  remove(member: string): void
}

export function createEtcd(clock: Clock): Etcd {
  const members = new Map<string, { up: boolean }>()
  const timeline: EtcdMoment[] = []
  let quorum = true
  let lost = 0

  function note(member: string, up: boolean): void {
    let healthy = 0
    for (const one of members.values()) if (one.up) healthy++
    const had = quorum
    quorum = members.size === 0 || healthy > Math.floor(members.size / 2)
    if (had && !quorum) lost++
    timeline.push({ at: clock.mono(), member, up, total: members.size, healthy, quorum })
  }

  return {
    members,
    timeline,
    get hasQuorum() {
      return quorum
    },
    get lost() {
      return lost
    },
    set(member, up) {
      if (members.get(member)?.up === up) return
      members.set(member, { up })
      note(member, up)
    },
    remove(member) {
      if (members.delete(member)) note(member, false)
    },
  }
}
