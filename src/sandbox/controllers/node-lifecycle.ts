import type { Node, NodeCondition, Pod, Taint } from 'kubernetes-types/core/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import { NODES, PODS, type Stored } from '../kinds.ts'
import { pause } from '../timers.ts'
import { toleratesTaint } from './matching.ts'
import { isOver, type World } from './world.ts'

const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'
const NOT_READY = 'node.kubernetes.io/not-ready'
const UNREACHABLE = 'node.kubernetes.io/unreachable'
const OURS = [UNSCHEDULABLE, NOT_READY, UNREACHABLE]

export interface NodeLifecycleOptions {
  /** A node whose Lease was not renewed for so long is Unknown. Default 40 s. */
  readonly graceMs?: number
  /** How often that is looked at. Default 5 s. */
  readonly periodMs?: number
}

/** Nodes that fall silent become Unknown; taints follow readiness and spec.unschedulable; NoExecute taints evict. */
export function startNodeLifecycle(world: World, options: NodeLifecycleOptions = {}): void {
  const { client, nodes, pods, leases } = world
  const { clock, signal } = client
  const graceMs = options.graceMs ?? 40_000
  /** Last sign of life by node, oldest first: renewing moves to the end, so silence is found at the front. */
  const lastSeen = new Map<string, number>()
  const silent = new Set<string>()
  /** When a NoExecute taint was first seen here, by node and taint. */
  const taintedAt = new Map<string, Map<string, number>>()
  const queue = world.queue('node-lifecycle', reconcile)
  const evictions = world.queue('taint-eviction', evict)

  function alive(name: string): void {
    lastSeen.delete(name)
    lastSeen.set(name, clock.mono())
    if (silent.delete(name)) queue.add(name)
  }
  leases.onChange(({ before, after }) => {
    if (after?.metadata.namespace === 'kube-node-lease' && before?.spec?.renewTime !== after.spec?.renewTime) alive(after.metadata.name)
  })
  nodes.onChange(({ before, after }) => {
    const node = after ?? before
    if (node === undefined) return
    const { name } = node.metadata
    if (after === undefined) {
      lastSeen.delete(name)
      silent.delete(name)
      taintedAt.delete(name)
      return
    }
    if (before === undefined || before.metadata.uid !== after.metadata.uid) alive(name)
    if (before?.spec !== after.spec || readyOf(before)?.status !== readyOf(after)?.status) queue.add(name)
  })
  pods.onChange(({ before, after }) => {
    // A pod that arrives on a tainted node is subject to the taint too.
    const node = after?.spec?.nodeName
    if (node !== undefined && before?.spec?.nodeName === undefined && taintedAt.has(node)) evictions.add(node)
  })

  async function monitor(): Promise<void> {
    while (await pause(clock, options.periodMs ?? 5000, signal)) {
      const limit = clock.mono() - graceMs
      for (const [name, at] of lastSeen) {
        if (at > limit) break
        lastSeen.delete(name)
        silent.add(name)
        queue.add(name)
      }
    }
  }
  void monitor()

  async function reconcile(name: string): Promise<undefined> {
    const node = nodes.get(name)
    if (node === undefined) return undefined
    const ready = readyOf(node)
    if (silent.has(name) && ready?.status !== 'Unknown') {
      await markUnknown(node)
      await markPodsNotReady(name)
    } else if (ready?.status === 'False') await markPodsNotReady(name)
    const now = nodes.get(name)
    if (now === undefined) return undefined
    await taint(now)
    return undefined
  }

  async function markUnknown(node: Stored<Node>): Promise<void> {
    const at = formatTime(clock.wall())
    const kept = (node.status?.conditions ?? []).filter(({ type }) => type !== 'Ready')
    const before = readyOf(node)
    const condition: NodeCondition = {
      type: 'Ready',
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
      lastTransitionTime: at,
      ...(before?.lastHeartbeatTime === undefined ? {} : { lastHeartbeatTime: before.lastHeartbeatTime }),
    }
    const written = await client.update(NODES, node, { status: { conditions: [...kept, condition] } }, { subresource: 'status' })
    if (written !== undefined) nodes.learn(written)
  }

  async function markPodsNotReady(name: string): Promise<void> {
    for (const pod of pods.by('node', name)) {
      const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')
      if (ready?.status !== 'True') continue
      const conditions = pod.status?.conditions?.map((condition) =>
        condition === ready
          ? { ...ready, status: 'False', reason: 'NodeNotReady', lastTransitionTime: formatTime(clock.wall()) }
          : condition,
      )
      await client.update(PODS, pod, { status: { conditions } }, { subresource: 'status' })
    }
  }

  async function taint(node: Stored<Node>): Promise<void> {
    const status = readyOf(node)?.status
    const wanted: Taint[] = []
    if (node.spec?.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' })
    if (status === 'Unknown') wanted.push({ key: UNREACHABLE, effect: 'NoSchedule' }, { key: UNREACHABLE, effect: 'NoExecute' })
    else if (status !== 'True') wanted.push({ key: NOT_READY, effect: 'NoSchedule' }, { key: NOT_READY, effect: 'NoExecute' })
    const current = node.spec?.taints ?? []
    const kept = current.filter((taint) => !OURS.includes(taint.key) || wanted.some((want) => same(want, taint)))
    const added = wanted.filter((want) => !current.some((taint) => same(want, taint)))
    if (added.length > 0 || kept.length < current.length) {
      const timeAdded = formatTime(clock.wall())
      // A list is written whole: the version makes sure that nobody's taint is lost.
      const taints = [...kept, ...added.map((taint) => ({ ...taint, timeAdded }))]
      const written = await client.update(NODES, node, { metadata: { resourceVersion: node.metadata.resourceVersion }, spec: { taints } })
      if (written !== undefined) nodes.learn(written)
    }
    evictions.add(node.metadata.name)
  }

  async function evict(name: string): Promise<number | undefined> {
    const taints = nodes.get(name)?.spec?.taints?.filter(({ effect }) => effect === 'NoExecute') ?? []
    const before = taintedAt.get(name)
    if (taints.length === 0) {
      taintedAt.delete(name)
      return undefined
    }
    const since = new Map(taints.map((taint) => [taint.key, before?.get(taint.key) ?? clock.mono()]))
    taintedAt.set(name, since)
    let next: number | undefined
    for (const pod of pods.by('node', name)) {
      if (pod.metadata.deletionTimestamp !== undefined || isOver(pod)) continue
      const leftMs = Math.min(...taints.map((taint) => (since.get(taint.key) ?? 0) + bearsMs(pod, taint) - clock.mono()))
      if (leftMs <= 0) await client.remove(PODS, pod)
      else if (Number.isFinite(leftMs)) next = Math.min(next ?? leftMs, leftMs)
    }
    return next
  }
}

/** How long the pod bears the taint; Infinity = for ever. */
function bearsMs(pod: Stored<Pod>, taint: Taint): number {
  const matching = (pod.spec?.tolerations ?? []).filter((toleration) => toleratesTaint(toleration, taint))
  // Admission (DefaultTolerationSeconds) gave every pod 300 s for not-ready and unreachable, unless it has its own word on them.
  if (matching.length === 0) return 0
  const limits = matching.flatMap(({ tolerationSeconds }) => (tolerationSeconds === undefined ? [] : [tolerationSeconds * 1000]))
  return limits.length === 0 ? Number.POSITIVE_INFINITY : Math.max(0, Math.min(...limits))
}

function same(a: Taint, b: Taint): boolean {
  return a.key === b.key && a.effect === b.effect
}

function readyOf(node: Node | undefined): NodeCondition | undefined {
  return node?.status?.conditions?.find(({ type }) => type === 'Ready')
}
