import { KURED } from '../rollout/kured.ts'

/** Verbs on one kind of resource that the controller needs. The manifests grant exactly this table, which a test keeps so. */
export interface Permission {
  /** API group; empty = core. */
  readonly group: string
  /** Plural, with `/subresource` where one is meant. */
  readonly resource: string
  readonly verbs: readonly Verb[]
  /** The namespace in which it is needed; undefined = in all of them, or for what has none. */
  readonly namespace?: string
  /** Only objects of these names. */
  readonly names?: readonly string[]
  /** What does not work without it. */
  readonly why: string
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete'

/** Where kubelets renew their Leases. */
const NODE_LEASES = 'kube-node-lease'

/**
 * All that the controller may ask of the API server, beyond what every account may: Kubernetes lets each ask for its own permissions
 * (ClusterRole `system:basic-user`).
 * @param own its namespace, that of the Plans it acts on
 * @param lease the name of its Lease
 */
export function neededPermissions(own: string, lease: string): readonly Permission[] {
  return [
    {
      group: 'upgrade.cattle.io',
      resource: 'plans',
      verbs: ['list', 'watch'],
      why: 'reading Plans; slots are counted over all namespaces',
    },
    {
      group: 'upgrade.cattle.io',
      resource: 'plans',
      verbs: ['get', 'patch'],
      namespace: own,
      why: "remembering a rollout in the Plan's annotation, and looking at the Plan again before a server is started",
    },
    {
      group: 'upgrade.cattle.io',
      resource: 'plans/status',
      verbs: ['patch'],
      namespace: own,
      why: 'claiming nodes and reporting',
    },
    { group: 'drover.io', resource: 'rolloutpolicies', verbs: ['list', 'watch'], namespace: own, why: 'knowing how carefully to go' },
    {
      group: 'drover.io',
      resource: 'rolloutpolicies/status',
      verbs: ['patch'],
      namespace: own,
      why: 'saying what a RolloutPolicy governs',
    },
    { group: '', resource: 'nodes', verbs: ['list', 'watch', 'patch'], why: 'choosing, cordoning and labelling nodes' },
    {
      group: '',
      resource: 'namespaces',
      verbs: ['list', 'watch'],
      why: 'the kill switch, and the cluster id that channels are told',
    },
    { group: '', resource: 'pods', verbs: ['list', 'delete'], why: 'draining nodes' },
    { group: '', resource: 'pods/eviction', verbs: ['create'], why: 'draining nodes' },
    { group: 'apps', resource: 'daemonsets', verbs: ['get'], why: 'draining nodes: the pods of a DaemonSet that is gone need force' },
    {
      group: 'apps',
      resource: 'daemonsets',
      verbs: ['patch'],
      namespace: KURED.namespace,
      names: [KURED.name],
      why: "holding kured's lock, where a RolloutPolicy asks for it",
    },
    { group: 'policy', resource: 'poddisruptionbudgets', verbs: ['list'], why: 'forecasting drains and naming what blocks them' },
    {
      group: 'storage.k8s.io',
      resource: 'volumeattachments',
      verbs: ['list'],
      why: 'waiting for volumes to be detached, where a RolloutPolicy asks for it',
    },
    { group: '', resource: 'pods', verbs: ['create', 'watch'], namespace: own, why: 'pulling images ahead and trying apply pods' },
    { group: '', resource: 'pods/log', verbs: ['get'], namespace: own, why: 'keeping the last lines of a failed upgrade' },
    {
      group: 'batch',
      resource: 'jobs',
      verbs: ['list', 'watch', 'create', 'patch', 'delete'],
      namespace: own,
      why: 'running upgrades',
    },
    {
      group: '',
      resource: 'secrets',
      verbs: ['get', 'list', 'watch'],
      namespace: own,
      why: "following the Plans' Secrets; only those named in a Plan, or in a RolloutPolicy for a webhook or a gate, are read whole",
    },
    { group: 'coordination.k8s.io', resource: 'leases', verbs: ['create'], namespace: own, why: 'electing a leader' },
    {
      group: 'coordination.k8s.io',
      resource: 'leases',
      verbs: ['get', 'update'],
      namespace: own,
      names: [lease],
      why: 'electing a leader',
    },
    { group: 'coordination.k8s.io', resource: 'leases', verbs: ['get'], namespace: NODE_LEASES, why: "seeing a node's heartbeat" },
    {
      group: 'k3s.cattle.io',
      resource: 'etcdsnapshotfiles',
      verbs: ['list'],
      why: 'looking for a recent etcd snapshot, where a RolloutPolicy asks for it',
    },
    { group: '', resource: 'events', verbs: ['create', 'patch'], why: 'events on Plans and nodes' },
    { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', verbs: ['create'], why: 'installing the CRDs at start' },
    {
      group: 'apiextensions.k8s.io',
      resource: 'customresourcedefinitions',
      verbs: ['get', 'patch'],
      names: ['plans.upgrade.cattle.io', 'rolloutpolicies.drover.io'],
      why: 'keeping the CRDs up to date',
    },
  ]
}
