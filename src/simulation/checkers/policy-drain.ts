import { type Admission, policyChecker } from './admission.ts'
import type { Truth } from './excuses.ts'
import { type Checker, type Fact, type HistoryWrite, took, type Who, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { membersOf } from './policy-budget.ts'
import { lengthOf, type SeenDrain, type SeenPolicy, shareOf } from './policy-seen.ts'
import { isCordoned, podEnded, recordOf, type SeenNode, type SeenPlan, type SeenPod, selects } from './seen.ts'
import { type Touch, touchesOf } from './touch.ts'
import { type Witness, witnessing } from './witness.ts'

/** Times are kept in whole seconds. */
const ROUNDING_MS = 2_000

/** Since when a node has been worked on and cordoned, and since when its pods have been there. */
interface Beginnings {
  see(fact: Fact): void
  /** From then at the earliest the drain's times count; undefined = the node was never taken. */
  drainSince(node: SeenNode): number | undefined
  cordonedBy(node: SeenNode): Who | undefined
  bound(pod: SeenPod): number
  /** It has been told to go. */
  isGoing(pod: SeenPod): boolean
}

function beginnings(): Beginnings {
  const taken = new Map<string, number>()
  const cordons = new Map<string, { mono: number; by: Who }>()
  const binds = new Map<string, number>()
  const going = new Set<string>()
  return {
    drainSince: ({ metadata }) => {
      const times = [taken.get(metadata.uid), cordons.get(metadata.uid)?.mono].filter((time) => time !== undefined)
      return times.length === 0 ? undefined : Math.max(...times)
    },
    cordonedBy: ({ metadata }) => cordons.get(metadata.uid)?.by,
    isGoing: ({ metadata }) => metadata.deletionTimestamp !== undefined || going.has(metadata.uid),
    bound: ({ metadata }) => binds.get(metadata.uid) ?? Number.POSITIVE_INFINITY,
    see(fact) {
      if (fact.kind !== 'write' || !took(fact.write)) return
      const { write } = fact
      if (write.ref.resource === 'pods') {
        const pod = write.after as SeenPod | undefined
        if (pod?.spec?.nodeName !== undefined && !binds.has(pod.metadata.uid)) binds.set(pod.metadata.uid, write.mono)
        if (pod?.metadata?.deletionTimestamp !== undefined) going.add(pod.metadata.uid)
      }
      if (write.ref.resource !== 'nodes' || write.after === undefined) return
      const before = write.before as SeenNode | undefined
      const after = write.after as SeenNode
      const work = recordOf(after)?.work
      if (work !== undefined && recordOf(before)?.work?.claimedAt !== work.claimedAt) taken.set(after.metadata.uid, write.mono)
      if (isCordoned(after) && !isCordoned(before)) cordons.set(after.metadata.uid, { mono: write.mono, by: whoIs(write.user) })
    },
  }
}

/** Every policy that the controller may go by speaks against it: the last one's words. */
function forbidden(
  mirror: Mirror,
  plan: SeenPlan,
  mono: number,
  says: (drain: SeenDrain, spec: NonNullable<SeenPolicy['spec']>) => string | undefined,
): string | undefined {
  const words = mirror.policies.rules(plan, mono).map((rule) => {
    if (rule.kind === 'policy') return says(rule.policy.spec?.drain ?? {}, rule.policy.spec ?? {})
    return rule.kind === 'none' ? says({}, {}) : undefined
  })
  return words.every((word) => word !== undefined) ? words.at(-1) : undefined
}

/** The policy's time, else the Plan's; undefined = as long as it needs. In milliseconds. */
function timeoutOf(drain: SeenDrain, plan: SeenPlan): number | undefined {
  const own = drain.timeout ?? plan.spec.drain?.timeout
  const ms = typeof own === 'number' ? own / 1e6 : lengthOf(own ?? '')
  return ms === 0 ? undefined : ms
}

/** The pods that a drain is about at all: neither a DaemonSet's nor an upgrade's, nor at their end. */
function isEvictable(pod: SeenPod): boolean {
  const { labels = {}, ownerReferences = [] } = pod.metadata
  if (podEnded(pod) || labels['drover.io/role'] !== undefined || labels['upgrade.cattle.io/controller'] !== undefined) return false
  return !ownerReferences.some(({ kind }) => kind === 'DaemonSet')
}

const ruleOf = ({ rules = [] }: SeenDrain, { metadata }: SeenPod) =>
  rules.find(({ podSelector }) => selects(podSelector, metadata.labels ?? {}))

/**
 * `drain.rules` and `drain.onTimeout: Proceed`. No pod is evicted that a rule skips, that may come to its own end, or that goes after others which
 * are still there; and the upgrade does not begin while a pod is left that was there before the cordon, unless the time is over and it refused to go.
 */
export function policyDrain(mirror: Mirror, truth: Truth, witness: Witness = witnessing()): Checker {
  const since = beginnings()
  const apart = (truth.clocksApartMs ?? 0) + ROUNDING_MS
  /** When a pod's eviction was last refused, by UID. */
  const refused = new Map<string, number>()
  let checks = 0

  /** Pods of the node that were there before our cordon and that the drain has to do with. */
  function there(node: SeenNode, plan: SeenPlan): readonly SeenPod[] {
    const from = since.cordonedBy(node) === 'drover' ? (since.drainSince(node) ?? 0) : 0
    return [...mirror.pods.values()].filter((pod) => {
      if (pod.spec?.nodeName !== node.metadata.name || !isEvictable(pod) || since.bound(pod) >= from) return false
      // One that has been going for long is left to itself.
      return !since.isGoing(pod) || plan.spec.drain?.skipWaitForDeleteTimeout === undefined
    })
  }

  function isOver(drain: SeenDrain, plan: SeenPlan, node: SeenNode, mono: number): boolean {
    const timeout = timeoutOf(drain, plan)
    return timeout !== undefined && mono + apart >= (since.drainSince(node) ?? 0) + timeout
  }

  function judgeEviction(write: HistoryWrite, { node: name, plan: key }: Touch): readonly string[] {
    const node = mirror.nodes.get(name)
    const plan = mirror.plans.get(key ?? '')
    const pod = (write.before as SeenPod | undefined) ?? mirror.pods.get(`${write.ref.namespace}/${write.ref.name}`)
    if (node === undefined || plan === undefined || pod?.metadata === undefined) return []
    const others = there(node, plan)
    const why = forbidden(mirror, plan, write.mono, (drain) => {
      const rule = ruleOf(drain, pod)
      if (rule !== undefined) witness.add(`drain rule ${rule.behavior ?? 'Evict'}${podEnded(pod) ? ', pod at its end' : ''}`)
      if (rule?.behavior === 'Skip') return 'a rule skips it'
      if (drain.onTimeout === 'Proceed' && isOver(drain, plan, node, write.mono)) return undefined
      if (rule?.behavior === 'WaitCompleted' && !podEnded(pod)) {
        const limit = lengthOf(rule.timeout ?? '')
        if (limit === 0 || write.mono + apart < (since.drainSince(node) ?? 0) + limit) return 'it may come to its own end'
      }
      const order = rule?.order ?? 0
      const first = others.find((other) => {
        const own = ruleOf(drain, other)
        return own?.behavior !== 'Skip' && (own?.order ?? 0) < order && other.metadata.uid !== pod.metadata.uid
      })
      return first === undefined ? undefined : `${first.metadata.name} goes before it`
    })
    if (mirror.policies.rules(plan, write.mono).every((rule) => rule.kind === 'policy' && rule.policy.spec?.drain !== undefined))
      checks += 1
    return why === undefined ? [] : [`pod ${pod.metadata.name} is evicted from ${name} for ${key}: ${why}`]
  }

  function judgeBegin(write: HistoryWrite): readonly string[] {
    const node = write.after as SeenNode
    const work = recordOf(node)?.work
    const plan = mirror.plans.get(work?.plan ?? '')
    if (plan?.spec.drain === undefined || since.cordonedBy(node) !== 'drover') return []
    checks += 1
    const left = there(node, plan)
    const why = forbidden(mirror, plan, write.mono, (drain) => {
      const staying = left.filter((pod) => ruleOf(drain, pod)?.behavior !== 'Skip')
      const [first] = staying
      if (first === undefined) return undefined
      if (drain.onTimeout !== 'Proceed' || !isOver(drain, plan, node, write.mono)) return `pod ${first.metadata.name} is still there`
      const willing = staying.find(({ metadata }) => (refused.get(metadata.uid) ?? 0) < (since.drainSince(node) ?? 0))
      if (willing !== undefined) return `pod ${willing.metadata.name} never refused to go`
      witness.add('drain Proceed')
      return undefined
    })
    if (left.length === 0) witness.add('drain complete')
    return why === undefined ? [] : [`the upgrade of ${node.metadata.name} by ${work?.plan} begins: ${why}`]
  }

  function noteRefusal(write: HistoryWrite): void {
    const pod = mirror.pods.get(`${write.ref.namespace}/${write.ref.name}`)
    if (pod !== undefined) refused.set(pod.metadata.uid, write.mono)
  }

  return {
    promise: '1 policy drain',
    checks: () => checks,
    see(fact) {
      since.see(fact)
      if (fact.kind !== 'write' || whoIs(fact.write.user) !== 'drover' || fact.write.dryRun) return []
      const { write } = fact
      if (write.ref.subresource === 'eviction' && write.status >= 300) noteRefusal(write)
      return touchesOf(write, mirror).flatMap((touch) => {
        if (touch.what === 'evict') return judgeEviction(write, touch)
        return touch.what === 'begin' ? judgeBegin(write) : []
      })
    },
  }
}

/** A drain that was given up, as the node's record tells it. */
interface GivenBack {
  readonly n: number
  readonly mono: number
  readonly how: string
  readonly hash: string
  readonly attempts: number
}

/**
 * `drain.onTimeout: Release` and `Quarantine`. A node is given back in the way that the policy asks for and not before its time: uncordoned and not tried
 * again before the backoff is over, or cordoned until a person changes what is asked for; and with more of them than allowed no other node is taken.
 */
export function policyGivenBack(mirror: Mirror, truth: Truth, witness: Witness = witnessing()): Checker {
  const since = beginnings()
  const apart = (truth.clocksApartMs ?? 0) + ROUNDING_MS
  /** By node UID and Plan. */
  const given = new Map<string, GivenBack>()
  const admissions = policyChecker('1 policy given back', mirror, judgeAdmission)
  let checks = 0

  /** Still so, as far as the Plan's inputs tell. */
  function standing(node: SeenNode, key: string): GivenBack | undefined {
    const one = given.get(`${node.metadata.uid}|${key}`)
    const plan = mirror.plans.get(key)
    if (one === undefined || plan === undefined || plan.status?.latestHash !== one.hash) return undefined
    if (mirror.plan(key).inputChanged > one.n) return undefined
    const label = node.metadata.labels?.[`plan.upgrade.cattle.io/${plan.metadata.name}`]
    return label === one.hash || label === 'disabled' || !selects(plan.spec.nodeSelector, node.metadata.labels ?? {}) ? undefined : one
  }

  function judgeAdmission(
    { drain, failure }: NonNullable<SeenPolicy['spec']>,
    { node, plan, key, write }: Admission,
  ): string | null | undefined {
    const known = mirror.policies.known(write.mono)
    for (const other of mirror.plans.keys()) {
      const one = standing(node, other)
      if (one === undefined) continue
      if (one.how === 'Quarantine') return `Plan ${other} keeps it in quarantine`
      if (other !== key) continue
      const { base = '5m', cap = '24h' } = failure?.backoff ?? {}
      const wait = Math.min(lengthOf(cap), lengthOf(base) * 2 ** (one.attempts - 1))
      return write.mono + apart + mirror.policies.slack(write.mono) - 180_000 < one.mono + wait
        ? `its drain is to be tried again ${wait / 1000} s after it was given back`
        : undefined
    }
    if (drain === undefined) return null
    const members = membersOf(plan, mirror)
    const blocked = members.filter((other) => {
      const one = standing(other, key)
      return one !== undefined && one.mono < known && recordOf(other)?.work === undefined
    })
    return blocked.length > shareOf(drain.maxBlockedNodes ?? 1, members.length)
      ? `${blocked.length} nodes could not be drained, ${drain.maxBlockedNodes ?? 1} allowed`
      : undefined
  }

  function judgeGiving(write: HistoryWrite): readonly string[] {
    const node = write.after as SeenNode
    const now = recordOf(node)
    const before = recordOf(write.before as SeenNode)
    return Object.entries(now?.blocked ?? {}).flatMap(([key, entry]) => {
      const plan = mirror.plans.get(key)
      if (JSON.stringify(entry) === JSON.stringify(before?.blocked?.[key]) || plan === undefined) return []
      checks += 1
      witness.add(`drain ${entry.how}`)
      const ours = since.cordonedBy(node) === 'drover'
      given.set(`${node.metadata.uid}|${key}`, { n: write.n, mono: write.mono, ...entry })
      const name = node.metadata.name
      const broken: string[] = []
      if (now?.work !== undefined) broken.push(`${name} is given back by ${key} and still worked on`)
      if (entry.how === 'Release' && ours && before?.cordon !== undefined && isCordoned(node))
        broken.push(`${name} is released by ${key} and stays cordoned`)
      if (entry.how === 'Quarantine' && isCordoned(write.before as SeenNode) && !isCordoned(node))
        broken.push(`${name} is put in quarantine by ${key} and uncordoned`)
      const why = forbidden(mirror, plan, write.mono, (drain) => {
        if ((drain.onTimeout ?? 'Fail') !== entry.how) return `the policy says ${drain.onTimeout ?? 'Fail'}`
        const timeout = timeoutOf(drain, plan)
        const from = since.drainSince(node) ?? write.mono
        return timeout === undefined || write.mono + apart < from + timeout ? 'its time is not over' : undefined
      })
      return why === undefined ? broken : [...broken, `${name} is given back by ${key} (${entry.how}): ${why}`]
    })
  }

  function judgeUncordon(write: HistoryWrite): readonly string[] {
    const node = write.after as SeenNode
    if (!isCordoned(write.before as SeenNode) || isCordoned(node)) return []
    return [...mirror.plans].flatMap(([key, plan]) => {
      const one = standing(node, key)
      if (one?.how !== 'Quarantine' || one.n === write.n) return []
      const annotations = plan.metadata.annotations ?? {}
      if (annotations['drover.io/abort'] !== undefined) return []
      return [`${node.metadata.name} is uncordoned though ${key} keeps it in quarantine`]
    })
  }

  return {
    promise: '1 policy given back',
    checks: () => checks + admissions.checks(),
    see(fact) {
      const broken = [...admissions.see(fact)]
      if (fact.kind === 'write' && fact.write.ref.resource === 'nodes' && took(fact.write) && whoIs(fact.write.user) === 'drover') {
        const { write } = fact
        if (write.before !== undefined && write.after !== undefined) broken.push(...judgeGiving(write), ...judgeUncordon(write))
      }
      since.see(fact)
      return broken
    },
  }
}
