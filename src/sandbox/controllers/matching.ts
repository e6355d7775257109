import type { NodeSelectorTerm, Node, Pod, Taint, Toleration } from 'kubernetes-types/core/v1.d.ts'
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import { meets } from '../requirement.ts'

type Labels = Readonly<Record<string, string>>

/** `metav1.LabelSelector`: a missing one matches nothing, an empty one everything. */
export function selects(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (selector === undefined) return false
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels?.[key] !== value) return false
  return (selector.matchExpressions ?? []).every((term) => meets(term, labels?.[term.key]))
}

function termMatches(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term
  if (matchExpressions.length === 0 && matchFields.length === 0) return false
  const labels = node.metadata?.labels
  return (
    matchExpressions.every((need) => meets(need, labels?.[need.key])) &&
    matchFields.every((need) => need.key === 'metadata.name' && meets(need, node.metadata?.name))
  )
}

/** nodeSelector and required node affinity. */
export function wantsNode(pod: Pod, node: Node): boolean {
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) if (node.metadata?.labels?.[key] !== value) return false
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  return terms === undefined || terms.some((term) => termMatches(term, node))
}

export function tolerates(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return tolerations?.some((toleration) => toleratesTaint(toleration, taint)) ?? false
}

export function toleratesTaint(toleration: Toleration, taint: Taint): boolean {
  if ((toleration.effect ?? '') !== '' && toleration.effect !== taint.effect) return false
  if ((toleration.key ?? '') !== '' && toleration.key !== taint.key) return false
  if ((toleration.key ?? '') === '' && toleration.operator !== 'Exists') return false
  return toleration.operator === 'Exists' || (toleration.value ?? '') === (taint.value ?? '')
}

/** The first taint that keeps the pod from being placed there. */
export function keptOutBy(pod: Pod, node: Node): Taint | undefined {
  return node.spec?.taints?.find((taint) => taint.effect !== 'PreferNoSchedule' && !tolerates(pod.spec?.tolerations, taint))
}

/**
 * The nodes a pod is pinned to by a term every alternative shares: hostname labels or node names.
 * Undefined = it may go to many, and all must be looked at.
 */
export function pinnedTo(pod: Pod): { readonly by: 'hostname' | 'name'; readonly values: readonly string[] } | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  if (terms?.length === 1) {
    const field = terms[0]?.matchFields?.find((need) => need.key === 'metadata.name' && need.operator === 'In')
    if (field !== undefined) return { by: 'name', values: field.values ?? [] }
    const label = terms[0]?.matchExpressions?.find((need) => need.key === 'kubernetes.io/hostname' && need.operator === 'In')
    if (label !== undefined) return { by: 'hostname', values: label.values ?? [] }
  }
  const selected = pod.spec?.nodeSelector?.['kubernetes.io/hostname']
  return selected === undefined ? undefined : { by: 'hostname', values: [selected] }
}
