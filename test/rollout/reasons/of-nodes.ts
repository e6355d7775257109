/** Reasons that hold a node which is to be taken. */
import { pullPodName } from '../../../src/rollout/pull-pod.ts'
import type { NodeView } from '../../../src/rollout/world.ts'
import {
  aBlocked,
  aBudget,
  aFailed,
  aNode,
  aPlan,
  aPod,
  aPulled,
  aRecord,
  aServer,
  aWork,
  hashOf,
  type KnownPlan,
  NEW,
  NOW,
  remembering,
} from '../build.ts'
import { type Cases, ready } from './run.ts'

const PLAN = 'system-upgrade/p'
const CORDON = { at: '2026-03-02T11:00:00Z', plan: PLAN }
const plan = aPlan('p')
const HASH = hashOf(plan)
const DONE = { 'plan.upgrade.cattle.io/p': HASH }
const one = (more: Partial<NodeView>, view: KnownPlan = plan) => ready(view, [aNode('a', more)])

const failed = aFailed(plan, 'a')
const slot = aPlan('p', {}, { status: { applying: ['a'] } })

const waves = [{ name: 'canary', size: 1, soak: '30m', approval: 'Manual' }]
const inWaves = (doneAt?: string) =>
  remembering(plan, { waves: { hash: HASH, of: [{ name: 'canary', members: ['c'], ...(doneAt === undefined ? {} : { doneAt }) }] } })

const drained = aPlan('p', { drain: { force: true } })
const blocked = (how: 'Release' | 'Quarantine') => ({ [PLAN]: aBlocked(drained, { how }) })

const pulling = (more: Parameters<typeof aPulled>[2]) => (now: typeof NOW) => ({
  ...ready(plan, [aNode('a')])(now),
  pods: [aPulled(pullPodName('p', 'a', HASH), 'a', { pulled: false, phase: 'Pending', ...more })],
})

