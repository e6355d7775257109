/** One deliberate defect: the text `find` stands exactly once in `file`. */
export interface Mutant {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** Beginnings of the promises that it breaks; that it breaks another by chance proves nothing. */
  readonly breaks: readonly string[]
  /** Worlds that betrayed it once, looked at before all others are searched. */
  readonly seeds?: readonly number[]
}

/** Each removes a safeguard that a promise rests on. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no confirmation after the claim',
    file: 'src/controller/act.ts',
    find: 'if (claimed.length === 0) return\n',
    replace: 'for (const claim of claims) memory.confirmed.add(claim)\n    return\n',
    breaks: ['1', '2', '5'],
    seeds: [387],
  },
  {
    name: 'no cordon ownership check',
    file: 'src/rollout/verdict.ts',
    find: "return (node.cordonOwner ?? '') === (cordon.adopted ?? FIELD_MANAGER)",
    replace: 'return true',
    breaks: ['3'],
    seeds: [89],
  },
  {
    name: 'done label without proof',
    file: 'src/rollout/after-start.ts',
    find: 'if (!work.kubernetes) return job?.complete === true\n',
    replace: 'return job?.complete === true\n',
    breaks: ['4 '],
    seeds: [141],
  },
  {
    name: 'no re-check at the point of no return',
    file: 'src/controller/act.ts',
    find: 'const held = await confirm.start(action.plan, action.node, action.quorum)',
    replace: 'const held = undefined',
    breaks: ['4.5', '5', '6'],
    seeds: [75, 165],
  },
  {
    name: 'retry not remembered',
    file: 'src/rollout/failures.ts',
    find: '(retry !== undefined && retry !== past.retrySeen)',
    replace: 'retry !== undefined',
    breaks: ['9'],
    seeds: [107],
  },
  {
    name: "a policy's budget counts only nodes in flight",
    file: 'src/rollout/ledger.ts',
    find: "world.nodes.filter((node) => node.ready !== 'True' || node.unschedulable || disrupted(node))",
    replace: 'world.nodes.filter((node) => disrupted(node))',
    breaks: ['1 policy budget'],
    seeds: [136],
  },
  {
    name: 'waves in any order',
    file: 'src/rollout/policy/waves.ts',
    find: 'return own !== -1 && own <= index ? undefined : found',
    replace: 'return undefined',
    breaks: ['1 policy waves'],
    seeds: [136],
  },
  {
    name: 'a policy that is gone counts as none',
    file: 'src/rollout/gates/plan-gates.ts',
    find: 'if (rules.policy !== undefined || before === undefined || before.hash !== hash) return undefined',
    replace: 'if (before?.hash !== null) return undefined',
    breaks: ['1 policy in force'],
    seeds: [643],
  },
  {
    name: 'a released node stays cordoned',
    file: 'src/rollout/drain/blocked.ts',
    find: "{ uncordon: how === 'Release' }",
    replace: '{ uncordon: false }',
    breaks: ['1 policy given back'],
    seeds: [287],
  },
  {
    name: 'quarantine ends by itself',
    file: 'src/rollout/drain/blocked.ts',
    find: "return entry.how === 'Quarantine' ? undefined : Date.parse",
    replace: 'return Date.parse',
    breaks: ['1 policy given back'],
    seeds: [256],
  },
  {
    name: 'batch pods are evicted at once',
    file: 'src/rollout/drain/rules.ts',
    find: 'return waits ?',
    replace: 'return waits && clock === undefined ?',
    breaks: ['1 policy drain'],
    seeds: [256],
  },
  {
    name: 'the upgrade begins before the drain is over',
    file: 'src/rollout/drain/node.ts',
    find: 'if (left.length === 0) {',
    replace: 'if (left.length <= 1) {',
    breaks: ['1 policy drain'],
    seeds: [8],
  },
  {
    name: 'gates at NodeStart are not asked',
    file: 'src/rollout/admit.ts',
    find: 'const gated = nodeStartHolds(state, node, pass)',
    replace: 'const gated: readonly Hold[] = []',
    breaks: ['1 policy gates'],
    seeds: [7],
  },
  {
    name: 'a proven node ends whatever its gates say',
    file: 'src/rollout/after-start.ts',
    find: 'return holds.length === 0 && afterHooks(started, rules, pass)',
    replace: 'return afterHooks(started, rules, pass)',
    breaks: ['1 policy gates'],
    seeds: [35],
  },
  {
    name: 'any acknowledgement will do',
    file: 'src/rollout/policy/hooks.ts',
    find: 'const acks = node.hook?.request === token ? node.hook.acks : []',
    replace: 'const acks = node.hook?.request === undefined ? [] : hooks.map(({ ackAnnotation }) => ackAnnotation)',
    breaks: ['1 policy hooks'],
    seeds: [14],
  },
  {
    name: "kured's lock is nobody's",
    file: 'src/rollout/kured.ts',
    find: 'rules.kured && disruptive',
    replace: 'rules.kured && !disruptive',
    breaks: ['1 policy kured'],
    seeds: [127],
  },
  {
    name: 'any etcd snapshot will do',
    file: 'src/rollout/gates/snapshot.ts',
    find: 'if (usable.some(({ createdAt }) => now.wall - createdAt <= maxAgeMs)) return undefined',
    replace: 'return undefined',
    breaks: ['1 policy snapshots'],
    seeds: [9],
  },
]
