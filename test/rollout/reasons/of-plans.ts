/** Reasons that hold a whole Plan. */
import { aBlocked, aFailed, aJob, aNode, aPlan, aPolicy, aRecord, aServer, hashOf, type KnownPlan, NOW, remembering } from '../build.ts'
import { type Cases, ready } from './run.ts'

const PLAN = 'system-upgrade/p'
const a = aNode('a')
const HASH = hashOf(aPlan('p'))

/** What a pass is given of a Plan that cannot be decoded. */
const unreadable = {
  key: PLAN,
  namespace: 'system-upgrade',
  name: 'p',
  uid: 'uid-p',
  resourceVersion: '1',
  plan: undefined,
  error: 'spec.concurrency: must be a number',
  generation: 1,
  applying: [],
  conditions: [],
} as const

/** A Plan whose turn ends in an error of ours. */
function broken(): KnownPlan {
  const view = aPlan('p')
  const spec = {
    ...view.plan.spec,
    get prepare(): never {
      throw new Error('boom')
    },
  }
  return { ...view, plan: { ...view.plan, spec } }
}

const gate = {
  name: 'healthy',
  at: ['PlanStart'],
  object: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: 'x',
    name: 'y',
    expect: [{ path: '.data.ok', operator: 'eq', value: 'yes' }],
  },
}
const unmet = { kind: 'verdict', met: false, message: 'ConfigMap x/y: .data.ok is no, not yes' } as const
const STEP = 'https://update.rke2.io/v1-release/channels/v1.32'

