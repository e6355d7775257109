/** Names that others depend on. SUC's are its contract (v0.20); ours stand under `drover.io/`. */

export const PLAN_API_VERSION = 'upgrade.cattle.io/v1'
export const PLAN_PATH_PREFIX = '/apis/upgrade.cattle.io/v1'

export const POLICY_PATH_PREFIX = '/apis/drover.io/v1alpha1'

export const LABEL_HOSTNAME = 'kubernetes.io/hostname'
export const LABEL_OS = 'kubernetes.io/os'
/** On Jobs and pods: the controller's name. Pods that carry it are spared by every drain. */
export const LABEL_CONTROLLER = 'upgrade.cattle.io/controller'
export const LABEL_EXCLUSIVE = 'upgrade.cattle.io/exclusive'
export const LABEL_NODE = 'upgrade.cattle.io/node'
export const LABEL_PLAN = 'upgrade.cattle.io/plan'
export const LABEL_VERSION = 'upgrade.cattle.io/version'
/** On Nodes: the hash of the Plan's last finished run; `disabled` keeps the node out. On Jobs: the hash they were made for. */
export const planLabel = (planName: string): string => `plan.upgrade.cattle.io/${planName}`
export const ANNOTATION_TTL = 'upgrade.cattle.io/ttl-seconds-after-finished'
export const ANNOTATION_DIGEST = 'upgrade.cattle.io/digest'

/** Marks kept by SUC's apply library on the Jobs it owns; without them a returning SUC would kill a running upgrade (design §4.5). */
export const OBJECTSET = 'objectset.rio.cattle.io'
/** Label on the Jobs that this library owns. */
export const LABEL_OBJECTSET = `${OBJECTSET}/hash`

/** On Nodes: the node record (api/record.ts). */
/** kured's lock, on its DaemonSet. */
export const ANNOTATION_KURED = 'weave.works/kured-node-lock'
export const ANNOTATION_RECORD = 'drover.io/node-upgrade'
/** On Nodes: what the policy's hooks are asked to acknowledge, by writing the same value into annotations of their own. */
export const ANNOTATION_HOOK = 'drover.io/hook-request'
/** On Nodes with live work, so that a consistent list of nodes in flight is cheap. */
export const LABEL_IN_FLIGHT = 'drover.io/in-flight'
/** On Plans: the rollout memory (api/memory.ts), the only annotation of ours there. */
export const ANNOTATION_MEMORY = 'drover.io/rollout'
/** On Jobs and their pods: `<planUID>/<attempt>/<retry value>`; a Job without it is not ours. */
export const ANNOTATION_ATTEMPT = 'drover.io/attempt'
/** On our pull pods and prepare Jobs: what they are for (`pull` | `prepare`), the node, and the Plan. */
export const LABEL_ROLE = 'drover.io/role'
export const LABEL_OUR_NODE = 'drover.io/node'
export const LABEL_OUR_PLAN = 'drover.io/plan'

/** Written by people only; on a Plan, approves waves of a hash: `<first 8 of the hash>/<wave>`, several separated by commas. */
export const ANNOTATION_APPROVE = 'drover.io/approve'
/** Written by people only; on a Plan, `none`: it goes on without the RolloutPolicy that was in force and is gone. */
export const ANNOTATION_POLICY = 'drover.io/policy'
/** Written by people only; Drover reads and never edits or consumes them. */
export const ANNOTATION_PAUSED = 'drover.io/paused'
export const ANNOTATION_RETRY = 'drover.io/retry'
export const ANNOTATION_ABORT = 'drover.io/abort'
export const ANNOTATION_HOLD = 'drover.io/hold'

/** Our field manager: owner of `spec.unschedulable` while a cordon is ours (real-Kubernetes behaviour of managedFields). */
export const FIELD_MANAGER = 'drover'
