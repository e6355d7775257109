/** Whom a step is about, as people know it: a node, a Plan, or a node under a Plan. */
import { LABEL_OUR_NODE, LABEL_OUR_PLAN, LABEL_PLAN } from '../api/names.ts'
import { safeName } from '../rollout/names.ts'
import type { Action, Setback, Step } from '../rollout/world.ts'
import type { Caches } from './caches.ts'

export function subjectOf(step: Step, action: Action, { plans, nodes }: Pick<Caches, 'plans' | 'nodes'>): Omit<Setback, 'hold'> {
  const node = nodes.get(step.about)?.name
  switch (action.do) {
    case 'writeStatus':
    case 'annotatePlan':
      return { plan: `${action.plan.namespace}/${action.plan.name}`, node: undefined }
    case 'patchNode':
      return { plan: action.record.work?.plan, node: action.node }
    case 'labelNode':
      return { plan: undefined, node: action.node }
    case 'recheck':
      return { plan: action.plan, node: action.node }
    case 'createPod':
    case 'createJob': {
      const { labels = {}, namespace } = (action.do === 'createPod' ? action.pod : action.job).metadata ?? {}
      // Helpers carry names cut to what a label takes.
      const isPlan = (name: string) => name === labels[LABEL_PLAN] || safeName(name) === labels[LABEL_OUR_PLAN]
      return {
        plan: plans.list().find((view) => view.namespace === namespace && isPlan(view.name))?.key,
        node: node ?? nodes.list().find((view) => safeName(view.name) === labels[LABEL_OUR_NODE])?.name,
      }
    }
    default:
      return { plan: undefined, node }
  }
}
