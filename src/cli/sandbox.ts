/** `drover sandbox`: a Kubernetes cluster in memory that kubectl can talk to, until it is interrupted. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { DroverError, messageOf } from '../base/errors.ts'
import { parseVersion } from '../rollout/version.ts'
import { createSandbox } from '../sandbox/cluster.ts'
import { listen } from '../sandbox/listen.ts'
import { standardCluster } from '../sandbox/standard-cluster.ts'

const USAGE = `usage: drover sandbox [options]

A Kubernetes cluster in memory, on the loopback interface, with machines that can be upgraded. It runs until it is interrupted.

  --port N           port to listen on; default 0 = any free one
  --servers N        servers, 0 to 9; default 3
  --agents N         agents, 0 to 1000; default 3
  --version VERSION  what the machines run, RKE2 or K3s; default v1.33.3+rke2r1
  --kubeconfig FILE  where to write a kubeconfig; default ./sandbox.kubeconfig
  --fast             machines pull, restart and send heartbeats in about a second
`
const FAST = { heartbeatMs: 1000, machine: { pullMs: 200, restartMs: [300, 1000] } } as const

export interface SandboxFlags {
  readonly port: number
  readonly servers: number
  readonly agents: number
  readonly version: string
  readonly kubeconfig: string
  readonly fast: boolean
}

/** The flags, or what is wrong with them. */
export function parseSandboxFlags(argv: readonly string[]): SandboxFlags | { readonly problem: string } {
  const strings = { type: 'string' } as const
  let values
  try {
    ;({ values } = parseArgs({
      args: [...argv],
      options: { port: strings, servers: strings, agents: strings, version: strings, kubeconfig: strings, fast: { type: 'boolean' } },
    }))
  } catch (error) {
    return { problem: messageOf(error) }
  }
  const port = count(values.port ?? '0', 65_535)
  const servers = count(values.servers ?? '3', 9)
  const agents = count(values.agents ?? '3', 1000)
  const version = values.version ?? 'v1.33.3+rke2r1'
  if (port === undefined) return { problem: '--port takes a number from 0 to 65535' }
  if (servers === undefined) return { problem: '--servers takes a number from 0 to 9' }
  if (agents === undefined) return { problem: '--agents takes a number from 0 to 1000' }
  if (servers + agents === 0) return { problem: 'a cluster needs a node' }
  if (parseVersion(version) === undefined)
    return { problem: `--version takes an RKE2 or K3s version such as v1.33.3+rke2r1, not ${version}` }
  return { port, servers, agents, version, kubeconfig: values.kubeconfig ?? 'sandbox.kubeconfig', fast: values.fast ?? false }
}

function count(text: string, max: number): number | undefined {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  return number <= max ? number : undefined
}

/** Runs until the signal aborts. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE)
    return 0
  }
  const flags = parseSandboxFlags(argv)
  if ('problem' in flags) throw new DroverError('Usage', `${flags.problem}\n\n${USAGE}`, { retry: 'never' })
  const kubeconfigPath = resolve(flags.kubeconfig)
  const sandbox = createSandbox({ clock: 'real', ...(flags.fast ? { heartbeatMs: FAST.heartbeatMs } : {}) })
  const listener = await listen(sandbox.server, { port: flags.port, kubeconfigPath })
  try {
    const { servers, agents, version, fast } = flags
    await standardCluster(sandbox, { servers, agents, version, ...(fast ? { machine: (spec) => ({ ...spec, ...FAST.machine }) } : {}) })
    process.stdout.write(
      `${servers} servers and ${agents} agents with ${version} at ${listener.url}\n\n  export KUBECONFIG=${kubeconfigPath}\n\n`,
    )
    if (!signal.aborted) await new Promise((done) => signal.addEventListener('abort', done, { once: true }))
  } finally {
    await listener.close()
    await sandbox.stop()
  }
  return 0
}