export const OF_NODES: Cases = {
  NodeHeld: { node: 'a', world: one({ hold: 'bad disk' }), says: /drover\.io\/hold.*bad disk/ },
  NodeDeleting: { node: 'a', world: one({ deleting: true }), says: /node a is being deleted/ },
  RecordUnreadable: { node: 'a', world: one({ record: { ok: false, error: 'not JSON' } }), says: /drover\.io\/node-upgrade.*not JSON/ },
  HostnameMissing: { node: 'a', world: one({ hostname: undefined }), says: /kubernetes\.io\/hostname/ },
  HostnameDuplicate: { node: 'a', world: ready(plan, [aNode('a', { hostname: 'x' }), aNode('b', { hostname: 'x' })]), says: /nodes a, b/ },
  NodeBusy: {
    node: 'a',
    world: () => {
      const other = aPlan('q', { nodeSelector: { matchLabels: { none: 'none' } } }, { status: { applying: ['a'] } })
      const node = aNode('a', { unschedulable: true, cordonOwner: 'drover', record: aRecord('a', { work: aWork(other) }) })
      return ready(plan, [node], { plans: [other] })(NOW)
    },
    says: /Plan system-upgrade\/q works on node a/,
  },
  NodeNotReady: { node: 'a', world: one({ ready: 'False' }), says: /node a is not Ready/ },
  CordonedByOthers: {
    node: 'a',
    world: ready(plan, [aServer('a', { unschedulable: true, cordonOwner: 'kubectl' })]),
    says: /kubectl/,
  },
  UntoleratedTaint: { node: 'a', world: one({ taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] }), says: /gpu=yes:NoSchedule/ },
  Downgrade: { node: 'a', world: one({ kubeletVersion: 'v1.33.9+rke2r1' }), says: /v1\.33\.9\+rke2r1/ },
  SkippedMinor: { node: 'a', world: ready(plan, [aServer('a', { kubeletVersion: 'v1.31.9+rke2r1' })]), says: /v1\.31\.9/ },
  EtcdTooOld: {
    node: 'a',
    world: ready(aPlan('p', { version: 'v1.34.2+rke2r1' }), [aServer('a', { kubeletVersion: 'v1.33.4+rke2r1' })]),
    says: /etcd 3\.6/,
  },
  UnsupportedDistribution: { node: 'a', world: one({ caretaker: 'RKE1' }), says: /RKE1/ },
  ManagedElsewhere: { node: 'a', world: one({ caretaker: 'Rancher' }), says: /Rancher/ },
  AheadOfServers: {
    node: 'a',
    world: ready(aPlan('p', { nodeSelector: { matchLabels: { role: 'agent' } } }), [
      aServer('s'),
      aNode('a', { labels: { role: 'agent' } }),
    ]),
    says: /server s/,
  },
  VersionUnknown: { node: 'a', world: one({ kubeletVersion: 'v1.33.4+k3s1' }), says: /v1\.33\.4\+k3s1/ },
  NoRecentEtcdSnapshot: {
    node: 'a',
    world: (now) =>
      ready(plan, [aServer('a')], {
        policy: { etcdSnapshot: { policy: 'Require', maxAge: '24h' } },
        observed: { snapshots: new Map([['etcd', { at: now.mono, ok: true, value: [] }]]) },
      })(now),
    says: /no etcd snapshot is younger than/,
  },
  ControlPlaneBusy: {
    node: 'a',
    world: () => {
      const other = aPlan('q', { nodeSelector: { matchLabels: { none: 'none' } } }, { status: { applying: ['s'] } })
      const busy = aServer('s', { unschedulable: true, cordonOwner: 'drover', record: aRecord('s', { work: aWork(other) }) })
      return ready(aPlan('p', { nodeSelector: { matchLabels: { pick: 'me' } } }), [busy, aServer('a', { labels: { pick: 'me' } })], {
        plans: [other],
      })(NOW)
    },
    says: /server s is in flight for Plan system-upgrade\/q/,
  },
  EtcdQuorum: {
    node: 'a',
    world: ready(plan, [aServer('a'), aServer('b', { ready: 'False' }), aServer('c', { labels: DONE, kubeletVersion: NEW })]),
    says: /not healthy: b/,
  },
  BudgetReached: {
    node: 'a',
    world: ready(plan, [aNode('a'), aNode('x', { ready: 'False' })], { policy: { budget: { maxUnavailable: 1 } } }),
    says: /1 node.*unavailable/,
  },
  ConcurrencyReached: {
    node: 'a',
    world: () => {
      const view = aPlan('p', {}, { status: { applying: ['x'] } })
      const busy = aNode('x', { unschedulable: true, cordonOwner: 'drover', record: aRecord('x', { work: aWork(view), cordon: CORDON }) })
      return ready(view, [busy, aNode('a')])(NOW)
    },
    says: /all 1 slots are taken/,
  },
  WavePending: {
    node: 'a',
    world: ready(inWaves(), [aNode('c', { ready: 'False' }), aNode('a')], { policy: { waves } }),
    says: /wave canary.*next c/,
  },
  WaveSoaking: {
    node: 'a',
    world: ready(inWaves('2026-03-02T11:45:00Z'), [aNode('c', { labels: DONE, kubeletVersion: NEW }), aNode('a')], { policy: { waves } }),
    says: /2026-03-02T12:15:00Z/,
  },
  AwaitingApproval: {
    node: 'a',
    world: ready(inWaves('2026-03-02T11:00:00Z'), [aNode('c', { labels: DONE, kubeletVersion: NEW }), aNode('a')], { policy: { waves } }),
    says: /drover\.io\/approve/,
  },
  DrainForecastBlocked: {
    node: 'a',
    world: (now) =>
      ready(drained, [aNode('a')], {
        policy: { drain: { forecast: 'Enforce' } },
        observed: {
          drains: new Map([
            ['a', { at: now.mono, ok: true, value: { pods: [aPod('web', 'a')], budgets: [aBudget('web')], daemonSets: new Set() } }],
          ]),
        },
      })(now),
    says: /default\/web/,
  },
  DrainPutOff: {
    node: 'a',
    world: ready(drained, [aNode('a', { record: aRecord('a', { blocked: blocked('Release') }) })], {
      policy: { drain: { onTimeout: 'Release' } },
    }),
    says: /left: default\/web; the next begins at/,
  },
  Quarantined: {
    node: 'a',
    world: ready(
      drained,
      [
        aNode('a', {
          unschedulable: true,
          cordonOwner: 'drover',
          record: aRecord('a', { blocked: blocked('Quarantine'), cordon: CORDON }),
        }),
      ],
      { policy: { drain: { onTimeout: 'Quarantine' } } },
    ),
    says: /left: default\/web.*drover\.io\/retry/,
  },
  KuredLocked: {
    node: 'a',
    world: (now) => {
      const lock = { nodeID: 'x', metadata: { unschedulable: false }, created: '2026-03-02T11:59:00Z', TTL: 0 }
      const kured = { uid: 'uid-kured', resourceVersion: '7', lock: JSON.stringify(lock), owners: 1 }
      const seen = new Map([['lock', { at: now.mono, ok: true, value: kured }] as const])
      return ready(plan, [aNode('a')], { policy: { coordinate: { kured: true } }, observed: { kured: seen } })(now)
    },
    says: /kured holds its lock for node x/,
  },
  BackingOff: {
    node: 'a',
    world: ready(slot, [failed], { policy: { failure: { retries: 3, backoff: { base: '1h' } } } }),
    says: /exit 1.*next begins at/,
  },
  PreviousFailure: { node: 'a', world: ready(slot, [failed]), says: /exit 1.*drover\.io\/retry/ },
  Pulling: { node: 'a', world: pulling({}), says: /upgrade image is being pulled on node a/ },
  ImageUnavailable: {
    node: 'a',
    world: pulling({ waiting: { reason: 'ImagePullBackOff', message: 'not found' } }),
    says: /rancher\/rke2-upgrade.*ImagePullBackOff: not found/,
  },
  ClaimWithdrawn: {
    node: 'a',
    world: ready(plan, [aNode('a', { ready: 'False' })], {
      observed: {
        setbacks: new Map([
          [
            `claim ${PLAN} a`,
            {
              plan: PLAN,
              node: 'a',
              hold: {
                reason: 'ClaimWithdrawn',
                message: 'the claim was withdrawn: too many',
                endedBy: 'time',
                retryAt: NOW.wall + 600_000,
              },
            },
          ],
        ]),
      },
    }),
    says: /the claim was withdrawn/,
  },
}
