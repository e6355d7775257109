/** Raw API objects → what the decision sees. Run as objects are parsed, so that only this much is kept in memory. */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { ContainerStatus, Namespace, Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import { decodePlan } from '../api/decode-plan.ts'
import { parseMemory } from '../api/memory.ts'
import { ANNOTATION_ATTEMPT, ANNOTATION_HOLD, ANNOTATION_MEMORY, ANNOTATION_RECORD, ANNOTATION_TTL } from '../api/names.ts'
import { parsePayloadResult } from '../api/payload-result.ts'
import { parseRecord } from '../api/record.ts'
import type { PlanCondition } from '../api/plan.ts'
import type { JsonObject } from '../base/json.ts'
import { imageBasename } from '../kube/objects/image.ts'
import { caretakerOf, etcdVoter, hostnameOf, isWindows, nodeReady, nodeRoles } from '../kube/objects/node.ts'
import { OWN_IMAGES } from '../rollout/plan-state.ts'
import { hookView } from '../rollout/policy/hooks.ts'
import type { JobView, NodeView, PlanView, PodView } from '../rollout/world.ts'

const milliseconds = (time: string | undefined): number | undefined => (time === undefined ? undefined : Date.parse(time))

export function nodeView(raw: JsonObject): NodeView | undefined {
  const node = raw as Node
  const { metadata, spec } = node
  if (metadata?.name === undefined || metadata.uid === undefined) return undefined
  const readiness = nodeReady(node)
  const roles = nodeRoles(node)
  return {
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion ?? '',
    labels: metadata.labels ?? {},
    hostname: hostnameOf(node),
    windows: isWindows(node),
    controlPlane: roles.controlPlane,
    etcd: roles.etcd,
    etcdVoter: etcdVoter(node),
    createdAt: milliseconds(metadata.creationTimestamp) ?? 0,
    kubeletVersion: node.status?.nodeInfo?.kubeletVersion ?? '',
    bootID: node.status?.nodeInfo?.bootID ?? '',
    ready: readiness.status,
    heartbeat: readiness.heartbeat ?? '',
    unschedulable: spec?.unschedulable === true,
    cordonOwner: cordonOwner(metadata.managedFields),
    taints: spec?.taints ?? [],
    caretaker: caretakerOf(node),
    deleting: metadata.deletionTimestamp !== undefined,
    hold: metadata.annotations?.[ANNOTATION_HOLD],
    record: parseRecord(metadata.annotations?.[ANNOTATION_RECORD], metadata.uid),
    hook: hookView(metadata.annotations),
  }
}

/** The manager that set `spec.unschedulable`: only a change of its value changes the owner (tried on Kubernetes 1.36). */
function cordonOwner(managedFields: readonly { manager?: string; fieldsV1?: unknown }[] | undefined): string | undefined {
  for (const entry of managedFields ?? []) {
    const fields = entry.fieldsV1 as { 'f:spec'?: { 'f:unschedulable'?: unknown } } | undefined
    if (fields?.['f:spec']?.['f:unschedulable'] !== undefined) return entry.manager
  }
  return undefined
}

/** Two views of a node that differ in nothing that a decision looks at: only its heartbeat or other people's fields moved. */
export function sameNode(a: NodeView, b: NodeView): boolean {
  return (
    a.uid === b.uid &&
    a.kubeletVersion === b.kubeletVersion &&
    a.bootID === b.bootID &&
    a.ready === b.ready &&
    a.etcdVoter === b.etcdVoter &&
    a.unschedulable === b.unschedulable &&
    a.cordonOwner === b.cordonOwner &&
    a.deleting === b.deleting &&
    a.hold === b.hold &&
    a.caretaker === b.caretaker &&
    JSON.stringify([a.labels, a.taints, a.record, a.hook]) === JSON.stringify([b.labels, b.taints, b.record, b.hook])
  )
}

export function jobView(raw: JsonObject): JobView | undefined {
  const { metadata, spec, status } = raw as Job
  if (metadata?.name === undefined || metadata.uid === undefined) return undefined
  const condition = (type: string) => status?.conditions?.find((entry) => entry.type === type && entry.status === 'True')
  const failed = condition('Failed')
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion ?? '',
    labels: metadata.labels ?? {},
    attempt: metadata.annotations?.[ANNOTATION_ATTEMPT],
    parallelism: spec?.parallelism ?? 1,
    suspend: spec?.suspend === true,
    suspended: condition('Suspended') !== undefined,
    createdAt: milliseconds(metadata.creationTimestamp) ?? 0,
    active: status?.active ?? 0,
    failedPods: status?.failed ?? 0,
    complete: condition('Complete') !== undefined,
    failed: failed === undefined ? undefined : { reason: failed.reason ?? 'Failed', message: failed.message ?? '' },
    ttlSeconds: spec?.ttlSecondsAfterFinished,
    ttlAnnotation: metadata.annotations?.[ANNOTATION_TTL],
    finishedAt: milliseconds((condition('Complete') ?? failed)?.lastTransitionTime),
    owned: (metadata.ownerReferences ?? []).length > 0,
    deadlineSeconds: spec?.activeDeadlineSeconds,
    deleting: metadata.deletionTimestamp !== undefined,
  }
}

