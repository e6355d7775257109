import type { Json, JsonObject } from '../../base/json.ts'
import { arrayOf, asText, at, isObject, objectOf, stringOf } from './json.ts'
import type { ApiObject, Column, Resource } from './types.ts'
import { qualified } from './types.ts'

// What `kubectl get` shows: column definitions and cells, made by the server as in a real cluster.

interface View {
  readonly columns: readonly Column[]
  readonly cells: (object: ApiObject, now: number) => readonly Json[]
}

const name: Column = { name: 'Name', type: 'string', format: 'name', priority: 0 }
const age: Column = { name: 'Age', type: 'string', priority: 0 }
const text = (title: string, priority = 0): Column => ({ name: title, type: 'string', priority })

export function columnsOf(resource: Resource): readonly Column[] {
  if (resource.custom !== undefined)
    return [name, ...resource.custom.columns.map(({ jsonPath: _path, ...column }) => ({ priority: 0, description: '', ...column }))]
  return viewOf(resource).columns.map((column) => ({ description: '', format: '', ...column }))
}

export function rowOf(resource: Resource, object: ApiObject, now: number): readonly Json[] {
  if (resource.custom === undefined) return viewOf(resource).cells(object, now)
  return [object.metadata.name, ...resource.custom.columns.map((column) => customCell(column, object, now))]
}

function customCell(column: Column, object: ApiObject, now: number): Json {
  const value = readJsonPath(object, column.jsonPath ?? '')
  if (value === undefined || value === null) return null
  if (column.type === 'date') return ageOf(stringOf(value), now)
  if (column.type === 'string') return typeof value === 'object' ? JSON.stringify(value) : asText(value)
  return value
}

/** The part of JSONPath that printer columns use: `.a.b`, `['a.b/c']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`. */
function readJsonPath(root: Json, path: string): Json | undefined {
  const steps = path.match(/\.[A-Za-z0-9_-]+(\\\.[A-Za-z0-9_/-]+)*|\[[^\]]*\]/g) ?? []
  let values: Json[] = [root]
  let many = false
  for (const step of steps) {
    many ||= step === '[*]'
    values = values.flatMap((value) => follow(value, step))
  }
  return many ? (values.length === 0 ? undefined : values) : values[0]
}

function follow(value: Json, step: string): readonly Json[] {
  const own = (key: string): readonly Json[] => {
    const child = objectOf(value)[key]
    return child === undefined ? [] : [child]
  }
  if (step.startsWith('.')) return own(step.slice(1).replaceAll('\\.', '.'))
  const inner = step.slice(1, -1)
  const quoted = /^['"](.*)['"]$/.exec(inner)
  if (quoted !== null) return own(quoted[1] ?? '')
  if (inner === '*') return arrayOf(value)
  const filter = /^\?\(\s*@\.(\w+)\s*([!=]=)\s*['"]?([^'"]*)['"]?\s*\)$/.exec(inner)
  if (filter !== null) {
    const [, key = '', sign, wanted] = filter
    return arrayOf(value).filter((item) => (asText(objectOf(item)[key]) === wanted) === (sign === '=='))
  }
  const item = arrayOf(value)[Number(inner)]
  return item === undefined ? [] : [item]
}

function ageOf(time: string | undefined, now: number): string {
  if (time === undefined) return '<unknown>'
  return shortDuration(now - Date.parse(time))
}

/** `45s`, `5m3s`, `3h12m`, `2d4h`, `12d`, as kubectl writes durations. */
function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 0) return seconds > -2 ? '0s' : '<invalid>'
  if (seconds < 120) return `${seconds}s`
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
    small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  return hours < 192 ? pair(days, 'd', hours % 24, 'h') : `${days}d`
}

