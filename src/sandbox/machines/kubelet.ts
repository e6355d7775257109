import type { Lease } from 'kubernetes-types/coordination/v1.d.ts'
import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import { formatMicroTime } from '../../base/clock.ts'
import { isTrue, LEASES, NODES, PODS, type Stored } from '../kinds.ts'
import { pause } from '../timers.ts'
import { isOver, newNode, nodeStatus } from './node-object.ts'
import { type Host, type PodRunner, runPod } from './pod-runner.ts'

/** The node agent: registers the Node, heartbeats, runs the pods bound to it. Sessions come and go with the service; pods outlive them. */
export interface Kubelet {
  readonly nodeUID: string | undefined
  readonly ready: boolean
  readonly processes: number
  /** The service is up. `afterBoot`: the containers of before are gone. */
  start(afterBoot: boolean): void
  /** The service is down; containers go on. */
  stop(): void
  /** The power is off: containers end. */
  powerLoss(): void
  onPod(before: Stored<Pod> | undefined, after: Stored<Pod> | undefined): void
  /** Looks at the machine's troubles now instead of at the next heartbeat. */
  reportNow(): void
}

export function createKubelet(host: Host): Kubelet {
  const { fleet, machine, client } = host
  const { clock, random } = fleet
  const { name } = machine
  const runners = new Map<string, PodRunner>()
  let session: AbortController | undefined
  let synced = false
  let nodeUID: string | undefined
  let reported: { readonly ready: boolean; readonly at: number } | undefined
  let registered = false

  async function run(signal: AbortSignal, afterBoot: boolean): Promise<void> {
    await repeat(signal, register)
    await repeat(signal, renew)
    if (signal.aborted) return
    // A fresh boot takes a moment until the network is up.
    await repeat(signal, () => report(afterBoot))
    syncPods(afterBoot)
    if (afterBoot) {
      await pause(clock, 2000 + random() * 3000, signal)
      await repeat(signal, () => report(false))
    }
    // Heartbeats of many machines are spread, as they are when machines start at different times.
    await pause(clock, random() * fleet.heartbeatMs, signal)
    while (!signal.aborted) {
      await repeat(signal, renew)
      // What others wrote over the pods' status while the node was silent is put right, as the real status manager does.
      if (!machine.trouble.notReady) for (const runner of runners.values()) runner.serviceUp()
      if (reported?.ready === machine.trouble.notReady || clock.mono() - (reported?.at ?? 0) >= fleet.statusEveryMs)
        await repeat(signal, () => report(false))
      await pause(clock, fleet.heartbeatMs, signal)
    }
  }

  /** Until it works or the session is over. */
  async function repeat(signal: AbortSignal, what: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        return await what()
      } catch (error) {
        fleet.log.debug('kubelet tries again', { node: name, error })
        await pause(clock, 1000, signal)
      }
    }
  }

  async function register(): Promise<void> {
    const known = await client.get<Node>(NODES, undefined, name)
    if (known !== undefined) {
      nodeUID = known.metadata.uid
      return
    }
    const answer = await client.create<Node>(NODES, newNode(machine, clock.wall(), fleet.kubeletEndpoint))
    if (!answer.ok) throw new Error(`node ${name} refused: ${answer.message}`)
    nodeUID = answer.object.metadata.uid
  }

  async function renew(): Promise<void> {
    const spec = { renewTime: formatMicroTime(clock.wall()), holderIdentity: name, leaseDurationSeconds: 40 }
    const answer = await client.patch<Lease>(LEASES, 'kube-node-lease', name, { spec })
    if (answer.ok) return
    if (answer.status !== 404) throw new Error(`lease of ${name} refused: ${answer.message}`)
    await client.create<Lease>(LEASES, { metadata: { name, namespace: 'kube-node-lease' }, spec })
  }

  /** Writes the Node's status. A Node that somebody deleted stays deleted until the kubelet restarts, as with the real one. */
  async function report(starting: boolean): Promise<void> {
    const node = await client.get<Node>(NODES, undefined, name)
    if (node === undefined || node.metadata.uid !== nodeUID) return
    const ready = !machine.trouble.notReady && !starting
    const written = await client.update(
      NODES,
      node,
      { status: nodeStatus(machine, node.status, { ready, starting, wallMs: clock.wall(), endpoint: fleet.kubeletEndpoint }) },
      { subresource: 'status' },
    )
    reported = { ready, at: clock.mono() }
    registered = isTrue(written?.status?.conditions, 'Ready')
  }

  function syncPods(afterBoot: boolean): void {
    synced = true
    const here = fleet.pods.by('node', name)
    const uids = new Set(here.map(({ metadata }) => metadata.uid))
    for (const [uid, runner] of runners) {
      if (!uids.has(uid)) {
        runner.kill()
        runners.delete(uid)
      } else runner.serviceUp()
    }
    for (const pod of here) take(pod, afterBoot)
  }

  function take(pod: Stored<Pod>, afterBoot: boolean): void {
    const { uid, deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata
    let runner = runners.get(uid)
    if (runner === undefined) {
      if (isOver(pod)) {
        if (deletionTimestamp !== undefined)
          void client.delete(PODS, pod.metadata.namespace, pod.metadata.name, { uid, graceSeconds: 0 }).catch(() => {})
        return
      }
      runner = runPod(host, pod, afterBoot)
      runners.set(uid, runner)
    }
    if (deletionTimestamp !== undefined) runner.terminate((deletionGracePeriodSeconds ?? 30) * 1000)
  }

  fleet.signal.addEventListener('abort', () => {
    session?.abort()
    for (const runner of runners.values()) runner.kill()
  })

  return {
    get nodeUID() {
      return nodeUID
    },
    get ready() {
      return registered
    },
    get processes() {
      let sum = 0
      for (const runner of runners.values()) sum += runner.running
      return sum
    },
    start(afterBoot) {
      session?.abort()
      session = new AbortController()
      fleet.kubelets.set(name, this)
      void run(session.signal, afterBoot)
    },
    stop() {
      session?.abort()
      session = undefined
      synced = false
    },
    powerLoss() {
      for (const runner of runners.values()) runner.kill()
      runners.clear()
    },
    onPod(before, after) {
      if (!synced) return
      const gone = after === undefined ? before : before !== undefined && before.metadata.uid !== after.metadata.uid ? before : undefined
      if (gone !== undefined) {
        runners.get(gone.metadata.uid)?.kill()
        runners.delete(gone.metadata.uid)
      }
      if (after !== undefined) take(after, false)
    },
    reportNow() {
      if (session !== undefined && synced) void repeat(session.signal, () => report(false))
    },
  }
}
