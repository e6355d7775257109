/**
 * Why a Plan or a node does not go further. Each is documented in docs/runbook.md, which a test checks against this table.
 * `endedBy` says who can end it: time alone, the cluster, or a person.
 */
export const HOLD_REASONS = {
  // A whole Plan
  PlanUnreadable: { endedBy: 'person', what: 'the Plan cannot be decoded' },
  PlanInvalid: { endedBy: 'person', what: 'the Plan fails validation' },
  VersionUnresolved: { endedBy: 'cluster', what: 'no version is known yet: the channel has not answered with one' },
  MemoryUnreadable: { endedBy: 'person', what: "the Plan's drover.io/rollout annotation cannot be read" },
  Paused: { endedBy: 'person', what: 'annotation drover.io/paused on the Plan' },
  Aborted: { endedBy: 'person', what: 'annotation drover.io/abort names the hash in force' },
  NamespaceHeld: { endedBy: 'person', what: 'annotation drover.io/hold on the namespace of the Plans' },
  PolicyUnreadable: { endedBy: 'person', what: 'a RolloutPolicy that is meant for the Plan cannot be read' },
  PolicyConflict: { endedBy: 'person', what: 'two RolloutPolicies apply to the Plan with equal right' },
  PolicyGone: { endedBy: 'person', what: 'the RolloutPolicy that was in force for this hash is gone' },
  Stepping: { endedBy: 'cluster', what: 'a step through a minor version is done, and something else comes before the next' },
  Excluded: { endedBy: 'time', what: 'an exclusion of the RolloutPolicy forbids work now' },
  OutsideWindow: { endedBy: 'time', what: "the Plan's window is closed, or every window of its RolloutPolicy" },
  WindowTooShort: { endedBy: 'time', what: 'what is left of the open time is shorter than a node takes' },
  WaitingForPlan: { endedBy: 'cluster', what: 'a Plan that prepare or the RolloutPolicy names is not complete' },
  ImageVersionMismatch: { endedBy: 'person', what: 'a known upgrade image is pinned to a tag other than the resolved version' },
  ConcurrencyZero: { endedBy: 'person', what: 'spec.concurrency is missing or 0: SUC takes no node then' },
  PodRejected: { endedBy: 'person', what: 'the API server refuses the apply pod in a dry run' },
  DryRunPending: { endedBy: 'cluster', what: 'the dry run of the apply pod has had no answer yet' },
  Refused: { endedBy: 'person', what: 'the API server refuses a read or a write, or a watch stays broken; it is tried again all the same' },
  AnotherController: { endedBy: 'person', what: 'somebody else makes Jobs on nodes that are in flight here' },
  InternalError: { endedBy: 'person', what: 'a defect in Drover; only this Plan or node is stopped' },
  // A node that is to be taken
  NodeHeld: { endedBy: 'person', what: 'annotation drover.io/hold on the node' },
  NodeDeleting: { endedBy: 'cluster', what: 'the node is being deleted' },
  RecordUnreadable: { endedBy: 'person', what: "the node's drover.io/node-upgrade annotation cannot be read" },
  HostnameMissing: { endedBy: 'person', what: 'the node has no label kubernetes.io/hostname' },
  HostnameDuplicate: { endedBy: 'person', what: 'several nodes carry the same kubernetes.io/hostname' },
  NodeBusy: { endedBy: 'cluster', what: 'another Plan works on the node' },
  NodeNotReady: { endedBy: 'cluster', what: 'the node is not Ready' },
  CordonedByOthers: { endedBy: 'person', what: 'somebody else cordoned this server, or a node that the RolloutPolicy skips then' },
  UntoleratedTaint: { endedBy: 'person', what: 'the apply pod does not tolerate a taint of the node' },
  Downgrade: { endedBy: 'person', what: "the target is lower than the node's version" },
  SkippedMinor: { endedBy: 'person', what: 'a server would skip a minor version' },
  EtcdTooOld: { endedBy: 'person', what: 'etcd 3.6 would come before every member has run etcd 3.5.26' },
  UnsupportedDistribution: { endedBy: 'person', what: 'the node belongs to an RKE1 cluster' },
  ManagedElsewhere: { endedBy: 'person', what: 'Rancher or Cluster API provisioned the node and upgrades it itself' },
  AheadOfServers: { endedBy: 'cluster', what: 'an agent would be newer than the oldest server' },
  VersionUnknown: { endedBy: 'person', what: 'a version could not be parsed, so no direction can be told' },
  NoRecentEtcdSnapshot: { endedBy: 'cluster', what: 'the RolloutPolicy asks for an etcd snapshot, and none is recent enough' },
  ControlPlaneBusy: { endedBy: 'cluster', what: 'another control-plane node is in flight; one at a time' },
  EtcdQuorum: { endedBy: 'cluster', what: 'too few healthy, schedulable etcd members would remain' },
  BudgetReached: { endedBy: 'cluster', what: 'as many nodes are unavailable as the controller or the RolloutPolicy allows' },
  KuredLocked: { endedBy: 'cluster', what: 'kured holds its lock, or the lock cannot be read or is being taken' },
  ConcurrencyReached: { endedBy: 'cluster', what: 'all slots of the Plan are taken' },
  WavePending: { endedBy: 'cluster', what: 'an earlier wave of the RolloutPolicy is not done' },
  WaveSoaking: { endedBy: 'time', what: 'an earlier wave of the RolloutPolicy is done and is being watched' },
  AwaitingApproval: { endedBy: 'person', what: 'an earlier wave of the RolloutPolicy waits for annotation drover.io/approve' },
  DrainForecastBlocked: {
    endedBy: 'cluster',
    what: 'a pod on the node could not be evicted now, and the RolloutPolicy wants to know that before the cordon',
  },
  DrainPutOff: { endedBy: 'time', what: 'the drain did not end in time; the node was given back and is tried again later' },
  Quarantined: { endedBy: 'person', what: 'the drain did not end in time; the node gave its slot back and stays cordoned' },
  TooManyBlockedNodes: { endedBy: 'person', what: 'more nodes could not be drained in time than the RolloutPolicy allows' },
  GatePending: { endedBy: 'cluster', what: 'a gate of the RolloutPolicy is not met, or cannot be evaluated' },
  GateFailed: { endedBy: 'person', what: 'a gate of the RolloutPolicy was not met in time' },
  MaxFailuresExceeded: { endedBy: 'person', what: 'as many nodes of this hash failed as the RolloutPolicy allows' },
  BackingOff: { endedBy: 'time', what: 'the node failed; the RolloutPolicy grants another attempt later' },
  PreviousFailure: { endedBy: 'person', what: 'this hash failed on the node before' },
  Pulling: { endedBy: 'cluster', what: 'the upgrade image is being pulled on the node' },
  ImageUnavailable: { endedBy: 'cluster', what: 'the upgrade image cannot be pulled on the node' },
  ClaimWithdrawn: { endedBy: 'time', what: 'the claim broke a limit when it was confirmed and was withdrawn' },
  // A node that has been taken
  Preparing: { endedBy: 'cluster', what: "the Plan's prepare container runs" },
  DrainImpossible: { endedBy: 'person', what: 'a pod on the node may not be drained with these drain options' },
  HookPending: { endedBy: 'cluster', what: 'a hook of the RolloutPolicy has not been acknowledged yet' },
  HookOverdue: { endedBy: 'person', what: 'a hook of the RolloutPolicy was not acknowledged in time' },
  Draining: { endedBy: 'cluster', what: 'pods are being evicted' },
  WaitingForCompletion: { endedBy: 'cluster', what: 'a pod may come to its own end before the drain goes on, as the RolloutPolicy asks' },
  VolumesAttached: { endedBy: 'cluster', what: 'volumes are still attached to the drained node' },
  DrainBlocked: { endedBy: 'cluster', what: 'a PodDisruptionBudget or an admission webhook forbids an eviction' },
  JobNameConflict: { endedBy: 'person', what: "a Job with the apply Job's name belongs to another node" },
  WaitingForPods: { endedBy: 'cluster', what: 'pods of an earlier Job are still there' },
  RestoredState: { endedBy: 'person', what: 'the claim is over a day old: a restored snapshot or a long outage' },
  HeartbeatMissing: { endedBy: 'cluster', what: 'no heartbeat of an etcd member was seen to advance lately' },
  Upgrading: { endedBy: 'cluster', what: 'the apply Job runs' },
  Verifying: { endedBy: 'cluster', what: 'the node has not proven itself yet' },
  Soaking: { endedBy: 'time', what: 'postCompleteDelay counts' },
} as const satisfies Record<string, { endedBy: EndedBy; what: string }>

