import type { Node, Pod, PodAffinityTerm } from 'kubernetes-types/core/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import type { Client } from '../client.ts'
import { keyOf, PODS, type Stored } from '../kinds.ts'
import { keptOutBy, pinnedTo, selects, wantsNode } from './matching.ts'
import { isOver, type World } from './world.ts'

/** Pods that name another scheduler are left to that one. */
const OURS = 'default-scheduler'

/** Of many possible nodes this many feasible ones are compared, as the real scheduler samples. */
const SAMPLE = 24

/** Binds pods to nodes: nodeSelector, required node affinity, taints, required anti-affinity by hostname; the emptiest wins. No resources. */
export function startScheduler(world: World, client: Client): void {
  const { pods, nodes } = world
  /** Pods without a place, and the pin by which a change of one node concerns them. */
  const pending = new Map<string, ReturnType<typeof pinnedTo>>()
  const order: string[] = []
  let start = 0
  const queue = world.queue('scheduler', schedule)

  pods.onChange(({ before, after }) => {
    if (after === undefined) {
      if (before === undefined) return
      pending.delete(keyOf(before))
      if (before.spec?.nodeName !== undefined) retry(nodes.get(before.spec.nodeName))
      return
    }
    if (before !== undefined && !isOver(before) && isOver(after) && after.spec?.nodeName !== undefined)
      retry(nodes.get(after.spec.nodeName))
    if (after.spec?.nodeName === undefined && !isOver(after)) {
      if (before === undefined) queue.add(keyOf(after))
    } else pending.delete(keyOf(after))
  })
  nodes.onChange(({ before, after }) => {
    if (before === undefined && after !== undefined) order.push(after.metadata.name)
    if (after === undefined && before !== undefined) order.splice(order.indexOf(before.metadata.name), 1)
    if (after === undefined || (before !== undefined && before.spec === after.spec && before.metadata.labels === after.metadata.labels))
      return
    if (before === undefined || differs(before.spec?.taints, after.spec?.taints) || differs(before.metadata.labels, after.metadata.labels))
      retry(after)
  })

  /** Something about this node got better, perhaps: whoever waits for it tries again. */
  function retry(node: Stored<Node> | undefined): void {
    if (node === undefined) return
    for (const [key, pin] of pending) {
      const value = pin?.by === 'name' ? node.metadata.name : node.metadata.labels?.['kubernetes.io/hostname']
      if (pin === undefined || (value !== undefined && pin.values.includes(value))) queue.add(key)
    }
  }

  async function schedule(key: string): Promise<undefined> {
    const pod = pods.get(key)
    if (pod === undefined || pod.spec?.nodeName !== undefined || isOver(pod) || pod.metadata.deletionTimestamp !== undefined) {
      pending.delete(key)
      return undefined
    }
    if (assumed.has(key)) return undefined
    if ((pod.spec?.schedulerName ?? OURS) !== OURS) return undefined
    const pin = pinnedTo(pod)
    const { node, why } = choose(pod, pin)
    if (node === undefined) {
      pending.set(key, pin)
      await tell(pod, why)
      return undefined
    }
    // Others are placed while this binding is under way, and its answer is only a Status: the pod counts there until it is seen there.
    assume(key, node.metadata.name)
    pending.delete(key)
    let bound = false
    try {
      bound = await bind(pod, node)
    } finally {
      if (!bound) giveUp(key)
    }
    return undefined
  }

  /** False = the pod is gone or was bound before. Throws when it is refused. */
  async function bind(pod: Stored<Pod>, node: Stored<Node>): Promise<boolean> {
    const { name, namespace, uid } = pod.metadata
    const answer = await client.post(PODS, namespace, name, 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node.metadata.name },
    })
    if (answer.ok) return true
    if (answer.status === 409) {
      // Bound already: an answer was lost.
      const there = await client.get<Pod>(PODS, namespace, name)
      if (there === undefined) return false
      if (there.spec?.nodeName === undefined) throw new Error(`binding of ${keyOf(pod)} refused: ${answer.message}`)
      pods.learn(there)
    } else if (answer.status !== 404) throw new Error(`binding of ${keyOf(pod)} refused: ${answer.message}`)
    return false
  }

  /** Placed by us and not yet seen on its node. */
  const assumed = new Map<string, string>()
  const assumedOn = new Map<string, Set<string>>()
  function assume(key: string, node: string): void {
    assumed.set(key, node)
    let on = assumedOn.get(node)
    if (on === undefined) assumedOn.set(node, (on = new Set()))
    on.add(key)
  }
  function forget(key: string): string | undefined {
    const node = assumed.get(key)
    assumed.delete(key)
    if (node !== undefined) assumedOn.get(node)?.delete(key)
    return node
  }
  /** Its place is free again. */
  function giveUp(key: string): void {
    const node = forget(key)
    if (node !== undefined) retry(nodes.get(node))
  }
  pods.onChange(({ before, after }) => {
    if (assumed.size === 0) return
    if (after === undefined) {
      if (before !== undefined) giveUp(keyOf(before))
    } else if (after.spec?.nodeName !== undefined) forget(keyOf(after))
  })

  function podsOn(node: string): readonly Stored<Pod>[] {
    const known = pods.by('node', node)
    const waiting = assumedOn.get(node)
    if (waiting === undefined || waiting.size === 0) return known
    return [...known, ...[...waiting].flatMap((key) => pods.get(key) ?? [])]
  }

  function choose(pod: Stored<Pod>, pin: ReturnType<typeof pinnedTo>): { readonly node?: Stored<Node>; readonly why: string } {
    const reasons = new Map<string, number>()
    const refuse = (reason: string) => void reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    const best: { node?: Stored<Node>; load: number } = { load: Number.POSITIVE_INFINITY }
    let feasible = 0
    for (const node of candidates(pin)) {
      const taint = keptOutBy(pod, node)
      if (!wantsNode(pod, node)) refuse("node(s) didn't match Pod's node affinity/selector")
      else if (taint?.key === 'node.kubernetes.io/unschedulable') refuse('node(s) were unschedulable')
      else if (taint !== undefined) refuse(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`)
      else if (repelled(pod, node)) refuse("node(s) didn't match pod anti-affinity rules")
      else {
        const load = pods.count('node', node.metadata.name) + (assumedOn.get(node.metadata.name)?.size ?? 0)
        if (load < best.load) {
          best.node = node
          best.load = load
        }
        if (++feasible >= SAMPLE) break
      }
    }
    if (best.node !== undefined) return { node: best.node, why: '' }
    if (pin !== undefined) refuse("node(s) didn't match Pod's node affinity/selector")
    return { why: `0/${nodes.size} nodes are available: ${[...reasons].map(([reason, count]) => `${count} ${reason}`).join(', ')}.` }
  }

  function* candidates(pin: ReturnType<typeof pinnedTo>): Generator<Stored<Node>> {
    if (pin !== undefined) {
      for (const value of pin.values) {
        const named = pin.by === 'name' ? [nodes.get(value)] : nodes.by('hostname', value)
        for (const node of named) if (node !== undefined) yield node
      }
      return
    }
    // Beginning elsewhere each time spreads pods and keeps the sample fair.
    start = order.length === 0 ? 0 : (start + 1) % order.length
    for (let i = 0; i < order.length; i++) {
      const node = nodes.get(order[(start + i) % order.length] ?? '')
      if (node !== undefined) yield node
    }
  }

  /** Required anti-affinity, both ways: of the pod against those there, and of those there against the pod. */
  function repelled(pod: Stored<Pod>, node: Stored<Node>): boolean {
    const there = podsOn(node.metadata.name)
    return there.some((other) => !isOver(other) && other.metadata.uid !== pod.metadata.uid && (repels(pod, other) || repels(other, pod)))
  }

  async function tell(pod: Stored<Pod>, message: string): Promise<void> {
    const told = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
    if (told?.message === message) return
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastProbeTime: null,
      lastTransitionTime: formatTime(client.clock.wall()),
    }
    const others = pod.status?.conditions?.filter(({ type }) => type !== 'PodScheduled') ?? []
    await client.update(PODS, pod, { status: { conditions: [...others, condition] } }, { subresource: 'status' })
  }
}

function repels(pod: Stored<Pod>, other: Stored<Pod>): boolean {
  const terms = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  return terms?.some((term) => applies(term, pod, other)) ?? false
}

function applies(term: PodAffinityTerm, pod: Stored<Pod>, other: Stored<Pod>): boolean {
  if (term.topologyKey !== 'kubernetes.io/hostname') return false
  const everywhere = term.namespaceSelector !== undefined && Object.keys(term.namespaceSelector).length === 0
  const namespaces = term.namespaces ?? [pod.metadata.namespace ?? '']
  return (everywhere || namespaces.includes(other.metadata.namespace ?? '')) && selects(term.labelSelector, other.metadata.labels)
}

function differs(a: unknown, b: unknown): boolean {
  return a !== b && JSON.stringify(a) !== JSON.stringify(b)
}
