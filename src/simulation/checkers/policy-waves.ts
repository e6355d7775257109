import { createHash } from 'node:crypto'
import { type Admission, policyChecker } from './admission.ts'
import { isDisruptive, type Truth } from './excuses.ts'
import { type Checker, type Fact, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isUnsettled, membersOf, nodesChangedAfter, overLimit } from './policy-budget.ts'
import { WATCH_LAG_MS } from './policy-past.ts'
import { lengthOf, type SeenWave, shareOf } from './policy-seen.ts'
import { type SeenNode, type SeenPlan, selects } from './seen.ts'

/** What the Plan's memory says of waves: who belongs to which is settled there, once for a hash. */
interface LaidOut {
  readonly hash: string
  readonly of: readonly { readonly name: string; readonly members: readonly string[]; readonly doneAt?: string }[]
}

/** Times are kept in whole seconds. */
const ROUNDING_MS = 2_000

/**
 * Waves go one after the other: no node is taken before all members of the waves before its own are done, these have soaked and, where a policy asks for
 * it, are approved; and no more of a wave than it allows are unavailable. Members are the ones that the policy's sizes and selectors mean, and stay the same.
 */
export function policyWaves(mirror: Mirror, truth: Truth): Checker {
  /** When a wave was first said to be done, by Plan UID, hash and name. */
  const doneSince = new Map<string, number>()
  const apart = (truth.clocksApartMs ?? 0) + ROUNDING_MS
  const admissions = policyChecker(
    '1 policy waves',
    mirror,
    ({ waves = [] }, admission) => {
      if (waves.length === 0) return null
      const laidOut = wavesOf(admission.plan)
      if (laidOut?.hash !== admission.hash) return 'its waves are not laid out'
      const { node } = admission
      const own = laidOut.of.findIndex(({ members }) => members.includes(node.metadata.name))
      for (const wave of own === -1 ? laidOut.of : laidOut.of.slice(0, own)) {
        const spec = waves.find(({ name }) => name === wave.name)
        const word = unfinished(wave, spec, admission)
        if (word !== undefined) return `wave ${wave.name} ${word}`
      }
      const limit = waves.find(({ name }) => name === laidOut.of[own]?.name)?.maxUnavailable
      if (limit === undefined || !isDisruptive(admission.plan) || isUnsettled(mirror, admission)) return undefined
      const members = membersOf(admission.plan, mirror).filter(({ metadata }) => laidOut.of[own]?.members.includes(metadata.name))
      return overLimit(mirror, node, members, admission.write.mono, (of) => shareOf(limit, of))
    },
    note,
  )

  function unfinished(wave: LaidOut['of'][number], spec: SeenWave | undefined, { write, plan, hash }: Admission): string | undefined {
    const slack = mirror.policies.slack(write.mono)
    const open = membersOf(plan, mirror).filter(
      (member) =>
        wave.members.includes(member.metadata.name) &&
        !isDone(member, plan, hash) &&
        mirror.node(member.metadata.uid).settled < mirror.policies.known(write.mono),
    )
    if (open.length > 0) return `is not done: ${open.map(({ metadata }) => metadata.name).join(', ')}`
    const since = doneSince.get(`${plan.metadata.uid}|${hash}|${wave.name}`)
    if (since === undefined) return 'has not ended'
    if (write.mono + apart + slack - WATCH_LAG_MS < since + lengthOf(spec?.soak ?? '')) return 'still soaks'
    const approved = (plan.metadata.annotations?.['drover.io/approve'] ?? '').split(',')
    const short = hash.slice(0, 8)
    const said = approved.includes(short) || approved.includes(`${short}/${wave.name}`)
    return spec?.approval === 'Manual' && !said ? 'is not approved' : undefined
  }

  function note(fact: Fact): void {
    if (fact.kind !== 'write' || fact.write.ref.resource !== 'plans' || !took(fact.write)) return
    const plan = fact.write.after as SeenPlan | undefined
    const laidOut = plan === undefined ? undefined : wavesOf(plan)
    for (const { name, doneAt } of laidOut?.of ?? []) {
      const key = `${plan?.metadata.uid}|${laidOut?.hash}|${name}`
      if (doneAt !== undefined && !doneSince.has(key)) doneSince.set(key, fact.write.mono)
    }
  }

  /** Waves that have just been laid out hold whom the policy means, and one that stands is not changed. */
  function judgeLayOut(fact: Fact): readonly string[] {
    if (fact.kind !== 'write' || fact.write.ref.resource !== 'plans' || !took(fact.write) || whoIs(fact.write.user) !== 'drover') return []
    const { mono } = fact.write
    const plan = fact.write.after as SeenPlan | undefined
    const now = plan === undefined ? undefined : wavesOf(plan)
    const before = wavesOf(fact.write.before as SeenPlan | undefined)
    if (plan === undefined || now === undefined || namesOf(now) === namesOf(before)) return []
    if (before?.hash === now.hash) return [`the waves of ${plan.metadata.name} change though its hash does not`]
    if (nodesChangedAfter(mirror, mirror.policies.known(mono))) return []
    const meant = mirror.policies.rules(plan, mono).map((rule) => {
      const waves = rule.kind === 'policy' ? (rule.policy.spec?.waves ?? []) : []
      return namesOf({ hash: now.hash, of: layOut(waves, plan, now.hash) })
    })
    return meant.includes(namesOf(now)) ? [] : [`the waves of ${plan.metadata.name} are ${namesOf(now)}, ${meant.at(-1)} are meant`]
  }

  function layOut(waves: readonly SeenWave[], plan: SeenPlan, hash: string): LaidOut['of'] {
    const place = ({ metadata }: SeenNode) =>
      createHash('sha256')
        .update(metadata.uid + plan.metadata.uid + hash)
        .digest('hex')
    const all = membersOf(plan, mirror)
    let rest = all.map((node) => ({ node, place: place(node) })).sort((a, b) => (a.place < b.place ? -1 : 1))
    return waves.map(({ name, size, nodeSelector }) => {
      const meant = rest.filter(({ node }) => nodeSelector === undefined || selects(nodeSelector, node.metadata.labels ?? {}))
      const members = meant.slice(0, size === undefined ? meant.length : Math.max(1, shareOf(size, all.length)))
      rest = rest.filter((one) => !members.includes(one))
      return { name, members: members.map(({ node }) => node.metadata.name) }
    })
  }

  return { ...admissions, see: (fact) => [...admissions.see(fact), ...judgeLayOut(fact)] }
}

function isDone({ metadata }: SeenNode, plan: SeenPlan, hash: string): boolean {
  return metadata.labels?.[`plan.upgrade.cattle.io/${plan.metadata.name}`] === hash
}

const namesOf = (laidOut: LaidOut | undefined): string =>
  (laidOut?.of ?? []).map(({ name, members }) => `${name}: ${members.join(' ')}`).join('; ')

export function wavesOf(plan: SeenPlan | undefined): LaidOut | undefined {
  const text = plan?.metadata.annotations?.['drover.io/rollout']
  if (text === undefined) return undefined
  try {
    return (JSON.parse(text) as { waves?: LaidOut }).waves
  } catch {
    return undefined
  }
}
