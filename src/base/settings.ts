/** All settings of a controller. Durations are milliseconds unless the name says otherwise. Parsed and defaulted in controller/settings.ts. */
export interface Settings {
  /** The controller's name: label value, Lease name, objectset id. SYSTEM_UPGRADE_CONTROLLER_NAME. */
  readonly name: string
  /** Namespace of the Plans that are acted on. SYSTEM_UPGRADE_CONTROLLER_NAMESPACE. */
  readonly namespace: string
  /** Node the controller runs on, for its Starting/Started events. SYSTEM_UPGRADE_CONTROLLER_NODE_NAME. */
  readonly nodeName: string | undefined
  readonly debug: boolean
  /** SYSTEM_UPGRADE_CONTROLLER_LEADER_ELECT is read, and Drover elects all the same (design: one at a time). */
  readonly leaderElect: boolean
  readonly kubeConfig: string | undefined
  readonly masterURL: string | undefined
  /** SYSTEM_UPGRADE_CONTROLLER_THREADS, default 2; Drover decides in one thread and takes it as a lower bound for steps carried out at once. */
  readonly threads: number
  readonly job: JobSettings
  /** How often a channel is asked, default 15 min; a minute or less is ignored as in SUC. */
  readonly planPollingIntervalMs: number
  /** `strict` reproduces SUC to the letter. DROVER_COMPATIBILITY. */
  readonly compatibility: 'native' | 'strict'
  readonly verify: {
    /** Ready this long since first proven. DROVER_VERIFY_MIN_READY, default 10 s. */
    readonly minReadyMs: number
    /** How long after the Job's end or the last heartbeat a node may stay unproven. DROVER_VERIFY_TIMEOUT, default 15 min. */
    readonly timeoutMs: number
  }
  readonly drain: {
    /** After this long a drain without a timeout is reported as stalled. DROVER_DRAIN_STALLED_AFTER, default 1 h. */
    readonly stalledAfterMs: number
  }
  /** Upper bound of unavailable nodes in the whole cluster: a number or a percentage such as `10%`. DROVER_CLUSTER_MAX_UNAVAILABLE, default none. */
  readonly clusterMaxUnavailable: string | undefined
  /** Write the kstatus conditions Ready, Reconciling, Stalled. DROVER_KSTATUS, default true. */
  readonly kstatus: boolean
  /** How long counts, messages and node phases in a Plan's status may lag, so that a quick node costs no write of its own. DROVER_STATUS_DELAY, default 25 s. */
  readonly statusDelayMs: number
  /** Check own permissions at start. DROVER_SELF_CHECK, default true. */
  readonly selfCheck: boolean
  /** How long a channel must agree with itself before a change is taken. DROVER_CHANNEL_AGREEMENT, default 60 s. */
  readonly channelAgreementMs: number
  /** Longest wait for a channel's answer. DROVER_CHANNEL_TIMEOUT, default 10 s. */
  readonly channelTimeoutMs: number
  readonly lease: {
    /** DROVER_LEASE_DURATION, default 90 s: longer than an API server's restart. */
    readonly durationMs: number
    /** DROVER_LEASE_RENEW_DEADLINE, default 60 s; below the duration. */
    readonly renewDeadlineMs: number
    /** DROVER_LEASE_RETRY, default 10 s. */
    readonly retryMs: number
  }
  /** Address of /metrics, /healthz, /readyz. DROVER_METRICS_ADDRESS, default `:8080`; empty = off. */
  readonly metricsAddress: string
}

/** SYSTEM_UPGRADE_JOB_*. */
export interface JobSettings {
  /** ACTIVE_DEADLINE_SECONDS, default 600. */
  readonly activeDeadlineSeconds: number
  /** ACTIVE_DEADLINE_SECONDS_MAX, default 0 = none. */
  readonly activeDeadlineSecondsMax: number
  /** BACKOFF_LIMIT, default 2. */
  readonly backoffLimit: number
  /** KUBECTL_IMAGE, SUC's default. Used by strict Jobs only. */
  readonly kubectlImage: string
  /** KUBECTL_IMAGE_WINDOWS, default empty. */
  readonly kubectlImageWindows: string
  /** PRIVILEGED, default true. */
  readonly privileged: boolean
  /** IMAGE_PULL_POLICY, default IfNotPresent. */
  readonly imagePullPolicy: string
  /** TTL_SECONDS_AFTER_FINISH, default 900. */
  readonly ttlSecondsAfterFinish: number
  /** POD_REPLACEMENT_POLICY, default TerminatingOrFailed. */
  readonly podReplacementPolicy: string
}
