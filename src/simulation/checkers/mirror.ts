import { type Fact, type HistoryWrite, took, type Who, whoIs } from './fact.ts'
import { type PolicyPast, policyPast } from './policy-past.ts'
import { hostnameOf, isCordoned, isReady, kubeletOf, keyOf, type SeenJob, type SeenNode, type SeenPlan, type SeenPod } from './seen.ts'

/** When a hostname came into a Plan's `status.applying`, and by whom. */
export interface Claim {
  readonly n: number
  readonly mono: number
  readonly by: Who
  readonly planUID: string
}

/** What the history says about one node, beyond its present object. */
export interface NodeStory {
  /** Who set `spec.unschedulable`; absent while the node is schedulable. */
  cordon?: { by: Who; n: number; mono: number }
  notReadySince?: number
  /** The last time its Lease or its Ready condition was renewed. */
  beat: { n: number; mono: number }
  /** When it registered, or its labels were last changed by others than controllers. */
  settled: number
  /** Every kubelet version that the Node showed. */
  versions: { version: string; n: number; mono: number }[]
}

interface PlanStory {
  /** Every value of `spec.concurrency`, in order. */
  concurrency: { n: number; value: number }[]
  claims: Map<string, Claim>
  /** Claims that are over too, by Plan UID and hostname. */
  lastClaim: Map<string, Claim>
  /** Number of the last write that changed what is to be run: spec, latestHash or the retry annotation. */
  inputChanged: number
}

/** The cluster as the history of writes tells it: objects and who did what when. */
export interface Mirror {
  readonly nodes: ReadonlyMap<string, SeenNode>
  readonly plans: ReadonlyMap<string, SeenPlan>
  readonly jobs: ReadonlyMap<string, SeenJob>
  readonly pods: ReadonlyMap<string, SeenPod>
  node(uid: string): NodeStory
  plan(key: string): PlanStory
  nodeByHostname(hostname: string): SeenNode | undefined
  /** What a hash of a Plan stood for when it was the latest. */
  version(planKey: string, hash: string): { readonly version: string; readonly image: string } | undefined
  readonly policies: PolicyPast
  /** When a Plan was last made, edited or deleted. */
  readonly plansChanged: () => number
  /** When the last Node went. */
  readonly nodeGone: () => number
  /** Since when a simulated host's etcd has been down. */
  readonly etcdDownSince: ReadonlyMap<string, number>
  take(fact: Fact): void
}

