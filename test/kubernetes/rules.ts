/** The permissions of `manifests/`, one by one, and copies of its roles for another namespace, with one permission less. */
import type { ClusterRole, PolicyRule, Role } from 'kubernetes-types/rbac/v1.d.ts'
import { type Manifest, manifestsOf } from '../manifests/objects.ts'
import { NAMESPACE } from './cluster.ts'

/** One verb on one resource, by one name where names are given. */
export interface Rule {
  readonly verb: string
  readonly group: string
  /** `pods`, or `pods/log`. */
  readonly resource: string
  readonly name: string | undefined
  /** Of the Role; undefined = a ClusterRole. */
  readonly namespace: string | undefined
}

type Granting = Role | ClusterRole
const ROLES: ReadonlySet<string> = new Set(['Role', 'ClusterRole', 'RoleBinding', 'ClusterRoleBinding'])
const granting = (): readonly Manifest[] =>
  manifestsOf('manifests').filter(({ kind, metadata }) => ROLES.has(kind) && metadata.name === 'drover')

/** What `manifests/` grants the controller. */
export function controllerRules(): readonly Rule[] {
  return granting()
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap(rulesOf)
}

/** What a Role or ClusterRole grants. */
export const rulesOf = (role: Manifest): readonly Rule[] =>
  ((role as unknown as Granting).rules ?? []).flatMap((rule) => split(rule, role.metadata.namespace))

function split({ apiGroups = [], resources = [], resourceNames, verbs }: PolicyRule, namespace: string | undefined): Rule[] {
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      (resourceNames ?? [undefined]).flatMap((name) => verbs.map((verb) => ({ verb, group, resource, name, namespace }))),
    ),
  )
}

/** Its service account, roles and bindings for a controller in namespace `id`; `without` is left out. */
export function grantsFor(id: string, without?: Rule): readonly object[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'drover', namespace: id } },
    ...granting().map((object) => {
      const own = object.metadata.namespace === NAMESPACE
      const namespace = own ? id : object.metadata.namespace
      const metadata = { name: own ? 'drover' : `drover-${id}`, ...(namespace === undefined ? {} : { namespace }) }
      const base = { apiVersion: object.apiVersion, kind: object.kind, metadata }
      if (object.kind.endsWith('Binding')) {
        const kind = object.kind.replace('Binding', '')
        const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind, name: metadata.name }
        return { ...base, roleRef, subjects: [{ kind: 'ServiceAccount', name: 'drover', namespace: id }] }
      }
      const left = rulesOf(object).filter((rule) => without === undefined || lineOf(rule) !== lineOf(without))
      return {
        ...base,
        rules: left.map(({ verb, group, resource, name }) => ({
          apiGroups: [group],
          resources: [resource],
          verbs: [verb],
          ...(name === undefined ? {} : { resourceNames: [name] }),
        })),
      }
    }),
  ]
}

/** For example `get leases.coordination.k8s.io system-upgrade-controller in system-upgrade`. */
export function lineOf({ verb, group, resource, name, namespace }: Rule): string {
  const what = group === '' ? resource : `${resource}.${group}`
  return [verb, what, ...(name === undefined ? [] : [name]), ...(namespace === undefined ? [] : ['in', namespace])].join(' ')
}
