import type { Resource } from './types.ts'

interface Row {
  readonly kind: string
  readonly plural: string
  readonly short?: readonly string[]
  readonly all?: true
  readonly cluster?: true
  readonly sub?: readonly string[]
  readonly generation?: true
}

const groups: readonly { readonly group: string; readonly version: string; readonly rows: readonly Row[] }[] = [
  {
    group: '',
    version: 'v1',
    rows: [
      { kind: 'Namespace', plural: 'namespaces', short: ['ns'], cluster: true, sub: ['status', 'finalize'] },
      { kind: 'Node', plural: 'nodes', short: ['no'], cluster: true, sub: ['status'] },
      { kind: 'Pod', plural: 'pods', short: ['po'], all: true, sub: ['status', 'eviction', 'binding', 'log'], generation: true },
      { kind: 'Event', plural: 'events', short: ['ev'] },
      { kind: 'Secret', plural: 'secrets' },
      { kind: 'ConfigMap', plural: 'configmaps', short: ['cm'] },
      { kind: 'Service', plural: 'services', short: ['svc'], all: true, sub: ['status'] },
      { kind: 'ServiceAccount', plural: 'serviceaccounts', short: ['sa'], sub: ['token'] },
      { kind: 'PersistentVolume', plural: 'persistentvolumes', short: ['pv'], cluster: true, sub: ['status'] },
      { kind: 'PersistentVolumeClaim', plural: 'persistentvolumeclaims', short: ['pvc'], sub: ['status'] },
      {
        kind: 'ReplicationController',
        plural: 'replicationcontrollers',
        short: ['rc'],
        all: true,
        sub: ['status', 'scale'],
        generation: true,
      },
    ],
  },
  {
    group: 'apps',
    version: 'v1',
    rows: [
      { kind: 'Deployment', plural: 'deployments', short: ['deploy'], all: true, sub: ['status', 'scale'], generation: true },
      { kind: 'ReplicaSet', plural: 'replicasets', short: ['rs'], all: true, sub: ['status', 'scale'], generation: true },
      { kind: 'DaemonSet', plural: 'daemonsets', short: ['ds'], all: true, sub: ['status'], generation: true },
      { kind: 'StatefulSet', plural: 'statefulsets', short: ['sts'], all: true, sub: ['status', 'scale'], generation: true },
    ],
  },
  {
    group: 'batch',
    version: 'v1',
    rows: [
      { kind: 'Job', plural: 'jobs', all: true, sub: ['status'], generation: true },
      { kind: 'CronJob', plural: 'cronjobs', short: ['cj'], all: true, sub: ['status'], generation: true },
    ],
  },
  {
    group: 'policy',
    version: 'v1',
    rows: [{ kind: 'PodDisruptionBudget', plural: 'poddisruptionbudgets', short: ['pdb'], sub: ['status'], generation: true }],
  },
  { group: 'coordination.k8s.io', version: 'v1', rows: [{ kind: 'Lease', plural: 'leases' }] },
  {
    group: 'rbac.authorization.k8s.io',
    version: 'v1',
    rows: [
      { kind: 'Role', plural: 'roles' },
      { kind: 'RoleBinding', plural: 'rolebindings' },
      { kind: 'ClusterRole', plural: 'clusterroles', cluster: true },
      { kind: 'ClusterRoleBinding', plural: 'clusterrolebindings', cluster: true },
    ],
  },
  {
    group: 'storage.k8s.io',
    version: 'v1',
    rows: [
      { kind: 'StorageClass', plural: 'storageclasses', short: ['sc'], cluster: true },
      { kind: 'VolumeAttachment', plural: 'volumeattachments', cluster: true, sub: ['status'] },
    ],
  },
  { group: 'scheduling.k8s.io', version: 'v1', rows: [{ kind: 'PriorityClass', plural: 'priorityclasses', short: ['pc'], cluster: true }] },
  {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    rows: [
      {
        kind: 'CustomResourceDefinition',
        plural: 'customresourcedefinitions',
        short: ['crd', 'crds'],
        cluster: true,
        sub: ['status'],
        generation: true,
      },
    ],
  },
]

/** The built-in resources that a cluster with upgrades needs. */
export const builtIn: readonly Resource[] = groups.flatMap(({ group, version, rows }) =>
  rows.map((row) => ({
    group,
    version,
    plural: row.plural,
    singular: row.kind.toLowerCase(),
    kind: row.kind,
    shortNames: row.short ?? [],
    categories: row.all === true ? ['all'] : [],
    namespaced: row.cluster !== true,
    subresources: row.sub ?? [],
    generation: row.generation === true,
  })),
)
