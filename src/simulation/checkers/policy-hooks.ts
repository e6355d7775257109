import { admissionOf } from './admission.ts'
import { type Checker, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { endedBy } from './policy-gates.ts'
import type { Rule } from './policy-seen.ts'
import { recordOf, type SeenNode } from './seen.ts'
import { touchesOf } from './touch.ts'
import { type Witness, witnessing } from './witness.ts'

type When = 'before' | 'after'
const STARTS = new Set<string>(['prepare', 'cordon', 'evict', 'begin', 'run'])

/**
 * Hooks of a policy. A node that was taken under it is neither prepared nor cordoned before each hook in `before` has acknowledged just this attempt, nor
 * ended before each in `after` has; and an acknowledgement is somebody else's.
 */
export function policyHooks(mirror: Mirror, witness: Witness = witnessing()): Checker {
  /** What every policy in question asked for when the node was taken, by node UID. */
  const asked = new Map<string, ReadonlySet<When>>()
  let checks = 0

  function missing(node: SeenNode, when: When, mono: number): string | undefined {
    const work = recordOf(node)?.work
    const plan = mirror.plans.get(work?.plan ?? '')
    if (work === undefined || plan === undefined || asked.get(node.metadata.uid)?.has(when) !== true) return undefined
    const token = `${when}/${work.hash?.slice(0, 8)}/${work.attempt}/${work.claimedAt?.replaceAll(/[-:]/g, '')}`
    const words = mirror.policies.rules(plan, mono).map((rule) => {
      const hook = hooksOf(rule, when).find(({ ackAnnotation }) => node.metadata.annotations?.[ackAnnotation] !== token)
      return hook === undefined ? undefined : `hook ${hook.name} has not acknowledged ${token}`
    })
    checks += 1
    witness.add(`hook ${when}`)
    return words.every((word) => word !== undefined) ? words.at(-1) : undefined
  }

  return {
    promise: '1 policy hooks',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write' || !took(fact.write) || whoIs(fact.write.user) !== 'drover') return []
      const { write } = fact
      const admission = admissionOf(write, mirror)
      if (admission !== undefined) {
        const rules = mirror.policies.rules(admission.plan, write.mono)
        const both = (['before', 'after'] as const).filter((when) => rules.every((rule) => hooksOf(rule, when).length > 0))
        asked.set(admission.node.metadata.uid, new Set(both))
      }
      const broken = touchesOf(write, mirror).flatMap(({ what, node: name }) => {
        const node = mirror.nodes.get(name)
        const word = node === undefined || !STARTS.has(what) ? undefined : missing(node, 'before', write.mono)
        return word === undefined ? [] : [`${name}: ${what}, and ${word}`]
      })
      const ended = endedBy(write)
      const word = ended === undefined ? undefined : missing(write.before as SeenNode, 'after', write.mono)
      return word === undefined ? broken : [...broken, `${ended?.node.metadata.name} is ended, and ${word}`]
    },
  }
}

function hooksOf(rule: Rule, when: When): readonly { readonly name: string; readonly ackAnnotation: string }[] {
  return rule.kind === 'policy' ? (rule.policy.spec?.hooks?.[when] ?? []) : []
}
