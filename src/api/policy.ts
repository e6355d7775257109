/** RolloutPolicy (`drover.io/v1alpha1`) as decoded: how carefully Plans are rolled out. Decoding is in decode-policy.ts, defaults in rollout/rules.ts. */
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import type { IntOrPercent } from '../kube/objects/int-or-percent.ts'
import type { NotifySpec } from './notify.ts'
import type { GateSpec, HooksSpec } from './gate.ts'

export interface RolloutPolicy {
  readonly metadata: PolicyMetadata
  readonly spec: PolicySpec
}

export interface PolicyMetadata {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number
}

/** Written by the controller for readers; nothing decides by it. */
export interface PolicyStatus {
  readonly observedGeneration: number
  /** Names of the Plans that the policy governs. */
  readonly plans: readonly string[]
  readonly conditions: readonly PolicyCondition[]
}

export interface PolicyCondition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
  readonly lastTransitionTime: string
}

/** Durations are milliseconds, instants milliseconds since the epoch. What is missing has the default of the controller's settings. */
export interface PolicySpec {
  /** Plans by name, in the policy's namespace. Before `planSelector`, which goes before the policy called `default`. */
  readonly planNames: readonly string[]
  /** Plans by label. Missing: none. `{}`: all. */
  readonly planSelector?: LabelSelector
  /** No further node is taken; nodes under way are finished. */
  readonly paused: boolean
  readonly budget: BudgetSpec
  /** Plans of the same namespace that must be complete for the same version first. */
  readonly after: readonly string[]
  /** When nodes may be taken; empty: always. Together with the Plan's own window. */
  readonly windows: readonly WindowSpec[]
  /** When no node is taken, whatever the windows say. */
  readonly exclusions: readonly ExclusionSpec[]
  /** So much of the open time must be left for a node to be taken. Missing: Auto, as long as the Plan's slowest node took. */
  readonly leadMs?: number
  /** `stepThroughMinors`: a version more than one minor off is reached minor by minor. */
  readonly versionPath: { readonly allow: readonly VersionStep[]; readonly stepThroughMinors: boolean }
  readonly verify: VerifySpec
  /** How long a proven node is watched before it counts as done. Missing: the Plan's postCompleteDelay. */
  readonly soakMs?: number
  /** One after the other; nodes that belong to none come last. */
  readonly waves: readonly WaveSpec[]
  readonly failure: FailureSpec
  readonly drain: DrainPolicy
  readonly etcdSnapshot: EtcdSnapshotSpec
  readonly managedElsewhere: 'Hold' | 'Ignore'
  /** With whom nodes are not disrupted at the same time. */
  readonly coordinate: CoordinateSpec
  /** Who is told how the rollout goes. */
  readonly notify: readonly NotifySpec[]
  /** What has to be so outside of Drover. At most 20. */
  readonly gates: readonly GateSpec[]
  /** Who else has a word in it. */
  readonly hooks: HooksSpec
}

/** Whether servers are taken only while a recent etcd snapshot exists. */
export interface EtcdSnapshotSpec {
  readonly maxAgeMs: number
  /** Warn: an event says that there is none. Require: no server is taken. Default Off. */
  readonly policy: 'Off' | 'Warn' | 'Require'
}

export interface BudgetSpec {
  /** Of the nodes of all Plans under this policy, rounded down and at least 1; 0 takes only nodes that are unavailable anyway. */
  readonly maxUnavailable?: IntOrPercent
  readonly spread: readonly SpreadSpec[]
  /** What becomes of nodes that others have cordoned. Missing: servers wait (Skip), others go last. */
  readonly alreadyUnavailable?: 'Skip' | 'Last' | 'Include'
}

/** A limit for each value of a node label, such as a zone. Nodes without the label are a domain of their own. */
export interface SpreadSpec {
  readonly topologyKey: string
  readonly maxUnavailable?: IntOrPercent
  /** Sequential: one domain after the other. Default Any. */
  readonly domains: 'Any' | 'Sequential'
}

export interface WindowSpec {
  /** Cron expression of five fields: when the window opens. */
  readonly start: string
  readonly durationMs: number
  /** IANA name; default UTC. */
  readonly timeZone: string
}

export interface ExclusionSpec {
  readonly fromMs: number
  readonly toMs: number
  readonly reason: string
}

