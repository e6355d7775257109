/**
 * What `decide` is given and what it answers. Everything is data: the world as the caches show it, what was fetched because it was asked
 * for, and since when things have stood as they stand. Nothing here does I/O or reads a clock.
 */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Pod, Secret, Taint } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { GateCheck } from '../api/gate.ts'
import type { ParsedMemory, RolloutMemory } from '../api/memory.ts'
import type { Destination, NotifyMessage } from '../api/notify.ts'
import type { PayloadResult } from '../api/payload-result.ts'
import type { Plan, PlanCondition, PlanStatus } from '../api/plan.ts'
import type { PolicyStatus, PolicyView } from '../api/policy.ts'
import type { Hold } from '../api/reasons.ts'
import type { NodeRecord, ParsedRecord, PlanKey } from '../api/record.ts'
import type { Settings } from '../base/settings.ts'
import type { Caretaker } from '../kube/objects/node.ts'
import type { DrainPod } from './drain/pods.ts'

/** Milliseconds: `wall` since the epoch, for people and the API server; `mono` for durations. */
export interface Moment {
  readonly wall: number
  readonly mono: number
}

/** A Node as the decision needs it; projected when it is parsed, so a thousand nodes stay small. */
export interface NodeView {
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  readonly labels: Readonly<Record<string, string>>
  readonly hostname: string | undefined
  readonly windows: boolean
  readonly controlPlane: boolean
  readonly etcd: boolean
  /** The cluster's word that its etcd member votes; undefined = it says nothing. */
  readonly etcdVoter?: boolean | undefined
  /** The API server's clock, milliseconds since the epoch; compared with Jobs' only. */
  readonly createdAt: number
  readonly kubeletVersion: string
  /** Changes when the machine boots. */
  readonly bootID: string
  readonly ready: 'True' | 'False' | 'Unknown'
  /** The Ready condition's lastHeartbeatTime as text: only ever compared with itself. */
  readonly heartbeat: string
  readonly unschedulable: boolean
  /** Field manager that owns `spec.unschedulable`, from managedFields. */
  readonly cordonOwner: string | undefined
  readonly taints: readonly Taint[]
  /** Who else looks after the machine. */
  readonly caretaker: Caretaker | undefined
  readonly deleting: boolean
  /** Value of drover.io/hold, if the annotation is there. */
  readonly hold: string | undefined
  readonly record: ParsedRecord | undefined
  /** The request to the policy's hooks that stands on the node. */
  readonly hook?: HookView | undefined
}

export interface HookView {
  /** Value of drover.io/hook-request. */
  readonly request: string
  /** Other annotations with just this value. */
  readonly acks: readonly string[]
}

/** A Job of an apply or prepare pod. */
export interface JobView {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly labels: Readonly<Record<string, string>>
  /** drover.io/attempt; undefined = not ours. */
  readonly attempt: string | undefined
  readonly parallelism: number
  readonly suspend: boolean
  /** The Job controller has acknowledged `suspend`. */
  readonly suspended: boolean
  readonly createdAt: number
  readonly active: number
  readonly failedPods: number
  readonly complete: boolean
  readonly failed: { readonly reason: string; readonly message: string } | undefined
  readonly ttlSeconds: number | undefined
  /** upgrade.cattle.io/ttl-seconds-after-finished, which counts where the Job has no TTL of its own. */
  readonly ttlAnnotation: string | undefined
  /** When it became complete or failed, milliseconds since the epoch by the API server's clock. */
  readonly finishedAt: number | undefined
  /** It has an owner: Kubernetes deletes it with its Plan (strict compatibility). */
  readonly owned: boolean
  readonly deadlineSeconds: number | undefined
  readonly deleting: boolean
}

/** A pod of ours: of an apply or prepare Job, or a pull pod. */
export interface PodView {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly node: string
  /** UID of the Job that made it; undefined for pull pods. */
  readonly jobUID: string | undefined
  readonly phase: string
  readonly createdAt: number
  readonly deleting: boolean
  /** A container has run or runs: something may have happened on the machine. */
  readonly ranContainer: boolean
  /** The image is on the node: the imageID of a container is known. */
  readonly pulled: boolean
  /** Reason and message of a container that waits, e.g. ImagePullBackOff, or of the unscheduled pod. */
  readonly waiting: { readonly reason: string; readonly message: string } | undefined
  /** What the payload left when its container ended; undefined for other images, and while it runs. */
  readonly said?: PayloadResult | undefined
  /** Runs one of Drover's own upgrade images, which roll back by themselves and refuse what failed on the machine before. */
  readonly ownImage?: boolean
}

