import { claimFirst } from './claim-first.ts'
import { doneMeansDone } from './done-means-done.ts'
import type { Excuse, Truth } from './excuses.ts'
import type { Checker, Fact, Violation } from './fact.ts'
import { forwardOnly } from './forward-only.ts'
import { heldStart } from './held-start.ts'
import { itEnds } from './it-ends.ts'
import { limits } from './limits.ts'
import { lookBeforeCordon } from './look-before-cordon.ts'
import { createMirror, type Mirror } from './mirror.ts'
import { neverTwice } from './never-twice.ts'
import { noHotLoop } from './no-hot-loop.ts'
import { nothingLeft } from './nothing-left.ts'
import { onlyOurCordons } from './only-our-cordons.ts'
import { policyAfter } from './policy-after.ts'
import { policyBudget } from './policy-budget.ts'
import { policyDrain, policyGivenBack } from './policy-drain.ts'
import { policyFailures } from './policy-failures.ts'
import { policyGates } from './policy-gates.ts'
import { policyHooks } from './policy-hooks.ts'
import { policyKured } from './policy-kured.ts'
import { policySnapshots } from './policy-snapshots.ts'
import { policyTime } from './policy-time.ts'
import { policyWaves } from './policy-waves.ts'
import { policyWord } from './policy-word.ts'
import { quorum } from './quorum.ts'
import { type Witness, witnessing } from './witness.ts'

/** All checkers over one mirror. Feed it every fact in order. */
export interface Judge {
  readonly mirror: Mirror
  readonly violations: readonly Violation[]
  /** How often each promise was really checked. */
  checks(): Readonly<Record<string, number>>
  /** Why nodes and Plans were rightly not done at the end. */
  readonly excused: ReadonlyMap<Excuse, number>
  /** What came to bear, by name. */
  readonly witnessed: Witness['counts']
  see(fact: Fact): void
}

export function createJudge(truth: Truth): Judge {
  const mirror = createMirror()
  const excused = new Map<Excuse, number>()
  const witness = witnessing()
  const always: readonly Checker[] = [
    limits(mirror, truth),
    claimFirst(mirror),
    heldStart(mirror),
    noHotLoop(),
    neverTwice(mirror, excused),
    itEnds(mirror, truth, excused),
    nothingLeft(mirror, truth),
  ]
  const native: readonly Checker[] = [
    onlyOurCordons(mirror),
    doneMeansDone(mirror),
    quorum(mirror),
    forwardOnly(mirror),
    lookBeforeCordon(mirror),
    policyWord(mirror),
    policyBudget(mirror, truth),
    policyWaves(mirror, truth),
    policyTime(mirror, truth),
    policyAfter(mirror),
    policyFailures(mirror),
    policyDrain(mirror, truth, witness),
    policyGivenBack(mirror, truth, witness),
    policyGates(mirror, witness),
    policyHooks(mirror, witness),
    policyKured(mirror, witness),
    policySnapshots(mirror, truth, witness),
  ]
  const checkers = truth.strict === true ? always : [...always, ...native]
  const violations: Violation[] = []
  let write = 0
  return {
    mirror,
    violations,
    excused,
    witnessed: witness.counts,
    checks: () => Object.fromEntries(checkers.map((checker) => [checker.promise, checker.checks()])),
    see(fact) {
      mirror.take(fact)
      if (fact.kind === 'write') write = fact.write.n
      for (const checker of checkers) for (const message of checker.see(fact)) violations.push({ promise: checker.promise, write, message })
    },
  }
}
