/**
 * Gives back every slot and cordon that Drover holds, before it is uninstalled (design §2, promise 12). Upgrades past the point of no
 * return are never cut short: without `all` their nodes are left as they are and reported.
 */
import {
  ANNOTATION_MEMORY,
  ANNOTATION_RECORD,
  FIELD_MANAGER,
  LABEL_CONTROLLER,
  LABEL_IN_FLIGHT,
  LABEL_ROLE,
  PLAN_PATH_PREFIX,
} from '../api/names.ts'
import { formatRecord } from '../api/record.ts'
import type { JsonObject } from '../base/json.ts'
import type { Client } from '../kube/client/client.ts'
import { cordonIsOurs, recordOf } from '../rollout/verdict.ts'
import type { NodeView, PlanView } from '../rollout/world.ts'
import { nodeView, planView } from './views.ts'

export interface Released {
  /** What was done, a line each. */
  readonly done: readonly string[]
  /** What was left, and why. */
  readonly left: readonly string[]
}

export interface ReleaseOptions {
  readonly namespace: string
  readonly controllerName: string
  /** Also forget failures, rollout memories and the records of running upgrades (their Jobs go on). */
  readonly all: boolean
}

export async function release(client: Client, options: ReleaseOptions): Promise<Released> {
  const done: string[] = []
  const left: string[] = []
  const { items: nodes } = await client.list('/api/v1/nodes')
  const held = new Map<string, string>()
  for (const raw of nodes) {
    const node = nodeView(raw)
    if (node?.record === undefined) continue
    if (!node.record.ok)
      left.push(`node ${node.name}: its record cannot be read (${node.record.error}); remove annotation ${ANNOTATION_RECORD} by hand`)
    else await releaseNode(client, node, options, done, left, held)
  }
  const { items: plans } = await client.list(`${PLAN_PATH_PREFIX}/namespaces/${options.namespace}/plans`)
  for (const raw of plans) await releasePlan(client, planView(raw), options, held, done)
  const pulls = await client.list<JsonObject & { metadata: { name: string } }>(`/api/v1/namespaces/${options.namespace}/pods`, {
    query: { labelSelector: `${LABEL_CONTROLLER}=${options.controllerName},${LABEL_ROLE}=pull` },
  })
  for (const pod of pulls.items) {
    await client.delete(`/api/v1/namespaces/${options.namespace}/pods/${pod.metadata.name}`, { gracePeriodSeconds: 0 })
    done.push(`pull pod ${pod.metadata.name}: removed`)
  }
  return { done, left }
}

async function releaseNode(
  client: Client,
  node: NodeView,
  { all, namespace }: ReleaseOptions,
  done: string[],
  left: string[],
  held: Map<string, string>,
): Promise<void> {
  const record = recordOf(node)
  const { work } = record
  const foreign = work !== undefined && !work.plan.startsWith(`${namespace}/`)
  if (foreign || (work?.startedAt !== undefined && !all)) {
    left.push(
      `node ${node.name}: ${foreign ? `works for Plan ${work.plan} of another namespace` : `Plan ${work?.plan} upgrades it right now; let it end, or use --all to forget it`}`,
    )
    held.set(node.hostname ?? node.name, work?.plan ?? '')
    return
  }
  const uncordon = cordonIsOurs(node)
  await client.mergePatch(
    `/api/v1/nodes/${node.name}`,
    {
      metadata: {
        uid: node.uid,
        resourceVersion: node.resourceVersion,
        annotations: {
          [ANNOTATION_RECORD]: all
            ? null
            : formatRecord({ v: 1, nodeUID: node.uid, ...(record.past === undefined ? {} : { past: record.past }) }),
        },
        labels: { [LABEL_IN_FLIGHT]: null },
      },
      ...(uncordon ? { spec: { unschedulable: null } } : {}),
    },
    { fieldManager: FIELD_MANAGER },
  )
  done.push(`node ${node.name}: ${uncordon ? 'uncordoned and ' : ''}released`)
}

async function releasePlan(
  client: Client,
  view: PlanView | undefined,
  { all }: ReleaseOptions,
  held: ReadonlyMap<string, string>,
  done: string[],
): Promise<void> {
  if (view?.plan === undefined) return
  const path = `${PLAN_PATH_PREFIX}/namespaces/${view.namespace}/plans/${view.name}`
  const kept = view.plan.status.applying.filter((hostname) => held.get(hostname) === view.key)
  if (kept.length < view.plan.status.applying.length) {
    await client.mergePatch(
      `${path}/status`,
      { metadata: { uid: view.uid, resourceVersion: view.resourceVersion }, status: { applying: kept } },
      { fieldManager: FIELD_MANAGER },
    )
    done.push(`Plan ${view.key}: ${view.plan.status.applying.length - kept.length} slots released`)
  }
  if (all && view.plan.metadata.annotations[ANNOTATION_MEMORY] !== undefined) {
    await client.mergePatch(
      path,
      { metadata: { uid: view.uid, annotations: { [ANNOTATION_MEMORY]: null } } },
      { fieldManager: FIELD_MANAGER },
    )
    done.push(`Plan ${view.key}: rollout memory removed`)
  }
}
