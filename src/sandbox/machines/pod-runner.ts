import type { Container, Pod, PodStatus } from 'kubernetes-types/core/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Client } from '../client.ts'
import { keyOf, PODS, type Stored } from '../kinds.ts'
import { after, pause } from '../timers.ts'
import { checkVolumes, ConfigError, expand, readMounted, resolveEnv } from './container-env.ts'
import type { Fleet } from './fleet.ts'
import { splitImage } from './images.ts'
import type { Machine } from './machine.ts'
import { type ContainerView, containerFrom, newContainer, phaseOf, podStatus } from './pod-status.ts'

/** What a pod needs of the machine it runs on. */
export interface Host {
  readonly fleet: Fleet
  readonly machine: Machine
  readonly client: Client
  readonly pulled: Map<string, number>
  /** containerd and kubelet are running. */
  up(): boolean
  note(what: 'programStart' | 'programEnd', detail: string): void
}

/** One pod on one machine. Its containers live on while containerd and kubelet restart. */
export interface PodRunner {
  /** Containers whose process runs. */
  readonly running: number
  /** The pod is being deleted: SIGTERM, after the grace period SIGKILL, then the object goes. */
  terminate(graceMs: number): void
  /** containerd and kubelet are back: what happened meanwhile is reported, what waited goes on. */
  serviceUp(): void
  /** The object is gone or the power is: everything ends at once and nobody is told. */
  kill(): void
}

const KILLED = 137
/** How long a process without a program takes to end after SIGTERM, and to become ready after its start. */
const WORKLOAD_STOP_MS = [200, 1500] as const
const WORKLOAD_READY_MS = [1000, 3000] as const

