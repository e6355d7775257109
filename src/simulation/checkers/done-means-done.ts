import { type Checker, type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { hostnameOf, isReady, jobEnd, kubeletOf, podEnded, recordOf, type SeenNode } from './seen.ts'
import { placeOf } from './touch.ts'
import { isKnownImage, readVersion, sameVersion } from './versions.ts'

const PREFIX = 'plan.upgrade.cattle.io/'

/**
 * Promise 4. When a controller labels a node with a Plan's hash: the Node is Ready, no pod of the Plan's Job runs on it; for a Kubernetes upgrade its
 * kubelet is at that hash's version and, if the record's work started from another one, was seen to change to it since the claim; for any other Plan a
 * Job for that hash succeeded. Work that began on it must have been followed by a heartbeat.
 */
export function doneMeansDone(mirror: Mirror): Checker {
  /** `<Job namespace>/<plan>|<node>|<hash>` of Jobs seen Complete: they may be gone when the label comes. */
  const succeeded = new Set<string>()
  const began = new Map<string, number>()
  /** By node UID: the claim that its record's work came from. */
  const claims = new Map<string, number>()
  /** Labels whose hash the Plan's status did not show yet: judged when it does, and wrong if it never does though the Plan stays as it is. */
  let unknown: { readonly planKey: string; readonly hash: string; readonly what: string; readonly node: SeenNode; readonly n: number }[] =
    []
  let checks = 0

  function noteJob(write: HistoryWrite): void {
    const job = mirror.jobs.get(`${write.ref.namespace}/${write.ref.name}`)
    const place = job === undefined ? undefined : placeOf(job, mirror)
    if (job === undefined || place === undefined || place.prepares || jobEnd(job) !== 'Complete') return
    const hash = job.metadata.labels?.[PREFIX + place.plan.slice(place.plan.indexOf('/') + 1)]
    succeeded.add(`${place.plan}|${mirror.nodes.get(place.node)?.metadata.uid}|${hash}`)
  }

  function judge(before: SeenNode, after: SeenNode, planKey: string, hash: string, n: number): readonly string[] {
    const { name, uid } = after.metadata
    const what = `label of ${name} as done by ${planKey}`
    const broken: string[] = []
    if (!isReady(before)) broken.push(`${what}: the node is not Ready`)
    const planName = planKey.slice(planKey.indexOf('/') + 1)
    for (const pod of mirror.pods.values()) {
      const labels = pod.metadata.labels ?? {}
      const ofJob = labels['upgrade.cattle.io/plan'] === planName && labels['drover.io/role'] === undefined
      if (ofJob && pod.spec?.nodeName === name && !podEnded(pod)) broken.push(`${what}: its pod ${pod.metadata.name} still runs`)
    }
    const start = began.get(uid)
    if (start !== undefined && recordOf(before)?.work?.plan === planKey && mirror.node(uid).beat.n <= start)
      broken.push(`${what}: no heartbeat since the work began`)
    const goal = mirror.version(planKey, hash)
    if (goal === undefined) {
      unknown.push({ planKey, hash, what, node: after, n })
      return broken
    }
    if (readVersion(goal.version) !== undefined && isKnownImage(goal.image)) broken.push(...judgeVersion(what, before, after, goal.version))
    else if (!succeeded.has(`${planKey}|${uid}|${hash}`)) broken.push(`${what}: no Job for that hash succeeded`)
    return broken
  }

  function judgeVersion(what: string, before: SeenNode, after: SeenNode, target: string): readonly string[] {
    if (!sameVersion(kubeletOf(after), target)) return [`${what}: its kubelet is at ${kubeletOf(after)}, not at ${target}`]
    const work = recordOf(before)?.work
    if (work?.startedAt === undefined || work.from === undefined || sameVersion(work.from, target)) return []
    const claim = claims.get(after.metadata.uid)
    const change = mirror.node(after.metadata.uid).versions.findLast((entry) => sameVersion(entry.version, target))
    if (claim !== undefined && (change === undefined || change.n < claim))
      return [`${what}: it was not seen to change from ${work.from} since the claim`]
    return []
  }

  function judgeLate(): readonly string[] {
    const broken: string[] = []
    unknown = unknown.filter(({ planKey, hash, what, node }) => {
      const goal = mirror.version(planKey, hash)
      if (goal === undefined) return true
      const right =
        readVersion(goal.version) !== undefined && isKnownImage(goal.image)
          ? sameVersion(kubeletOf(node), goal.version)
          : succeeded.has(`${planKey}|${node.metadata.uid}|${hash}`)
      if (!right) broken.push(`${what}: its kubelet was at ${kubeletOf(node)}, and the hash turned out to be for ${goal.version}`)
      return false
    })
    return broken
  }

  return {
    promise: '4 done means done',
    checks: () => checks,
    see(fact) {
      if (fact.kind === 'end') {
        const never = unknown.filter(({ planKey, n }) => mirror.plan(planKey).inputChanged < n)
        return never.map(({ what, hash }) => `${what} with hash ${hash}, which the Plan never had`)
      }
      if (fact.kind !== 'write' || !took(fact.write)) return []
      const { write } = fact
      if (write.ref.resource === 'plans' && unknown.length > 0) return judgeLate()
      if (write.ref.resource === 'jobs') {
        noteJob(write)
        return []
      }
      const before = write.before as SeenNode | undefined
      const after = write.after as SeenNode | undefined
      if (write.ref.resource !== 'nodes' || before === undefined || after === undefined || whoIs(write.user) !== 'drover') return []
      if (recordOf(after)?.work?.startedAt !== undefined && recordOf(before)?.work?.startedAt === undefined)
        began.set(after.metadata.uid, write.n)
      const work = recordOf(after)?.work
      if (work !== undefined && recordOf(before)?.work === undefined) {
        claims.set(after.metadata.uid, mirror.plan(work.plan).lastClaim.get(`${work.planUID}|${hostnameOf(after)}`)?.n ?? write.n)
      }
      const broken: string[] = []
      for (const [label, hash] of Object.entries(after.metadata.labels ?? {})) {
        if (!label.startsWith(PREFIX) || hash === 'disabled' || hash === before.metadata.labels?.[label]) continue
        checks += 1
        const name = label.slice(PREFIX.length)
        const work = recordOf(before)?.work
        const planKey =
          work?.plan.endsWith(`/${name}`) === true
            ? work.plan
            : ([...mirror.plans.keys()].find((key) => key.endsWith(`/${name}`)) ?? `/${name}`)
        broken.push(...judge(before, after, planKey, hash, write.n))
      }
      return broken
    },
  }
}