const views: Readonly<Record<string, View>> = {
  nodes: {
    columns: [
      name,
      text('Status'),
      text('Roles'),
      age,
      text('Version'),
      text('Internal-IP', 1),
      text('OS-Image', 1),
      text('Kernel-Version', 1),
      text('Container-Runtime', 1),
    ],
    cells: (node, now) => {
      const info = objectOf(at(node, 'status', 'nodeInfo'))
      const address = arrayOf(at(node, 'status', 'addresses'))
        .map(objectOf)
        .find((each) => each['type'] === 'InternalIP')
      return [
        node.metadata.name,
        nodeStatus(node),
        nodeRoles(node),
        ageOf(node.metadata.creationTimestamp, now),
        info['kubeletVersion'] ?? '',
        address?.['address'] ?? '<none>',
        info['osImage'] ?? '<unknown>',
        info['kernelVersion'] ?? '<unknown>',
        info['containerRuntimeVersion'] ?? '<unknown>',
      ]
    },
  },
  pods: {
    columns: [
      name,
      text('Ready'),
      text('Status'),
      text('Restarts'),
      age,
      text('IP', 1),
      text('Node', 1),
      text('Nominated Node', 1),
      text('Readiness Gates', 1),
    ],
    cells: (pod, now) => {
      const statuses = arrayOf(at(pod, 'status', 'containerStatuses')).map(objectOf)
      const ready = statuses.filter((status) => status['ready'] === true).length
      const restarts = statuses.reduce((sum, status) => sum + Number(status['restartCount'] ?? 0), 0)
      return [
        pod.metadata.name,
        `${ready}/${arrayOf(at(pod, 'spec', 'containers')).length}`,
        podStatus(pod),
        String(restarts),
        ageOf(pod.metadata.creationTimestamp, now),
        at(pod, 'status', 'podIP') ?? '<none>',
        at(pod, 'spec', 'nodeName') ?? '<none>',
        '<none>',
        '<none>',
      ]
    },
  },
  'jobs.batch': {
    columns: [name, text('Status'), text('Completions'), text('Duration'), age],
    cells: (job, now) => {
      const status = objectOf(job['status'])
      const start = stringOf(status['startTime'])
      const end = stringOf(status['completionTime'])
      const duration = start === undefined ? '' : shortDuration((end === undefined ? now : Date.parse(end)) - Date.parse(start))
      return [
        job.metadata.name,
        jobStatus(job),
        `${Number(status['succeeded'] ?? 0)}/${Number(at(job, 'spec', 'completions') ?? 1)}`,
        duration,
        ageOf(job.metadata.creationTimestamp, now),
      ]
    },
  },
  'deployments.apps': {
    columns: [name, text('Ready'), text('Up-to-date'), text('Available'), age],
    cells: (each, now) => {
      const status = objectOf(each['status'])
      const count = (key: string): number => Number(status[key] ?? 0)
      return [
        each.metadata.name,
        `${count('readyReplicas')}/${Number(at(each, 'spec', 'replicas') ?? 0)}`,
        count('updatedReplicas'),
        count('availableReplicas'),
        ageOf(each.metadata.creationTimestamp, now),
      ]
    },
  },
  'poddisruptionbudgets.policy': {
    columns: [name, text('Min Available'), text('Max Unavailable'), { name: 'Allowed Disruptions', type: 'integer', priority: 0 }, age],
    cells: (each, now) => [
      each.metadata.name,
      asText(at(each, 'spec', 'minAvailable') ?? 'N/A'),
      asText(at(each, 'spec', 'maxUnavailable') ?? 'N/A'),
      at(each, 'status', 'disruptionsAllowed') ?? 0,
      ageOf(each.metadata.creationTimestamp, now),
    ],
  },
  namespaces: {
    columns: [name, text('Status'), age],
    cells: (each, now) => [each.metadata.name, at(each, 'status', 'phase') ?? '', ageOf(each.metadata.creationTimestamp, now)],
  },
  events: {
    columns: [text('Last Seen'), text('Type'), text('Reason'), text('Object'), text('Message'), { ...name, priority: 1 }],
    cells: (event, now) => {
      const about = objectOf(event['involvedObject'])
      const seen = stringOf(event['lastTimestamp']) ?? stringOf(event['eventTime']) ?? event.metadata.creationTimestamp
      return [
        ageOf(seen, now),
        event['type'] ?? '',
        event['reason'] ?? '',
        `${asText(about['kind'] ?? '').toLowerCase()}/${asText(about['name'] ?? '')}`,
        event['message'] ?? '',
        event.metadata.name,
      ]
    },
  },
  'leases.coordination.k8s.io': {
    columns: [name, text('Holder'), age],
    cells: (each, now) => [each.metadata.name, at(each, 'spec', 'holderIdentity') ?? '', ageOf(each.metadata.creationTimestamp, now)],
  },
  secrets: {
    columns: [name, text('Type'), { name: 'Data', type: 'integer', priority: 0 }, age],
    cells: (each, now) => [
      each.metadata.name,
      each['type'] ?? '',
      Object.keys(objectOf(each['data'])).length,
      ageOf(each.metadata.creationTimestamp, now),
    ],
  },
  'customresourcedefinitions.apiextensions.k8s.io': {
    columns: [name, { name: 'Created At', type: 'date', priority: 0 }],
    cells: (each) => [each.metadata.name, each.metadata.creationTimestamp],
  },
}

const plain: View = { columns: [name, age], cells: (object, now) => [object.metadata.name, ageOf(object.metadata.creationTimestamp, now)] }

function viewOf(resource: Resource): View {
  return views[qualified(resource)] ?? plain
}

function nodeStatus(node: ApiObject): string {
  const ready = arrayOf(at(node, 'status', 'conditions'))
    .map(objectOf)
    .find((condition) => condition['type'] === 'Ready')
  const words = [ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady']
  if (at(node, 'spec', 'unschedulable') === true) words.push('SchedulingDisabled')
  return words.join(',')
}

function nodeRoles(node: ApiObject): string {
  const prefix = 'node-role.kubernetes.io/'
  const roles = Object.keys(node.metadata.labels ?? {})
    .filter((key) => key.startsWith(prefix) && key.length > prefix.length)
    .map((key) => key.slice(prefix.length))
  return roles.length === 0 ? '<none>' : roles.sort().join(',')
}

function podStatus(pod: ApiObject): string {
  let status = stringOf(at(pod, 'status', 'reason')) ?? stringOf(at(pod, 'status', 'phase')) ?? 'Unknown'
  for (const each of arrayOf(at(pod, 'status', 'containerStatuses')).filter(isObject)) {
    const waiting = stringOf(at(each, 'state', 'waiting', 'reason'))
    const terminated: JsonObject = objectOf(at(each, 'state', 'terminated'))
    if (waiting !== undefined) status = waiting
    else if (terminated['reason'] !== undefined) status = asText(terminated['reason'])
    else if (terminated['exitCode'] !== undefined) status = `ExitCode:${Number(terminated['exitCode'])}`
  }
  return pod.metadata.deletionTimestamp === undefined ? status : 'Terminating'
}

function jobStatus(job: ApiObject): string {
  const holds = (type: string): boolean =>
    arrayOf(at(job, 'status', 'conditions'))
      .map(objectOf)
      .some((each) => each['type'] === type && each['status'] === 'True')
  for (const type of ['Complete', 'Failed', 'Suspended', 'FailureTarget', 'SuccessCriteriaMet']) if (holds(type)) return type
  return job.metadata.deletionTimestamp === undefined ? 'Running' : 'Terminating'
}
