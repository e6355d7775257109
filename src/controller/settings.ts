import { DroverError } from '../base/errors.ts'
import type { Settings } from '../base/settings.ts'
import { type Row, type SettingKey, SETTINGS, type SettingValues } from './settings-table.ts'

export interface ParsedSettings {
  readonly settings: Settings
  /** One sentence for each value that was refused; its default is in force. */
  readonly warnings: readonly string[]
}

/** Flags of SUC that have no meaning any more. */
const IGNORED_FLAGS = ['service-account']

const KEYS = Object.keys(SETTINGS) as SettingKey[]

/**
 * The controller's settings from its environment and command line; flags win.
 * A value that does not parse leaves the default in force, as in SUC.
 * @param podNamespace content of the service account's namespace file, when there is one
 * @throws DroverError `UnknownFlag`, `BadFlag` or `MissingSetting`: nothing can be done without the person who wrote the command line
 */
export function parseSettings(
  env: Readonly<Record<string, string | undefined>>,
  argv: readonly string[],
  podNamespace?: string,
): ParsedSettings {
  const warnings: string[] = []
  const flags = parseFlags(argv, warnings)
  const values = Object.fromEntries(
    KEYS.map((key) => [key, valueOf(SETTINGS[key] as Row<unknown>, env, flags, warnings)]),
  ) as unknown as SettingValues
  const namespace = values.namespace ?? podNamespace?.trim()
  if (namespace === undefined || namespace === '') {
    throw new DroverError('MissingSetting', `which namespace? set ${SETTINGS.namespace.env} or give --namespace`, { retry: 'never' })
  }
  return { settings: assemble(values, namespace, leaseOf(values, warnings)), warnings }
}

function assemble(values: SettingValues, namespace: string, lease: Settings['lease']): Settings {
  return {
    name: values.name,
    namespace,
    nodeName: values.nodeName,
    debug: values.debug,
    leaderElect: values.leaderElect,
    kubeConfig: values.kubeConfig,
    masterURL: values.masterURL,
    threads: values.threads,
    job: {
      activeDeadlineSeconds: values.jobActiveDeadlineSeconds,
      activeDeadlineSecondsMax: values.jobActiveDeadlineSecondsMax,
      backoffLimit: values.jobBackoffLimit,
      kubectlImage: values.jobKubectlImage,
      kubectlImageWindows: values.jobKubectlImageWindows,
      privileged: values.jobPrivileged,
      imagePullPolicy: values.jobImagePullPolicy,
      ttlSecondsAfterFinish: values.jobTtlSecondsAfterFinish,
      podReplacementPolicy: values.jobPodReplacementPolicy,
    },
    planPollingIntervalMs: values.planPollingInterval,
    compatibility: values.compatibility,
    verify: { minReadyMs: values.verifyMinReady, timeoutMs: values.verifyTimeout },
    drain: { stalledAfterMs: values.drainStalledAfter },
    clusterMaxUnavailable: values.clusterMaxUnavailable,
    kstatus: values.kstatus,
    statusDelayMs: values.statusDelay,
    selfCheck: values.selfCheck,
    channelAgreementMs: values.channelAgreement,
    channelTimeoutMs: values.channelTimeout,
    lease,
    metricsAddress: values.metricsAddress,
  }
}

function valueOf<T>(
  row: Row<T>,
  env: Readonly<Record<string, string | undefined>>,
  flags: ReadonlyMap<string, string>,
  warnings: string[],
): T {
  const flag = row.flag === undefined ? undefined : flags.get(row.flag)
  const given = flag ?? env[row.env]
  if (given !== undefined && (given !== '' || row.emptyCounts === true)) {
    const read = row.kind.read(given)
    if ('ok' in read) return read.ok
    const source = flag === undefined ? row.env : `--${row.flag}`
    warnings.push(
      `${source} is ${JSON.stringify(given)}, expected is ${read.expected}; ${row.default === '' ? 'nothing' : row.default} is used`,
    )
  }
  const fallback = row.kind.read(row.default)
  if ('ok' in fallback) return fallback.ok
  throw new DroverError('Defect', `the default of ${row.env} does not parse`, { retry: 'never' })
}

/** A leader must give up before others may take over, and try more than once until then. */
function leaseOf(values: SettingValues, warnings: string[]): Settings['lease'] {
  const lease = { durationMs: values.leaseDuration, renewDeadlineMs: values.leaseRenewDeadline, retryMs: values.leaseRetry }
  if (lease.retryMs < lease.renewDeadlineMs && lease.renewDeadlineMs < lease.durationMs) return lease
  const rows = [SETTINGS.leaseRetry, SETTINGS.leaseRenewDeadline, SETTINGS.leaseDuration]
  warnings.push(`${rows.map((row) => row.env).join(' < ')} does not hold; ${rows.map((row) => row.default).join(', ')} are used`)
  const [retryMs, renewDeadlineMs, durationMs] = rows.map((row) => valueOf(row, {}, new Map(), [])) as [number, number, number]
  return { durationMs, renewDeadlineMs, retryMs }
}

/** Go's flag syntax: one dash or two, `-x=v` or `-x v`; booleans take a value only after `=`. */
function parseFlags(argv: readonly string[], warnings: string[]): ReadonlyMap<string, string> {
  const known = new Map<string, Row<unknown>>()
  for (const key of KEYS) {
    const row: Row<unknown> = SETTINGS[key]
    if (row.flag !== undefined) known.set(row.flag, row)
  }
  const flags = new Map<string, string>()
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? ''
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(argument)
    const name = match?.[1] ?? ''
    const row = known.get(name)
    if (row === undefined && !IGNORED_FLAGS.includes(name)) {
      throw new DroverError(
        'UnknownFlag',
        `${JSON.stringify(argument)} is no flag; there are ${[...known.keys()].map((flag) => `--${flag}`).join(', ')}`,
        {
          retry: 'never',
        },
      )
    }
    let value = match?.[2]
    if (value === undefined && row?.kind.name === 'true or false') value = 'true'
    if (value === undefined) {
      index++
      value = argv[index]
      if (value === undefined) throw new DroverError('BadFlag', `--${name} needs a value`, { retry: 'never' })
    }
    if (row === undefined) warnings.push(`--${name} is ignored`)
    else flags.set(name, value)
  }
  return flags
}
