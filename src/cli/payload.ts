/** `drover payload`: what runs on the machine that is upgraded. */
import { systemClock } from '../base/clock.ts'
import { DroverError } from '../base/errors.ts'
import { parseDuration } from '../kube/objects/duration.ts'
import { linuxHost } from '../payload/linux-host.ts'
import { DEFAULTS, type PayloadOptions } from '../payload/options.ts'
import { readAttempt } from '../payload/pod-info.ts'
import { runPayload } from '../payload/run.ts'
import { readCommandLine } from './command-line.ts'

const USAGE = `usage: drover payload upgrade [options]
       drover payload prepare [PLAN] [options]

Runs in the pod of an upgrade Job, privileged, with the machine's / at /host and in its process and network namespaces.
upgrade replaces the program of the RKE2 or K3s that runs on this machine, restarts it, proves that it came back, or rolls back.
prepare makes all checks and changes nothing; of a server with etcd it takes a snapshot. PLAN is waited for by the controller.

Every option may be given as a variable too: --rpm=replace is DROVER_PAYLOAD_RPM=replace, --allow-skip is DROVER_PAYLOAD_ALLOW_SKIP=true.

  --host DIR               the machine's /; default /host
  --folder DIR             where the image has the program, SHA256SUMS and images/; default /opt
  --pod-info DIR           labels and annotations of the pod; default /run/system-upgrade/pod
  --unit NAME              the systemd service, where several run
  --allow-downgrade        a lower version than the one that runs
  --allow-skip             a server may skip minor versions
  --rpm refuse|replace     what to do with a program that belongs to an RPM package; default refuse
  --force                  a release that failed on this machine before
  --no-rollback            leave a release that does not come up in place
  --snapshot on|off        etcd snapshot in prepare; default on
  --stable TIME            how long the service has to live, and its kubelet to answer; default 10s
  --timeout TIME           until then it has to be stable; default 4m, at most 24h
  --rollback-timeout TIME  the same for the old version after a roll back; default 3m
  --down TIME              no process of the service for so long is a failure; default 20s
  --max-crashes N          so many early ends, over --down or longer, are a failure; default 4, 0 counts none

The last line of output, also left in /dev/termination-log, is the result as JSON. The exit codes are in docs/payload.md.
`

const TEXTS = [
  'host',
  'folder',
  'pod-info',
  'unit',
  'rpm',
  'snapshot',
  'stable',
  'timeout',
  'rollback-timeout',
  'down',
  'max-crashes',
] as const
const FLAGS = ['allow-downgrade', 'allow-skip', 'force', 'no-rollback'] as const
const MAX_MS = 86_400_000

/** Exit codes: those of src/payload/refusal.ts. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const [command, ...rest] = argv
  if (command === undefined || argv.includes('--help') || command === 'help') {
    process.stdout.write(USAGE)
    return command === undefined ? 2 : 0
  }
  if (command !== 'upgrade' && command !== 'prepare') throw usage(`there is no ${JSON.stringify(command)}; there are upgrade and prepare`)
  const { env } = process
  const { options, host: root, positionals } = payloadOptions(rest, env)
  if (positionals.length > (command === 'prepare' ? 1 : 0)) throw usage(`what is ${JSON.stringify(positionals.at(-1))}?`)
  const host = linuxHost({ clock: systemClock, root, terminationMessage: env['DROVER_PAYLOAD_TERMINATION_LOG'] ?? '/dev/termination-log' })
  if (positionals.length > 0 && !readAttempt(host.image, options.podInfo).marked) {
    throw usage(
      `waiting for Plan ${positionals[0]} is the work of Drover's controller, and this pod is not its own: use the upstream image to wait`,
    )
  }
  // While containerd is away nobody reads; a broken pipe must not end the upgrade.
  process.stdout.on('error', () => {})
  const say = (text: string): void => void process.stdout.write(`${text}\n`)
  return await runPayload(host, command, { options, say, signal })
}

/** @throws DroverError `Usage` that names the option */
export function payloadOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): { readonly options: PayloadOptions; readonly host: string; readonly positionals: readonly string[] } {
  const { positionals, texts, flags } = readCommandLine(argv, TEXTS, FLAGS)
  const variable = (name: string) => env[`DROVER_PAYLOAD_${name.toUpperCase().replaceAll('-', '_')}`]
  const text = (name: (typeof TEXTS)[number]): string | undefined => {
    const value = texts[name] ?? variable(name)
    return value === '' ? undefined : value
  }
  const flag = (name: (typeof FLAGS)[number]): boolean =>
    flags[name] === true || oneOf(name, variable(name) || 'false', ['true', 'false']) === 'true'
  const time = (name: (typeof TEXTS)[number], byDefault: number): number => {
    const given = text(name)
    if (given === undefined) return byDefault
    const duration = parseDuration(given)
    const milliseconds = duration.ok ? Number(duration.ns / 1_000_000n) : -1
    if (milliseconds < 0 || milliseconds > MAX_MS) throw usage(`--${name}: ${JSON.stringify(given)} is no time from 0s to 24h`)
    return milliseconds
  }
  const crashes = text('max-crashes') ?? String(DEFAULTS.maxCrashes)
  if (!/^\d{1,6}$/.test(crashes)) throw usage(`--max-crashes: ${JSON.stringify(crashes)} is no number from 0 to 999999`)
  const options: PayloadOptions = {
    folder: text('folder') ?? DEFAULTS.folder,
    podInfo: text('pod-info') ?? DEFAULTS.podInfo,
    planHash: env['SYSTEM_UPGRADE_PLAN_LATEST_HASH'] ?? DEFAULTS.planHash,
    planVersion: env['SYSTEM_UPGRADE_PLAN_LATEST_VERSION'],
    unit: text('unit'),
    allowDowngrade: flag('allow-downgrade'),
    allowSkip: flag('allow-skip'),
    rpm: oneOf('rpm', text('rpm') ?? DEFAULTS.rpm, ['refuse', 'replace'] as const),
    force: flag('force'),
    rollback: !flag('no-rollback'),
    snapshot: oneOf('snapshot', text('snapshot') ?? 'on', ['on', 'off'] as const) === 'on',
    stableMs: time('stable', DEFAULTS.stableMs),
    timeoutMs: time('timeout', DEFAULTS.timeoutMs),
    rollbackTimeoutMs: time('rollback-timeout', DEFAULTS.rollbackTimeoutMs),
    maxCrashes: Number(crashes),
    downMs: time('down', DEFAULTS.downMs),
  }
  return { options, host: text('host') ?? '/host', positionals }
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((entry) => entry === value)
  if (found === undefined) throw usage(`--${name}: ${JSON.stringify(value)} is none of ${allowed.join(', ')}`)
  return found
}

const usage = (message: string) => new DroverError('Usage', message, { retry: 'never' })
