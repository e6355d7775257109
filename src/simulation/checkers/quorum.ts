import { isDisruptive } from './excuses.ts'
import { type Checker, type HistoryWrite, took } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isCordoned, isEtcd, recordOf, type SeenNode } from './seen.ts'
import { liveJobs, placeOf, touchesOf } from './touch.ts'

/** What a careful controller cannot have known yet, in milliseconds: between its last look (a quorum read) and the write that follows. */
const LOOKED_AGO_MS = 30_000
/** At the cordon the members are judged from a watch, which may lag, and by their conditions alone. */
const CORDON_LOOKED_AGO_MS = 180_000
/** A member whose heartbeat did not advance for this long counts as down (design §4.5). */
const SILENT_MS = 60_000

/**
 * Promise 5. When an etcd member is cordoned, passes the point of no return or has its Job started, a majority of all members remains healthy and
 * schedulable without it; of one or two members every other one is well. Members that we ourselves hold down count at once, others when a careful
 * look would have shown it.
 */
export function quorum(mirror: Mirror): Checker {
  /** When the apply Job for a node was made: the members are read anew after that. */
  const made = new Map<string, number>()
  let checks = 0

  function noteJob(write: HistoryWrite): void {
    if (write.ref.resource !== 'jobs' || write.verb !== 'create' || !took(write)) return
    const job = mirror.jobs.get(`${write.ref.namespace}/${write.ref.name}`)
    const place = job === undefined ? undefined : placeOf(job, mirror)
    if (place?.prepares === false) made.set(place.node, write.mono)
  }

  /** Held down by us: cordoned, or a disruptive Plan past its point of no return. */
  function ours(member: SeenNode): boolean {
    if (isCordoned(member) && mirror.node(member.metadata.uid).cordon?.by === 'drover') return true
    const work = recordOf(member)?.work
    if (work?.startedAt !== undefined && disrupts(work.plan)) return true
    return liveJobs(member.metadata.name, mirror).some(
      ({ job, plan }) => job.metadata.labels?.['drover.io/role'] === undefined && disrupts(plan),
    )
  }

  /** A Plan that is gone is taken for the worst. */
  function disrupts(key: string): boolean {
    const plan = mirror.plans.get(key)
    return plan === undefined || isDisruptive(plan)
  }

  /** `known`: what was so by then had to be seen. `silent`: the same for heartbeats; undefined = they do not count yet. */
  function down(member: SeenNode, known: number, silent: number | undefined): string | undefined {
    const { name, uid } = member.metadata
    const story = mirror.node(uid)
    if (ours(member)) return `${name} is being worked on`
    if (isCordoned(member) && (story.cordon?.mono ?? 0) <= known) return `${name} is cordoned`
    if (story.notReadySince !== undefined && story.notReadySince <= known) return `${name} is not Ready`
    if (silent !== undefined && story.beat.mono + SILENT_MS <= silent) return `${name} is silent`
    const etcdDown = mirror.etcdDownSince.get(name)
    if (silent !== undefined && etcdDown !== undefined && etcdDown + SILENT_MS <= silent) return `etcd on ${name} is down`
    return undefined
  }

  return {
    promise: '5 quorum',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write') return []
      noteJob(fact.write)
      const broken: string[] = []
      for (const touch of touchesOf(fact.write, mirror)) {
        if (touch.what !== 'cordon' && touch.what !== 'begin' && touch.what !== 'run') continue
        const node = mirror.nodes.get(touch.node)
        if (node === undefined || !isEtcd(node) || !disrupts(touch.plan ?? '')) continue
        checks += 1
        const others = [...mirror.nodes.values()].filter((other) => isEtcd(other) && other.metadata.uid !== node.metadata.uid)
        const total = others.length + 1
        const { mono } = fact.write
        const silent = touch.what === 'cordon' ? undefined : mono - LOOKED_AGO_MS
        const known = silent === undefined ? mono - CORDON_LOOKED_AGO_MS : Math.max(silent, made.get(touch.node) ?? 0)
        const causes = others.map((other) => down(other, known, silent)).filter((cause) => cause !== undefined)
        const needed = total >= 3 ? Math.floor(total / 2) + 1 : total - 1
        if (others.length - causes.length < needed) {
          broken.push(
            `${touch.what} of etcd member ${touch.node}: ${others.length - causes.length} of ${total} remain, ${needed} are needed (${causes.join('; ')})`,
          )
        }
      }
      return broken
    },
  }
}