/** A Plan as read; one that does not decode stops only itself. */
export type PlanView =
  | {
      readonly key: PlanKey
      readonly namespace: string
      readonly name: string
      readonly uid: string
      readonly resourceVersion: string
      readonly plan: Plan
      readonly memory: ParsedMemory
    }
  | {
      readonly key: PlanKey
      readonly namespace: string
      readonly name: string
      readonly uid: string
      readonly resourceVersion: string
      readonly plan: undefined
      /** Names the field. */
      readonly error: string
      readonly generation: number
      readonly observedGeneration?: number | undefined
      /** What its status says, as far as it can be read. */
      readonly applying: readonly string[]
      readonly conditions: readonly PlanCondition[]
    }

/** Something fetched on request; `at` is monotonic. */
export type Fresh<T> = { readonly at: number } & (
  | { readonly ok: true; readonly value: T }
  /** `refused`: the server answered no (4xx), and will again; otherwise there was no answer, or none that counts. */
  | { readonly ok: false; readonly error: string; readonly refused?: boolean }
)

export type GateSeen =
  | {
      readonly kind: 'verdict'
      readonly met: boolean
      /** What was found, and what was expected. */
      readonly message: string
    }
  /** The pods that should be absent and have not ended. */
  | { readonly kind: 'pods'; readonly pods: readonly { readonly namespace: string; readonly name: string; readonly node: string }[] }

export interface DrainView {
  readonly pods: readonly DrainPod[]
  readonly budgets: readonly PodDisruptionBudget[]
  /** `namespace/name` of the DaemonSets that exist, of those that the pods name. */
  readonly daemonSets: ReadonlySet<string>
}

/** kured's DaemonSet, as far as its lock is concerned. */
export interface KuredView {
  readonly uid: string
  readonly resourceVersion: string
  /** The annotation's text. */
  readonly lock: string | undefined
  /** How many nodes kured may hold at once. */
  readonly owners: number
}

/** What the API server said to dry runs of evictions; both by pod UID. */
export interface EvictionTries {
  readonly asked: ReadonlySet<string>
  /** Its words where it would refuse. */
  readonly refused: ReadonlyMap<string, string>
}

/** A heartbeat's text (lastHeartbeatTime, or the node Lease's renewTime) and when it was last seen to change. */
export interface Beat {
  /** Monotonic time when it was last seen to advance; undefined until then. */
  readonly advancedAt: number | undefined
  /** The last heartbeat certainly happened after this monotonic time; undefined = nothing is known. */
  readonly after: number | undefined
  /** Why the node's Lease cannot be read: the API server refuses it. */
  readonly refused?: string | undefined
}

/** The answer to the last eviction of a pod. */
export interface Evicted {
  readonly at: number
  /** True: taken; the pod is on its way. False: refused, and why. */
  readonly sent: boolean
  readonly message: string
  /** The permission is missing: no budget is in the way, and no admission webhook. */
  readonly forbidden?: boolean
}

/** What only the carrying out of steps shows: the API server refused one, or a claim was withdrawn. Told of the node, or of the Plan. */
export interface Setback {
  /** Undefined = of every Plan that says something of the node. */
  readonly plan: PlanKey | undefined
  readonly node: string | undefined
  readonly hold: Hold
}

/** A message to webhooks of a policy. */
export interface Notice {
  readonly message: NotifyMessage
  /** Events of a failure are told there. */
  readonly policy: Ref
  /** `field`: as people are told of it, who must not see the URL. */
  readonly to: readonly (Destination & { readonly field: string })[]
}