export function createMirror(): Mirror {
  const nodes = new Map<string, SeenNode>()
  const plans = new Map<string, SeenPlan>()
  const jobs = new Map<string, SeenJob>()
  const pods = new Map<string, SeenPod>()
  const nodeStories = new Map<string, NodeStory>()
  const planStories = new Map<string, PlanStory>()
  const hashes = new Map<string, { version: string; image: string }>()
  const etcdDownSince = new Map<string, number>()
  const policies = policyPast()
  let plansChanged = 0
  let nodeGone = 0

  const node = (uid: string): NodeStory => remember(nodeStories, uid, () => ({ beat: { n: 0, mono: 0 }, settled: 0, versions: [] }))
  const plan = (key: string): PlanStory =>
    remember(planStories, key, () => ({ concurrency: [], claims: new Map(), lastClaim: new Map(), inputChanged: 0 }))

  function tellNode(write: HistoryWrite): void {
    const before = write.before as SeenNode | undefined
    const after = write.after as SeenNode | undefined
    if (after === undefined) {
      nodeGone = write.mono
      return
    }
    const story = node(after.metadata.uid)
    if (before === undefined || (whoIs(write.user) === 'person' && !sameLabels(before, after))) story.settled = write.mono
    if (isCordoned(after) && !isCordoned(before)) story.cordon = { by: whoIs(write.user), n: write.n, mono: write.mono }
    if (!isCordoned(after)) delete story.cordon
    if (isReady(after)) delete story.notReadySince
    else story.notReadySince ??= write.mono
    if (readyBeat(after) !== readyBeat(before)) story.beat = { n: write.n, mono: write.mono }
    const version = kubeletOf(after)
    if (story.versions.at(-1)?.version !== version) story.versions.push({ version, n: write.n, mono: write.mono })
  }

  function tellPlan(write: HistoryWrite): void {
    const before = write.before as SeenPlan | undefined
    const after = write.after as SeenPlan | undefined
    const seen = after ?? before
    if (seen === undefined) return
    const key = keyOf(seen.metadata)
    const story = plan(key)
    const same = before !== undefined && after !== undefined && before.metadata.uid === after.metadata.uid
    if (!same || inputsOf(before) !== inputsOf(after)) {
      story.inputChanged = write.n
      plansChanged = write.mono
    }
    if (after === undefined) {
      story.claims.clear()
      return
    }
    const concurrency = after.spec.concurrency ?? 0
    if (story.concurrency.at(-1)?.value !== concurrency) story.concurrency.push({ n: write.n, value: concurrency })
    const applying = new Set(after.status?.applying ?? [])
    for (const hostname of story.claims.keys()) if (!applying.has(hostname)) story.claims.delete(hostname)
    for (const hostname of applying) {
      if (story.claims.has(hostname)) continue
      const claim = { n: write.n, mono: write.mono, by: whoIs(write.user), planUID: after.metadata.uid }
      story.claims.set(hostname, claim)
      story.lastClaim.set(`${after.metadata.uid}|${hostname}`, claim)
    }
    const hash = after.status?.latestHash
    if (hash !== undefined && hash !== '')
      hashes.set(`${key}|${hash}`, { version: after.status?.latestVersion ?? '', image: after.spec.upgrade.image })
  }

  function tellLease(write: HistoryWrite): void {
    if (write.ref.namespace !== 'kube-node-lease') return
    const seen = nodes.get(write.ref.name ?? '')
    if (seen !== undefined) node(seen.metadata.uid).beat = { n: write.n, mono: write.mono }
  }

  return {
    nodes,
    plans,
    jobs,
    pods,
    node,
    plan,
    policies,
    plansChanged: () => plansChanged,
    nodeGone: () => nodeGone,
    etcdDownSince,
    nodeByHostname: (hostname) => [...nodes.values()].find((seen) => hostnameOf(seen) === hostname),
    version: (planKey, hash) => hashes.get(`${planKey}|${hash}`),
    take(fact) {
      policies.take(fact)
      if (fact.kind === 'etcd') {
        if (fact.up) etcdDownSince.delete(fact.member)
        else etcdDownSince.set(fact.member, fact.mono)
        return
      }
      if (fact.kind !== 'write' || !took(fact.write)) return
      const { write } = fact
      switch (write.ref.resource) {
        case 'nodes':
          tellNode(write)
          return store(nodes, write, (meta) => meta.name)
        case 'plans':
          tellPlan(write)
          return store(plans, write, keyOf)
        case 'jobs':
          return store(jobs, write, keyOf)
        case 'pods':
          return write.ref.subresource === 'eviction' ? undefined : store(pods, write, keyOf)
        case 'leases':
          return tellLease(write)
        default:
          return
      }
    },
  }
}

function remember<T>(map: Map<string, T>, key: string, make: () => T): T {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function store<T extends { metadata: SeenNode['metadata'] }>(
  map: Map<string, T>,
  write: HistoryWrite,
  key: (meta: T['metadata']) => string,
): void {
  const after = write.after as T | undefined
  const before = write.before as T | undefined
  if (after !== undefined) map.set(key(after.metadata), after)
  else if (before !== undefined) map.delete(key(before.metadata))
}

function readyBeat(seen: SeenNode | undefined): string | undefined {
  return seen?.status?.conditions?.find((condition) => condition.type === 'Ready' && condition.status === 'True')?.lastHeartbeatTime
}

function inputsOf(seen: SeenPlan): string {
  return `${seen.metadata.generation}|${seen.status?.latestHash}|${seen.metadata.annotations?.['drover.io/retry']}`
}

function sameLabels(before: SeenNode, after: SeenNode): boolean {
  return JSON.stringify(before.metadata.labels) === JSON.stringify(after.metadata.labels)
}
