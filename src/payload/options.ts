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
  /** Default 8 min: with the rollback's within the default deadline of upgrade Jobs, 15 min. */
  readonly timeoutMs: number
  /** Default 3 min. */
  readonly rollbackTimeoutMs: number
  /** Default 8; 0 counts none. */
  readonly maxCrashes: number
  /** Default 60 s. */
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
  timeoutMs: 480_000,
  rollbackTimeoutMs: 180_000,
  maxCrashes: 8,
  downMs: 60_000,
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
