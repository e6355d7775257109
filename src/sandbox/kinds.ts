import type { Condition, ObjectMeta } from 'kubernetes-types/meta/v1.d.ts'

/** Where the objects of a kind live in the API. */
export interface Kind {
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
}

/** An object as the API server returns it: named, identified, versioned. */
export type Stored<T> = T & {
  readonly metadata: ObjectMeta & { readonly name: string; readonly uid: string; readonly resourceVersion: string }
}

/** The least that all objects have in common. */
export interface Meta {
  readonly metadata?: ObjectMeta
}

export const PODS: Kind = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true }
export const NODES: Kind = { apiVersion: 'v1', kind: 'Node', plural: 'nodes', namespaced: false }
export const NAMESPACES: Kind = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }
export const SECRETS: Kind = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }
export const CONFIG_MAPS: Kind = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true }
export const SERVICE_ACCOUNTS: Kind = { apiVersion: 'v1', kind: 'ServiceAccount', plural: 'serviceaccounts', namespaced: true }
export const EVENTS: Kind = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true }
export const JOBS: Kind = { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced: true }
export const DEPLOYMENTS: Kind = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true }
export const REPLICA_SETS: Kind = { apiVersion: 'apps/v1', kind: 'ReplicaSet', plural: 'replicasets', namespaced: true }
export const DAEMON_SETS: Kind = { apiVersion: 'apps/v1', kind: 'DaemonSet', plural: 'daemonsets', namespaced: true }
export const BUDGETS: Kind = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', plural: 'poddisruptionbudgets', namespaced: true }
export const LEASES: Kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced: true }
export const CUSTOM_RESOURCE_DEFINITIONS: Kind = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
}

/** Path of a collection, of an object in it, or of an object's subresource. Without a namespace: all namespaces. */
export function pathOf(kind: Kind, namespace?: string, name?: string, subresource?: string): string {
  const root = kind.apiVersion.includes('/') ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${namespace}` : ''
  return `${root}${scope}/${kind.plural}${name === undefined ? '' : `/${name}`}${subresource === undefined ? '' : `/${subresource}`}`
}

/** `namespace/name`, or the name alone of what has no namespace. */
export function keyOf(object: Meta): string {
  const { namespace, name } = object.metadata ?? {}
  return namespace === undefined ? (name ?? '') : `${namespace}/${name ?? ''}`
}

/** UID of the owner that controls the object. */
export function controllerOf(object: Meta): { readonly kind: string; readonly name: string; readonly uid: string } | undefined {
  return object.metadata?.ownerReferences?.find((owner) => owner.controller === true)
}

/** Whether the condition of that type is True. */
export function isTrue(conditions: readonly Pick<Condition, 'type' | 'status'>[] | undefined, type: string): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false
}
