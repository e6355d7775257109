/** Reasons of a node that has been taken. */
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { attemptMark } from '../../../src/rollout/attempt.ts'
import { applyJobName } from '../../../src/rollout/job.ts'
import { prepareJobName } from '../../../src/rollout/prepare-job.ts'
import type { Work } from '../../../src/api/record.ts'
import type { Moment, NodeView, World } from '../../../src/rollout/world.ts'
import { aBudget, aJob, aNode, aPlan, aPod, aRecord, aServer, aWork, hashOf, type KnownPlan, NEW, NOW } from '../build.ts'
import { type Cases, ready } from './run.ts'

const PLAN = 'system-upgrade/p'
const CLAIMED = '2026-03-02T11:59:00Z'
const CORDON = { at: CLAIMED, plan: PLAN }
const status = { applying: ['a'] }
const plan = aPlan('p', {}, { status })
const draining = aPlan('p', { drain: { force: true } }, { status })
const preparing = aPlan('p', { prepare: { image: 'x' } }, { status })
const MARK = attemptMark({ planUID: plan.uid, attempt: 1, retry: '' })

/** Node `a`, taken and cordoned. */
const taken = (view: KnownPlan, work: Partial<Work> = {}, more: Partial<NodeView> = {}) =>
  aNode('a', { unschedulable: true, cordonOwner: 'drover', record: aRecord('a', { work: aWork(view, work), cordon: CORDON }), ...more })

/** Past the point of no return, with its Job. */
const started = (job: Parameters<typeof aJob>[2], more: Partial<NodeView> = {}, work: Partial<Work> = {}, view: KnownPlan = plan) =>
  ready(view, [taken(view, { startedAt: '2026-03-02T11:59:30Z', jobUID: 'uid-job', ...work }, more)], {
    jobs: [aJob(applyJobName('p', 'a', hashOf(view)), 'a', { uid: 'uid-job', attempt: MARK, deadlineSeconds: 3600, ...job })],
  })

const web = (metadata: Pod['metadata'] & object = {}) => aPod('web', 'a', { metadata })

/** Node `a` is being drained, and this is on it. */
function onNode(pods: readonly object[], budgets: readonly object[] = [], policy?: object): (now: Moment) => World {
  const view = { pods, budgets, daemonSets: new Set() }
  return (now) =>
    ready(draining, [taken(draining)], {
      ...(policy === undefined ? {} : { policy }),
      since: new Map([[`cordoned uid-a ${CLAIMED} 1`, { wall: NOW.wall - 60_000, mono: NOW.mono - 60_000 }]]),
      observed: { drains: new Map([['a', { at: now.mono, ok: true, value: view as never }]]) },
    })(now)
}

const hooks = (more: object = {}) => ({ hooks: { before: [{ name: 'cmdb', ackAnnotation: 'example.com/ack', ...more }] } })

export const OF_TAKEN_NODES: Cases = {
  Preparing: {
    node: 'a',
    world: ready(preparing, [aNode('a', { record: aRecord('a', { work: aWork(preparing) }) })], {
      jobs: [aJob(prepareJobName('p', 'a', hashOf(preparing)), 'a', { attempt: MARK, active: 1 })],
    }),
    says: /prepare Job .* runs/,
  },
  DrainImpossible: {
    node: 'a',
    world: (now) => {
      const careful = aPlan('p', { drain: {} }, { status })
      const view = { pods: [web({ ownerReferences: [] })], budgets: [], daemonSets: new Set() }
      return ready(careful, [taken(careful)], {
        since: new Map([[`cordoned uid-a ${CLAIMED} 1`, { wall: NOW.wall - 60_000, mono: NOW.mono - 60_000 }]]),
        observed: { drains: new Map([['a', { at: now.mono, ok: true, value: view as never }]]) },
      })(now)
    },
    says: /default\/web/,
  },
  HookPending: {
    node: 'a',
    world: ready(plan, [aNode('a', { record: aRecord('a', { work: aWork(plan) }) })], { policy: hooks() }),
    says: /hook cmdb.*example\.com\/ack/,
  },
  HookOverdue: {
    node: 'a',
    world: ready(plan, [aNode('a', { record: aRecord('a', { work: aWork(plan) }) })], { policy: hooks({ timeout: '30s' }) }),
    says: /hook cmdb.*within 30s/,
  },
  Draining: { node: 'a', world: onNode([web({ deletionTimestamp: '2026-03-02T11:59:50Z' })]), says: /1 pod left on node a: default\/web/ },
  WaitingForCompletion: {
    node: 'a',
    world: onNode([web()], [], { drain: { rules: [{ podSelector: { matchLabels: { app: 'web' } }, behavior: 'WaitCompleted' }] } }),
    says: /default\/web/,
  },
  DrainBlocked: { node: 'a', world: onNode([web()], [aBudget('web')]), says: /default\/web.*PodDisruptionBudget default\/web/ },
  VolumesAttached: {
    node: 'a',
    world: (now) =>
      ready(draining, [taken(draining, { drainedAt: '2026-03-02T11:59:50Z' })], {
        policy: { drain: { volumeDetachTimeout: '30m' } },
        observed: {
          drains: new Map([['a', { at: now.mono, ok: true, value: { pods: [], budgets: [], daemonSets: new Set() } }]]),
          attachments: new Map([['a', { at: now.mono, ok: true, value: ['pvc-1'] }]]),
        },
      })(now),
    says: /pvc-1.*2026-03-02T12:29:50Z/,
  },
  JobNameConflict: {
    node: 'a',
    world: ready(plan, [taken(plan)], { jobs: [aJob(applyJobName('p', 'a', hashOf(plan)), 'a.example', { attempt: MARK })] }),
    says: /belongs to node a\.example/,
  },
  WaitingForPods: {
    node: 'a',
    world: ready(plan, [taken(plan)], { jobs: [aJob(applyJobName('p', 'a', hashOf(plan)), 'a', { attempt: 'uid-p/7/', active: 1 })] }),
    says: /earlier attempt still has pods/,
  },
  RestoredState: {
    node: 'a',
    world: ready(plan, [taken(plan, { claimedAt: '2026-02-27T12:00:00Z' })]),
    says: /2026-02-27T12:00:00Z.*drover\.io\/retry/,
  },
  HeartbeatMissing: {
    node: 'a',
    world: ready(plan, [
      aServer('a', { unschedulable: true, cordonOwner: 'drover', record: aRecord('a', { work: aWork(plan), cordon: CORDON }) }),
      ...['b', 'c'].map((name) => aServer(name, { kubeletVersion: NEW, labels: { 'plan.upgrade.cattle.io/p': hashOf(plan) } })),
    ]),
    says: /etcd members b, c/,
  },
  Upgrading: { node: 'a', world: started({ active: 1 }), says: /apply Job .* runs/ },
  Verifying: { node: 'a', world: started({ complete: true }, { kubeletVersion: NEW, ready: 'False' }), says: /not Ready/ },
  Soaking: {
    node: 'a',
    world: started(
      { complete: true },
      { kubeletVersion: NEW, unschedulable: false },
      { provenAt: '2026-03-02T11:59:50Z', delaySeconds: 3600 },
      aPlan('p', { postCompleteDelay: '1h' }, { status }),
    ),
    says: /2026-03-02T12:59:50Z/,
  },
}
