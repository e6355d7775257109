/**
 * The whole way with the real kubectl: `drover sandbox` is the cluster, the built controller runs against it through its kubeconfig, and the
 * Plans of the documentation, and those that Rancher writes, are applied as people apply them.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from '@jest/globals'

const root = new URL('../../', import.meta.url).pathname
const main = join(root, 'dist/main.js')
const FROM = 'v1.33.3+rke2r1'
const TARGET = 'v1.33.4+rke2r1'
const START_MS = 30_000
const ROLLOUT_S = 120

interface Program {
  readonly child: ChildProcess
  /** Everything it wrote. */
  output(): string
}

let programs: Program[] = []
let folders: string[] = []

afterEach(async () => {
  for (const program of programs.toReversed()) await stop(program)
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  programs = []
  folders = []
})

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  const child = spawn(process.execPath, [main, ...args], { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (text) => (output += text))
  child.stderr.on('data', (text) => (output += text))
  const program = { child, output: () => output }
  programs.push(program)
  return program
}

/** The exit code. */
async function stop({ child }: Program): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(killer)
  }
  return child.exitCode
}

async function until(what: string, holds: () => boolean | Promise<boolean>, program: Program): Promise<void> {
  const end = Date.now() + START_MS
  while (!(await holds())) {
    if (Date.now() > end || program.child.exitCode !== null) throw new Error(`${what} did not happen; output:\n${program.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

interface Node {
  readonly metadata: { readonly name: string; readonly labels: Record<string, string>; readonly annotations?: Record<string, string> }
  readonly spec: { readonly unschedulable?: boolean }
  readonly status: { readonly nodeInfo: { readonly kubeletVersion: string } }
}

interface Plan {
  readonly metadata: { readonly name: string }
  readonly status: { readonly latestHash: string; readonly applying?: readonly string[] }
}

/** A cluster, the controller for Plans of `namespace`, and kubectl to talk to them. */
async function cluster(namespace: string) {
  const folder = mkdtempSync(join(tmpdir(), 'drover-kubectl-'))
  folders.push(folder)
  const kubeconfig = join(folder, 'kubeconfig')
  const sandbox = start(['sandbox', '--servers', '3', '--agents', '2', '--version', FROM, '--fast', '--kubeconfig', kubeconfig])
  await until('the sandbox', () => sandbox.output().includes('KUBECONFIG=') && existsSync(kubeconfig), sandbox)
  const kubectl = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('kubectl', ['--kubeconfig', kubeconfig, ...args], {
      cwd: root,
      maxBuffer: 16 * 1024 * 1024,
    })
    return stdout
  }
  const controller = start([], {
    KUBECONFIG: kubeconfig,
    SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: namespace,
    DROVER_METRICS_ADDRESS: '',
    // Everything else as it ships; the machines of --fast are back within a second.
    DROVER_VERIFY_MIN_READY: '1s',
  })
  const installed = () =>
    kubectl('get', 'crd', 'plans.upgrade.cattle.io').then(
      () => true,
      () => false,
    )
  await until('the CRD', installed, controller)
  await kubectl('wait', 'crd/plans.upgrade.cattle.io', '--for=condition=Established', '--timeout=20s')
  return { kubectl, controller }
}

/** SUC's hash of a Plan without Secrets and digest annotation, computed apart from the code under test. */
function expectedHash(version: string, serviceAccount: string): string {
  return createHash('sha224').update(version.replaceAll('+', '-')).update(serviceAccount).digest('hex')
}

const PAIRS = [
  {
    what: "the documentation's pair",
    file: 'examples/rke2/by-version.yaml',
    namespace: 'system-upgrade',
    account: 'system-upgrade',
    server: 'server-plan',
    agent: 'agent-plan',
  },
  {
    what: "Rancher's pair",
    file: 'examples/rancher/rke2-imported.yaml',
    namespace: 'cattle-system',
    account: 'system-upgrade-controller',
    server: 'rke2-master-plan',
    agent: 'rke2-worker-plan',
  },
] as const

describe('applied with kubectl', () => {
  test.each(PAIRS)(
    '$what upgrades every node',
    async ({ file, namespace, account, server, agent }) => {
      const { kubectl, controller } = await cluster(namespace)
      // Rancher marks the nodes it wants upgraded.
      if (namespace === 'cattle-system') await kubectl('label', 'nodes', '--all', 'upgrade.cattle.io/kubernetes-upgrade=true')

      await kubectl('apply', '-f', file)
      const plans = [`plan/${server}`, `plan/${agent}`]
      await kubectl('-n', namespace, 'wait', ...plans, '--for=condition=Complete', `--timeout=${ROLLOUT_S}s`).catch(
        async (error: Error) => {
          throw new Error(
            `${error.message}\n${await kubectl('-n', namespace, 'get', 'plans', '-o', 'yaml')}\n${controller.output().slice(-4000)}`,
          )
        },
      )

      const nodes = (JSON.parse(await kubectl('get', 'nodes', '-o', 'json')) as { items: Node[] }).items
      const hash = expectedHash(TARGET, account)
      expect(nodes).toHaveLength(5)
      for (const { metadata, spec, status } of nodes) {
        const isServer = metadata.labels['node-role.kubernetes.io/control-plane'] === 'true'
        expect({ name: metadata.name, version: status.nodeInfo.kubeletVersion }).toEqual({ name: metadata.name, version: TARGET })
        expect(spec.unschedulable).toBeUndefined()
        expect(metadata.labels[`plan.upgrade.cattle.io/${isServer ? server : agent}`]).toBe(hash)
        expect(metadata.labels[`plan.upgrade.cattle.io/${isServer ? agent : server}`]).toBeUndefined()
        // Nothing of the way there is left on the node.
        expect(metadata.labels['drover.io/in-flight']).toBeUndefined()
        expect(metadata.annotations?.['drover.io/node-upgrade']).toBeUndefined()
      }
      for (const plan of (JSON.parse(await kubectl('-n', namespace, 'get', 'plans', '-o', 'json')) as { items: Plan[] }).items) {
        expect(plan.status.latestHash).toBe(hash)
        expect(plan.status.applying ?? []).toEqual([])
      }
      // What tools wait for says the same.
      await kubectl('-n', namespace, 'wait', ...plans, '--for=condition=Ready', '--timeout=10s')
      expect(await stop(controller)).toBe(0)
    },
    (ROLLOUT_S + 90) * 1000,
  )
})
