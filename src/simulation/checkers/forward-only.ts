import { etcdTooOld } from './excuses.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isServer, kubeletOf, type SeenJob, type SeenNode } from './seen.ts'
import { touchesOf } from './touch.ts'
import { isKnownImage, readVersion } from './versions.ts'

/** What was true of other nodes only this recently cannot have been known, in milliseconds. */
const LOOKED_AGO_MS = 30_000

/**
 * Promise 6. A Job of a known upgrade image that starts brings its node to no lower version, a server over no skipped minor, and an agent not above
 * the oldest server; nor to etcd 3.6 while a member's etcd is too old for that, unless somebody allowed exactly that step.
 */
export function forwardOnly(mirror: Mirror): Checker {
  let checks = 0
  return {
    promise: '6 forward only',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write') return []
      const broken: string[] = []
      for (const touch of touchesOf(fact.write, mirror)) {
        if (touch.what !== 'run') continue
        const job = fact.write.after as SeenJob
        const node = mirror.nodes.get(touch.node)
        const image = job.spec.template.spec?.containers?.[0]?.image ?? ''
        const target = readVersion(job.metadata.labels?.['upgrade.cattle.io/version'] ?? '')
        const from = readVersion(kubeletOf(node))
        if (node === undefined || target === undefined || from === undefined || !isKnownImage(image)) continue
        checks += 1
        if (mirror.policies.allows(kubeletOf(node), job.metadata.labels?.['upgrade.cattle.io/version'] ?? '')) continue
        const step = `run of ${touch.node} from ${kubeletOf(node)} to ${job.metadata.labels?.['upgrade.cattle.io/version']}`
        if (target.rank < from.rank) broken.push(`${step}: lower`)
        if (isServer(node) && target.minor > from.minor + 1) broken.push(`${step}: a server skips a minor`)
        const version = job.metadata.labels?.['upgrade.cattle.io/version'] ?? ''
        if (etcdTooOld(node, version, mirror)) broken.push(`${step}: an etcd member is too old for that`)
        if (isServer(node)) continue
        const below = [...mirror.nodes.values()].find((server) => isServer(server) && longBelow(server, target.rank, fact.write.mono))
        if (below !== undefined) broken.push(`${step}: above server ${below.metadata.name} at ${kubeletOf(below)}`)
      }
      return broken
    },
  }

  function longBelow(server: SeenNode, rank: number, mono: number): boolean {
    const last = mirror.node(server.metadata.uid).versions.at(-1)
    const version = readVersion(last?.version ?? '')
    return last !== undefined && version !== undefined && version.rank < rank && last.mono <= mono - LOOKED_AGO_MS
  }
}
