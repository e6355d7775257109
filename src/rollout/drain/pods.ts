/** What draining a node means: kubectl drain's choice of pods (1.36) for every `drain` field of a Plan, with SUC's defaults. Pure. */
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { LABEL_CONTROLLER } from '../../api/names.ts'
import type { DrainSpec } from '../../api/plan.ts'
import { durationToMs, parseDuration } from '../../kube/objects/duration.ts'
import {
  EVERYTHING,
  type Selector,
  type SelectorResult,
  addRequirements,
  compileLabelSelector,
  makeRequirement,
  matchesSelector,
} from '../../kube/objects/selector.ts'

/** A pod on the node that is drained, as the API server gives it. */
export type DrainPod = Pod

export type DrainVerdict =
  /** To be evicted (or deleted, with `disableEviction`). `warning`: it would not come back by itself, or loses data. */
  | { readonly pod: DrainPod; readonly action: 'evict'; readonly warning?: string }
  /** It is going already. */
  | { readonly pod: DrainPod; readonly action: 'wait' }
  /** It stays, and does not stand in the way. */
  | { readonly pod: DrainPod; readonly action: 'leave'; readonly reason: string }
  /** It may not be touched with these options; then no pod of the node is evicted. */
  | { readonly pod: DrainPod; readonly action: 'refuse'; readonly reason: string }

export interface DrainInput {
  readonly pods: readonly DrainPod[]
  readonly drain: DrainSpec
  /** Whether that DaemonSet is there. Answer true where it is not known: the pod is then left alone. */
  readonly daemonSetExists: (namespace: string, name: string) => boolean
  /** For how long a pod with a deletion timestamp has been seen going, in milliseconds; for `skipWaitForDeleteTimeout`. */
  readonly goingMs: (pod: DrainPod) => number
}

const MIRROR = 'kubernetes.io/config.mirror'

/** One verdict for each pod, in the pods' order. `error`: `podSelector` cannot be used; Kubernetes' text. */
export function filterPods(
  input: DrainInput,
): { readonly ok: true; readonly verdicts: readonly DrainVerdict[] } | { readonly ok: false; readonly error: string } {
  const selected = drainSelector(input.drain)
  if (!selected.ok) return selected
  return { ok: true, verdicts: input.pods.map((pod) => judge(pod, selected.selector, input)) }
}

/** The pods that a drain is about: the Plan's podSelector, and never a pod that carries `upgrade.cattle.io/controller`. */
export function drainSelector(drain: DrainSpec): SelectorResult {
  const own = drain.podSelector === undefined ? { ok: true as const, selector: EVERYTHING } : compileLabelSelector(drain.podSelector)
  if (!own.ok) return own
  const spared = makeRequirement(LABEL_CONTROLLER, '!', [])
  return spared.ok ? { ok: true, selector: addRequirements(own.selector, spared.requirement) } : spared
}

/** Whether pods with emptyDir volumes are evicted: unless one of the two fields says no. */
export function deletesLocalData(drain: DrainSpec): boolean {
  return drain.deleteEmptydirData !== false && drain.deleteLocalData !== false
}

/** One line for each reason to refuse, with the pods it is about, as kubectl puts it. */
export function refusals(verdicts: readonly DrainVerdict[]): string[] {
  const byReason = new Map<string, string[]>()
  for (const verdict of verdicts) {
    if (verdict.action !== 'refuse') continue
    byReason.set(verdict.reason, [...(byReason.get(verdict.reason) ?? []), podName(verdict.pod)])
  }
  return [...byReason].map(([reason, pods]) => `${reason}: ${pods.join(', ')}`)
}

