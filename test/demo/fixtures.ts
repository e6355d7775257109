import type { JsonObject } from '../../src/base/json.ts'

export const HASH = 'f00dcafe'
export const OLD = 'v1.33.4+rke2r1'
export const NEW = 'v1.33.5+rke2r1'

interface NodeOptions {
  readonly version?: string
  readonly done?: string
  readonly cordoned?: boolean
  readonly ready?: boolean
}

export function node(name: string, role: 'server' | 'agent', options: NodeOptions = {}): JsonObject {
  const plan = `${role}-plan`
  return {
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        ...(role === 'server' ? { 'node-role.kubernetes.io/control-plane': 'true', 'node-role.kubernetes.io/etcd': 'true' } : {}),
        ...(options.done === undefined ? {} : { [`plan.upgrade.cattle.io/${plan}`]: options.done }),
      },
    },
    spec: options.cordoned === true ? { unschedulable: true } : {},
    status: {
      nodeInfo: { kubeletVersion: options.version ?? OLD },
      conditions: [{ type: 'Ready', status: options.ready === false ? 'Unknown' : 'True' }],
    },
  }
}

export function plan(name: string, status: JsonObject, generation = 1): JsonObject {
  return {
    metadata: { name, namespace: 'system-upgrade', generation },
    spec: { concurrency: 1 },
    status: { observedGeneration: generation, latestVersion: 'v1.33.5-rke2r1', latestHash: HASH, ...status },
  }
}

export const planOf = (role: 'server' | 'agent'): string => `${role}-plan`
