import type { Json, JsonObject } from '../../base/json.ts'
import type { Registry } from './registry.ts'
import type { Resource } from './types.ts'
import { groupVersion } from './types.ts'

/** What the server says it is. Follows the newest release whose behaviour was checked. */
export const serverVersion = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.4',
  gitCommit: '59526cd4867447956156ae3a602fcbac10a2c335',
  gitTreeState: 'clean',
  buildDate: '2025-04-22T15:59:16Z',
  goVersion: 'go1.23.6',
  compiler: 'gc',
  platform: 'linux/amd64',
}

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']

/** Subresources that are not the object itself, and what they take. */
const subresourceKinds: Readonly<
  Record<string, { readonly kind: string; readonly group: string; readonly version: string; readonly verbs: readonly string[] }>
> = {
  eviction: { kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
  binding: { kind: 'Binding', group: '', version: 'v1', verbs: ['create'] },
  token: { kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] },
  scale: { kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: ['get', 'patch', 'update'] },
}

const subresourceVerbs: Readonly<Record<string, readonly string[]>> = {
  status: ['get', 'patch', 'update'],
  finalize: ['update'],
  log: ['get'],
}

/** Groups without resources that are kept: reviews. */
const reviews = [{ group: 'authorization.k8s.io', version: 'v1', plural: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview' }]

/** Answers `/api`, `/apis`, `/api/v1`, `/apis/<group>[/<version>]`; undefined when the path is none of these. */
export function discover(registry: Registry, path: string, accept: string | undefined): Json | undefined {
  const parts = path.split('/').filter((part) => part !== '')
  const [root, first, second, ...more] = parts
  if (more.length > 0) return undefined
  const aggregated = accept?.includes('as=APIGroupDiscoveryList') === true
  if (root === 'api' && second === undefined) {
    if (first === undefined)
      return aggregated ? aggregatedList(registry, true, accept) : { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }
    return first === 'v1' ? resourceList(registry, '', 'v1') : undefined
  }
  if (root !== 'apis') return undefined
  if (first === undefined)
    return aggregated
      ? aggregatedList(registry, false, accept)
      : { kind: 'APIGroupList', apiVersion: 'v1', groups: groupsOf(registry).map((group) => groupObject(registry, group)) }
  if (!groupsOf(registry).includes(first)) return undefined
  if (second === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(registry, first) }
  return versionsOf(registry, first).includes(second) ? resourceList(registry, first, second) : undefined
}

function groupsOf(registry: Registry): readonly string[] {
  return [...new Set([...registry.all, ...reviews].map((resource) => resource.group))].filter((group) => group !== '')
}

function versionsOf(registry: Registry, group: string): readonly string[] {
  return [...new Set([...registry.all, ...reviews].filter((resource) => resource.group === group).map((resource) => resource.version))]
}

function groupObject(registry: Registry, group: string): JsonObject {
  const versions = versionsOf(registry, group).map((version) => ({ groupVersion: `${group}/${version}`, version }))
  return { name: group, versions, preferredVersion: versions[0] }
}

function ofVersion(registry: Registry, group: string, version: string): readonly Resource[] {
  return registry.all.filter((resource) => resource.group === group && resource.version === version)
}

function resourceList(registry: Registry, group: string, version: string): Json {
  const resources: JsonObject[] = ofVersion(registry, group, version).flatMap((resource): readonly JsonObject[] => [
    {
      name: resource.plural,
      singularName: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs,
      ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
      ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    },
    ...resource.subresources.map((sub): JsonObject => {
      const special = subresourceKinds[sub]
      return {
        name: `${resource.plural}/${sub}`,
        singularName: '',
        namespaced: resource.namespaced,
        kind: special?.kind ?? resource.kind,
        verbs: special?.verbs ?? subresourceVerbs[sub] ?? ['get', 'patch', 'update'],
        ...(special === undefined ? {} : { group: special.group, version: special.version }),
      }
    }),
  ])
  const asked = reviews
    .filter((review) => review.group === group)
    .map((review) => ({
      name: review.plural,
      singularName: review.kind.toLowerCase(),
      namespaced: false,
      kind: review.kind,
      verbs: ['create'],
    }))
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: groupVersion({ group, version }), resources: [...resources, ...asked] }
}

function aggregatedList(registry: Registry, core: boolean, accept: string | undefined): Json {
  const groups = core ? [''] : groupsOf(registry)
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${accept?.includes('v=v2;') === true || accept?.includes('v=v2,') === true ? 'v2' : 'v2beta1'}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: { name: group, creationTimestamp: null },
      versions: versionsOf(registry, group).map((version) => ({
        version,
        freshness: 'Current',
        resources: [
          ...ofVersion(registry, group, version).map(aggregatedResource),
          ...reviews.filter((review) => review.group === group).map(aggregatedReview),
        ],
      })),
    })),
  }
}

function aggregatedReview(review: (typeof reviews)[number]): JsonObject {
  return {
    resource: review.plural,
    responseKind: { group: '', version: '', kind: review.kind },
    scope: 'Cluster',
    singularResource: review.kind.toLowerCase(),
    verbs: ['create'],
  }
}

function aggregatedResource(resource: Resource): JsonObject {
  return {
    resource: resource.plural,
    responseKind: { group: '', version: '', kind: resource.kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    subresources: resource.subresources.map((sub) => {
      const special = subresourceKinds[sub]
      return {
        subresource: sub,
        responseKind:
          special === undefined
            ? { group: '', version: '', kind: resource.kind }
            : { group: special.group, version: special.version, kind: special.kind },
        verbs: special?.verbs ?? subresourceVerbs[sub] ?? ['get', 'patch', 'update'],
      }
    }),
  }
}
