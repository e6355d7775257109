import type { Excuse } from './excuses.ts'
import { type Checker, type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { recordOf, type SeenJob, type SeenNode, type SeenPod } from './seen.ts'
import { placeOf, touchesOf } from './touch.ts'

const PREFIX = 'plan.upgrade.cattle.io/'

/**
 * Promise 9. Whatever dies: for one node, one Plan and one hash, pods of one apply Job run, unless the Plan's inputs (spec, hash, retry) changed in
 * between, or a person deleted that Job or took the node's label away, or the first failed and a policy grants retries; and a node is not cordoned a second time for them, unless something outside happened in between that could be the cause.
 */
export function neverTwice(mirror: Mirror, excused: Map<Excuse, number> = new Map()): Checker {
  /** By node, Plan and hash: the last apply Job that ran a pod there. */
  const runs = new Map<string, { readonly job: string; readonly n: number; readonly retries: number }>()
  /** When work on a node, and a Job, were begun: what people ask for after that is a wish of its own. */
  const taken = new Map<string, number>()
  const made = new Map<string, number>()
  /** When Nodes registered, by UID. */
  const born = new Map<string, number>()
  /** UIDs of Jobs that a person deleted: what they did to the node is unknown, and the person asked for it. */
  const deletedByHand = new Set<string>()
  /** Last write of a person that changed a Plan's label on a node, by node and Plan name: taking it away asks for another run. */
  const relabelled = new Map<string, number>()
  /** When a node was last written down as failed, by node UID and Plan. */
  const failures = new Map<string, number>()
  /** When a node was last given back because its drain did not end: nothing had been done to it. */
  const givenBack = new Map<string, number>()
  const cordons = new Map<string, number>()
  let lastOutside = 0
  let seen = 0
  let checks = 0

  function judgeRun(write: HistoryWrite): readonly string[] {
    const pod = write.after as SeenPod | undefined
    const owner = pod?.metadata?.ownerReferences?.find((reference) => reference.kind === 'Job')
    if (pod === undefined || owner === undefined || pod.status?.phase !== 'Running') return []
    const job = mirror.jobs.get(`${pod.metadata.namespace}/${owner.name}`)
    const place = job === undefined ? undefined : placeOf(job, mirror)
    if (job === undefined || place === undefined || place.prepares) return []
    const plan = mirror.plans.get(place.plan)
    const planName = place.plan.slice(place.plan.indexOf('/') + 1)
    const hash = job.metadata.labels?.[`plan.upgrade.cattle.io/${planName}`]
    const nodeUID = mirror.nodes.get(pod.spec?.nodeName ?? '')?.metadata.uid
    // Another machine has come under the name since the Job was made: nobody chose it.
    const jobMade = made.get(owner.uid)
    if (jobMade !== undefined && (born.get(nodeUID ?? '') ?? 0) > jobMade) return []
    const key = `${nodeUID}|${plan?.metadata.uid}|${hash}`
    const before = runs.get(key)
    if (before?.job === owner.uid) return []
    const asked = Math.max(mirror.plan(place.plan).inputChanged, relabelled.get(`${place.node}|${planName}`) ?? 0)
    const free = before === undefined || asked > before.n || deletedByHand.has(before.job)
    const retries = free ? 0 : before.retries + 1
    runs.set(key, { job: owner.uid, n: Math.min(made.get(owner.uid) ?? write.n, taken.get(place.node) ?? write.n), retries })
    checks += 1
    if (free) return []
    if (retries <= mirror.policies.mostRetries && hasFailed(nodeUID, place.plan, before.n)) {
      excused.set('policyRetry', (excused.get('policyRetry') ?? 0) + 1)
      return []
    }
    return [`${place.node} runs a second Job of ${place.plan} for hash ${hash}; the first was made at write ${before.n}`]
  }

  function judgeCordon(write: HistoryWrite): readonly string[] {
    const work = recordOf(write.after as SeenNode)?.work
    const uid = (write.after as SeenNode).metadata.uid
    if (work === undefined) return []
    const key = `${uid}|${work.planUID}|${work.hash}`
    const before = cordons.get(key)
    cordons.set(key, taken.get(write.ref.name ?? '') ?? write.n)
    checks += 1
    if (before === undefined || lastOutside >= before || mirror.plan(work.plan).inputChanged > before) return []
    if (mirror.policies.mostRetries > 0 && hasFailed(uid, work.plan, before)) return []
    if ((givenBack.get(`${uid}|${work.plan}`) ?? 0) > before) return []
    return [`${write.ref.name} is cordoned a second time for ${work.plan} (first at write ${before}) though nothing happened outside`]
  }

  const hasFailed = (nodeUID: string | undefined, plan: string, since: number) => (failures.get(`${nodeUID}|${plan}`) ?? 0) > since

  function noteFailures(write: HistoryWrite): void {
    const before = recordOf(write.before as SeenNode | undefined)?.past ?? {}
    const blocked = recordOf(write.before as SeenNode | undefined)?.blocked ?? {}
    const after = write.after as SeenNode | undefined
    for (const [plan, entry] of Object.entries(recordOf(after)?.blocked ?? {}))
      if (JSON.stringify(entry) !== JSON.stringify(blocked[plan])) givenBack.set(`${after?.metadata.uid}|${plan}`, write.n)
    for (const [plan, outcome] of Object.entries(recordOf(after)?.past ?? {}))
      if (outcome.result === 'Failed' && JSON.stringify(outcome) !== JSON.stringify(before[plan]))
        failures.set(`${after?.metadata.uid}|${plan}`, write.n)
  }

  function noteLabels(write: HistoryWrite): void {
    const before = (write.before as SeenNode | undefined)?.metadata.labels ?? {}
    const after = (write.after as SeenNode | undefined)?.metadata.labels ?? {}
    for (const label of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (label.startsWith(PREFIX) && before[label] !== after[label])
        relabelled.set(`${write.ref.name}|${label.slice(PREFIX.length)}`, write.n)
    }
  }

  return {
    promise: '9 never twice',
    checks: () => checks,
    see(fact) {
      if (fact.kind === 'outside') lastOutside = seen
      if (fact.kind !== 'write') return []
      seen = fact.write.n
      if (!took(fact.write)) return []
      if (fact.write.ref.resource === 'nodes' && whoIs(fact.write.user) === 'person') noteLabels(fact.write)
      if (fact.write.ref.resource === 'nodes' && whoIs(fact.write.user) === 'drover') noteFailures(fact.write)
      const touches = touchesOf(fact.write, mirror)
      if (touches.some((touch) => touch.what === 'work')) taken.set(fact.write.ref.name ?? '', fact.write.n)
      if (fact.write.ref.resource === 'nodes' && fact.write.verb === 'create')
        born.set((fact.write.after as SeenNode).metadata.uid, fact.write.n)
      if (fact.write.ref.resource === 'jobs' && fact.write.verb === 'create')
        made.set((fact.write.after as SeenJob).metadata.uid, fact.write.n)
      if (fact.write.ref.resource === 'jobs' && fact.write.verb === 'delete' && whoIs(fact.write.user) === 'person') {
        deletedByHand.add((fact.write.before as SeenJob | undefined)?.metadata.uid ?? '')
      }
      if (fact.write.ref.resource === 'pods') return judgeRun(fact.write)
      return touches.some((touch) => touch.what === 'cordon') ? judgeCordon(fact.write) : []
    },
  }
}
