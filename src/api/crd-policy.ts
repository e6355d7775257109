/**
 * The RolloutPolicy's CustomResourceDefinition. What the schema cannot say (zones, cron expressions) the controller checks when it reads
 * a policy, and says so in the policy's status and at the Plans that it governs.
 */
import { labelSelector } from './crd-container.ts'
import { notify } from './crd-notify.ts'
import { gates, hooks } from './crd-gates.ts'
import { atomicList, DURATION, duration, flag, group, intOrText, integer, list, NAME, object, type Schema, text } from './crd-parts.ts'

const share = (description: string): Schema => intOrText(description, { pattern: '^[0-9]{1,9}%?$' })
const choice = (description: string, ...values: readonly string[]): Schema => text(description, { enum: values })

const budget = group('How many nodes may be unavailable at once.', {
  maxUnavailable: share(
    'Of the nodes of all Plans under this policy: a number, or a percentage, rounded down and at least 1. 0: only nodes that are unavailable anyway are taken. Missing: no limit but concurrency.',
  ),
  spread: list(
    'Limits within each value of a node label, such as a zone.',
    object(
      '',
      {
        topologyKey: text('The node label. Nodes without it are a domain of their own.'),
        maxUnavailable: share('As above, within each domain.'),
        domains: choice('Sequential: only one domain at a time has nodes in flight. Any by default.', 'Any', 'Sequential'),
      },
      { required: ['topologyKey'] },
    ),
  ),
  alreadyUnavailable: choice(
    'Nodes that others have cordoned: Skip holds them, Last takes them after all others, Include in their turn; they stay cordoned. By default servers are skipped and others go last. A node that is not Ready always waits.',
    'Skip',
    'Last',
    'Include',
  ),
})

const window = object(
  '',
  {
    start: text('When it opens: a cron expression of five fields, such as 0 22 * * SAT.'),
    duration: duration('How long it stays open, e.g. 6h. At most 168h.'),
    timeZone: text('IANA name of the time zone; UTC by default.'),
  },
  { required: ['start', 'duration'] },
)

const exclusion = object(
  '',
  {
    from: text('Begin, e.g. 2026-12-18T00:00:00Z.'),
    to: text('End.'),
    reason: text('Shown to whoever waits.'),
  },
  {
    required: ['from', 'to'],
    'x-kubernetes-validations': [{ rule: 'timestamp(self.from) < timestamp(self.to)', message: 'from must be before to' }],
  },
)

const verify = group('What a node must show after its upgrade.', {
  version: choice(
    "Whether the kubelet's version proves the upgrade. Auto: for versions of RKE2 and K3s with a known upgrade image. Kubelet: whatever the image. Off: the Job's success counts.",
    'Auto',
    'Kubelet',
    'Off',
  ),
  reboot: choice(
    'Auto (the default): a machine that boots anew must be Ready for minReadySeconds from then on. Required: it must have booted anew. Off: boots are not looked at.',
    'Auto',
    'Required',
    'Off',
  ),
  minReadySeconds: integer("How long the node must stay Ready, in seconds. Default: the controller's setting, 10.", 'int32', {
    minimum: 0,
    maximum: 86_400,
  }),
  timeout: duration("How long a node may stay unproven after its Job's end or its last heartbeat. Default: the controller's setting, 15m."),
})

const wave = object(
  '',
  {
    name: text('Name of the wave, by which it is approved.', { pattern: NAME }),
    size: share(
      "The first so many nodes of the Plan's order, of those that the selector matches: a number, or a share of all nodes of the Plan. Missing: all.",
    ),
    nodeSelector: labelSelector('Nodes of the wave. Missing: all.'),
    maxUnavailable: share('As budget.maxUnavailable, within the wave.'),
    soak: duration('How long the wave is watched after its last node is done, e.g. 30m. None by default.'),
    approval: choice('Manual: somebody must approve the wave before the next begins. None by default.', 'Manual', 'None'),
  },
  {
    required: ['name'],
    'x-kubernetes-validations': [{ rule: 'has(self.size) || has(self.nodeSelector)', message: 'a wave needs a size or a nodeSelector' }],
  },
)

const failure = group('What follows from failures.', {
  retries: integer("Further attempts on a failed node without a person's word. 0 by default.", 'int32', { minimum: 0, maximum: 100 }),
  backoff: group(
    'How long a failed node waits for its next attempt: base, doubled for each attempt, up to cap.',
    { base: duration('5m by default.'), cap: duration('24h by default.') },
    {
      'x-kubernetes-validations': [
        {
          rule: '!has(self.base) || !has(self.cap) || duration(self.base) <= duration(self.cap)',
          message: 'base must not be longer than cap',
        },
      ],
    },
  ),
  maxFailures: share('From so many failed nodes of a hash on no further node is taken; at least 1. 1 by default.'),
  uncordonOnFailure: choice(
    'Whether a failed node is uncordoned: IfUnchanged only when no pod of the attempt ever started (the default).',
    'IfUnchanged',
    'Never',
    'Always',
  ),
})

const drainRule = object(
  '',
  {
    podSelector: labelSelector('The pods that it is about. Empty: all.'),
    behavior: choice(
      'Evict (the default). Skip: the pod is left alone. WaitCompleted: it may come to its own end first.',
      'Evict',
      'Skip',
      'WaitCompleted',
    ),
    order: integer('Pods of lower order go first; the next begin when they are gone. 0 by default.', 'int32', {
      minimum: -1000,
      maximum: 1000,
    }),
    timeout: duration('For WaitCompleted: from the cordon on; afterwards the pod is evicted. Missing or 0: as long as the drain may take.'),
  },
  {
    required: ['podSelector'],
    'x-kubernetes-validations': [
      {
        rule: "!has(self.timeout) || (has(self.behavior) && self.behavior == 'WaitCompleted')",
        message: 'timeout is for behavior WaitCompleted only',
      },
    ],
  },
)

