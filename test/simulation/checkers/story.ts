import type { Checker, Fact } from '../../../src/simulation/checkers/fact.ts'
import { createMirror, type Mirror } from '../../../src/simulation/checkers/mirror.ts'
import type { SeenJob, SeenNode, SeenPlan, SeenPod, SeenRecord } from '../../../src/simulation/checkers/seen.ts'

type Node = SeenNode & { metadata: { labels: Record<string, string>; annotations: Record<string, string> } }

/** A history written by hand. Every call is one write; what the checker says about it is collected in `said`. */
export interface Story {
  readonly mirror: Mirror
  readonly said: string[]
  /** Lets milliseconds pass before the next fact. */
  wait(ms: number): void
  node(
    name: string,
    options?: { role?: 'server' | 'agent'; version?: string; taints?: { key: string; effect: string }[]; user?: string },
  ): void
  patchNode(name: string, change: NodeChange, user?: string): void
  plan(
    name: string,
    spec?: Partial<SeenPlan['spec']>,
    options?: { uid?: string; hash?: string; version?: string; annotations?: Record<string, string>; generation?: number },
  ): void
  deletePlan(name: string): void
  /** The controller writes the Plan's annotations. */
  annotate(name: string, annotations: Readonly<Record<string, string>>): void
  policy(name: string, spec: object): void
  deletePolicy(name: string): void
  /** The controllers start: what was before, they have seen. */
  start(): void
  claim(plan: string, hostnames: readonly string[], user?: string): void
  job(
    name: string,
    options: {
      plan: string
      node: string
      parallelism?: number
      uid?: string
      role?: 'prepare'
      hash?: string
      version?: string
      image?: string
      end?: 'Complete' | 'Failed'
      user?: string
      attempt?: string
    },
  ): void
  pod(
    name: string,
    options: {
      node: string
      labels?: Record<string, string>
      phase?: string
      job?: { name: string; uid: string }
      imageID?: string
      image?: string
    },
  ): void
  write(fact: {
    user: string
    verb: string
    resource: string
    name: string
    namespace?: string
    subresource?: string
    before?: unknown
    after?: unknown
    body?: unknown
    dryRun?: boolean
    status?: number
  }): void
  see(fact: Fact): void
}

export interface NodeChange {
  readonly unschedulable?: boolean
  readonly record?: SeenRecord | null
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly version?: string
  readonly ready?: 'True' | 'False' | 'Unknown'
  readonly beat?: string
  readonly verb?: string
}

export const HASH = 'h1'
export const TARGET = 'v1.33.4-rke2r1'
export const NAMESPACE = 'system-upgrade'

