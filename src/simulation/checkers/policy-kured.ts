import { type Checker, type Fact, took, whoIs } from './fact.ts'
import { isDisruptive } from './excuses.ts'
import type { Mirror } from './mirror.ts'
import { WATCH_LAG_MS } from './policy-past.ts'
import { keyOf, type Meta, recordOf, type SeenPlan } from './seen.ts'
import { touchesOf } from './touch.ts'
import { type Witness, witnessing } from './witness.ts'

const LOCK = 'weave.works/kured-node-lock'
const STARTS = new Set<string>(['work', 'cordon', 'begin'])
/** The lock is read every ten seconds; the rest is for what is written then. */
const NOTICE_MS = 30_000

/**
 * `coordinate.kured`. No node is taken, cordoned or upgraded while kured has held its lock for longer than it takes to notice; controllers never take the
 * lock from kured; and once nothing is worked on any more they have given it back.
 */
export function policyKured(mirror: Mirror, witness: Witness = witnessing()): Checker {
  let lock: { readonly owner: string; readonly since: number } | undefined
  let checks = 0

  const isAsked = (plan: SeenPlan, mono: number) =>
    mirror.policies.rules(plan, mono).every((rule) => rule.kind === 'policy' && rule.policy.spec?.coordinate?.kured === true)

  function noteLock(fact: Fact): readonly string[] {
    if (fact.kind !== 'write' || fact.write.ref.resource !== 'daemonsets' || fact.write.ref.name !== 'kured' || !took(fact.write)) return []
    const text = (fact.write.after as { metadata: Meta } | undefined)?.metadata.annotations?.[LOCK]
    const before = lock
    const owner = text === undefined ? undefined : ((JSON.parse(text) as { nodeID?: string }).nodeID ?? '')
    if (owner !== before?.owner) lock = owner === undefined ? undefined : { owner, since: fact.write.mono }
    if (whoIs(fact.write.user) !== 'drover') return []
    checks += 1
    if (owner !== before?.owner) witness.add(owner === undefined ? 'kured lock given back' : 'kured lock taken')
    return before !== undefined && !isOurs(before.owner) ? [`kured's lock is taken from it, though it held it for ${before.owner}`] : []
  }

  return {
    promise: '1 policy kured',
    checks: () => checks,
    see(fact) {
      const broken = [...noteLock(fact)]
      if (fact.kind === 'end') return [...broken, ...leftBehind()]
      if (fact.kind !== 'write') return broken
      const { write } = fact
      for (const { what, node, plan: key } of touchesOf(write, mirror)) {
        const plan = mirror.plans.get(key ?? '')
        if (!STARTS.has(what) || plan === undefined || !isDisruptive(plan)) continue
        const work = recordOf(mirror.nodes.get(node))?.work
        if (!isAsked(plan, write.mono) || work?.adopted === true) continue
        checks += 1
        const slack = NOTICE_MS + mirror.policies.slack(write.mono) - WATCH_LAG_MS
        const theirs = lock !== undefined && !isOurs(lock.owner) && write.mono - lock.since > slack
        if (theirs) broken.push(`${node}: ${what} for ${key} while kured holds its lock for ${lock?.owner}`)
      }
      return broken
    },
  }

  function leftBehind(): readonly string[] {
    if (lock === undefined || !isOurs(lock.owner)) return []
    const asked = [...mirror.plans.values()].filter((plan) => isDisruptive(plan) && isAsked(plan, Number.POSITIVE_INFINITY))
    const slots = asked.flatMap(({ metadata, status }) => (status?.applying ?? []).map((hostname) => ({ hostname, key: keyOf(metadata) })))
    const working = slots.some(({ hostname, key }) => recordOf(mirror.nodeByHostname(hostname))?.past?.[key] === undefined)
    return asked.length === 0 || working ? [] : ["kured's lock is still held though nothing is worked on"]
  }
}

const isOurs = (owner: string): boolean => owner.startsWith('drover/')
