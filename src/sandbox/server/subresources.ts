import { formatTime } from '../../base/clock.ts'
import type { Json, JsonObject } from '../../base/json.ts'
import { arrayOf, asText, at, isObject, objectOf, stringOf, withPath } from './json.ts'
import { wrong } from './rules/causes.ts'
import { badRequest, conflict, invalid, noSuchPath } from './status.ts'
import type { Answer, ApiObject, Resource } from './types.ts'
import type { Outcome, WriteContext } from './write.ts'
import { update } from './write.ts'

const binding = { group: '', plural: 'pods/binding' }

/** POST pods/binding: the scheduler's word. */
export function bind(context: WriteContext, pods: Resource, pod: ApiObject, body: Json | undefined): Outcome {
  const node = at(body, 'target', 'name')
  if (typeof node !== 'string' || node === '') throw badRequest('Binding is invalid: target.name: Required value')
  const bound = at(pod, 'spec', 'nodeName')
  if (pod.metadata.deletionTimestamp !== undefined)
    throw conflict(binding, pod.metadata.name, `pod ${pod.metadata.name} is being deleted, cannot be assigned to a host`)
  if (bound !== undefined)
    throw conflict(binding, pod.metadata.name, `pod ${pod.metadata.name} is already assigned to node "${asText(bound)}"`)
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: formatTime(context.now) }
  const others = arrayOf(at(pod, 'status', 'conditions')).filter((each) => objectOf(each)['type'] !== 'PodScheduled')
  const wanted = withPath(withPath(pod, ['spec', 'nodeName'], node), ['status', 'conditions'], [...others, scheduled])
  return update(context, pods, pod, wanted, { subresource: 'binding' })
}

/** The Scale of a workload, as `autoscaling/v1` shows it. */
export function scaleOf(object: ApiObject): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const labels = objectOf(at(object, 'spec', 'selector', 'matchLabels'))
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: at(object, 'spec', 'replicas') ?? 0 },
    status: {
      replicas: at(object, 'status', 'replicas') ?? 0,
      selector: Object.entries(labels)
        .map(([key, value]) => `${key}=${asText(value)}`)
        .join(','),
    },
  }
}

/** Stores the replicas of a Scale. */
export function rescale(context: WriteContext, resource: Resource, object: ApiObject, scale: JsonObject): Outcome {
  const replicas = at(scale, 'spec', 'replicas') ?? 0
  if (typeof replicas !== 'number' || replicas < 0 || !Number.isInteger(replicas))
    throw badRequest('Scale is invalid: spec.replicas must be a number that is not negative')
  const version = at(scale, 'metadata', 'resourceVersion')
  const wanted = withPath(object, ['spec', 'replicas'], replicas)
  return update(context, resource, object, withPath(wanted, ['metadata', 'resourceVersion'], version), { subresource: 'scale' })
}

/** PUT namespaces/finalize: only the list of finalizers counts; without any the namespace goes. */
export function finalize(context: WriteContext, resource: Resource, old: ApiObject, body: Json | undefined): Outcome {
  const finalizers = arrayOf(at(body, 'spec', 'finalizers'))
  const wanted = withPath(old, ['spec', 'finalizers'], finalizers.length === 0 ? undefined : finalizers) as ApiObject
  if (old.metadata.deletionTimestamp === undefined || finalizers.length > 0 || (old.metadata.finalizers?.length ?? 0) > 0)
    return update(context, resource, old, wanted, { subresource: 'finalize' })
  if (context.dryRun) return { before: old, after: wanted }
  return { before: old, after: context.store.remove('namespaces', wanted), released: true }
}

/** What containers printed. Machines append, `kubectl logs` reads. */
export interface PodLogs {
  append(podUID: string, container: string, line: string): void
  lines(podUID: string, container: string): readonly string[]
  /** Calls back for each line from now on; of all containers when none is named. Returns how to stop it. */
  follow(podUID: string, container: string | undefined, listener: (line: string) => void): () => void
}

/** Longest memory of one container's output, in lines. */
const longestLog = 1000

