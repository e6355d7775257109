/** What can be said to the payload. Durations in milliseconds. */
export interface PayloadOptions {
  /** Folder of the image with the program, SHA256SUMS and images/. Default /opt. */
  readonly folder: string
  /** Folder of the pod info. Default /run/system-upgrade/pod. */
  readonly podInfo: string
  /** SYSTEM_UPGRADE_PLAN_LATEST_HASH, which every upgrade pod is given. */
  readonly planHash: string
  /** SYSTEM_UPGRADE_PLAN_LATEST_VERSION. */
  readonly planVersion: string | undefined
  /** The systemd unit, where several services run. */
  readonly unit: string | undefined
  readonly allowDowngrade: boolean
  /** Servers may skip minor versions. */
  readonly allowSkip: boolean
  readonly rpm: 'refuse' | 'replace'
  /** Try a release that failed here before. */
  readonly force: boolean
  readonly rollback: boolean
  /** `prepare` of servers takes an etcd snapshot. */
  readonly snapshot: boolean
  /** Default 10 s. */
  readonly stableMs: number
  /** Default 4 min: a pod on a silent node is evicted 5 min after it fell silent, and the roll back has to be over by then. */
  readonly timeoutMs: number
  /** Default 3 min. */
  readonly rollbackTimeoutMs: number
  /** Early ends that are a failure, once they have gone on for `downMs`. Default 4; 0 counts none. */
  readonly maxCrashes: number
  /** Default 20 s: services are started again after 5 s. */
  readonly downMs: number
}

export const DEFAULTS: PayloadOptions = {
  folder: '/opt',
  podInfo: '/run/system-upgrade/pod',
  planHash: '',
  planVersion: undefined,
  unit: undefined,
  allowDowngrade: false,
  allowSkip: false,
  rpm: 'refuse',
  force: false,
  rollback: true,
  snapshot: true,
  stableMs: 10_000,
  timeoutMs: 240_000,
  rollbackTimeoutMs: 180_000,
  maxCrashes: 4,
  downMs: 20_000,
}

/** What a run of the payload is given besides the machine. */
export interface Run {
  readonly options: PayloadOptions
  /** For people: few lines, because nobody empties the log's pipe while containerd is away. */
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

export interface Success {
  readonly result: 'Upgraded' | 'AlreadyThere' | 'Prepared'
  readonly message: string
  readonly from?: string
  readonly to?: string
  readonly snapshot?: string
}