/** How long a drain may take, in milliseconds; undefined = as long as it needs. A plain number is nanoseconds, also as text. */
export function drainTimeoutMs(
  drain: DrainSpec,
): { readonly ok: true; readonly ms: number | undefined } | { readonly ok: false; readonly error: string } {
  const { timeout } = drain
  if (timeout === undefined) return { ok: true, ms: undefined }
  const text = String(timeout)
  const parsed = /^-?\d+$/.test(text) ? { ok: true as const, ns: BigInt(text) } : parseDuration(text)
  if (!parsed.ok) return { ok: false, error: `spec.drain.timeout: ${parsed.error}` }
  if (parsed.ns < 0n) return { ok: false, error: 'spec.drain.timeout is negative' }
  return { ok: true, ms: parsed.ns === 0n ? undefined : durationToMs(parsed.ns) }
}

/** Seconds that an evicted pod gets to end; undefined = its own `terminationGracePeriodSeconds`. */
export function evictionGraceSeconds(drain: DrainSpec): number | undefined {
  return drain.gracePeriod === undefined || drain.gracePeriod < 0 ? undefined : drain.gracePeriod
}

/** `namespace/name` */
export function podName(pod: DrainPod): string {
  return `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''}`
}

/** kubectl's filters in its order; the first that does not let the pod go decides. */
function judge(pod: DrainPod, selector: Selector, { drain, daemonSetExists, goingMs }: DrainInput): DrainVerdict {
  if (!matchesSelector(selector, pod.metadata?.labels)) return leave(pod, 'the drain is not about this pod')
  if (goneLongEnough(pod, drain, goingMs)) return leave(pod, 'it has been going for longer than skipWaitForDeleteTimeout')

  const finished = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
  const controller = pod.metadata?.ownerReferences?.find((owner) => owner.controller === true)
  let warning: string | undefined
  if (controller?.kind === 'DaemonSet' && !finished) {
    if (daemonSetExists(pod.metadata?.namespace ?? '', controller.name)) {
      return drain.ignoreDaemonSets === false
        ? refuse(pod, 'cannot delete DaemonSet-managed Pods (ignoreDaemonSets is false)')
        : leave(pod, 'a DaemonSet manages it')
    }
    const missing = `daemonsets.apps "${controller.name}" not found`
    if (drain.force !== true) return refuse(pod, `${missing} (force deletes its pods)`)
    warning = missing
  }
  if (pod.metadata?.annotations?.[MIRROR] !== undefined) return leave(pod, 'it is a mirror pod')
  if (!finished && hasLocalStorage(pod)) {
    if (!deletesLocalData(drain))
      return refuse(pod, 'cannot delete Pods with local storage (deleteEmptydirData or deleteLocalData is false)')
    warning = 'deleting a pod with local storage'
  }
  if (!finished && controller === undefined) {
    if (drain.force !== true) return refuse(pod, 'cannot delete Pods that declare no controller (force is not set)')
    warning = 'deleting a pod that declares no controller'
  }
  if (pod.metadata?.deletionTimestamp !== undefined) return { pod, action: 'wait' }
  return warning === undefined ? { pod, action: 'evict' } : { pod, action: 'evict', warning }
}

function leave(pod: DrainPod, reason: string): DrainVerdict {
  return { pod, action: 'leave', reason }
}

function refuse(pod: DrainPod, reason: string): DrainVerdict {
  return { pod, action: 'refuse', reason }
}

function hasLocalStorage(pod: DrainPod): boolean {
  return pod.spec?.volumes?.some((volume) => volume.emptyDir !== undefined) ?? false
}

/**
 * Counts from the end of the grace period, as kubectl does, but from when we saw the pod going: the deletion timestamp is of another clock, and
 * one that is ahead would end the wait with the pod still at work.
 */
function goneLongEnough(pod: DrainPod, { skipWaitForDeleteTimeout = 0 }: DrainSpec, goingMs: DrainInput['goingMs']): boolean {
  if (skipWaitForDeleteTimeout <= 0 || pod.metadata?.deletionTimestamp === undefined) return false
  const graceSeconds = pod.metadata.deletionGracePeriodSeconds ?? 0
  return goingMs(pod) > (graceSeconds + skipWaitForDeleteTimeout) * 1000
}
