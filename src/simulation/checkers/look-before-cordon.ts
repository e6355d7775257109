import { type Checker, type HistoryWrite, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { recordOf, type SeenJob, type SeenNode, type SeenPod } from './seen.ts'
import { touchesOf } from './touch.ts'

/**
 * Promise 7. Before a controller cordons a node for a Plan, the Plan's upgrade image was pulled on that node (a pull pod there shows its imageID) and
 * an apply pod of that Plan and hash passed a server-side dry run. The forecast of the drain is reads only and leaves no trace in the history.
 */
export function lookBeforeCordon(mirror: Mirror): Checker {
  const pulled = new Set<string>()
  const tried = new Set<string>()
  let checks = 0

  function notePull(write: HistoryWrite): void {
    const pod = write.after as SeenPod | undefined
    if (pod?.metadata?.labels?.['drover.io/role'] !== 'pull') return
    const image = pod.spec?.containers?.[0]?.image ?? ''
    const here = (pod.status?.containerStatuses ?? []).some((status) => (status.imageID ?? '') !== '')
    if (here) pulled.add(`${mirror.nodes.get(pod.spec?.nodeName ?? '')?.metadata.uid}|${image}`)
  }

  function noteDryRun(write: HistoryWrite): void {
    const sent = write.body as (SeenPod & Partial<SeenJob>) | undefined
    const labels = sent?.metadata?.labels ?? sent?.spec?.template?.metadata?.labels ?? {}
    const plan = labels['upgrade.cattle.io/plan'] ?? labels['drover.io/plan']
    if (plan === undefined) return
    const hash = labels[`plan.upgrade.cattle.io/${plan}`] ?? ''
    tried.add(`${write.ref.namespace}/${plan}|${hash}`)
  }

  return {
    promise: '7 look before cordon',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write') return []
      const { write } = fact
      if (write.ref.resource === 'pods' && write.status < 300 && !write.dryRun) notePull(write)
      if (write.dryRun && write.verb === 'create' && write.status < 300 && whoIs(write.user) === 'drover') noteDryRun(write)
      const broken: string[] = []
      for (const touch of touchesOf(write, mirror)) {
        if (touch.what !== 'cordon' || touch.plan === undefined) continue
        const work = recordOf(write.after as SeenNode)?.work
        const goal = mirror.version(touch.plan, work?.hash ?? '')
        const uid = mirror.nodes.get(touch.node)?.metadata.uid
        if (goal === undefined || work?.hash === undefined) continue
        checks += 1
        const image = goal.image
        const found = [...pulled].some((key) => key === `${uid}|${image}` || key.startsWith(`${uid}|${image}:`))
        if (!found) broken.push(`cordon of ${touch.node} for ${touch.plan} before ${image} was pulled there`)
        if (!tried.has(`${touch.plan}|${work.hash}`))
          broken.push(`cordon of ${touch.node} for ${touch.plan} before its pod passed a dry run`)
      }
      return broken
    },
  }
}
