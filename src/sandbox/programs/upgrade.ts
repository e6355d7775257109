import type { Node } from 'kubernetes-types/core/v1.d.ts'
import { createClient } from '../client.ts'
import { NODES, type Kind, type Meta } from '../kinds.ts'
import type { Machine } from '../machines/machine.ts'
import { between } from '../machines/pod-runner.ts'
import { pause } from '../timers.ts'
import type { Program, ProgramIo } from './program.ts'

/** How long looking, copying and comparing take, in milliseconds. */
const WORK_MS = [500, 2500] as const
const POLL_MS = 5000
const PLANS: Kind = { apiVersion: 'upgrade.cattle.io/v1', kind: 'Plan', plural: 'plans', namespaced: true }

/**
 * `rancher/rke2-upgrade` and `rancher/k3s-upgrade` as their scripts behave: `upgrade` replaces the binary and kills the service as its last act,
 * `prepare PLAN` waits for ever. K3s' refuses an older version, RKE2's does not look.
 */
export function upgradeProgram(distro: 'rke2' | 'k3s'): Program {
  return async (pod, machine, io) => {
    // args are the function's name and its own; the entry point is the script.
    const [verb = 'upgrade', ...rest] = io.args
    if (verb === 'prepare') return prepare(pod.metadata.namespace ?? 'default', distro, rest[0], io)
    if (verb !== 'upgrade') {
      io.log(`${verb}: not found`)
      return 127
    }
    return upgrade(distro, machine, io)
  }
}

async function upgrade(distro: 'rke2' | 'k3s', machine: Machine, io: ProgramIo): Promise<number> {
  const { trouble } = machine
  const target = versionOf(io.version)
  if (!(await work(io))) return 143
  if (trouble.hangs) {
    io.log('waiting')
    while (await pause(io.clock, 60_000, io.killed));
    return 143
  }
  if (trouble.programFailures > 0) {
    trouble.programFailures--
    io.log('fatal: could not download runtime')
    return 1
  }
  if (machine.spec.distro !== distro) {
    io.log(`no ${distro} process found`)
    return 1
  }
  if (machine.onDisk === target) {
    io.log('binary already replaced')
    return 0
  }
  if (distro === 'k3s' && isOlder(target, machine.onDisk)) {
    io.log(`current version ${machine.onDisk} is newer than ${target}`)
    return 1
  }
  if (trouble.diskFull) {
    io.log(`cp: error writing '/host/usr/local/bin/${distro}': No space left on device`)
    return 1
  }
  machine.replaceBinary(target)
  io.log(`${distro} binary has been replaced successfully`)
  if (trouble.dieAfterReplace > 0) {
    trouble.dieAfterReplace--
    return 1
  }
  if (!(await work(io))) return 143
  io.log(`killing ${distro}`)
  machine.restartService()
  return 0
}

async function work(io: ProgramIo): Promise<boolean> {
  return pause(io.clock, between(io.random, WORK_MS), io.killed)
}

/** Waits until no node is being worked on for the named Plan, then until every control plane node runs the version. Only the Job's deadline ends it. */
async function prepare(namespace: string, distro: 'rke2' | 'k3s', planName: string | undefined, io: ProgramIo): Promise<number> {
  if (planName === undefined) {
    io.log('prepare: a plan name is needed')
    return 1
  }
  const client = createClient(io.api, io.clock, io.random, io.killed)
  const wanted = comparable(io.env['SYSTEM_UPGRADE_PLAN_LATEST_VERSION'] ?? io.version, distro)
  const query = { labelSelector: 'node-role.kubernetes.io/control-plane=true' }
  const waitFor = async (what: string, holds: () => Promise<boolean>): Promise<boolean> => {
    for (;;) {
      // The scripts run on errors of kubectl, too.
      const done = await holds().catch(() => false)
      if (done) return true
      io.log(`waiting for ${what}`)
      if (!(await pause(io.clock, POLL_MS, io.killed))) return false
    }
  }
  const idle = await waitFor(`plan ${planName}`, async () => {
    const plan = await client.get<Meta & { readonly status?: { readonly applying?: readonly string[] } }>(PLANS, namespace, planName)
    return plan !== undefined && (plan.status?.applying ?? []).length === 0
  })
  if (!idle) return 143
  const current = await waitFor('the control plane', async () => {
    const { items } = await client.list<Node>(NODES, undefined, query)
    return items.length > 0 && items.every((node) => comparable(node.status?.nodeInfo?.kubeletVersion ?? '', distro) === wanted)
  })
  return current ? 0 : 143
}

/** `v1.33.4-rke2r1` → `v1.33.4+rke2r1`: tags cannot hold a plus. */
export function versionOf(tag: string): string {
  return tag.replace(/-((?:rke2|k3s)[^-]*)$/, '+$1')
}

/** Kubelets of RKE2's release candidates report the final version; the script drops that part of the target. */
function comparable(version: string, distro: 'rke2' | 'k3s'): string {
  const flat = version.replaceAll('+', '-')
  return distro === 'k3s' ? flat : flat.replace(/^(v\d+\.\d+\.\d+)-(?:alpha|beta|rc)[^-]*/, '$1')
}

/** By major, minor and patch only, as the script compares. */
function isOlder(a: string, b: string): boolean {
  const parts = (version: string): readonly number[] => (/^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number)
  const [left, right] = [parts(a), parts(b)]
  for (const [i, part] of left.entries()) if (part !== right[i]) return part < (right[i] ?? 0)
  return false
}
