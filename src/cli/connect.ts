/** What commands for people share: flags that say which cluster and namespace, and a Process to talk to it. */
import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import { parseSettings } from '../controller/settings.ts'
import { connect } from '../kube/client/config.ts'
import { createOutside } from '../kube/client/outside.ts'
import { readCommandLine } from './command-line.ts'

export const CONNECTION_FLAGS = `  --namespace NS     namespace of the Plans; default system-upgrade
  --name NAME        the controller's name; default system-upgrade-controller
  --kubeconfig FILE  default: the pod's service account, KUBECONFIG or ~/.kube/config
`

export interface Session {
  readonly process: Process
  readonly settings: Settings
  readonly positionals: readonly string[]
  readonly flags: Readonly<Record<string, boolean | undefined>>
  close(): void
}

/** @throws DroverError `Usage` when the command line makes no sense, or what `connect` throws */
export async function openSession(argv: readonly string[], booleans: readonly string[]): Promise<Session> {
  const { positionals, texts, flags } = readCommandLine(argv, ['namespace', 'name', 'kubeconfig'], booleans)
  const { env } = globalThis.process
  const settings = parseSettings(
    { ...env, SYSTEM_UPGRADE_CONTROLLER_NAME: texts['name'] ?? env['SYSTEM_UPGRADE_CONTROLLER_NAME'] },
    [],
    texts['namespace'] ?? 'system-upgrade',
  ).settings
  const { transport } = await connect({
    clock: systemClock,
    log: silentLog,
    env,
    kubeConfig: texts['kubeconfig'] ?? settings.kubeConfig,
    masterURL: settings.masterURL,
    qps: 50,
    burst: 100,
  })
  return {
    settings: { ...settings, namespace: texts['namespace'] ?? settings.namespace },
    process: {
      name: 'drover-cli',
      clock: systemClock,
      random: Math.random,
      transport,
      outside: createOutside({ clock: systemClock, log: silentLog, env }),
      log: silentLog,
    },
    positionals,
    flags,
    close: () => transport.close(),
  }
}