/** What gather fetched because decide asked for it, and answers to what act tried. Absent = not known yet. */
export interface Observed {
  readonly drains: ReadonlyMap<string, Fresh<DrainView>>
  /** kured's DaemonSet with its lock; null = there is none. */
  readonly kured: ReadonlyMap<'lock', Fresh<KuredView | null>>
  /** What VolumeAttachments name the node, for people, by node. */
  readonly attachments: ReadonlyMap<string, Fresh<readonly string[]>>
  /** Dry runs of the evictions of a node's pods, by node. */
  readonly tries: ReadonlyMap<string, Fresh<EvictionTries>>
  readonly beats: ReadonlyMap<string, Beat>
  readonly channels: ReadonlyMap<string, Fresh<string>>
  /** Secrets of the Plans' namespace by name; null = it does not exist. */
  readonly secrets: ReadonlyMap<string, Fresh<Secret | null>>
  readonly logs: ReadonlyMap<string, Fresh<string>>
  /** Under `etcd`; `unknown` = the API server has no such kind. */
  readonly snapshots: ReadonlyMap<'etcd', Fresh<readonly SnapshotView[] | 'unknown'>>
  /** What the checks of gates have found, by the need's key. */
  readonly gates: ReadonlyMap<string, Fresh<GateSeen>>
  /** By `<planKey>/<hash>`: the server-side dry run of the apply pod. */
  readonly dryRuns: ReadonlyMap<string, Fresh<true>>
  /** Answers to evictions, by pod UID. */
  readonly evictions: ReadonlyMap<string, Evicted>
  /** Holds found by a check against fresh reads, by node name; shown until the next try. */
  readonly rechecks: ReadonlyMap<string, Hold>
  readonly setbacks: ReadonlyMap<string, Setback>
  /** Ids of notices whose matter is closed: delivered, or given up. */
  readonly notified: ReadonlySet<string>
}

/** An etcd snapshot, as its server tells of it. */
export interface SnapshotView {
  readonly name: string
  readonly node: string
  /** The server's clock, milliseconds since the epoch; 0 = not said. */
  readonly createdAt: number
  /** Ready to use and not empty. */
  readonly usable: boolean
}

/** Why not all can be read, and who ends that: a person grants a permission, a watch that broke off runs again by itself. */
export interface Refusal {
  readonly message: string
  readonly endedBy: 'person' | 'cluster'
}

export interface World {
  readonly settings: Settings
  readonly now: Moment
  /** Plans of all namespaces; those outside settings.namespace are only counted. */
  readonly plans: readonly PlanView[]
  /** RolloutPolicies of all namespaces; undefined = they have not been listed. */
  readonly policies: readonly PolicyView[] | undefined
  readonly nodes: readonly NodeView[]
  readonly jobs: readonly JobView[]
  readonly pods: readonly PodView[]
  /** Value of drover.io/hold on the namespace of the Plans. */
  readonly namespaceHold: string | undefined
  /** Why not all that is decided upon can be read: a permission is missing, or a watch stays broken. */
  readonly refusal?: Refusal | undefined
  readonly observed: Observed
  /** Since when a fact that decide asserts (Decision.facts) has been asserted without a break. */
  readonly since: ReadonlyMap<string, Moment>
  /** Claims that this leader confirmed: `<planUID>/<hash>/<node UID>`. */
  readonly confirmed: ReadonlySet<string>
}

/** A status as it is sent: `null` takes a field out. */
export type WrittenStatus = { readonly [field in keyof PlanStatus]?: PlanStatus[field] | null }

/** Something that costs requests; gather fetches it, bounded and de-duplicated, when it is missing or older than `maxAgeMs`. */
export type Need =
  | { readonly kind: 'drain'; readonly node: string; readonly maxAgeMs: number }
  | {
      readonly kind: 'tries'
      readonly node: string
      readonly pods: readonly Ref[]
      readonly graceSeconds?: number
      readonly maxAgeMs: number
    }
  | { readonly kind: 'kured'; readonly maxAgeMs: number }
  | { readonly kind: 'attachments'; readonly node: string; readonly maxAgeMs: number }
  | { readonly kind: 'beat'; readonly node: string; readonly maxAgeMs: number }
  | { readonly kind: 'channel'; readonly url: string; readonly latestVersion: string; readonly maxAgeMs: number }
  | { readonly kind: 'secret'; readonly name: string; readonly maxAgeMs: number }
  | { readonly kind: 'log'; readonly namespace: string; readonly pod: string; readonly podUID: string; readonly maxAgeMs: number }
  /** `namespace`: of the Secrets that the check names. */
  | { readonly kind: 'gate'; readonly key: string; readonly namespace: string; readonly check: GateCheck; readonly maxAgeMs: number }
  | { readonly kind: 'snapshots'; readonly maxAgeMs: number }
  | { readonly kind: 'dryRun'; readonly key: string; readonly namespace: string; readonly pod: Pod; readonly maxAgeMs: number }

