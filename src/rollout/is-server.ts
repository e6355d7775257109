import type { NodeView } from './world.ts'

/** A server of RKE2 or K3s: it runs an API server, an etcd member, or both. */
export const isServer = ({ controlPlane, etcd }: Pick<NodeView, 'controlPlane' | 'etcd'>): boolean => controlPlane || etcd