/** Exactly this step is allowed, whatever the rules of direction say. Munged versions (`-` for `+`). */
export interface VersionStep {
  readonly from: string
  readonly to: string
}

export interface VerifySpec {
  /** Whether the kubelet's version must prove the upgrade. Auto: for versions of RKE2 and K3s with a known upgrade image. */
  readonly version: 'Auto' | 'Kubelet' | 'Off'
  /** Auto, the default: a boot that is seen begins `minReady` anew. Required: the boot ID must change. Off: boots are not looked at. */
  readonly reboot: 'Auto' | 'Required' | 'Off'
  readonly minReadyMs?: number
  readonly timeoutMs?: number
}

/** A group of nodes that goes before the others. Settled once for a hash. */
export interface WaveSpec {
  readonly name: string
  /** The first so many of the Plan's order, of those that the selector matches; a share of all selected nodes. Missing: all. */
  readonly size?: IntOrPercent
  readonly nodeSelector?: LabelSelector
  /** Within the wave. */
  readonly maxUnavailable?: IntOrPercent
  /** How long it is watched after its last node is done. */
  readonly soakMs: number
  /** Manual: somebody must approve before the next begins. */
  readonly approval: 'Manual' | 'None'
}

export interface FailureSpec {
  /** Further attempts on a node without a person's word. Default 0. */
  readonly retries: number
  readonly backoff: { readonly baseMs: number; readonly capMs: number }
  /** From so many failed nodes of a hash on no further node is taken. At least 1. Default 1. */
  readonly maxFailures: IntOrPercent
  /** Default IfUnchanged: no apply pod of the attempt ever started. */
  readonly uncordonOnFailure: 'IfUnchanged' | 'Never' | 'Always'
}

export interface CoordinateSpec {
  /** kured's lock is honoured, and held while nodes are in flight. Default false. */
  readonly kured: boolean
}

/** How nodes are drained; for Plans with `drain`. */
export interface DrainPolicy {
  /** Who drains: Drover, or kubectl in the upgrade Job, as with SUC; then of the rest only the forecast counts. Default Controller. */
  readonly engine: 'Controller' | 'Job'
  /** What is known to stand in a drain's way before the cordon: holds the node (Enforce), is told (Warn), is not asked (Off). Default Warn. */
  readonly forecast: 'Enforce' | 'Warn' | 'Off'
  /** How long a drain may take, from the cordon on. Missing: the Plan's `drain.timeout`. 0: as long as it needs. */
  readonly timeoutMs?: number
  /** What becomes of a node whose drain did not end in time. Default Fail. */
  readonly onTimeout: 'Fail' | 'Release' | 'Quarantine' | 'Proceed'
  /** With more nodes than these released or quarantined, no other node is taken. Default 1. */
  readonly maxBlockedNodes: IntOrPercent
  /** How long a drained node is watched for volumes that are still attached to it. 0, the default: not at all. */
  readonly volumeDetachMs: number
  /** The first that selects a pod counts. */
  readonly rules: readonly DrainRule[]
}

/** What the drain does with pods of a kind. */
export interface DrainRule {
  /** `{}`: all. */
  readonly podSelector: LabelSelector
  /** Skip: left alone. WaitCompleted: it may come to its own end. Default Evict. */
  readonly behavior: 'Evict' | 'Skip' | 'WaitCompleted'
  /** Lower ones go first, and the next begin when they are gone; -1000 to 1000. Default 0, as of pods that no rule selects. */
  readonly order: number
  /** For WaitCompleted, from the cordon on: afterwards it is evicted. Missing or 0: the drain's own time. */
  readonly timeoutMs?: number
}

/** A policy as the caches hold it; one that cannot be read still says whom it means, as far as that can be read. */
export type PolicyView =
  | { readonly ok: true; readonly policy: RolloutPolicy; readonly status: PolicyStatus }
  | {
      readonly ok: false
      readonly metadata: PolicyMetadata
      readonly status: PolicyStatus
      /** Names the field. */
      readonly error: string
      /** Whom it selects; undefined = that cannot be read either, so it may mean every Plan. */
      readonly selects: Pick<PolicySpec, 'planNames' | 'planSelector'> | undefined
    }
