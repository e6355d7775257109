import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { formatTime } from '../../base/clock.ts'
import { BUDGETS, controllerOf, isTrue, keyOf, type Stored } from '../kinds.ts'
import { selects } from './matching.ts'
import { isOver, type World } from './world.ts'

/** An eviction that was granted, and whose pod is not seen to go, counts no longer after this (source: kube disruption controller). */
const DELETION_TIMEOUT_MS = 120_000

const GATHER_MS = 20

/** Keeps the status of PodDisruptionBudgets, by which the API server grants evictions. */
export function startDisruption(world: World): void {
  const { client, pods, budgets, replicaSets, deployments } = world
  const queue = world.queue('disruption', reconcile)
  budgets.onChange(({ before, after }) => {
    if (after !== undefined && before?.spec === after.spec && before?.status === after.status) return
    queue.add(keyOf(after ?? before ?? {}))
  })
  pods.onChange(({ before, after }) => {
    if (
      before !== undefined &&
      after !== undefined &&
      countsAs(before) === countsAs(after) &&
      before.metadata.labels === after.metadata.labels
    )
      return
    for (const budget of budgets.by('namespace', (after ?? before)?.metadata.namespace ?? '')) {
      const { selector } = budget.spec ?? {}
      // Many pods of one budget change together: they are counted once.
      if ((after !== undefined && covers(selector, after)) || (before !== undefined && covers(selector, before)))
        queue.addAfter(keyOf(budget), GATHER_MS)
    }
  })
  replicaSets.onChange(({ before, after }) => {
    if (before?.spec?.replicas === after?.spec?.replicas) return
    for (const budget of budgets.by('namespace', (after ?? before)?.metadata.namespace ?? '')) queue.add(keyOf(budget))
  })

  async function reconcile(key: string): Promise<number | undefined> {
    const budget = budgets.get(key)
    if (budget === undefined) return undefined
    const covered = pods
      .by('namespace', budget.metadata.namespace ?? '')
      .filter((pod) => !isOver(pod) && covers(budget.spec?.selector, pod))
    const now = client.clock.wall()
    const disrupted: Record<string, string> = {}
    let waitMs: number | undefined
    for (const [name, at] of Object.entries(budget.status?.disruptedPods ?? {})) {
      const pod = pods.get(`${budget.metadata.namespace ?? ''}/${name}`)
      const left = Date.parse(at) + DELETION_TIMEOUT_MS - now
      if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || left <= 0) continue
      disrupted[name] = at
      waitMs = Math.min(waitMs ?? left, left)
    }
    const healthy = covered.filter(
      (pod) =>
        pod.metadata.deletionTimestamp === undefined &&
        disrupted[pod.metadata.name] === undefined &&
        isTrue(pod.status?.conditions, 'Ready'),
    ).length
    const wanted = wants(budget, covered)
    if (typeof wanted === 'string') {
      await failSafe(budget, wanted)
      return undefined
    }
    const { expected, desired } = wanted
    const allowed = expected === 0 ? 0 : Math.max(0, healthy - desired)
    const status = {
      observedGeneration: budget.metadata.generation ?? 1,
      currentHealthy: healthy,
      desiredHealthy: desired,
      expectedPods: expected,
      disruptionsAllowed: allowed,
    }
    const before = budget.status
    const gone = Object.keys(before?.disruptedPods ?? {}).filter((name) => disrupted[name] === undefined)
    const same = Object.entries(status).every(([field, value]) => before?.[field as keyof typeof status] === value)
    if (same && gone.length === 0) return waitMs
    const condition = {
      type: 'DisruptionAllowed',
      status: allowed > 0 ? 'True' : 'False',
      reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
      message: '',
      observedGeneration: status.observedGeneration,
      lastTransitionTime: formatTime(now),
    }
    // The version keeps an eviction granted meanwhile from being forgotten.
    const patch = {
      metadata: { resourceVersion: budget.metadata.resourceVersion },
      status: { ...status, disruptedPods: Object.fromEntries(gone.map((name) => [name, null])), conditions: [condition] },
    }
    const written = await client.update(BUDGETS, budget, patch, { subresource: 'status' })
    if (written !== undefined) budgets.learn(written)
    return waitMs
  }

  /** Nothing may be evicted while the pods cannot be counted; the budget stays one that was not looked at. */
  async function failSafe(budget: Stored<PodDisruptionBudget>, message: string): Promise<void> {
    const before = budget.status?.conditions?.find(({ type }) => type === 'DisruptionAllowed')
    if (before?.reason === 'SyncFailed' && before.message === message && budget.status?.disruptionsAllowed === 0) return
    const condition = {
      type: 'DisruptionAllowed',
      status: 'False',
      reason: 'SyncFailed',
      message,
      lastTransitionTime: formatTime(client.clock.wall()),
    }
    const written = await client.update(
      BUDGETS,
      budget,
      { status: { disruptionsAllowed: 0, conditions: [condition] } },
      { subresource: 'status' },
    )
    if (written !== undefined) budgets.learn(written)
  }

  /**
   * How many pods there should be, and how many must stay healthy; or why that cannot be told. Percentages and maxUnavailable count the
   * owners' scale.
   */
  function wants(
    budget: Stored<PodDisruptionBudget>,
    covered: readonly Stored<Pod>[],
  ): { readonly expected: number; readonly desired: number } | string {
    const { minAvailable, maxUnavailable } = budget.spec ?? {}
    if (maxUnavailable !== undefined) {
      const expected = scaleOf(covered)
      if (typeof expected === 'string') return expected
      return { expected, desired: Math.max(0, expected - scaled(maxUnavailable, expected)) }
    }
    if (typeof minAvailable === 'string' && minAvailable.endsWith('%')) {
      const expected = scaleOf(covered)
      if (typeof expected === 'string') return expected
      return { expected, desired: scaled(minAvailable, expected) }
    }
    return { expected: covered.length, desired: Number(minAvailable ?? 1) }
  }

  /** The sum of the owners' replicas. Pods without an owner are not counted; of owners without replicas (DaemonSets, Jobs) it cannot be told. */
  function scaleOf(covered: readonly Stored<Pod>[]): number | string {
    const owners = new Map<string, number>()
    for (const pod of covered) {
      const owner = controllerOf(pod)
      if (owner === undefined || owners.has(owner.uid)) continue
      const scaleless = SCALELESS.get(owner.kind)
      if (scaleless !== undefined) return `${scaleless} does not implement the scale subresource`
      owners.set(owner.uid, replicasOf(pod.metadata.namespace ?? '', owner))
    }
    return [...owners.values()].reduce((sum, replicas) => sum + replicas, 0)
  }

  function replicasOf(namespace: string, owner: { readonly kind: string; readonly name: string; readonly uid: string }): number {
    if (owner.kind !== 'ReplicaSet') return pods.by('owner', owner.uid).length
    const set = replicaSets.get(`${namespace}/${owner.name}`)
    const above = set === undefined ? undefined : controllerOf(set)
    const deployment = above?.kind === 'Deployment' ? deployments.get(`${namespace}/${above.name}`) : undefined
    return deployment?.spec?.replicas ?? set?.spec?.replicas ?? 0
  }
}

/** Controllers without a number of replicas, by kind. */
const SCALELESS = new Map([
  ['DaemonSet', 'daemonsets.apps'],
  ['Job', 'jobs.batch'],
])

/** What a budget sees of a pod. */
function countsAs(pod: Stored<Pod>): number {
  if (isOver(pod)) return 0
  if (pod.metadata.deletionTimestamp !== undefined) return 1
  return isTrue(pod.status?.conditions, 'Ready') ? 3 : 2
}

/** In policy/v1 an empty selector covers every pod of the namespace, a missing one none. */
function covers(selector: Parameters<typeof selects>[0], pod: Stored<Pod>): boolean {
  return selects(selector, pod.metadata.labels)
}

/** A number, or a percentage of `total` rounded up, as the disruption controller rounds both fields. */
function scaled(value: number | string, total: number): number {
  if (typeof value === 'string' && value.endsWith('%')) return Math.ceil((Number.parseInt(value, 10) * total) / 100)
  return Number(value)
}
