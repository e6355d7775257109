import { formatTime } from '../../base/clock.ts'
import type { Json, JsonObject } from '../../base/json.ts'
import type { Deletion } from './delete.ts'
import { deleteOptions, remove } from './delete.ts'
import { arrayOf, at, isObject, objectOf, withPath } from './json.ts'
import { matchesLabelSelector } from './selectors.ts'
import { badRequest, forbidden, plainInternal, tooMany } from './status.ts'
import type { ApiObject, Resource } from './types.ts'
import { update } from './write.ts'
import type { WriteContext } from './write.ts'

const budgets = 'poddisruptionbudgets.policy'

/** The Eviction API: a delete that PodDisruptionBudgets may refuse. Their status is kept by the disruption controller; here one disruption is taken from it. */
export function evict(context: WriteContext, pods: Resource, budgetResource: Resource, pod: ApiObject, body: Json | undefined): Deletion {
  const eviction = objectOf(body)
  if (objectOf(eviction['metadata'])['name'] !== undefined && objectOf(eviction['metadata'])['name'] !== pod.metadata.name)
    throw badRequest('name in URL does not match name in Eviction object')
  const options = deleteOptions(eviction['deleteOptions'], {})
  const checked = { ...context, dryRun: context.dryRun || options.dryRun }
  if (!needsNoBudget(pod)) {
    const matching = context.store
      .table(budgets)
      .keys()
      .flatMap((key) => context.store.table(budgets).objects.get(key) ?? [])
      .filter((budget) => budget.metadata.namespace === pod.metadata.namespace && covers(budget, pod))
    if (matching.length > 1)
      throw plainInternal('This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.')
    const budget = matching[0]
    if (budget !== undefined && !mayGoUnhealthy(budget, pod)) take(checked, budgetResource, budget, pod)
  }
  return remove(checked, pods, pod, options)
}

function needsNoBudget(pod: ApiObject): boolean {
  const phase = at(pod, 'status', 'phase')
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending' || pod.metadata.deletionTimestamp !== undefined
}

function covers(budget: ApiObject, pod: ApiObject): boolean {
  const selector = at(budget, 'spec', 'selector')
  return matchesLabelSelector(isObject(selector) ? selector : undefined, pod.metadata.labels ?? {})
}

/** A pod that is not Ready anyway may go, always or while the budget is healthy, as the budget's policy says. */
function mayGoUnhealthy(budget: ApiObject, pod: ApiObject): boolean {
  const ready = arrayOf(at(pod, 'status', 'conditions'))
    .map(objectOf)
    .some((each) => each['type'] === 'Ready' && each['status'] === 'True')
  if (ready) return false
  if (at(budget, 'spec', 'unhealthyPodEvictionPolicy') === 'AlwaysAllow') return true
  const { current, desired } = healthOf(budget)
  return desired > 0 && current >= desired
}

function healthOf(budget: ApiObject): { current: number; desired: number; allowed: number } {
  const status = objectOf(budget['status'])
  return {
    current: Number(status['currentHealthy'] ?? 0),
    desired: Number(status['desiredHealthy'] ?? 0),
    allowed: Number(status['disruptionsAllowed'] ?? 0),
  }
}

const largestMap = 2000

function take(context: WriteContext, resource: Resource, budget: ApiObject, pod: ApiObject): void {
  const status = objectOf(budget['status'])
  const { name } = budget.metadata
  const { current, desired, allowed } = healthOf(budget)
  const cause = (message: string) => [{ reason: 'DisruptionBudget', message }]
  if (Number(status['observedGeneration'] ?? 0) < (budget.metadata.generation ?? 0))
    throw tooMany(
      "Cannot evict pod as it would violate the pod's disruption budget.",
      10,
      cause(`The disruption budget ${name} is still being processed by the server.`),
    )
  if (allowed < 0) throw forbidden({ group: 'policy', plural: 'poddisruptionbudgets' }, name, 'pdb disruptions allowed is negative')
  const disrupted: JsonObject = objectOf(status['disruptedPods'])
  if (Object.keys(disrupted).length > largestMap)
    throw forbidden(
      { group: 'policy', plural: 'poddisruptionbudgets' },
      name,
      'DisruptedPods map too big - too many evictions not confirmed by PDB controller',
    )
  if (allowed === 0)
    throw tooMany(
      "Cannot evict pod as it would violate the pod's disruption budget.",
      0,
      cause(`The disruption budget ${name} needs ${desired} healthy pods and has ${current} currently`),
    )
  const taken = {
    ...status,
    disruptionsAllowed: allowed - 1,
    disruptedPods: { ...disrupted, [pod.metadata.name]: formatTime(context.now) },
  }
  update(context, resource, budget, withPath(budget, ['status'], taken), { subresource: 'status' })
}
