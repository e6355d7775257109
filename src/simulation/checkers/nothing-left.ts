import { drainImpossible, isDone, nodeExcuse, planExcuse, selectedBy, type Truth } from './excuses.ts'
import type { Checker } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isCordoned, isLive, keyOf, recordOf, type SeenNode, type SeenPlan, type SeenPod } from './seen.ts'
import { placeOf, touchesOf } from './touch.ts'

/**
 * Promise 12, judged at the end: no slot for a node that is gone, done or untouched; no record of live work of a Plan that is gone; no in-flight label
 * without work; no pull pod of a Plan or node that needs it no more, no prepare Job or paused apply Job of ours. Nodes that are not well are left alone until they are.
 */
export function nothingLeft(mirror: Mirror, truth: Truth): Checker {
  /** UIDs of nodes on which a Job of ours has run: other cordons of kubectl containers are a former SUC's. */
  const jobsRan = new Set<string>()
  let checks = 0

  /** A SUC put it there, and something that a person has to settle holds it. */
  function waits(hostname: string, node: SeenNode, plan: SeenPlan): boolean {
    if (mirror.plan(keyOf(plan.metadata)).claims.get(hostname)?.by !== 'suc') return false
    return planExcuse(plan, mirror, truth) !== undefined || nodeExcuse(node, plan, mirror, truth) !== undefined
  }

  function slots(): readonly string[] {
    const broken: string[] = []
    for (const plan of mirror.plans.values()) {
      if (plan.metadata.namespace !== truth.namespace) continue
      const key = keyOf(plan.metadata)
      for (const hostname of plan.status?.applying ?? []) {
        checks += 1
        const node = mirror.nodeByHostname(hostname)
        const record = recordOf(node)
        if (node === undefined) broken.push(`${key} holds a slot for ${hostname}, which is gone`)
        else if (isDone(node, plan)) broken.push(`${key} holds a slot for ${hostname}, which is done`)
        else if (drainImpossible(node, plan, mirror) || waits(hostname, node, plan)) continue
        else if (record?.work === undefined && record?.past?.[key]?.result !== 'Failed' && truth.well(node.metadata.name))
          broken.push(`${key} holds a slot for ${hostname}, where nothing goes on`)
      }
    }
    return broken
  }

  function nodes(): readonly string[] {
    const broken: string[] = []
    for (const node of mirror.nodes.values()) {
      checks += 1
      const work = recordOf(node)?.work
      const { name, labels } = node.metadata
      if (work === undefined && labels?.['drover.io/in-flight'] !== undefined)
        broken.push(`${name} carries the in-flight label without work`)
      if (truth.strict === true && carriesJobsCordon(node) && truth.well(name)) broken.push(`${name} still carries the cordon of a Job`)
      if (work !== undefined && mirror.plans.get(work.plan)?.metadata.uid !== work.planUID && truth.well(name))
        broken.push(`${name} carries work of ${work.plan}, which is gone`)
    }
    return broken
  }

  /** Strict: it was cordoned by a Job that we made, and is neither worked on nor kept after a failure. */
  function carriesJobsCordon(node: SeenNode): boolean {
    const record = recordOf(node)
    const byJob = isCordoned(node) && mirror.node(node.metadata.uid).cordon?.by === 'suc' && jobsRan.has(node.metadata.uid)
    return byJob && record?.work === undefined && record?.past?.[record.cordon?.plan ?? '']?.result !== 'Failed'
  }

  /** An image pulled ahead for a node that a Plan still has to do. */
  function isOfUse(pod: SeenPod): boolean {
    const plan = mirror.plans.get(`${pod.metadata.namespace}/${pod.metadata.labels?.['drover.io/plan']}`)
    const node = mirror.nodes.get(pod.spec?.nodeName ?? '')
    return plan !== undefined && node !== undefined && selectedBy(plan, mirror).includes(node) && !isDone(node, plan)
  }

  function things(): readonly string[] {
    const broken: string[] = []
    for (const pod of mirror.pods.values()) {
      if (pod.metadata.labels?.['drover.io/role'] !== 'pull' || isOfUse(pod)) continue
      checks += 1
      if (truth.well(pod.spec?.nodeName ?? '')) broken.push(`pull pod ${pod.metadata.name} was left on ${pod.spec?.nodeName}`)
    }
    for (const job of mirror.jobs.values()) {
      const place = placeOf(job, mirror)
      if (place === undefined || job.metadata.annotations?.['drover.io/attempt'] === undefined) continue
      checks += 1
      const work = recordOf(mirror.nodes.get(place.node))?.work
      if (work === undefined && (place.prepares || job.spec.parallelism === 0))
        broken.push(`Job ${job.metadata.name} was left though no work goes on`)
      if (work === undefined && isLive(job)) broken.push(`Job ${job.metadata.name} still runs though no work goes on`)
    }
    return broken
  }

  return {
    promise: '12 nothing left behind',
    checks: () => checks,
    see(fact) {
      if (fact.kind === 'write') {
        const run = touchesOf(fact.write, mirror).find(({ what }) => what === 'run')
        const uid = run === undefined ? undefined : mirror.nodes.get(run.node)?.metadata.uid
        if (uid !== undefined) jobsRan.add(uid)
      }
      return fact.kind === 'end' ? [...slots(), ...nodes(), ...things()] : []
    },
  }
}