export function story(make: (mirror: Mirror) => Checker): Story & { readonly checker: Checker } {
  const mirror = createMirror()
  const checker = make(mirror)
  const said: string[] = []
  let n = 0
  let mono = 0
  const see = (fact: Fact) => {
    mirror.take(fact)
    said.push(...checker.see(fact))
  }
  const write: Story['write'] = ({
    user,
    verb,
    resource,
    name,
    namespace,
    subresource,
    before,
    after,
    body,
    dryRun = false,
    status = 200,
  }) => {
    n += 1
    mono += 10
    const ref = {
      group: '',
      resource,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(subresource === undefined ? {} : { subresource }),
    }
    see({ kind: 'write', write: { n, mono, user, verb, ref, status, dryRun, before, after, body } })
  }
  const replace = (
    resource: string,
    meta: { name: string; namespace?: string },
    before: unknown,
    after: unknown,
    user: string,
    verb?: string,
  ) =>
    write({
      user,
      verb: verb ?? (before === undefined ? 'create' : after === undefined ? 'delete' : 'patch'),
      resource,
      name: meta.name,
      ...(meta.namespace === undefined ? {} : { namespace: meta.namespace }),
      before,
      after,
    })

  return {
    mirror,
    checker,
    said,
    see,
    write,
    wait(ms) {
      mono += ms
    },
    node(name, { role = 'agent', version = 'v1.33.3+rke2r1', taints = [], user = `system:node:${name}` } = {}) {
      const roles = role === 'server' ? { 'node-role.kubernetes.io/control-plane': 'true', 'node-role.kubernetes.io/etcd': 'true' } : {}
      const after: Node = {
        metadata: { name, uid: `uid-${name}`, labels: { 'kubernetes.io/hostname': name, ...roles }, annotations: {} },
        spec: { taints },
        status: { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '0' }], nodeInfo: { kubeletVersion: version } },
      }
      replace('nodes', { name }, undefined, after, user)
    },
    patchNode(name, change, user = 'drover-1') {
      const before = mirror.nodes.get(name) as Node
      const annotations = { ...before.metadata.annotations, ...change.annotations }
      if (change.record !== undefined) annotations['drover.io/node-upgrade'] = JSON.stringify(change.record)
      if (change.record === null) delete annotations['drover.io/node-upgrade']
      const ready = before.status?.conditions?.[0]
      const after: Node = {
        metadata: { ...before.metadata, labels: { ...before.metadata.labels, ...change.labels }, annotations },
        spec: { ...before.spec, ...(change.unschedulable === undefined ? {} : { unschedulable: change.unschedulable }) },
        status: {
          conditions: [
            {
              type: 'Ready',
              status: change.ready ?? ready?.status ?? 'True',
              lastHeartbeatTime: change.beat ?? ready?.lastHeartbeatTime ?? '0',
            },
          ],
          nodeInfo: { kubeletVersion: change.version ?? before.status?.nodeInfo?.kubeletVersion ?? '' },
        },
      }
      replace('nodes', { name }, before, after, user, change.verb)
    },
    plan(name, spec = {}, { uid = `uid-${name}`, hash = HASH, version = TARGET, annotations = {}, generation = 1 } = {}) {
      const before = mirror.plans.get(`${NAMESPACE}/${name}`)
      const after: SeenPlan = {
        metadata: { name, namespace: NAMESPACE, uid, generation, annotations },
        spec: {
          concurrency: 1,
          version: 'v1.33.4+rke2r1',
          cordon: true,
          upgrade: { image: 'rancher/rke2-upgrade' },
          nodeSelector: {},
          ...spec,
        },
        status: { latestHash: hash, latestVersion: version, applying: before?.metadata.uid === uid ? (before.status?.applying ?? []) : [] },
      }
      replace('plans', after.metadata as { name: string; namespace: string }, before, after, 'person')
    },
    deletePlan(name) {
      const before = mirror.plans.get(`${NAMESPACE}/${name}`)
      replace('plans', { name, namespace: NAMESPACE }, before, undefined, 'person')
    },
    annotate(name, annotations) {
      const before = mirror.plans.get(`${NAMESPACE}/${name}`) as SeenPlan
      const after = { ...before, metadata: { ...before.metadata, annotations } }
      replace('plans', { name, namespace: NAMESPACE }, before, after, 'drover-1')
    },
    policy(name, spec) {
      const before = mirror.policies.now.get(name)
      replace(
        'rolloutpolicies',
        { name, namespace: NAMESPACE },
        before,
        { metadata: { name, namespace: NAMESPACE, uid: `uid-${name}` }, spec },
        'person',
      )
    },
    deletePolicy(name) {
      replace('rolloutpolicies', { name, namespace: NAMESPACE }, mirror.policies.now.get(name), undefined, 'person')
    },
    start() {
      see({ kind: 'outside', mono, what: 'start' })
    },
    claim(plan, hostnames, user = 'drover-1') {
      const before = mirror.plans.get(`${NAMESPACE}/${plan}`) as SeenPlan
      replace('plans', { name: plan, namespace: NAMESPACE }, before, { ...before, status: { ...before.status, applying: hostnames } }, user)
    },
    job(
      name,
      {
        plan,
        node,
        parallelism = 0,
        uid = `uid-${name}`,
        role,
        hash = HASH,
        version = TARGET,
        image = `rancher/rke2-upgrade:${version}`,
        end,
        user = 'drover-1',
        attempt,
      },
    ) {
      const before = mirror.jobs.get(`${NAMESPACE}/${name}`)
      const suc = {
        'upgrade.cattle.io/plan': plan,
        'upgrade.cattle.io/node': node,
        'upgrade.cattle.io/version': version,
        [`plan.upgrade.cattle.io/${plan}`]: hash,
      }
      const labels = role === 'prepare' ? { 'drover.io/role': role, 'drover.io/plan': plan, 'drover.io/node': node } : suc
      const after: SeenJob = {
        metadata: { name, namespace: NAMESPACE, uid, labels, annotations: attempt === undefined ? {} : { 'drover.io/attempt': attempt } },
        spec: { parallelism, template: { metadata: { labels }, spec: { containers: [{ image }] } } },
        status: { conditions: end === undefined ? [] : [{ type: end, status: 'True' }] },
      }
      replace('jobs', { name, namespace: NAMESPACE }, before, after, user)
    },
    pod(name, { node, labels = {}, phase = 'Running', job, imageID, image = 'app' }) {
      const before = mirror.pods.get(`${NAMESPACE}/${name}`)
      const after: SeenPod = {
        metadata: {
          name,
          namespace: NAMESPACE,
          uid: `uid-${name}`,
          labels,
          ownerReferences: job === undefined ? [] : [{ kind: 'Job', ...job }],
        },
        spec: { nodeName: node, containers: [{ image }] },
        status: { phase, ...(imageID === undefined ? {} : { containerStatuses: [{ imageID }] }) },
      }
      replace('pods', { name, namespace: NAMESPACE }, before, after, `system:node:${node}`)
    },
  }
}

/** A record of live work as it stands after the claim. */
export function working(plan: string, more: Partial<NonNullable<SeenRecord['work']>> = {}): SeenRecord {
  const key = `${NAMESPACE}/${plan}`
  return {
    nodeUID: '',
    cordon: { plan: key },
    work: {
      plan: key,
      planUID: `uid-${plan}`,
      hash: HASH,
      from: 'v1.33.3+rke2r1',
      target: 'v1.33.4+rke2r1',
      attempt: 1,
      claimedAt: 't',
      ...more,
    },
  }
}
