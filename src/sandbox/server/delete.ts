import type { Json, JsonObject } from '../../base/json.ts'
import { formatTime } from '../../base/clock.ts'
import { arrayOf, at, isObject, objectOf } from './json.ts'
import { notSupported } from './query.ts'
import { badRequest, conflict, forbidden, invalid } from './status.ts'
import type { ApiObject, Resource } from './types.ts'
import { qualified } from './types.ts'
import type { WriteContext } from './write.ts'

/** What a DELETE asks for, from its body and its query. */
export interface DeleteOptions {
  readonly graceSeconds: number | undefined
  readonly propagation: 'Foreground' | 'Background' | 'Orphan' | undefined
  readonly uid: string | undefined
  readonly resourceVersion: string | undefined
  readonly dryRun: boolean
}

export function deleteOptions(body: Json | undefined, query: Readonly<Record<string, string>>): DeleteOptions {
  const given: JsonObject = objectOf(body)
  const grace = given['gracePeriodSeconds'] ?? (query['gracePeriodSeconds'] === undefined ? undefined : Number(query['gracePeriodSeconds']))
  if (grace !== undefined && grace !== null && (typeof grace !== 'number' || !Number.isInteger(grace)))
    throw badRequest('gracePeriodSeconds must be an integer')
  const propagation = given['propagationPolicy'] ?? query['propagationPolicy']
  if (propagation !== undefined && propagation !== 'Foreground' && propagation !== 'Background' && propagation !== 'Orphan')
    throw invalid({ group: 'meta.k8s.io', plural: 'deleteoptions', kind: 'DeleteOptions' }, '', [
      notSupported('propagationPolicy', propagation, ['Foreground', 'Background', 'Orphan', 'nil']),
    ])
  const { uid, resourceVersion } = objectOf(given['preconditions'])
  return {
    graceSeconds: typeof grace === 'number' ? grace : undefined,
    propagation,
    uid: typeof uid === 'string' ? uid : undefined,
    resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : undefined,
    dryRun: arrayOf(given['dryRun']).includes('All') || query['dryRun'] === 'All',
  }
}

export interface Deletion {
  readonly before: ApiObject
  /** What is stored now; undefined when it is gone. */
  readonly after: ApiObject | undefined
  /** The last state, also of what is gone. */
  readonly last: ApiObject
}

const permanent = new Set(['default', 'kube-system', 'kube-public'])

/** Deletes an object or, where a kubelet or a finalizer has a say, marks it as deleted. */
export function remove(context: WriteContext, resource: Resource, old: ApiObject, options: DeleteOptions): Deletion {
  const { name } = old.metadata
  if (options.uid !== undefined && options.uid !== old.metadata.uid)
    throw conflict(
      // Here the server names the kind.
      { group: resource.group, plural: resource.kind },
      name,
      `the UID in the precondition (${options.uid}) does not match the UID in record (${old.metadata.uid}). The object might have been deleted and then recreated`,
    )
  if (options.resourceVersion !== undefined && options.resourceVersion !== old.metadata.resourceVersion)
    throw conflict(
      { group: resource.group, plural: resource.kind },
      name,
      `the ResourceVersion in the precondition (${options.resourceVersion}) does not match the ResourceVersion in record (${old.metadata.resourceVersion}). The object might have been modified`,
    )
  if (resource.kind === 'Namespace' && permanent.has(name)) throw forbidden(resource, name, 'this namespace may not be deleted')

  const grace = resource.kind === 'Pod' ? podGrace(old, options.graceSeconds) : 0
  // batch/v1 orphans unless it is told otherwise, for the sake of its first clients.
  const propagation = options.propagation ?? (resource.kind === 'Job' ? 'Orphan' : undefined)
  const finalizers = finalizersAfter(old, propagation)
  const waits = finalizers.length > 0 || grace > 0 || (resource.kind === 'Namespace' && arrayOf(at(old, 'spec', 'finalizers')).length > 0)
  const key = qualified(resource)
  const dryRun = context.dryRun || options.dryRun
  if (!waits) return { before: old, after: undefined, last: dryRun ? old : context.store.remove(key, old) }

  const marked = mark(context, resource, old, grace, finalizers)
  if (marked === old || dryRun) return { before: old, after: marked, last: marked }
  const stored = context.store.put(key, marked)
  return { before: old, after: stored, last: stored }
}

/** Seconds a pod still gets: none when nothing runs there any more. */
function podGrace(pod: ApiObject, asked: number | undefined): number {
  const phase = at(pod, 'status', 'phase')
  if (phase === 'Succeeded' || phase === 'Failed' || at(pod, 'spec', 'nodeName') === undefined) return 0
  const wanted = Math.max(0, asked ?? Number(at(pod, 'spec', 'terminationGracePeriodSeconds') ?? 30))
  const left = pod.metadata['deletionGracePeriodSeconds']
  // A second delete may shorten the time, never prolong it.
  return typeof left === 'number' ? Math.min(left, wanted) : wanted
}

function finalizersAfter(old: ApiObject, propagation: DeleteOptions['propagation']): readonly string[] {
  const kept = (old.metadata.finalizers ?? []).filter(
    (each) => propagation === undefined || (each !== 'foregroundDeletion' && each !== 'orphan'),
  )
  if (propagation === 'Foreground') return [...kept, 'foregroundDeletion']
  return propagation === 'Orphan' ? [...kept, 'orphan'] : kept
}

function mark(context: WriteContext, resource: Resource, old: ApiObject, grace: number, finalizers: readonly string[]): ApiObject {
  const first = old.metadata.deletionTimestamp === undefined
  const sameGrace = resource.kind !== 'Pod' || old.metadata['deletionGracePeriodSeconds'] === grace
  if (!first && sameGrace && finalizers.length === (old.metadata.finalizers?.length ?? 0)) return old
  const { finalizers: _, ...metadata } = old.metadata
  const marked: ApiObject = {
    ...old,
    metadata: {
      ...metadata,
      ...(finalizers.length === 0 ? {} : { finalizers }),
      deletionTimestamp: first || !sameGrace ? formatTime(context.now + grace * 1000) : old.metadata.deletionTimestamp,
      deletionGracePeriodSeconds: grace,
      ...(resource.generation && first ? { generation: (old.metadata.generation ?? 0) + 1 } : {}),
    } as ApiObject['metadata'],
  }
  return resource.kind === 'Namespace'
    ? { ...marked, status: { ...(isObject(old['status']) ? old['status'] : {}), phase: 'Terminating' } }
    : marked
}