export interface Ref {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** A write, with the precondition that makes it safe to send late. Actions of a step run in order; a failure ends the step. */
export type Action =
  | {
      readonly do: 'writeStatus'
      readonly plan: Ref
      readonly resourceVersion: string
      readonly status: WrittenStatus
      readonly confirm: readonly string[]
    }
  | { readonly do: 'writePolicyStatus'; readonly policy: Ref; readonly resourceVersion: string; readonly status: PolicyStatus }
  | { readonly do: 'annotatePlan'; readonly plan: Ref; readonly resourceVersion: string; readonly memory: RolloutMemory }
  | {
      readonly do: 'patchNode'
      readonly node: string
      readonly uid: string
      readonly resourceVersion: string
      readonly unschedulable?: boolean
      /** The request to hooks; null takes it away. */
      readonly hook?: string | null
      readonly record: NodeRecord
      readonly labels?: Readonly<Record<string, string>>
    }
  | {
      readonly do: 'labelNode'
      readonly node: string
      readonly uid: string
      readonly resourceVersion: string
      readonly labels: Readonly<Record<string, string>>
    }
  /** kured's lock as text; null gives it back. `plan`: who is told when that is refused. */
  | {
      readonly do: 'lockKured'
      readonly plan: PlanKey
      readonly uid: string
      readonly resourceVersion: string
      readonly value: string | null
    }
  | { readonly do: 'createPod'; readonly pod: Pod }
  | { readonly do: 'deletePod'; readonly pod: Ref; readonly graceSeconds?: number }
  | { readonly do: 'evict'; readonly pod: Ref; readonly graceSeconds?: number }
  | { readonly do: 'createJob'; readonly job: Job }
  /** `startJob` raises the parallelism and shields, `shieldJob` only shields: from then on a returning SUC leaves the Job alone (`SHIELD`). */
  | { readonly do: 'startJob' | 'shieldJob'; readonly job: Ref }
  /** `unshield`: the node is proven, so a returning SUC may replace what is left of the Job by one of its own, which finds nothing to do. */
  | { readonly do: 'suspendJob'; readonly job: Ref; readonly unshield?: true }
  /** With `resourceVersion`: only while the Job is as it was seen, so that one started meanwhile is left alone. */
  | { readonly do: 'deleteJob'; readonly job: Ref; readonly resourceVersion?: string }
  /**
   * A finished Job that has been judged gets its TTL. `disown`: it loses the controller's label, or a returning SUC would take its word, mark a
   * node done that is not, and uncordon one that somebody has cordoned since. In strict its word has been taken already.
   */
  | { readonly do: 'expireJob'; readonly job: Ref; readonly ttlSeconds: number; readonly disown?: true }
  /** What SUC's apply library does to a Job that it finds: labels, annotations and owner become those of `like`. */
  | { readonly do: 'markJob'; readonly job: Ref; readonly like: Job }
  /** Checks the node's gates again, from a quorum read where `quorum` says so; a hold deletes the paused Job and ends the step. */
  | { readonly do: 'recheck'; readonly plan: PlanKey; readonly node: string; readonly job: Ref; readonly quorum: boolean }
  | {
      readonly do: 'event'
      readonly on: { readonly kind: 'Plan' | 'Node'; readonly namespace: string; readonly name: string; readonly uid: string }
      readonly type: 'Normal' | 'Warning'
      readonly reason: string
      readonly message: string
    }

/** Steps of the same `about` never run at once. */
export interface Step {
  readonly about: string
  readonly actions: readonly Action[]
}

/** A node's place in its Plan's rollout; derived, never stored. */
export type Phase = 'Pending' | 'Preflight' | 'Draining' | 'Upgrading' | 'Verifying' | 'Soaking' | 'Done' | 'Failed'

export interface NodeReport {
  readonly phase: Phase
  readonly holds: readonly Hold[]
}

export interface PlanReport {
  readonly holds: readonly Hold[]
  readonly nodes: ReadonlyMap<string, NodeReport>
}

export interface Decision {
  readonly steps: readonly Step[]
  readonly needs: readonly Need[]
  readonly reports: ReadonlyMap<PlanKey, PlanReport>
  /** What holds now; the caller keeps since when, and hands it back as World.since. */
  readonly facts: ReadonlySet<string>
  /** All that webhooks are still to be told. What is missing from it is not told any more. */
  readonly notices: readonly Notice[]
  /** Monotonic time of the next look, when nothing changes before. */
  readonly lookAt: number | undefined
}
