import type { Taint } from 'kubernetes-types/core/v1.d.ts'
import { after } from '../timers.ts'
import { NODES } from '../kinds.ts'
import type { Fleet } from './fleet.ts'
import { createKubelet } from './kubelet.ts'
import { between } from './pod-runner.ts'

export type Role = 'control-plane' | 'etcd' | 'worker'

export interface MachineSpec {
  readonly name: string
  /** `server` = control plane and etcd. */
  readonly role: 'server' | 'agent'
  /** Roles one by one, instead of what `role` says. */
  readonly roles?: readonly Role[]
  /** Kubernetes version, e.g. `v1.33.3+rke2r1`. */
  readonly version: string
  readonly os?: 'linux' | 'windows'
  readonly arch?: 'amd64' | 'arm64'
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly taints?: readonly Taint[]
  /** Images that are there from the beginning. */
  readonly images?: readonly string[]
  /** How long a pull takes, in milliseconds, give or take a half. Default 2000. */
  readonly pullMs?: number
  /** How long containerd and kubelet are gone when the service restarts, in milliseconds. Default 1000–5000. */
  readonly restartMs?: readonly [number, number]
  /** From power to kubelet, in milliseconds. Default 20 000–60 000. */
  readonly bootMs?: readonly [number, number]
}

export type FullSpec = MachineSpec &
  Required<Pick<MachineSpec, 'roles' | 'os' | 'arch' | 'pullMs' | 'restartMs' | 'bootMs'>> & { readonly distro: 'rke2' | 'k3s' }

export type MachineEventKind =
  | 'serviceDown'
  | 'serviceUp'
  | 'startFailed'
  | 'replaced'
  | 'powerOff'
  | 'powerOn'
  | 'programStart'
  | 'programEnd'

export interface MachineEvent {
  /** Mono milliseconds. */
  readonly at: number
  readonly what: MachineEventKind
  readonly detail: string
}

/** What is wrong with a machine. Written by whoever wants trouble, read at the moment it matters. */
export interface Trouble {
  /** The next so many upgrade programs exit 1 before they touch anything. */
  programFailures: number
  /** The next so many upgrade programs die between replacing the binary and restarting the service. */
  dieAfterReplace: number
  /** Upgrade programs hang for ever. */
  hangs: boolean
  /** Pulls and copies fail: no space left on device. */
  diskFull: boolean
  /** The kubelet reports Ready False, from its next heartbeat on. */
  notReady: boolean
  /** Its etcd member is a learner, from its next heartbeat on. */
  notVoter: boolean
  /** Added to the time the service needs to come back, in milliseconds. */
  kubeletStartMs: number
  /** Whatever is started next never comes up, whichever release it is. */
  badRelease: boolean
  /** For OS patch scripts: /run/reboot-required exists. A reboot takes it away. */
  rebootRequired: boolean
}

/** A simulated host with its service (rke2 or k3s), containerd and kubelet. */
export interface Machine {
  readonly name: string
  readonly spec: FullSpec
  readonly power: 'on' | 'off'
  readonly service: 'up' | 'down'
  /** Version of the binary on disk. */
  readonly onDisk: string
  /** Version of the service that runs, or ran last. */
  readonly running: string
  readonly bootID: string
  /** UID of the Node it registered last. */
  readonly nodeUID: string | undefined
  /** The Node is registered and was reported Ready. */
  readonly ready: boolean
  /** Images present, with the wall time of their pull. */
  readonly images: ReadonlyMap<string, number>
  /** Containers that run. */
  readonly processes: number
  readonly timeline: readonly MachineEvent[]
  readonly trouble: Trouble
  /** Puts another binary on the disk; what runs goes on running. */
  replaceBinary(version: string): void
  /** Kills the service with containerd and kubelet, now; it comes back with the binary on disk. */
  restartService(): void
  powerOff(): void
  powerOn(): void
  /** Power off and on; containers are gone and the boot ID is another. */
  reboot(): void
  /** Power off for good. The Node stays until somebody deletes it. */
  remove(): void
  /** Deletes the Node and registers again: same name, another UID. */
  recreate(): Promise<void>
  /** Ready False and True again, `times` times, each lasting `everyMs` milliseconds. */
  flap(options: { readonly times: number; readonly everyMs: number }): void
}

/** How a machine begins. */
export const noTrouble: Trouble = {
  programFailures: 0,
  dieAfterReplace: 0,
  hangs: false,
  diskFull: false,
  notReady: false,
  notVoter: false,
  kubeletStartMs: 0,
  badRelease: false,
  rebootRequired: false,
}
/** systemd's RestartSec. */
const RESTART_SEC_MS = 5000

