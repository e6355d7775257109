/** Pods that come to a cordoned node after its drain has begun: they tolerate the cordon, and would come again after each eviction (kubectl, too, evicts only what it found). */
import type { Taint } from 'kubernetes-types/core/v1.d.ts'
import { untoleratedTaints } from '../../kube/objects/taints.ts'
import type { Pass } from '../pass.ts'
import type { DrainPod } from './pods.ts'

const CORDON: readonly Taint[] = [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }]

/**
 * The pods without those that have returned. `drain` names the drain; what was on the node in the first pass that asks under that name is its
 * business. A new leader, or a break in asking, begins anew: one more round of evictions, and it ends all the same.
 */
export function withoutReturned(pods: readonly DrainPod[], drain: string, pass: Pass): readonly DrainPod[] {
  const begun = pass.fact(drain).mono
  return pods.filter(
    (pod) => untoleratedTaints(CORDON, pod.spec?.tolerations).length > 0 || pass.fact(`${drain} ${pod.metadata?.uid ?? ''}`).mono <= begun,
  )
}