export function createPodLogs(
  now: () => number,
): PodLogs & { entries(podUID: string, container: string): readonly { at: number; line: string }[] } {
  const logs = new Map<string, { at: number; line: string }[]>()
  const entries = (podUID: string, container: string): readonly { at: number; line: string }[] => logs.get(`${podUID}/${container}`) ?? []
  const followers = new Set<{ podUID: string; container: string | undefined; listener: (line: string) => void }>()
  return {
    follow(podUID, container, listener) {
      const follower = { podUID, container, listener }
      followers.add(follower)
      return () => void followers.delete(follower)
    },
    append(podUID, container, line) {
      const key = `${podUID}/${container}`
      const log = logs.get(key) ?? []
      log.push({ at: now(), line })
      if (log.length > longestLog) log.splice(0, log.length - longestLog)
      logs.set(key, log)
      for (const each of followers) if (each.podUID === podUID && (each.container ?? container) === container) each.listener(line)
    },
    lines: (podUID, container) => entries(podUID, container).map((each) => each.line),
    entries,
  }
}

/** GET pods/log, without following. */
export function readLog(
  logs: ReturnType<typeof createPodLogs>,
  pod: ApiObject,
  query: Readonly<Record<string, string>>,
  now: number,
): Answer {
  checkLogOptions(pod, query)
  const container = containerOf(pod, query['container'])
  // Without a node there is nobody to ask.
  if (at(pod, 'spec', 'nodeName') === undefined) return { status: 204, body: '' }
  const waiting = statusesOf(pod).find((each) => each['name'] === container)
  const reason = stringOf(at(waiting, 'state', 'waiting', 'reason'))
  const entries = logs.entries(pod.metadata.uid, container)
  if (entries.length === 0 && reason !== undefined)
    throw badRequest(`container "${container}" in pod "${pod.metadata.name}" is waiting to start: ${reason}`)
  const since = query['sinceSeconds'] === undefined ? Number.NEGATIVE_INFINITY : now - Number(query['sinceSeconds']) * 1000
  const recent = entries.filter((each) => each.at >= since)
  const tail = query['tailLines'] === undefined ? recent : recent.slice(Math.max(0, recent.length - Number(query['tailLines'])))
  const stamped = query['timestamps'] === 'true'
  const text = tail.map((each) => `${stamped ? `${new Date(each.at).toISOString()} ` : ''}${each.line}\n`).join('')
  return { status: 200, body: query['limitBytes'] === undefined ? text : text.slice(0, Number(query['limitBytes'])) }
}

function checkLogOptions(pod: ApiObject, query: Readonly<Record<string, string>>): void {
  const causes = (['tailLines', 'sinceSeconds', 'limitBytes'] as const).flatMap((field) => {
    const least = field === 'tailLines' ? 0 : 1
    const value = query[field]
    return value === undefined || Number(value) >= least ? [] : [wrong(field, Number(value), atLeast(least))]
  })
  if (causes.length > 0) throw invalid({ group: '', plural: 'podlogoptions', kind: 'PodLogOptions' }, pod.metadata.name, causes)
}

const atLeast = (least: number): string => `must be greater than ${least === 0 ? 'or equal to 0' : '0'}`

function statusesOf(pod: ApiObject): readonly JsonObject[] {
  return [...arrayOf(at(pod, 'status', 'initContainerStatuses')), ...arrayOf(at(pod, 'status', 'containerStatuses'))].filter(isObject)
}

function containerOf(pod: ApiObject, asked: string | undefined): string {
  const names = ['initContainers', 'containers'].flatMap((list) =>
    arrayOf(at(pod, 'spec', list)).map((each) => asText(objectOf(each)['name'])),
  )
  const main = arrayOf(at(pod, 'spec', 'containers')).map((each) => asText(objectOf(each)['name']))
  if (asked !== undefined && asked !== '') {
    if (!names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`)
    return asked
  }
  const [only, second] = main
  if (only === undefined) throw noSuchPath()
  if (second !== undefined)
    throw badRequest(`a container name must be specified for pod ${pod.metadata.name}, choose one of: [${main.join(' ')}]`)
  return only
}