export type EndedBy = 'time' | 'cluster' | 'person'
export type HoldReason = keyof typeof HOLD_REASONS

/** Why an attempt failed; stored in the node record. */
export const FAILURE_REASONS = {
  JobFailed: 'the apply Job failed for good and the node is not at the target',
  PrepareFailed: "the Plan's prepare container failed",
  DrainTimeout: "the drain did not end within the Plan's drain.timeout",
  NodeLost: 'the node went silent and did not come back in time',
  NodeNotReady: 'the node did not become Ready in time',
  VersionMismatch: 'the node came back on another version than the target',
  NotRebooted: 'the RolloutPolicy requires a reboot, and the machine did not boot anew in time',
  GateFailed: 'a gate of the RolloutPolicy with onTimeout: Fail was not met in time after the upgrade',
  JobDeleted: 'the apply Job was deleted under way, three times over',
} as const

export type FailureReason = keyof typeof FAILURE_REASONS

/** A reason with everything a waiting operator asks: what, since when, who ends it. */
export interface Hold {
  readonly reason: HoldReason
  readonly message: string
  readonly endedBy: EndedBy
  /** Wall-clock milliseconds since when this reason stands, as far as this controller saw. */
  readonly since?: number
  /** Wall-clock milliseconds when it is looked at again, where a time is known. */
  readonly retryAt?: number
  /** What stands in the way, as `kind/namespace/name`. */
  readonly blockedBy?: string
}

/** A hold of the given reason; `endedBy` comes from the table. */
export function hold(reason: HoldReason, message: string, more: { retryAt?: number; blockedBy?: string; endedBy?: EndedBy } = {}): Hold {
  return { reason, message, endedBy: HOLD_REASONS[reason].endedBy, ...more }
}
