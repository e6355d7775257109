/**
 * The Plan of SUC (`upgrade.cattle.io/v1`), as decoded: every field of its v0.20 types under its own, sometimes odd, name.
 * Decoding is in decode-plan.ts.
 */
import type { EnvFromSource, EnvVar, LocalObjectReference, SecurityContext, Toleration } from 'kubernetes-types/core/v1.d.ts'
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import type { JsonObject } from '../base/json.ts'

export interface Plan {
  readonly metadata: PlanMetadata
  readonly spec: PlanSpec
  readonly status: PlanStatus
  /**
   * The object as SUC's Go types would write it again, for the paths of the digest annotation; integers are exact.
   * Kept only for Plans that carry that annotation.
   */
  readonly encoded?: JsonObject
}

export interface PlanMetadata {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** Zero values (`''`, `0`, `false`, empty lists) of fields that SUC's types omit when empty are missing here. */
export interface PlanSpec {
  /** Nodes worked on at once. SUC reads a missing value as 0: no node is ever taken. */
  readonly concurrency?: number
  /** Seconds; missing or negative = the controller's setting, 0 = none. */
  readonly jobActiveDeadlineSecs?: number
  /** A missing selector matches nothing, `{}` everything. */
  readonly nodeSelector?: LabelSelector
  readonly serviceAccountName?: string
  readonly channel?: string
  readonly version?: string
  readonly secrets?: readonly SecretSpec[]
  readonly tolerations?: readonly Toleration[]
  readonly exclusive?: boolean
  readonly window?: TimeWindowSpec
  readonly prepare?: ContainerSpec
  readonly upgrade: ContainerSpec
  readonly cordon?: boolean
  readonly drain?: DrainSpec
  readonly imagePullSecrets?: readonly LocalObjectReference[]
  /** A valid Go duration, normalised: `90s` reads as `1m30s`. May be negative. */
  readonly postCompleteDelay?: string
  readonly priorityClassName?: string
  readonly postCompleteLabels?: Readonly<Record<string, string>>
}

export interface SecretSpec {
  readonly name: string
  /** Where it is mounted; empty = below /run/system-upgrade/secrets/<name>. */
  readonly path: string
  /** A change of this Secret changes no hash, and its absence is no error. */
  readonly ignoreUpdates?: boolean
  readonly defaultMode?: number
}

export interface TimeWindowSpec {
  readonly days?: readonly string[]
  readonly startTime?: string
  readonly endTime?: string
  readonly timeZone?: string
}

export interface ContainerSpec {
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly envs?: readonly EnvVar[]
  readonly envFrom?: readonly EnvFromSource[]
  readonly volumes?: readonly HostPathVolume[]
  readonly securityContext?: SecurityContext
}

export interface HostPathVolume {
  readonly name: string
  readonly source: string
  readonly destination: string
}

export interface DrainSpec {
  /** Integer nanoseconds (any int64, hence bigint beyond 2^53) or a Go duration string. */
  readonly timeout?: number | bigint | string
  /** Seconds; negative = the pod's own. */
  readonly gracePeriod?: number
  readonly deleteLocalData?: boolean
  readonly deleteEmptydirData?: boolean
  readonly ignoreDaemonSets?: boolean
  readonly force?: boolean
  readonly disableEviction?: boolean
  /** Seconds. */
  readonly skipWaitForDeleteTimeout?: number
  readonly podSelector?: LabelSelector
}

export interface PlanStatus {
  readonly conditions: readonly PlanCondition[]
  readonly latestVersion: string
  readonly latestHash: string
  /** Hostname labels of the nodes that hold a slot. */
  readonly applying: readonly string[]
  readonly observedGeneration?: number
  readonly nodeCounts?: NodeCounts
  readonly nodeStatuses?: readonly NodeStatus[]
  readonly leadingHold?: LeadingHold
}

/** What the Plan waits for first; missing while it waits for nothing. Mirror for readers; nothing decides by it. */
export interface LeadingHold {
  /** One of HOLD_REASONS. */
  readonly reason: string
  readonly message: string
  readonly since: string
  /** Missing: the whole Plan. */
  readonly node?: string
  /** `time`, `cluster` or `person`. */
  readonly endedBy: string
  /** What stands in the way, as `kind/namespace/name`. */
  readonly blockedBy?: string
  /** When time ends it. */
  readonly retryAt?: string
}

export interface PlanCondition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason?: string
  readonly message?: string
  readonly lastUpdateTime?: string
  readonly lastTransitionTime?: string
}

/** Mirror for readers; nothing decides by it. */
export interface NodeCounts {
  readonly selected: number
  readonly done: number
  readonly inFlight: number
  readonly failed: number
  readonly held: number
}

/** Mirror for readers; nothing decides by it. At most 20 entries: in flight, failed, then next held. */
export interface NodeStatus {
  readonly name: string
  readonly phase: string
  /** Since when it waits for what `reason` says. */
  readonly since?: string
  /** One of HOLD_REASONS. */
  readonly reason?: string
  readonly message?: string
  /** Who can end it: `time`, `cluster` or `person`. */
  readonly endedBy?: string
}
