import { type HistoryWrite, took, whoIs } from './fact.ts'
import type { Mirror } from './mirror.ts'
import { isCordoned, isLive, keyOf, RECORD, recordOf, type SeenJob, type SeenNode, type SeenPod } from './seen.ts'

/**
 * A write of a controller that does something to a node (design §2, promises 1 and 2). `starts` are those that begin or carry on the work on it;
 * the others end or clean up. Image pull pods touch nothing, nor does a patch of labels alone (it marks a node Done that needs no work).
 */
export interface Touch {
  readonly what: 'cordon' | 'uncordon' | 'work' | 'begin' | 'record' | 'evict' | 'prepare' | 'run' | 'stop'
  readonly starts: boolean
  readonly node: string
  /** Plan key, where the write or the node's record tells it. */
  readonly plan?: string
}

/** All that one write does to its node; empty for writes of others, refused ones and dry runs. */
export function touchesOf(write: HistoryWrite, mirror: Mirror): readonly Touch[] {
  if (whoIs(write.user) !== 'drover' || !took(write)) return []
  if (write.ref.resource === 'nodes') return nodeTouches(write)
  if (write.ref.resource === 'pods') return podTouches(write, mirror)
  if (write.ref.resource === 'jobs') return jobTouches(write, mirror)
  return []
}

function nodeTouches(write: HistoryWrite): readonly Touch[] {
  const before = write.before as SeenNode | undefined
  const after = write.after as SeenNode | undefined
  if (before === undefined || after === undefined) return []
  const node = after.metadata.name
  const old = recordOf(before)
  const now = recordOf(after)
  const plan = now?.work?.plan ?? now?.cordon?.plan ?? old?.work?.plan
  const touches: Touch[] = []
  const add = (what: Touch['what'], starts: boolean) => touches.push({ what, starts, node, ...(plan === undefined ? {} : { plan }) })
  if (isCordoned(after) && !isCordoned(before)) add('cordon', true)
  if (!isCordoned(after) && isCordoned(before)) add('uncordon', false)
  if (now?.work !== undefined && (old?.work?.plan !== now.work.plan || old.work.claimedAt !== now.work.claimedAt)) add('work', true)
  if (now?.work?.startedAt !== undefined && old?.work?.startedAt === undefined) add('begin', true)
  if (touches.length === 0 && before.metadata.annotations?.[RECORD] !== after.metadata.annotations?.[RECORD]) add('record', false)
  return touches
}

function podTouches(write: HistoryWrite, mirror: Mirror): readonly Touch[] {
  const evicts = write.ref.subresource === 'eviction' || (write.verb === 'delete' && write.ref.subresource === undefined)
  if (!evicts) return []
  const pod = (write.before as SeenPod | undefined) ?? mirror.pods.get(`${write.ref.namespace}/${write.ref.name}`)
  const node = pod?.spec?.nodeName
  const labels = pod?.metadata?.labels ?? {}
  if (node === undefined || labels['drover.io/role'] !== undefined || labels['upgrade.cattle.io/controller'] !== undefined) return []
  const plan = recordOf(mirror.nodes.get(node))?.work?.plan
  return [{ what: 'evict', starts: true, node, ...(plan === undefined ? {} : { plan }) }]
}

function jobTouches(write: HistoryWrite, mirror: Mirror): readonly Touch[] {
  const before = write.before as SeenJob | undefined
  const after = write.after as SeenJob | undefined
  const job = after ?? before
  if (job === undefined || write.ref.subresource !== undefined) return []
  const place = placeOf(job, mirror)
  if (place === undefined) return []
  if (isLive(after) && !isLive(before))
    return [{ what: place.prepares ? 'prepare' : 'run', starts: true, node: place.node, plan: place.plan }]
  if (isLive(before) && !isLive(after)) return [{ what: 'stop', starts: false, node: place.node, plan: place.plan }]
  return []
}

/** Which node and Plan a Job is for; undefined for Jobs that are nobody's upgrade. */
export function placeOf(
  job: SeenJob,
  mirror: Mirror,
): { readonly node: string; readonly plan: string; readonly prepares: boolean } | undefined {
  const labels = job.metadata.labels ?? {}
  const prepares = labels['drover.io/role'] === 'prepare'
  const planName = prepares ? labels['drover.io/plan'] : labels['upgrade.cattle.io/plan']
  if (planName === undefined) return undefined
  const hostname = /"kubernetes\.io\/hostname","operator":"In","values":\["([^"]+)"\]/.exec(
    JSON.stringify(job.spec.template.spec?.affinity ?? {}),
  )?.[1]
  const node = labels[prepares ? 'drover.io/node' : 'upgrade.cattle.io/node'] ?? mirror.nodeByHostname(hostname ?? '')?.metadata.name
  return node === undefined ? undefined : { node, plan: keyOf({ ...job.metadata, name: planName }), prepares }
}

/** Live Jobs on a node, prepare Jobs included. */
export function liveJobs(node: string, mirror: Mirror): readonly { readonly job: SeenJob; readonly plan: string }[] {
  const live: { job: SeenJob; plan: string }[] = []
  for (const job of mirror.jobs.values()) {
    if (!isLive(job)) continue
    const place = placeOf(job, mirror)
    if (place?.node === node) live.push({ job, plan: place.plan })
  }
  return live
}