export function podView(raw: JsonObject): PodView | undefined {
  const { metadata, spec, status } = raw as Pod
  if (metadata?.name === undefined || metadata.uid === undefined) return undefined
  const containers: readonly ContainerStatus[] = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  const waiting = containers.find(
    (container) => container.state?.waiting?.reason !== undefined && container.state.waiting.reason !== 'PodInitializing',
  )?.state?.waiting
  const unscheduled = status?.conditions?.find((entry) => entry.type === 'PodScheduled' && entry.status === 'False')
  const owner = metadata.ownerReferences?.find((reference) => reference.controller === true && reference.kind === 'Job')
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    uid: metadata.uid,
    labels: metadata.labels ?? {},
    node: spec?.nodeName ?? '',
    jobUID: owner?.uid,
    phase: status?.phase ?? 'Pending',
    createdAt: milliseconds(metadata.creationTimestamp) ?? 0,
    deleting: metadata.deletionTimestamp !== undefined,
    ranContainer: containers.some((container) => container.state?.running !== undefined || ranAndEnded(container)),
    pulled: containers.some((container) => (container.imageID ?? '') !== ''),
    waiting:
      waiting !== undefined
        ? { reason: waiting.reason ?? '', message: waiting.message ?? '' }
        : unscheduled === undefined
          ? undefined
          : { reason: unscheduled.reason ?? 'Unscheduled', message: unscheduled.message ?? '' },
    ownImage: (spec?.containers ?? []).some(({ image }) => OWN_IMAGES.includes(imageBasename(image ?? ''))),
    said: containers.map(({ state }) => parsePayloadResult(state?.terminated?.message ?? '')).findLast((said) => said !== undefined),
  }
}

/** A container that could not even start (StartError) has touched nothing. */
function ranAndEnded({ state, restartCount }: ContainerStatus): boolean {
  if ((restartCount ?? 0) > 0) return true
  return state?.terminated !== undefined && state.terminated.reason !== 'StartError' && state.terminated.reason !== 'ContainerCannotRun'
}

export function planView(raw: JsonObject): PlanView | undefined {
  const metadata = raw['metadata'] as { name?: string; namespace?: string; uid?: string; resourceVersion?: string } | undefined
  if (metadata?.name === undefined || metadata.namespace === undefined) return undefined
  const about = {
    key: `${metadata.namespace}/${metadata.name}`,
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
  }
  const decoded = decodePlan(raw)
  if (!decoded.ok) return { ...about, plan: undefined, error: decoded.error, ...readableStatus(raw) }
  return { ...about, plan: decoded.plan, memory: parseMemory(decoded.plan.metadata.annotations[ANNOTATION_MEMORY]) }
}

/** What can be read of a Plan that does not decode: its slots still count, and its conditions are not written again and again. */
function readableStatus(raw: JsonObject): {
  generation: number
  observedGeneration: number | undefined
  applying: string[]
  conditions: PlanCondition[]
} {
  const metadata = raw['metadata'] as { generation?: unknown } | undefined
  const status = raw['status'] as { applying?: unknown; conditions?: unknown; observedGeneration?: unknown } | undefined
  const observed = typeof status?.observedGeneration === 'number' ? status.observedGeneration : undefined
  const applying = Array.isArray(status?.applying) ? status.applying.filter((entry): entry is string => typeof entry === 'string') : []
  const conditions = Array.isArray(status?.conditions) ? status.conditions.filter(isCondition) : []
  const generation = typeof metadata?.generation === 'number' ? metadata.generation : 0
  return { generation, observedGeneration: observed, applying, conditions }
}

function isCondition(entry: unknown): entry is PlanCondition {
  return (
    typeof entry === 'object' &&
    entry !== null &&
    typeof (entry as PlanCondition).type === 'string' &&
    typeof (entry as PlanCondition).status === 'string'
  )
}

export interface NamespaceView {
  readonly uid: string
  readonly hold: string | undefined
}

export function namespaceView(raw: JsonObject): NamespaceView | undefined {
  const { metadata } = raw as Namespace
  if (metadata?.uid === undefined) return undefined
  return { uid: metadata.uid, hold: metadata.annotations?.[ANNOTATION_HOLD] }
}
