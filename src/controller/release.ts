/**
 * Gives back every slot and cordon that Drover holds, before it is uninstalled (design §2, promise 12). Upgrades past the point of no
 * return are never cut short: without `all` their nodes are left as they are and reported.
 */
import {
  ANNOTATION_HOOK,
  ANNOTATION_MEMORY,
  ANNOTATION_RECORD,
  FIELD_MANAGER,
  LABEL_CONTROLLER,
  LABEL_IN_FLIGHT,
  LABEL_NODE,
  LABEL_OUR_NODE,
  LABEL_ROLE,
  PLAN_PATH_PREFIX,
} from '../api/names.ts'
import { formatRecord } from '../api/record.ts'
import { messageOf } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import { isConflict, isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import { safeName } from '../rollout/names.ts'
import { slotName } from '../rollout/slot-name.ts'
import { KSTATUS } from '../rollout/status.ts'
import { ADDED_STATUS } from '../rollout/tell.ts'
import { cordonIsOurs, recordOf } from '../rollout/verdict.ts'
import type { JobView, NodeView } from '../rollout/world.ts'
import { releaseKured } from './release-kured.ts'
import { jobView, nodeView, planView } from './views.ts'

/** A node's heartbeat may come between a read and a write; so often an object is read and written again. */
const TRIES = 4

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

/** Goes on past what cannot be written: `left` names it. */
export async function release(client: Client, options: ReleaseOptions): Promise<Released> {
  const report: Report = { done: [], left: [], held: new Map(), heldNodes: new Set(), busy: new Set() }
  const { namespace } = options
  const { items: nodes } = await client.list('/api/v1/nodes')
  for (const raw of nodes) {
    const node = nodeView(raw)
    if (node?.record === undefined) continue
    const { name } = node
    await settle(report, `node ${name}`, raw, `/api/v1/nodes/${name}`, client, (now) => releaseNode(client, nodeView(now), options, report))
  }
  const { items: jobs } = await client.list(`/apis/batch/v1/namespaces/${namespace}/jobs`)
  for (const raw of jobs) {
    const path = `/apis/batch/v1/namespaces/${namespace}/jobs/${jobView(raw)?.name}`
    await settle(report, `Job ${jobView(raw)?.name}`, raw, path, client, (now) => releaseJob(client, jobView(now), path, options, report))
  }
  const { items: plans } = await client.list(`${PLAN_PATH_PREFIX}/namespaces/${namespace}/plans`)
  for (const raw of plans) {
    const path = `${PLAN_PATH_PREFIX}/namespaces/${namespace}/plans/${planView(raw)?.name}`
    await settle(report, `Plan ${planView(raw)?.key}`, raw, path, client, (now) => releasePlan(client, now, options, report))
  }
  const pulls = await client.list<JsonObject & { metadata: { name: string } }>(`/api/v1/namespaces/${namespace}/pods`, {
    query: { labelSelector: `${LABEL_CONTROLLER}=${options.controllerName},${LABEL_ROLE}=pull` },
  })
  for (const pod of pulls.items) {
    const path = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}`
    await settle(report, `pull pod ${pod.metadata.name}`, pod, path, client, async () => {
      await client.delete(path, { gracePeriodSeconds: 0 })
      report.done.push(`pull pod ${pod.metadata.name}: removed`)
    })
  }
  const kured = await releaseKured(client, { namespace, name: options.controllerName }, [...report.busy], TRIES)
  if (kured.done !== undefined) report.done.push(kured.done)
  if (kured.left !== undefined) report.left.push(kured.left)
  return { done: report.done, left: report.left }
}

interface Report extends Released {
  readonly done: string[]
  readonly left: string[]
  /** Hostnames that keep their slot, with the Plan. */
  readonly held: Map<string, string>
  /** Names of nodes that keep their record. */
  readonly heldNodes: Set<string>
  /** Names of nodes of ours whose upgrade goes on, or may. */
  readonly busy: Set<string>
}

/** Tries one object, again with a fresh read after a conflict; what cannot be done is reported, what is gone is fine. */
async function settle(
  { left }: Report,
  what: string,
  listed: JsonObject,
  path: string,
  client: Client,
  work: (raw: JsonObject) => Promise<void>,
): Promise<void> {
  let raw = listed
  for (let tries = 1; ; tries++) {
    try {
      return await work(raw)
    } catch (error) {
      if (isNotFound(error)) return
      if (!isConflict(error) || tries >= TRIES) return void left.push(`${what}: ${messageOf(error)}; run it again`)
    }
    try {
      raw = await client.get(path)
    } catch (error) {
      if (isNotFound(error)) return
      return void left.push(`${what}: ${messageOf(error)}; run it again`)
    }
  }
}

async function releaseNode(
  client: Client,
  node: NodeView | undefined,
  { all, namespace }: ReleaseOptions,
  { done, left, held, heldNodes, busy }: Report,
): Promise<void> {
  if (node?.record === undefined) return
  if (!node.record.ok) {
    busy.add(node.name)
    heldNodes.add(node.name)
    left.push(`node ${node.name}: its record cannot be read (${node.record.error}); remove annotation ${ANNOTATION_RECORD} by hand`)
    return
  }
  const record = recordOf(node)
  const { work } = record
  const foreign = work !== undefined && !work.plan.startsWith(`${namespace}/`)
  if (!foreign && work?.startedAt !== undefined) busy.add(node.name)
  if (foreign || (work?.startedAt !== undefined && !all)) {
    left.push(
      `node ${node.name}: ${foreign ? `works for Plan ${work.plan} of another namespace` : `Plan ${work?.plan} upgrades it right now; let it end, or use --all to forget it`}`,
    )
    held.set(slotName(node), work?.plan ?? '')
    heldNodes.add(node.name)
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
          ...(node.hook === undefined ? {} : { [ANNOTATION_HOOK]: null }),
        },
        labels: { [LABEL_IN_FLIGHT]: null },
      },
      ...(uncordon ? { spec: { unschedulable: null } } : {}),
    },
    { fieldManager: FIELD_MANAGER },
  )
  done.push(`node ${node.name}: ${uncordon ? 'uncordoned and ' : ''}released`)
}

/**
 * Jobs of ours that did not start, and prepare runs that nobody waits for any more; upgrades under way go on. What a failure left
 * suspended goes only with `all`: SUC, which knows no failures, would take its place with a Job of its own at once.
 */
async function releaseJob(
  client: Client,
  job: JobView | undefined,
  path: string,
  { all }: ReleaseOptions,
  { done, heldNodes }: Report,
): Promise<void> {
  if (job?.attempt === undefined || job.deleting || job.complete || job.failed !== undefined) return
  const idle = job.parallelism === 0 || (all && job.suspend && job.active === 0)
  if (!idle && job.labels[LABEL_ROLE] !== 'prepare') return
  for (const name of heldNodes) if (job.labels[LABEL_NODE] === name || job.labels[LABEL_OUR_NODE] === safeName(name)) return
  await client.delete(path, { uid: job.uid, resourceVersion: job.resourceVersion, propagationPolicy: 'Background' })
  done.push(`Job ${job.name}: removed`)
}

async function releasePlan(client: Client, raw: JsonObject, { all }: ReleaseOptions, { held, done }: Report): Promise<void> {
  const view = planView(raw)
  if (view?.plan === undefined) return
  const path = `${PLAN_PATH_PREFIX}/namespaces/${view.namespace}/plans/${view.name}`
  const kept = view.plan.status.applying.filter((hostname) => held.get(hostname) === view.key)
  const released = view.plan.status.applying.length - kept.length
  const told = addedStatus(raw)
  if (released > 0 || told !== undefined) {
    await client.mergePatch(
      `${path}/status`,
      { metadata: { uid: view.uid, resourceVersion: view.resourceVersion }, status: { applying: kept, ...told } },
      { fieldManager: FIELD_MANAGER },
    )
    if (released > 0) done.push(`Plan ${view.key}: ${released} slots released`)
    if (told !== undefined) done.push(`Plan ${view.key}: conditions and counts removed that nobody would keep up to date`)
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

/**
 * A patch of the status that takes away what SUC does not know; undefined = there is nothing of that. SUC keeps such conditions as they
 * stand: a Plan that it completes would read `Ready: False` for ever.
 */
function addedStatus(raw: JsonObject): JsonObject | undefined {
  const status = (raw['status'] ?? {}) as JsonObject
  const conditions = (status['conditions'] ?? []) as readonly (JsonObject & { readonly type: string })[]
  const kept = conditions.filter(({ type }) => !KSTATUS.has(type))
  // observedGeneration has a default, so it alone tells nothing.
  const fields = ADDED_STATUS.filter((field) => field in status)
  if (kept.length === conditions.length && !fields.some((field) => field !== 'observedGeneration')) return undefined
  return { conditions: kept, ...Object.fromEntries(fields.map((field) => [field, null])) }
}
