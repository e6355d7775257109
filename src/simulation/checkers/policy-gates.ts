import { type Admission, admissionOf } from './admission.ts'
import { type Checker, type Fact, type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { membersOf } from './policy-budget.ts'
import { WATCH_LAG_MS } from './policy-past.ts'
import { lengthOf, type Rule, type SeenGate } from './policy-seen.ts'
import { wavesOf } from './policy-waves.ts'
import { recordOf, type SeenNode, type SeenPlan } from './seen.ts'
import { type Witness, witnessing } from './witness.ts'

/** What was found longer ago than half a minute does not count; the rest is for what is written then. */
const NOTICE_MS = 45_000

interface Stretch {
  readonly state: string
  readonly since: number
}

/**
 * Gates of a policy that look at an object. No node is taken, and none is ended, while the object has been as it must not be for longer than it takes to
 * notice, nor before it has been as it must for `stableFor`; and the next wave waits until it was so once after the wave before was done.
 */
export function policyGates(mirror: Mirror, witness: Witness = witnessing()): Checker {
  /** What the objects said, by namespace and name. */
  const pasts = new Map<string, Stretch[]>()
  /** Hashes by Plan UID of which a node has been taken. */
  const begun = new Set<string>()
  /** Nodes that were taken while every policy in question had such a gate, by UID. */
  const gated = new Map<string, ReadonlySet<string>>()
  /** When a wave was first said to be done, by Plan UID, hash and name. */
  const wavesDone = new Map<string, number>()
  let checks = 0

  const stalls = (mono: number) => mirror.policies.slack(mono) - WATCH_LAG_MS
  const pastOf = ({ object }: SeenGate) => pasts.get(`${object?.namespace}/${object?.name}`)
  const isMet = ({ object }: SeenGate, { state }: Stretch) => object?.expect[0]?.values.includes(state) === true

  /** Why the gate cannot have been met at that moment; undefined = it may have been. */
  function unmet(gate: SeenGate, mono: number): string | undefined {
    const past = pastOf(gate)
    if (past === undefined) return undefined
    const slack = NOTICE_MS + stalls(mono)
    const stable = lengthOf(gate.stableFor ?? '')
    const limit = gate.onTimeout === 'Continue' ? lengthOf(gate.timeout ?? '') : Number.POSITIVE_INFINITY
    for (const [index, stretch] of past.entries()) {
      if (stretch.since > mono || isMet(gate, stretch)) continue
      const end = Math.min(past[index + 1]?.since ?? mono, mono)
      const red = end - stretch.since
      // It may have been passed over.
      if (red + stable + slack >= limit) continue
      if (end === mono && red > slack) return `gate ${gate.name} has not been met for ${Math.round(red / 1000)} s`
      if (end < mono && red > slack && mono < end + stable) return `gate ${gate.name} has been met for less than ${gate.stableFor}`
    }
    return undefined
  }

  /** Whether the object was as it must be at some time since. */
  function metSince(gate: SeenGate, from: number, mono: number): boolean {
    const past = pastOf(gate)
    if (past === undefined || gate.onTimeout === 'Continue') return true
    return past.some(
      (stretch, index) =>
        isMet(gate, stretch) && stretch.since <= mono && (past[index + 1]?.since ?? mono) >= from - NOTICE_MS - stalls(mono),
    )
  }

  function judge(plan: SeenPlan, mono: number, at: string, why: (gate: SeenGate) => string | undefined): string | undefined {
    const words = mirror.policies.rules(plan, mono).map((rule) => {
      const gates = gatesOf(rule, at)
      if (gates.length === 0) return null
      return gates.map(why).find((word) => word !== undefined)
    })
    if (words.every((word) => word !== null)) {
      checks += 1
      witness.add(`gate ${at}`)
    }
    return words.every((word) => typeof word === 'string') ? (words.at(-1) ?? undefined) : undefined
  }

  function judgeAdmission(admission: Admission): readonly string[] {
    const { plan, node, hash, key, claimed, write, again } = admission
    const first = !begun.has(`${plan.metadata.uid}|${hash}`) && isFirst(admission)
    begun.add(`${plan.metadata.uid}|${hash}`)
    const rules = mirror.policies.rules(plan, write.mono)
    gated.set(node.metadata.uid, new Set(['NodeEnd'].filter((at) => rules.every((rule) => gatesOf(rule, at).length > 0))))
    const found = [
      first ? judge(plan, claimed, 'PlanStart', (gate) => unmet(gate, claimed)) : undefined,
      // A failed node keeps its claim.
      again ? undefined : judge(plan, claimed, 'NodeStart', (gate) => unmet(gate, claimed)),
      judgeWave(admission),
    ]
    return found.flatMap((word) => (word === undefined ? [] : [`${node.metadata.name} is taken for ${key}: ${word}`]))
  }

  /** Nobody has been taken or found done for the hash, and nobody else keeps a slot from before. */
  function isFirst({ plan, key, hash, claimed }: Admission): boolean {
    const label = `plan.upgrade.cattle.io/${plan.metadata.name}`
    if ([...mirror.plan(key).claims.values()].some(({ mono }) => mono < claimed)) return false
    return !membersOf(plan, mirror).some(({ metadata }) => metadata.labels?.[label] === hash)
  }

  function judgeWave({ plan, node, hash, claimed, again }: Admission): string | undefined {
    const laidOut = wavesOf(plan)
    if (laidOut?.hash !== hash || again) return undefined
    const own = laidOut.of.findIndex(({ members }) => members.includes(node.metadata.name))
    const before = own === -1 ? laidOut.of : laidOut.of.slice(0, own)
    for (const { name } of before) {
      const done = wavesDone.get(`${plan.metadata.uid}|${hash}|${name}`)
      if (done === undefined) continue
      const word = judge(plan, claimed, 'WaveEnd', (gate) =>
        metSince(gate, done, claimed) ? undefined : `gate ${gate.name} was not met once since wave ${name} was done`,
      )
      if (word !== undefined) return word
    }
    return undefined
  }

  /** From proven to done, or to its soak. */
  function judgeEnd(write: HistoryWrite): readonly string[] {
    const ended = endedBy(write)
    const plan = mirror.plans.get(ended?.work.plan ?? '')
    if (ended === undefined || plan === undefined || gated.get(ended.node.metadata.uid)?.has('NodeEnd') !== true) return []
    const word = judge(plan, write.mono, 'NodeEnd', (gate) => unmet(gate, write.mono))
    return word === undefined ? [] : [`${ended.node.metadata.name} is ended for ${ended.work.plan}: ${word}`]
  }

  function note(write: HistoryWrite): void {
    if (write.ref.resource === 'configmaps') {
      const state = (write.after as { data?: { state?: string } } | undefined)?.data?.state ?? ''
      const key = `${write.ref.namespace}/${write.ref.name}`
      const past = pasts.get(key) ?? []
      if (past.at(-1)?.state !== state) pasts.set(key, [...past, { state, since: write.mono }])
    }
    if (write.ref.resource !== 'plans') return
    const plan = write.after as SeenPlan | undefined
    const laidOut = wavesOf(plan)
    for (const { name, doneAt } of laidOut?.of ?? []) {
      const key = `${plan?.metadata.uid}|${laidOut?.hash}|${name}`
      if (doneAt !== undefined && !wavesDone.has(key)) wavesDone.set(key, write.mono)
    }
  }

  return {
    promise: '1 policy gates',
    checks: () => checks,
    see(fact: Fact) {
      if (fact.kind !== 'write' || !took(fact.write)) return []
      note(fact.write)
      const admission = admissionOf(fact.write, mirror)
      return [...(admission === undefined ? [] : judgeAdmission(admission)), ...judgeEnd(fact.write)]
    },
  }
}

/** A node that has been proven goes on to its soak, or is done: what stands between is behind it. */
export function endedBy(
  write: HistoryWrite,
): { readonly node: SeenNode; readonly work: NonNullable<NonNullable<ReturnType<typeof recordOf>>['work']> } | undefined {
  if (write.ref.resource !== 'nodes' || whoIs(write.user) !== 'drover' || !took(write)) return undefined
  const node = write.after as SeenNode | undefined
  const work = recordOf(write.before as SeenNode | undefined)?.work
  if (node === undefined || work?.startedAt === undefined || work.provenAt !== undefined) return undefined
  const now = recordOf(node)?.work
  const label = node.metadata.labels?.[`plan.upgrade.cattle.io/${work.plan.slice(work.plan.indexOf('/') + 1)}`]
  const ended = now === undefined ? label === work.hash : now.provenAt !== undefined
  return ended ? { node, work } : undefined
}

function gatesOf(rule: Rule, at: string): readonly SeenGate[] {
  if (rule.kind !== 'policy') return []
  return (rule.policy.spec?.gates ?? []).filter((gate) => gate.object !== undefined && gate.at.includes(at))
}
