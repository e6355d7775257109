import { bool, duration, integer, intOrPercent, type Kind, oneOf, optionalText, text } from './setting-kinds.ts'

const INT32 = 2 ** 31 - 1
const MINUTE = 60_000

/** One setting. docs/settings.md is made of these rows. */
export interface Row<T> {
  readonly env: string
  /** Command-line flag without dashes. Flags win over the environment. SUC's flags have their SUC names. */
  readonly flag?: string
  readonly kind: Kind<T>
  /** In the text's own form; empty = none. */
  readonly default: string
  readonly about: string
  /** An empty variable means what it says. Else it counts as not set. */
  readonly emptyCounts?: true
}

const row = <T>(fields: Row<T>): Row<T> => fields
const controller = (name: string) => `SYSTEM_UPGRADE_CONTROLLER_${name}`
const job = (name: string) => `SYSTEM_UPGRADE_JOB_${name}`

/** All settings: SUC's with SUC's defaults (v0.20), then Drover's. */
export const SETTINGS = {
  name: row({
    env: controller('NAME'),
    flag: 'name',
    kind: text,
    // SUC has no default. This one is what its manifests set, so that both compete for one Lease, and a controller without arguments starts.
    default: 'system-upgrade-controller',
    about: 'The controller: label value on Jobs and pods, name of the Lease.',
  }),
  namespace: row({
    env: controller('NAMESPACE'),
    flag: 'namespace',
    kind: optionalText,
    default: '',
    about: 'Namespace of the Plans to act on. Without it: the namespace of the pod; outside a cluster it is required.',
  }),
  nodeName: row({
    env: controller('NODE_NAME'),
    flag: 'node-name',
    kind: optionalText,
    default: '',
    about: 'The node the controller runs on; its Starting and Started events go there.',
  }),
  debug: row({ env: controller('DEBUG'), flag: 'debug', kind: bool, default: 'false', about: 'Write debug log lines.' }),
  leaderElect: row({
    env: controller('LEADER_ELECT'),
    flag: 'leader-elect',
    kind: bool,
    default: 'false',
    about: 'Read for compatibility. Drover always elects a leader.',
  }),
  kubeConfig: row({
    env: controller('KUBE_CONFIG'),
    flag: 'kubeconfig',
    kind: optionalText,
    default: '',
    about: 'Path of a kubeconfig. Without it: the service account of the pod, else $KUBECONFIG or ~/.kube/config.',
  }),
  masterURL: row({
    env: controller('MASTER_URL'),
    flag: 'master',
    kind: optionalText,
    default: '',
    about: "URL of the API server, in place of the kubeconfig's.",
  }),
  threads: row({
    env: controller('THREADS'),
    flag: 'threads',
    kind: integer(1, 1000),
    default: '2',
    about: 'Lower bound of steps carried out at once. Decisions are made one at a time.',
  }),
  jobActiveDeadlineSeconds: row({
    env: job('ACTIVE_DEADLINE_SECONDS'),
    kind: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    default: '600',
    about: 'Deadline of upgrade Jobs in seconds, where the Plan names none.',
  }),
  jobActiveDeadlineSecondsMax: row({
    env: job('ACTIVE_DEADLINE_SECONDS_MAX'),
    kind: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    default: '0',
    about: 'Longest deadline in seconds that a Plan may ask for; 0 = no limit.',
  }),
  jobBackoffLimit: row({
    env: job('BACKOFF_LIMIT'),
    kind: integer(-INT32 - 1, INT32),
    default: '2',
    about: "How often an upgrade Job's pod is tried again.",
  }),
  jobKubectlImage: row({
    env: job('KUBECTL_IMAGE'),
    kind: text,
    default: 'rancher/kubectl:v1.30.3',
    about: 'Image for cordon and drain containers: in strict compatibility, and where a RolloutPolicy says `drain.engine: Job`.',
  }),
  jobKubectlImageWindows: row({
    env: job('KUBECTL_IMAGE_WINDOWS'),
    kind: text,
    default: '',
    about: 'The same for Windows nodes.',
  }),
  jobPrivileged: row({
    env: job('PRIVILEGED'),
    kind: bool,
    default: 'true',
    about: 'Run the upgrade container privileged, unless the Plan has a securityContext.',
  }),
  jobImagePullPolicy: row({
    env: job('IMAGE_PULL_POLICY'),
    kind: text,
    default: 'IfNotPresent',
    about: "Pull policy of a Job's containers.",
  }),
  jobTtlSecondsAfterFinish: row({
    env: job('TTL_SECONDS_AFTER_FINISH'),
    kind: integer(-INT32 - 1, INT32),
    default: '900',
    about: 'How many seconds a finished Job is kept.',
  }),
  jobPodReplacementPolicy: row({
    env: job('POD_REPLACEMENT_POLICY'),
    kind: text,
    default: 'TerminatingOrFailed',
    about: 'When a Job replaces a pod: TerminatingOrFailed or Failed.',
  }),
  planPollingInterval: row({
    env: 'SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL',
    kind: duration(MINUTE),
    default: '15m',
    about: 'How often a release channel is asked. A minute or less is refused.',
  }),
  allowUserDefinedSecurityContext: row({
    env: 'ALLOW_USER_DEFINED_SECURITY_CONTEXT',
    kind: bool,
    default: 'true',
    about: 'Read for compatibility; without effect, as in SUC.',
  }),
  compatibility: row({
    env: 'DROVER_COMPATIBILITY',
    kind: oneOf('native', 'strict'),
    default: 'native',
    about: 'strict does as SUC does: its Jobs cordon, drain and decide, and nothing guards them. See the page about migration.',
  }),
  verifyMinReady: row({
    env: 'DROVER_VERIFY_MIN_READY',
    kind: duration(-1),
    default: '10s',
    about: 'How long a node must stay Ready after it was first proven.',
  }),
  verifyTimeout: row({
    env: 'DROVER_VERIFY_TIMEOUT',
    kind: duration(0),
    default: '15m',
    about: "How long a node may stay unproven after its Job's end or its last heartbeat.",
  }),
  drainStalledAfter: row({
    env: 'DROVER_DRAIN_STALLED_AFTER',
    kind: duration(0),
    default: '1h',
    about: 'A drain without a timeout is reported as stalled after this long; it goes on.',
  }),
  clusterMaxUnavailable: row({
    env: 'DROVER_CLUSTER_MAX_UNAVAILABLE',
    kind: intOrPercent,
    default: '',
    about:
      'Most nodes of the whole cluster that may be unavailable, from any cause, while a node is taken: a number or a percentage. Without it: no limit.',
  }),
  kstatus: row({
    env: 'DROVER_KSTATUS',
    kind: bool,
    default: 'true',
    about: 'Write the conditions Ready, Reconciling and Stalled on Plans.',
  }),
  statusDelay: row({
    env: 'DROVER_STATUS_DELAY',
    kind: duration(-1),
    default: '25s',
    about: "How long counts, messages and node phases in a Plan's status may lag. Conditions and fields that programs act on never do.",
  }),
  selfCheck: row({
    env: 'DROVER_SELF_CHECK',
    kind: bool,
    default: 'true',
    about: 'Check at start that the controller may do all it needs to.',
  }),
  channelAgreement: row({
    env: 'DROVER_CHANNEL_AGREEMENT',
    kind: duration(-1),
    default: '60s',
    about: 'How long a channel must name the same new version before it is taken.',
  }),
  channelTimeout: row({
    env: 'DROVER_CHANNEL_TIMEOUT',
    kind: duration(0),
    default: '10s',
    about: "Longest wait for a channel's answer.",
  }),
  leaseDuration: row({
    env: 'DROVER_LEASE_DURATION',
    kind: duration(1000),
    default: '90s',
    about: 'How long others respect a leader that does not renew. Longer than a restart of the API server takes.',
  }),
  leaseRenewDeadline: row({
    env: 'DROVER_LEASE_RENEW_DEADLINE',
    kind: duration(0),
    default: '60s',
    about: 'How long a leader that cannot renew goes on. Shorter than the duration.',
  }),
  leaseRetry: row({
    env: 'DROVER_LEASE_RETRY',
    kind: duration(0),
    default: '10s',
    about: 'Time between two attempts to take or renew the Lease. Shorter than the renew deadline.',
  }),
  metricsAddress: row({
    env: 'DROVER_METRICS_ADDRESS',
    kind: text,
    default: ':8080',
    about: 'Where /metrics, /healthz and /readyz are served: host:port or :port. An empty value turns them off.',
    emptyCounts: true,
  }),
} as const

export type SettingKey = keyof typeof SETTINGS
type ValueOf<R> = R extends Row<infer T> ? T : never
export type SettingValues = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> }