/** `afterBoot`: containers that the status tells of are gone with the last boot. */
export function runPod(host: Host, pod: Stored<Pod>, afterBoot: boolean): PodRunner {
  const { fleet, client } = host
  const { clock, random } = fleet
  const { name, uid } = pod.metadata
  const policy = pod.spec?.restartPolicy ?? 'Always'
  const stop = new AbortController()
  const kill9 = new AbortController()
  const initSpecs = pod.spec?.initContainers ?? []
  const mainSpecs = pod.spec?.containers ?? []
  const view = (spec: Container, reason: string): ContainerView => {
    const known = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].find(
      (status) => status.name === spec.name,
    )
    return known === undefined ? newContainer(spec.name, spec.image ?? '', reason) : containerFrom(known)
  }
  const init = initSpecs.map((spec) => view(spec, 'PodInitializing'))
  const main = mainSpecs.map((spec) => view(spec, initSpecs.length > 0 ? 'PodInitializing' : 'ContainerCreating'))
  const startTime = pod.status?.startTime ?? formatTime(clock.wall())
  let written: PodStatus | undefined = pod.status
  let running = 0
  let dead = false
  let terminating = false
  let finished: Promise<void> | undefined
  let dirty = false
  let writing = false
  let wakeUp: (() => void)[] = []

  const wake = (): void => {
    const waiting = wakeUp
    wakeUp = []
    for (const resolve of waiting) resolve()
  }

  /** Waits until containers can be started; false = they never will. */
  async function ready(): Promise<boolean> {
    while (!dead && !terminating && !host.up()) await new Promise<void>((resolve) => wakeUp.push(resolve))
    return !dead && !terminating
  }

  async function drive(): Promise<void> {
    if (!(await mountVolumes())) return
    for (const [i, spec] of initSpecs.entries()) if (!(await toItsEnd(spec, init[i] as ContainerView, true))) return
    await Promise.all(mainSpecs.map((spec, i) => toItsEnd(spec, main[i] as ContainerView, false)))
  }

  async function mountVolumes(): Promise<boolean> {
    for (let told = false; await ready(); told = true) {
      try {
        await checkVolumes(client, pod)
        return true
      } catch (error) {
        if (!(error instanceof ConfigError)) continue
        if (!told) post()
        await pause(clock, 5000, stop.signal)
      }
    }
    return false
  }

  /** Pulls, runs and, as the restart policy says, repeats. True = it succeeded for good. */
  async function toItsEnd(spec: Container, one: ContainerView, isInit: boolean): Promise<boolean> {
    if (one.state.terminated?.exitCode === 0 && (isInit || policy !== 'Always')) return true
    for (let crashes = 0; ; crashes++) {
      if (!(await pull(spec, one)) || !(await ready())) return false
      const env = await environment(spec, one)
      if (env === undefined) return false
      const code = await execute(spec, one, env, isInit)
      if (dead || terminating) return false
      if (code === 0 && (isInit || policy !== 'Always')) return true
      if (policy === 'Never') return false
      one.lastState = one.state
      one.state = { waiting: { reason: 'CrashLoopBackOff', message: `back-off restarting failed container ${spec.name} in pod ${name}` } }
      post()
      await pause(clock, Math.min(10_000 * 2 ** crashes, 300_000), stop.signal)
      one.restartCount++
    }
  }

  async function pull(spec: Container, one: ContainerView): Promise<boolean> {
    const image = spec.image ?? ''
    const always = spec.imagePullPolicy === 'Always'
    for (let waitMs = 10_000; await ready(); waitMs = Math.min(waitMs * 2, 300_000)) {
      const present = host.pulled.has(image)
      if (present && !always) return true
      if (!present) post()
      await pause(clock, present ? 200 : host.machine.spec.pullMs * (0.5 + random()), stop.signal)
      if (!(await ready())) return false
      const refusal =
        host.machine.trouble.diskFull && !present
          ? `failed to pull image "${image}": write /var/lib/rancher: no space left on device`
          : fleet.images.refusal(image)
      if (refusal === undefined) {
        host.pulled.set(image, clock.wall())
        return true
      }
      one.state = { waiting: { reason: 'ErrImagePull', message: refusal } }
      post()
      await pause(clock, Math.min(1000, waitMs), stop.signal)
      one.state = { waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}": ErrImagePull: ${refusal}` } }
      post()
      await pause(clock, waitMs, stop.signal)
    }
    return false
  }

  async function environment(spec: Container, one: ContainerView): Promise<Readonly<Record<string, string>> | undefined> {
    while (await ready()) {
      try {
        return await resolveEnv(client, pod, spec)
      } catch (error) {
        if (error instanceof ConfigError) {
          one.state = { waiting: { reason: 'CreateContainerConfigError', message: error.message } }
          post()
        }
        await pause(clock, 10_000, stop.signal)
      }
    }
    return undefined
  }

  async function execute(spec: Container, one: ContainerView, env: Readonly<Record<string, string>>, isInit: boolean): Promise<number> {
    const image = splitImage(spec.image ?? '')
    const program = fleet.programs.get(image.repository)
    one.imageID = fleet.images.idOf(spec.image ?? '')
    one.containerID = `containerd://${hex(random)}${hex(random)}`
    if (isMissing(spec.command?.[0])) {
      const message = `failed to create containerd task: failed to create shim task: OCI runtime create failed: exec: "${spec.command?.[0] ?? ''}": stat ${spec.command?.[0] ?? ''}: no such file or directory: unknown`
      one.state = {
        terminated: {
          exitCode: 128,
          reason: 'StartError',
          message,
          startedAt: formatTime(0),
          finishedAt: formatTime(clock.wall()),
          containerID: one.containerID,
        },
      }
      post()
      return 128
    }
    const startedAt = formatTime(clock.wall())
    one.state = { running: { startedAt } }
    const readyInMs = readyDelay(spec, program !== undefined || isInit)
    one.ready = readyInMs === 0 && !isInit
    running++
    post()
    const cancel =
      readyInMs === 0
        ? undefined
        : after(clock, readyInMs, () => {
            one.ready = true
            post()
          })
    const code = await Promise.race([program === undefined ? workload() : runProgram(), sigkill()])
    cancel?.()
    running--
    one.ready = false
    // A container that ends while containerd is down leaves no exit code: the restarting containerd discards its shim.
    const known = host.up()
    const finishedAt = formatTime(clock.wall())
    const reason = !known ? 'Unknown' : code === 0 ? 'Completed' : 'Error'
    one.state = { terminated: { exitCode: known ? code : 255, reason, startedAt, finishedAt, containerID: one.containerID } }
    if (!terminating) post()
    return known ? code : 255

    async function runProgram(): Promise<number> {
      const args = [...(spec.command ?? []), ...(spec.args ?? [])].map((arg) => expand(arg, env))
      const log = (line: string): void => {
        if (!dead) fleet.appendLog(uid, spec.name, line)
      }
      host.note('programStart', `${image.repository} ${args.join(' ')}`)
      try {
        return (await program?.(pod, host.machine, {
          container: spec,
          args,
          env,
          version: image.tag,
          api: fleet.podTransport(pod),
          clock,
          random,
          log,
          killed: stop.signal,
          read: (path) => readMounted(client, pod, spec, path),
        })) as number
      } catch (error) {
        if (stop.signal.aborted) return 143
        log(messageOf(error))
        return 1
      } finally {
        host.note('programEnd', image.repository)
      }
    }
  }

  async function workload(): Promise<number> {
    await new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve()
      else stop.signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await pause(clock, between(random, WORKLOAD_STOP_MS), kill9.signal)
    return 0
  }

  function sigkill(): Promise<number> {
    return new Promise((resolve) => {
      if (kill9.signal.aborted) resolve(KILLED)
      else kill9.signal.addEventListener('abort', () => resolve(KILLED), { once: true })
    })
  }

  function readyDelay(spec: Container, isProgram: boolean): number {
    const probe = spec.readinessProbe
    if (probe !== undefined) return (probe.initialDelaySeconds ?? 0) * 1000
    return isProgram ? 0 : between(random, WORKLOAD_READY_MS)
  }

  function post(): void {
    dirty = true
    if (writing || dead) return
    writing = true
    queueMicrotask(() => void write())
  }

  async function write(): Promise<void> {
    while (dirty && !dead && host.up()) {
      dirty = false
      const status = statusNow()
      try {
        const answer = await client.update(PODS, pod, { status }, { subresource: 'status' })
        written = status
        if (answer !== undefined) fleet.pods.learn(answer)
      } catch {
        dirty = true
        await pause(clock, 1000, kill9.signal)
      }
    }
    writing = false
  }

  function statusNow(): PodStatus {
    const ended = terminating && running === 0
    const phase = !ended ? phaseOf(pod, init, main) : main.every(({ state }) => state.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed'
    const status = podStatus(pod, written, { phase, init, main, startTime, hostIP: '10.0.0.1', now: formatTime(clock.wall()) })
    // Conditions of others (an eviction's DisruptionTarget) stay.
    const ours = new Set(status.conditions?.map(({ type }) => type))
    const others = fleet.pods.get(keyOf(pod))?.status?.conditions?.filter(({ type }) => !ours.has(type)) ?? []
    return others.length === 0 ? status : { ...status, conditions: [...(status.conditions ?? []), ...others] }
  }

  async function end(graceMs: number): Promise<void> {
    const cancel = after(clock, graceMs, () => kill9.abort())
    stop.abort()
    wake()
    await driven
    cancel()
    while (!dead) {
      if (!host.up()) {
        await new Promise<void>((resolve) => wakeUp.push(resolve))
        continue
      }
      try {
        if (written?.phase !== 'Succeeded' && written?.phase !== 'Failed') {
          await client.update(PODS, pod, { status: statusNow() }, { subresource: 'status' })
        }
        await client.remove(PODS, pod, { graceSeconds: 0 })
        return
      } catch {
        await pause(clock, 1000, kill9.signal)
      }
    }
  }

  /** After a boot nothing runs any more: what must not restart has failed, the rest counts a restart. */
  function lose(): boolean {
    const started = [...init, ...main].some(({ state }) => state.running !== undefined || state.terminated !== undefined)
    if (!started) return false
    const terminated = {
      exitCode: KILLED,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was terminated',
      finishedAt: formatTime(clock.wall()),
    }
    for (const one of [...init, ...main]) {
      one.ready = false
      if (policy === 'Never' && one.state.terminated === undefined) one.state = { terminated }
      else if (one.state.running !== undefined) {
        one.lastState = { terminated }
        one.state = { waiting: { reason: 'ContainerCreating' } }
        one.restartCount++
      }
    }
    return policy === 'Never'
  }

  const lost = afterBoot && lose()
  if (lost) post()
  const driven: Promise<void> = lost
    ? Promise.resolve()
    : drive().catch((error: unknown) => fleet.log.error('pod runner failed', { pod: keyOf(pod), error }))

  return {
    get running() {
      return running
    },
    terminate(graceMs) {
      if (terminating || dead) return
      terminating = true
      finished = end(graceMs).catch((error: unknown) => fleet.log.error('pod runner failed', { pod: keyOf(pod), error }))
      void finished
    },
    serviceUp() {
      const shown = fleet.pods.get(keyOf(pod))?.status
      const differs = shown?.phase !== written?.phase || isReady(shown) !== isReady(written)
      if (dirty || differs) post()
      wake()
    },
    kill() {
      dead = true
      stop.abort()
      kill9.abort()
      wake()
    },
  }
}

/** Commands known not to exist in any image: how a pull without a run is asked for. */
function isMissing(command: string | undefined): boolean {
  return command === '/drover-pull-only' || command?.startsWith('/does-not-exist') === true
}

function isReady(status: PodStatus | undefined): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

export function between(random: () => number, [least, most]: readonly [number, number]): number {
  return least + random() * (most - least)
}

function hex(random: () => number): string {
  return Math.floor(random() * 0x1_0000_0000)
    .toString(16)
    .padStart(8, '0')
}
