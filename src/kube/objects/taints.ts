/** Whether a pod's tolerations let it onto a tainted node, as the scheduler decides it. */
import type { Taint, Toleration } from 'kubernetes-types/core/v1.d.ts'

/** An empty key with `Exists` tolerates every taint, an empty effect every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== '' && toleration.effect !== taint.effect) return false
  if (toleration.key !== undefined && toleration.key !== '' && toleration.key !== taint.key) return false
  switch (toleration.operator ?? '') {
    case '':
    case 'Equal':
      return (toleration.value ?? '') === (taint.value ?? '')
    case 'Exists':
      return true
    default:
      return false
  }
}

const KEEP_OUT: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute'])

/** The taints that keep such a pod off the node. `PreferNoSchedule` never does. */
export function untoleratedTaints(taints: readonly Taint[] | undefined, tolerations: readonly Toleration[] | undefined): Taint[] {
  return (taints ?? []).filter(
    (taint) => KEEP_OUT.has(taint.effect) && !(tolerations ?? []).some((toleration) => tolerates(toleration, taint)),
  )
}
