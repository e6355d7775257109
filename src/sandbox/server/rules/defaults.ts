import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, isObject, objectOf, stringOf, withKey, withPath } from '../json.ts'
import type { Resource } from '../types.ts'
import { qualified } from '../types.ts'

/** Fills in what the real server fills in on every write of a built-in type. The same object when nothing is missing. */
export function defaulted(resource: Resource, object: JsonObject): JsonObject {
  switch (qualified(resource)) {
    case 'pods':
      return tolerant(mapAt(object, ['spec'], podSpec))
    case 'jobs.batch':
      return mapAt(mapAt(object, ['spec'], jobSpec), ['spec', 'template', 'spec'], podSpec)
    case 'deployments.apps':
      return mapAt(mapAt(object, ['spec'], deploymentSpec), ['spec', 'template', 'spec'], podSpec)
    case 'replicasets.apps':
    case 'statefulsets.apps':
    case 'replicationcontrollers':
      return mapAt(
        mapAt(object, ['spec'], (spec) => fill(spec, { replicas: 1 })),
        ['spec', 'template', 'spec'],
        podSpec,
      )
    case 'daemonsets.apps':
      return mapAt(object, ['spec', 'template', 'spec'], podSpec)
    case 'secrets':
      return secret(object)
    case 'services':
      return mapAt(object, ['spec'], (spec) => fill(spec, { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster' }))
    case 'nodes':
      return withKey(
        withKey(object, 'spec', omitEmpty(objectOf(object['spec']), ['unschedulable', 'taints'])),
        'status',
        objectOf(object['status']),
      )
    case 'customresourcedefinitions.apiextensions.k8s.io':
      return mapAt(
        mapAt(object, ['spec'], (spec) => fill(spec, { conversion: { strategy: 'None' } })),
        ['spec', 'names'],
        crdNames,
      )
    case 'poddisruptionbudgets.policy':
      return mapAt(object, ['spec'], (spec) =>
        spec['minAvailable'] === undefined && spec['maxUnavailable'] === undefined ? { ...spec, minAvailable: 1 } : spec,
      )
    case 'events':
      return fill(object, { type: 'Normal' })
    default:
      return object
  }
}

function fill(object: JsonObject, defaults: JsonObject): JsonObject {
  let result = object
  for (const [key, value] of Object.entries(defaults))
    if (result[key] === undefined || result[key] === null) result = { ...result, [key]: value }
  return result
}

function mapAt(object: JsonObject, path: readonly string[], change: (value: JsonObject) => JsonObject): JsonObject {
  const [key, ...rest] = path
  if (key === undefined) return change(object)
  const child = object[key]
  if (!isObject(child)) return object
  return withKey(object, key, mapAt(child, rest, change))
}

function podSpec(given: JsonObject): JsonObject {
  const spec = omitEmpty(given, ['hostNetwork', 'hostPID', 'hostIPC', 'volumes', 'initContainers', 'nodeSelector'])
  const filled = fill(spec, {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
  })
  return containers(containers(filled, 'containers'), 'initContainers')
}

function containers(spec: JsonObject, key: string): JsonObject {
  const list = spec[key]
  if (!Array.isArray(list)) return spec
  const filled = (list as readonly Json[]).map((each) => (isObject(each) ? container(each) : each))
  return filled.every((each, index) => each === list[index]) ? spec : { ...spec, [key]: filled }
}

function container(each: JsonObject): JsonObject {
  const image = stringOf(each['image']) ?? ''
  const tag = image.slice(image.lastIndexOf('/') + 1).split(':')[1]
  return fill(each, {
    imagePullPolicy: tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent',
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    resources: {},
  })
}

/** What admission adds to pods: the service account and five minutes on a lost node. */
function tolerant(object: JsonObject): JsonObject {
  return mapAt(object, ['spec'], (spec) => {
    const filled = fill(spec, {
      serviceAccountName: 'default',
      serviceAccount: spec['serviceAccountName'] ?? 'default',
      enableServiceLinks: true,
      preemptionPolicy: 'PreemptLowerPriority',
      priority: 0,
    })
    const tolerations = arrayOf(filled['tolerations'])
    const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
      (key) => !tolerations.some((each) => toleratesNoExecute(objectOf(each), key)),
    )
    if (missing.length === 0) return filled
    const added = missing.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }))
    return { ...filled, tolerations: [...tolerations, ...added] }
  })
}

function toleratesNoExecute(toleration: JsonObject, key: string): boolean {
  const forKey =
    toleration['key'] === key || ((toleration['key'] === undefined || toleration['key'] === '') && toleration['operator'] === 'Exists')
  const { effect } = toleration
  return forKey && (effect === undefined || effect === '' || effect === 'NoExecute')
}

/** False and empty are what a field is when it is not there, and so it is not stored. */
function omitEmpty(object: JsonObject, keys: readonly string[]): JsonObject {
  let result = object
  for (const key of keys) {
    const value = result[key]
    const empty = value === false || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
    if (empty) result = withKey(result, key, undefined)
  }
  return result
}

function crdNames(names: JsonObject): JsonObject {
  const kind = stringOf(names['kind']) ?? ''
  return fill(names, { singular: kind.toLowerCase(), listKind: `${kind}List` })
}

function jobSpec(spec: JsonObject): JsonObject {
  const { completions, parallelism } = spec
  const counts: JsonObject =
    completions === undefined && parallelism === undefined ? { completions: 1, parallelism: 1 } : { parallelism: 1 }
  const replacement = spec['podFailurePolicy'] === undefined ? 'TerminatingOrFailed' : 'Failed'
  return fill(spec, {
    ...counts,
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    suspend: false,
    manualSelector: false,
    podReplacementPolicy: replacement,
  })
}

function deploymentSpec(spec: JsonObject): JsonObject {
  return fill(spec, {
    replicas: 1,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
  })
}

function secret(object: JsonObject): JsonObject {
  const plain = object['stringData']
  const typed = fill(object, { type: 'Opaque' })
  if (!isObject(plain)) return typed
  const encoded = Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, Buffer.from(asText(value)).toString('base64')]))
  return withPath(withKey(typed, 'stringData', undefined), ['data'], { ...objectOf(object['data']), ...encoded })
}
