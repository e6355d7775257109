/** Whom a step is about, as people know it: a node, a Plan, or a node under a Plan. */
import { LABEL_NODE, LABEL_OUR_NODE, LABEL_OUR_PLAN, LABEL_PLAN } from '../api/names.ts'
import { safeName } from '../rollout/names.ts'
import type { Action, Setback, Step } from '../rollout/world.ts'
import type { Caches } from './caches.ts'

export function subjectOf(
  step: Step,
  action: Action,
  { plans, nodes, jobs, pods }: Pick<Caches, 'plans' | 'nodes' | 'jobs' | 'pods'>,
): Omit<Setback, 'hold'> {
  const node = nodes.get(step.about)?.name
  switch (action.do) {
    case 'writePolicyStatus':
      return { plan: undefined, node: undefined }
    case 'writeStatus':
    case 'annotatePlan':
      return { plan: `${action.plan.namespace}/${action.plan.name}`, node: undefined }
    case 'lockKured':
      return { plan: action.plan, node: undefined }
    case 'patchNode':
      return { plan: action.record.work?.plan, node: action.node }
    case 'labelNode':
      return { plan: undefined, node: action.node }
    case 'recheck':
      return { plan: action.plan, node: action.node }
    case 'createPod':
      return labelled(action.pod.metadata ?? {})
    case 'createJob':
      return labelled(action.job.metadata ?? {})
    case 'deletePod': {
      const pod = pods.get(`${action.pod.namespace}/${action.pod.name}`)
      return pod === undefined ? { plan: undefined, node } : { ...labelled(pod), node: undefined }
    }
    case 'startJob':
    case 'suspendJob':
    case 'expireJob':
    case 'deleteJob': {
      const job = jobs.get(`${action.job.namespace}/${action.job.name}`)
      // What is merely left over says nothing of its node.
      return node !== undefined || job === undefined ? { plan: undefined, node } : { ...labelled(job), node: undefined }
    }
    default:
      return { plan: undefined, node }
  }

  function labelled({ labels = {}, namespace }: Labelled): Omit<Setback, 'hold'> {
    // Helpers carry names cut to what a label takes.
    const isPlan = (name: string) => name === labels[LABEL_PLAN] || safeName(name) === labels[LABEL_OUR_PLAN]
    const isNode = (name: string) => name === labels[LABEL_NODE] || safeName(name) === labels[LABEL_OUR_NODE]
    return {
      plan: plans.list().find((view) => view.namespace === namespace && isPlan(view.name))?.key,
      node: node ?? nodes.list().find((view) => isNode(view.name))?.name,
    }
  }
}

interface Labelled {
  readonly namespace?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}
