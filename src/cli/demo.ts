/** `drover demo`: a cluster in memory is upgraded before your eyes, and judged afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DroverError, messageOf } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import { createOutside } from '../kube/client/outside.ts'
import { createSandbox } from '../sandbox/cluster.ts'
import { listen } from '../sandbox/listen.ts'
import { startChannelServer } from './channel-server.ts'
import { AGENTS, FROM, HEARTBEAT_MS, NAMESPACE, SEED, SERVERS, SHORTENED, TARGET } from './demo/scenario.ts'
import { openScreen, type Screen } from './demo/screen.ts'
import { buildCluster, upgrade } from './demo/upgrade.ts'

/** Exit code 0 if everything was as promised, 1 if not. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv.length > 0) throw new DroverError('Usage', 'usage: drover demo (it takes no arguments)', { retry: 'never' })
  const screen = openScreen(process.stdout, process.env)
  const folder = mkdtempSync(join(tmpdir(), 'drover-demo-'))
  try {
    return await demo(screen, join(folder, 'kubeconfig'), signal)
  } catch (error) {
    screen.print([signal.aborted ? 'Interrupted.' : `The demo failed: ${messageOf(error)}`])
    return 1
  } finally {
    screen.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function demo(screen: Screen, kubeconfigPath: string, signal: AbortSignal): Promise<number> {
  const sandbox = createSandbox({ clock: 'real', heartbeatMs: HEARTBEAT_MS, seed: SEED })
  const channels = await startChannelServer({ channels: { stable: TARGET } })
  const door = await listen(sandbox.server, { kubeconfigPath })
  try {
    screen.print(introduction(kubeconfigPath))
    await buildCluster(sandbox)
    const outside = createOutside({ clock: sandbox.clock, log: silentLog, env: {} })
    return await upgrade({ sandbox, screen, outside, channel: `${channels.url}/stable`, signal })
  } finally {
    await door.close()
    await channels.close()
    await sandbox.stop()
  }
}

function introduction(kubeconfigPath: string): string[] {
  return [
    `A cluster in memory, ${SERVERS} servers and ${AGENTS} agents, goes from RKE2 ${FROM} to ${TARGET}.`,
    'The servers go first, one at a time. Then the agents, two at a time, drained.',
    ...SHORTENED.map((text) => `Shortened: ${text}.`),
    'Follow along from a second terminal:',
    `  export KUBECONFIG=${kubeconfigPath}`,
    '  kubectl get nodes -w',
    `  kubectl -n ${NAMESPACE} get plans -w`,
    '',
  ]
}