export const OF_PLANS: Cases = {
  PlanUnreadable: { world: (now) => ({ ...ready(aPlan('q'), [a])(now), plans: [unreadable] }), says: /spec\.concurrency/ },
  PlanInvalid: {
    world: ready(aPlan('p', { drain: { podSelector: { matchExpressions: [{ key: 'a', operator: 'Odd' }] } } }), [a]),
    says: /podSelector|Odd/,
  },
  VersionUnresolved: {
    world: ready(aPlan('p', { version: undefined, channel: 'https://c.example/stable' } as never), [a]),
    says: /channel/,
  },
  MemoryUnreadable: {
    world: ready({ ...aPlan('p'), memory: { ok: false, error: 'not JSON' } }, [a]),
    says: /drover\.io\/rollout.*not JSON/,
  },
  Paused: { world: ready(aPlan('p', {}, { annotations: { 'drover.io/paused': 'freeze' } }), [a]), says: /drover\.io\/paused.*freeze/ },
  Aborted: { world: ready(aPlan('p', {}, { annotations: { 'drover.io/abort': HASH.slice(0, 8) } }), [a]), says: /drover\.io\/abort/ },
  NamespaceHeld: { world: ready(aPlan('p'), [a], { namespaceHold: 'outage' }), says: /namespace system-upgrade.*outage/ },
  PolicyUnreadable: { world: ready(aPlan('p'), [a], { policy: { paused: 'maybe' } }), says: /RolloutPolicy default.*paused/ },
  PolicyConflict: {
    world: (now) => ({
      ...ready(aPlan('p'), [a])(now),
      policies: [aPolicy({ planNames: ['p'] }, 'one'), aPolicy({ planNames: ['p'] }, 'two')],
    }),
    says: /one.*two/,
  },
  PolicyGone: { world: ready(remembering(aPlan('p')), [a]), says: /RolloutPolicy default/ },
  Stepping: {
    world: ready(
      {
        ...aPlan('p', { nodeSelector: { matchLabels: { role: 'server' } } }),
        memory: { ok: true, memory: { v: 1, adopt: [], step: { version: 'v1.31.9-rke2r1' } } },
      },
      ['s1', 's2', 's3'].map((name) => aServer(name, { kubeletVersion: 'v1.31.9+rke2r1', labels: { role: 'server' } })),
      {
        policy: { versionPath: { stepThroughMinors: true } },
        observed: { channels: new Map([[STEP, { at: NOW.mono, ok: false, error: '502 Bad Gateway' }]]) },
      },
    ),
    says: /step v1\.31\.9-rke2r1 on the way to v1\.33\.4-rke2r1.*502 Bad Gateway/,
  },
  Excluded: {
    world: ready(aPlan('p'), [a], {
      policy: { exclusions: [{ from: '2026-03-01T00:00:00Z', to: '2026-03-05T00:00:00Z', reason: 'fair' }] },
    }),
    says: /2026-03-05.*fair/,
  },
  OutsideWindow: {
    world: ready(aPlan('p'), [a], { policy: { windows: [{ start: '0 22 * * *', duration: '6h' }] } }),
    says: /2026-03-02T22:00/,
  },
  WindowTooShort: {
    world: ready(aPlan('p'), [a], {
      policy: {
        lead: '2h',
        windows: [
          { start: '0 11 * * *', duration: '90m' },
          { start: '0 22 * * *', duration: '6h' },
        ],
      },
    }),
    says: /2026-03-02T22:00/,
  },
  WaitingForPlan: { world: ready(aPlan('p'), [a], { policy: { after: ['servers'] } }), says: /Plan servers.*does not exist/ },
  ImageVersionMismatch: {
    world: ready(aPlan('p', { upgrade: { image: 'rancher/rke2-upgrade:v1.33.9-rke2r1' } }), [a]),
    says: /v1\.33\.9-rke2r1/,
  },
  ConcurrencyZero: { world: ready(aPlan('p', { concurrency: 0 }), [a]), says: /spec\.concurrency/ },
  PodRejected: {
    world: (now) =>
      ready(aPlan('p'), [a], {
        observed: { dryRuns: new Map([[`${PLAN}/${HASH}`, { at: now.mono, ok: false, error: 'violates PodSecurity', refused: true }]]) },
      })(now),
    says: /violates PodSecurity/,
  },
  DryRunPending: {
    world: (now) =>
      ready(aPlan('p'), [a], {
        observed: { dryRuns: new Map([[`${PLAN}/${HASH}`, { at: now.mono, ok: false, error: 'no answer in time' }]]) },
      })(now),
    says: /no answer in time/,
  },
  Refused: { world: ready(aPlan('p'), [a], { refusal: { message: 'nodes is forbidden', endedBy: 'person' } }), says: /nodes is forbidden/ },
  AnotherController: {
    world: ready(aPlan('p', { concurrency: 2 }), [a, aNode('b')], {
      jobs: [
        aJob('apply-p-on-b', 'b', {
          active: 1,
          labels: { 'upgrade.cattle.io/controller': 'other', 'upgrade.cattle.io/node': 'b', 'upgrade.cattle.io/plan': 'p' },
        }),
      ],
    }),
    says: /Job system-upgrade\/apply-p-on-b/,
  },
  InternalError: { world: ready(broken(), [a]), says: /boom/ },
  GatePending: { world: ready(aPlan('p'), [a], { policy: { gates: [gate] } }), gates: unmet, says: /gate healthy.*\.data\.ok is no/ },
  GateFailed: {
    world: ready(aPlan('p'), [a], { policy: { gates: [{ ...gate, timeout: '30s' }] } }),
    gates: unmet,
    says: /gate healthy.*not met within 30s/,
  },
  MaxFailuresExceeded: {
    world: ready(aPlan('p', {}, { status: { applying: ['f'] } }), [aFailed(aPlan('p'), 'f'), a], {
      policy: { failure: { maxFailures: 1 } },
    }),
    says: /1 node.* failed/,
  },
  TooManyBlockedNodes: {
    world: (now) => {
      const view = aPlan('p', { drain: {} })
      const entry = aBlocked(view, { how: 'Quarantine' })
      const quarantined = (name: string) =>
        aNode(name, {
          unschedulable: true,
          cordonOwner: 'drover',
          record: aRecord(name, { cordon: { at: '2026-03-02T11:00:00Z', plan: PLAN }, blocked: { [PLAN]: entry } }),
        })
      return ready(view, [quarantined('x'), quarantined('y'), a], { policy: { drain: { onTimeout: 'Quarantine', maxBlockedNodes: 1 } } })(
        now,
      )
    },
    says: /2 nodes could not be drained in time \(x, y\)/,
  },
}