/** Builds a machine and switches it on: its kubelet registers the Node. */
export function createMachine(fleet: Fleet, given: MachineSpec): Machine {
  const { clock, random } = fleet
  const spec: FullSpec = {
    ...given,
    roles: given.roles ?? (given.role === 'server' ? ['control-plane', 'etcd'] : []),
    distro: given.version.includes('+k3s') ? 'k3s' : 'rke2',
    os: given.os ?? 'linux',
    arch: given.arch ?? 'amd64',
    pullMs: given.pullMs ?? 2000,
    restartMs: given.restartMs ?? [1000, 5000],
    bootMs: given.bootMs ?? [20_000, 60_000],
  }
  const isMember = spec.roles.includes('etcd')
  const timeline: MachineEvent[] = []
  const pulled = new Map((spec.images ?? []).map((image) => [image, clock.wall()]))
  const trouble: Trouble = { ...noTrouble }
  let power: 'on' | 'off' = 'on'
  let service: 'up' | 'down' = 'down'
  let onDisk = spec.version
  let running = spec.version
  let bootID = uuid(random)
  let removed = false
  /** Counts starts and stops, so that a start which was overtaken does nothing. */
  let turn = 0

  const note = (what: MachineEventKind, detail = ''): void => void timeline.push({ at: clock.mono(), what, detail })

  function goDown(): void {
    turn++
    if (service === 'down') return
    service = 'down'
    note('serviceDown', running)
    if (isMember) fleet.etcd.set(spec.name, false)
    kubelet.stop()
  }

  function startIn(ms: number, afterBoot: boolean): void {
    const mine = ++turn
    after(clock, ms, () => {
      if (mine !== turn || power === 'off' || fleet.signal.aborted) return
      const bad = trouble.badRelease ? 'crash' : fleet.releases.get(onDisk)
      if (bad !== undefined) {
        note('startFailed', onDisk)
        // A crashing release is started again and again; with another binary on disk it will come up.
        if (bad === 'crash') startIn(RESTART_SEC_MS, afterBoot)
        return
      }
      service = 'up'
      running = onDisk
      note('serviceUp', running)
      if (isMember) fleet.etcd.set(spec.name, true)
      kubelet.start(afterBoot)
    })
  }

  const machine: Machine = {
    name: spec.name,
    spec,
    get power() {
      return power
    },
    get service() {
      return service
    },
    get onDisk() {
      return onDisk
    },
    get running() {
      return running
    },
    get bootID() {
      return bootID
    },
    get nodeUID() {
      return kubelet.nodeUID
    },
    get ready() {
      return kubelet.ready
    },
    images: pulled,
    get processes() {
      return kubelet.processes
    },
    timeline,
    trouble,
    replaceBinary(version) {
      onDisk = version
      note('replaced', version)
    },
    restartService() {
      if (power === 'off') return
      goDown()
      startIn(between(random, spec.restartMs) + trouble.kubeletStartMs, false)
    },
    powerOff() {
      if (power === 'off') return
      goDown()
      power = 'off'
      note('powerOff')
      kubelet.powerLoss()
    },
    powerOn() {
      if (power === 'on' || removed) return
      power = 'on'
      bootID = uuid(random)
      trouble.rebootRequired = false
      note('powerOn', bootID)
      startIn(between(random, spec.bootMs) + trouble.kubeletStartMs, true)
    },
    reboot() {
      machine.powerOff()
      machine.powerOn()
    },
    remove() {
      machine.powerOff()
      removed = true
    },
    async recreate() {
      await fleet.client('admin').delete(NODES, undefined, spec.name)
      if (power === 'on') machine.restartService()
    },
    flap({ times, everyMs }) {
      const turnTo = (left: number): void => {
        trouble.notReady = left % 2 === 1
        kubelet.reportNow()
        if (left > 0) after(clock, everyMs, () => turnTo(left - 1))
      }
      turnTo(times * 2 - 1)
    },
  }
  const kubelet = createKubelet({
    fleet,
    machine,
    client: fleet.client(`system:node:${spec.name}`),
    pulled,
    up: () => service === 'up',
    note,
  })
  startIn(0, false)
  return machine
}

/** A random UUID of version 4. */
function uuid(random: () => number): string {
  const digit = (): string => Math.floor(random() * 16).toString(16)
  return 'xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx'.replace(/x/g, digit)
}