const drain = group(
  'How nodes are drained, for Plans with drain.',
  {
    engine: choice(
      'Controller (the default): Drover drains. Job: kubectl does, in an init container of the upgrade Job, as with SUC.',
      'Controller',
      'Job',
    ),
    forecast: choice(
      'What is looked at before the cordon. Enforce: a pod that could not be evicted now (a PodDisruptionBudget without room, several budgets on one pod, or a dry run of the eviction that is refused) keeps the node from being taken. Warn (the default): budgets are looked at, and what they forbid is told. Off: nothing is told.',
      'Enforce',
      'Warn',
      'Off',
    ),
    timeout: duration(
      "How long a drain may take, from the cordon on, e.g. 30m. Default: the Plan's drain.timeout. 0: as long as it needs.",
    ),
    onTimeout: choice(
      'What becomes of a node whose drain did not end in time. Fail (the default): it counts as failed. Release: it is uncordoned, gives its slot back and is tried again later, after the others. Quarantine: it gives its slot back and stays cordoned until somebody sets drover.io/retry. Proceed: it is upgraded all the same, if only pods are left whose eviction was refused.',
      'Fail',
      'Release',
      'Quarantine',
      'Proceed',
    ),
    maxBlockedNodes: share(
      'With more nodes released or quarantined no other node is taken: a number, or a share of the nodes of the Plan. 1 by default.',
    ),
    volumeDetachTimeout: duration(
      'So long a drained node is watched until no VolumeAttachment names it any more; then the upgrade goes on. 0 by default: not at all.',
    ),
    rules: list('What the drain does with pods of a kind. The first rule that selects a pod counts.', drainRule),
  },
  {
    'x-kubernetes-validations': [
      {
        rule: "!has(self.engine) || self.engine != 'Job' || !has(self.timeout) && (!has(self.rules) || size(self.rules) == 0)",
        message: 'engine Job drains by kubectl, which knows no timeout and no rules of a policy',
      },
    ],
  },
)

const spec = object('How carefully Plans are rolled out. What is missing has the default of the controller.', {
  planNames: atomicList(
    'Plans by name. A policy that names a Plan goes before one that selects it, and that before the one called default.',
    text(),
  ),
  planSelector: labelSelector('Plans by label. Missing: none. Empty: all.'),
  paused: flag('No further node is taken; nodes under way are finished.'),
  budget,
  after: atomicList('Names of Plans that must be complete for the same version first.', text()),
  windows: list("When nodes may be taken. Empty: always. A Plan's own window holds as well.", window),
  exclusions: list('When no node is taken, whatever the windows say.', exclusion),
  lead: text(
    'So much of the open time must be left for a node to be taken. Auto (the default): as long as the slowest node of the Plan took. 0: none.',
    { pattern: `^Auto$|${DURATION}` },
  ),
  versionPath: group('The way from one version to another.', {
    stepThroughMinors: flag(
      'Go to a version that is more than one minor off minor by minor, each time to the newest release of the channel vX.Y, servers then agents. false by default.',
    ),
    allow: atomicList('Exact steps that the rules of direction would refuse, such as v1.33.4+rke2r1>v1.32.9+rke2r1.', text()),
  }),
  verify,
  soak: duration("How long a proven node is watched before it counts as done. Default: the Plan's postCompleteDelay."),
  waves: list('Groups of nodes that go one after the other; nodes of none come last. Settled once for a hash.', wave, {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  }),
  failure,
  drain,
  etcdSnapshot: group('Whether a recent etcd snapshot must exist before a server is taken.', {
    maxAge: duration('How old it may be. 24h by default.'),
    policy: choice('Warn: an event says that there is none. Require: no server is taken. Off by default.', 'Off', 'Warn', 'Require'),
  }),
  coordinate: group('With whom nodes are not disrupted at the same time.', {
    kured: flag("kured's lock on DaemonSet kube-system/kured is honoured, and held while nodes are in flight. False by default."),
  }),
  managedElsewhere: choice(
    'Clusters that Rancher or Cluster API provisioned and upgrade themselves: Hold (the default) or Ignore.',
    'Hold',
    'Ignore',
  ),
  notify,
  gates,
  hooks,
})

const status = object('What the controller makes of it.', {
  observedGeneration: integer('Generation of the spec that this status speaks of. -1: not looked at yet.', 'int64'),
  plans: list('The Plans that this policy governs.', text()),
  conditions: list(
    'What holds of the policy now.',
    object(
      '',
      {
        type: text('Ready: it can be read and stands in nobody’s way.'),
        status: text('True or False.'),
        reason: text('One word for machines.'),
        message: text('A sentence for people.'),
        lastTransitionTime: text('When its status last changed.'),
      },
      { required: ['status', 'type'] },
    ),
    { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] },
  ),
})

/** As applied by the controller at start. Plain JSON. */
export const policyCRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'rolloutpolicies.drover.io' },
  spec: {
    group: 'drover.io',
    names: { kind: 'RolloutPolicy', listKind: 'RolloutPolicyList', plural: 'rolloutpolicies', singular: 'rolloutpolicy' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          { name: 'Plans', type: 'string', jsonPath: '.status.plans' },
          { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
          { name: 'Message', type: 'string', jsonPath: ".status.conditions[?(@.message!='')].message" },
        ],
        schema: {
          openAPIV3Schema: object('How carefully Plans are rolled out.', {
            apiVersion: text('Version of this schema.'),
            kind: text('RolloutPolicy.'),
            metadata: { type: 'object' },
            spec,
            status: { ...status, default: { observedGeneration: -1 } },
          }),
        },
      },
    ],
  },
} as const
