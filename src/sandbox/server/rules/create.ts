import type { JsonObject } from '../../../base/json.ts'
import { objectOf, stringOf, withPath } from '../json.ts'
import type { Resource } from '../types.ts'
import { qualified } from '../types.ts'

/** What the server adds to a new object and never again. */
export function createDefaults(resource: Resource, object: JsonObject, now: string): JsonObject {
  switch (qualified(resource)) {
    case 'namespaces':
      return {
        ...withPath(object, ['metadata', 'labels', 'kubernetes.io/metadata.name'], objectOf(object['metadata'])['name']),
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      }
    case 'pods':
      return { ...object, status: { phase: 'Pending', qosClass: 'BestEffort' } }
    case 'jobs.batch':
      return jobIdentity(object)
    case 'customresourcedefinitions.apiextensions.k8s.io':
      return { ...object, status: establishedStatus(object, now) }
    case 'deployments.apps':
    case 'replicasets.apps':
    case 'statefulsets.apps':
    case 'daemonsets.apps':
    case 'poddisruptionbudgets.policy':
    case 'nodes':
      return { ...object, status: objectOf(object['status']) }
    default:
      return object
  }
}

/** A Job selects its pods by its own uid unless it says otherwise (manualSelector). */
function jobIdentity(object: JsonObject): JsonObject {
  const { name, uid, labels: own } = objectOf(object['metadata'])
  const withStatus = { ...object, status: {} }
  if (objectOf(object['spec'])['manualSelector'] === true) return withStatus
  const labels = {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  }
  const template = objectOf(objectOf(object['spec'])['template'])
  const existing = objectOf(objectOf(template['metadata'])['labels'])
  const labelled = withPath(withStatus, ['spec', 'template', 'metadata', 'labels'], { ...existing, ...labels })
  const given = objectOf(objectOf(object['spec'])['selector'])
  const matchLabels = { ...objectOf(given['matchLabels']), 'batch.kubernetes.io/controller-uid': uid }
  const selecting = withPath(labelled, ['spec', 'selector'], { ...given, matchLabels })
  // Without labels of its own it gets those of its pods.
  return Object.keys(objectOf(own)).length > 0 ? selecting : withPath(selecting, ['metadata', 'labels'], { ...existing, ...labels })
}

function establishedStatus(object: JsonObject, now: string): JsonObject {
  const spec = objectOf(object['spec'])
  const versions = Array.isArray(spec['versions']) ? (spec['versions'] as readonly JsonObject[]) : []
  const names = objectOf(spec['names'])
  const kind = stringOf(names['kind']) ?? ''
  return {
    conditions: [
      { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found', lastTransitionTime: now },
      {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
        lastTransitionTime: now,
      },
    ],
    acceptedNames: { listKind: `${kind}List`, singular: kind.toLowerCase(), ...names },
    storedVersions: versions.filter((version) => version['storage'] === true).map((version) => version['name'] ?? ''),
  }
}
