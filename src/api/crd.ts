/**
 * The Plan's CustomResourceDefinition: SUC's API as of v0.20, field by field, plus status fields for readers.
 * It accepts and prunes what SUC's does. `crds/upgrade.cattle.io_plans.yaml` is written from it by `node tools/write-crds.js`.
 */
import { container, labelSelector } from './crd-container.ts'
import { atomicObject, flag, intOrText, integer, list, object, type Schema, text, textMap } from './crd-parts.ts'

const DAYS = (
  '0 su sun sunday 1 mo mon monday 2 tu tue tuesday 3 we wed wednesday ' + '4 th thu thursday 5 fr fri friday 6 sa sat saturday'
).split(' ')

const drain = object(
  'How the node is drained before the upgrade. Missing: it is not drained. The fields mean what they mean to kubectl drain.',
  {
    timeout: intOrText(
      'How long draining may take: nanoseconds as an integer, or a duration such as 15m. 0 or missing: as long as it takes.',
    ),
    gracePeriod: integer("Seconds that pods get to stop; negative or missing: each pod's own.", 'int32'),
    deleteEmptydirData: flag('Whether pods with emptyDir volumes go too; true by default. Not together with deleteLocalData.'),
    deleteLocalData: flag('Older name of deleteEmptydirData.'),
    ignoreDaemonSets: flag('Whether pods of DaemonSets may stay; true by default.'),
    force: flag('Whether pods that no controller would bring back go too.'),
    disableEviction: flag('Delete pods instead of evicting them, past every PodDisruptionBudget.'),
    skipWaitForDeleteTimeout: integer('Pods that have been stopping for more than so many seconds are not waited for.'),
    podSelector: labelSelector('Only pods with these labels are drained. Missing: all.'),
  },
)

const window = object('When work on a node may begin. What has begun goes on past the end.', {
  days: list('Days of the week on which the window opens.', text('', { enum: DAYS }), { minItems: 1 }),
  startTime: text('Start, e.g. 19:00 or 07:00pm.'),
  endTime: text('End. Before the start: on the following day.'),
  timeZone: text('IANA name of the time zone; UTC by default.'),
})

const secret = object(
  '',
  {
    name: text("Name of the Secret, in the Plan's namespace."),
    path: text('Where it is mounted; empty or relative: below /run/system-upgrade/secrets.'),
    ignoreUpdates: flag('Whether a change of the Secret leaves finished nodes alone, and its absence is no error.'),
    defaultMode: integer('Mode bits of the files.', 'int32'),
  },
  { required: ['name', 'path'] },
)

const toleration = object('', {
  key: text('Key of the taint; empty with Exists: every taint.'),
  operator: text('Equal (the default) or Exists.'),
  value: text('Value of the taint, for Equal.'),
  effect: text('NoSchedule, PreferNoSchedule or NoExecute; empty: each.'),
  tolerationSeconds: integer('How long a NoExecute taint is tolerated; missing: for ever.', 'int64'),
})

const spec = object(
  'What is to run on which nodes.',
  {
    concurrency: integer('How many nodes are worked on at once. Missing or 0: none.', 'int64'),
    jobActiveDeadlineSecs: integer(
      "Seconds that a node's Job may take. 0: no limit. Missing or negative: the controller's setting.",
      'int64',
    ),
    nodeSelector: labelSelector('Nodes that the Plan is for. Missing: none. Empty: all.'),
    serviceAccountName: text("ServiceAccount of the pods; missing: the namespace's default."),
    channel: text('URL of a release channel. It answers with a redirect whose last path element is the version.'),
    version: text('The version. Given one, the channel is not asked.'),
    secrets: list('Secrets mounted into the containers. A change of one runs the Plan again.', secret),
    tolerations: list('Taints that the pods tolerate, beside that of cordoned nodes.', toleration),
    exclusive: flag('Whether no other exclusive Plan may work on the same node meanwhile.'),
    window,
    prepare: container('Runs on the node first, before it is cordoned or drained.'),
    upgrade: container('Does the work.'),
    cordon: flag('Whether the node is cordoned while it is worked on. Implied by drain.'),
    drain,
    imagePullSecrets: list('Secrets for pulling the images.', atomicObject('', { name: text('Name of the Secret.', { default: '' }) })),
    postCompleteDelay: text('Pause after a node is finished before its slot goes to the next, e.g. 90s.'),
    priorityClassName: text('PriorityClass of the pods.'),
    postCompleteLabels: textMap('Labels that a finished node gets. $(LATEST_HASH) and $(LATEST_VERSION) stand for those of the status.'),
  },
  { required: ['upgrade'] },
)

const condition = object(
  '',
  {
    type: text('Validated, LatestResolved and Complete; Ready, Reconciling and Stalled for tools that understand kstatus.'),
    status: text('True, False or Unknown.'),
    reason: text('One word for machines.'),
    message: text('A sentence for people.'),
    lastUpdateTime: text('When the condition was last written.'),
    lastTransitionTime: text('When its status last changed.'),
  },
  { required: ['status', 'type'] },
)

const sucStatus: Readonly<Record<string, Schema>> = {
  conditions: list('What holds of the Plan now.', condition, {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
  latestVersion: text('The version in force, with - for +.'),
  latestHash: text('Hash of all that makes a node due again. Finished nodes carry it as a label.'),
  applying: list('Hostnames of the nodes that hold a slot.', text()),
}

/** Added by Drover. Readers may rely on them; nothing decides by them. */
const addedStatus: Readonly<Record<string, Schema>> = {
  observedGeneration: integer('Generation of the spec that this status speaks of. -1: not looked at yet.', 'int64'),
  nodeCounts: object(
    'How far the rollout is.',
    {
      selected: integer('Nodes that the Plan is for.'),
      done: integer('Finished at the latest hash.'),
      inFlight: integer('Being worked on.'),
      failed: integer('Failed at the latest hash.'),
      held: integer('Waiting for something.'),
    },
    { required: ['selected', 'done', 'inFlight', 'failed', 'held'] },
  ),
  nodeStatuses: list(
    'The nodes that matter most now: in flight, failed, then the next to come. At most 20.',
    object(
      '',
      {
        name: text('Name of the node.'),
        phase: text('Pending, Preflight, Draining, Upgrading, Verifying, Soaking, Done or Failed.'),
        since: text('Since when it waits for that.'),
        reason: text('What the node waits for, in one word; the runbook lists them.'),
        message: text('What the node waits for, or why it failed.'),
        endedBy: text('Who can end it: time, cluster or person.'),
      },
      { required: ['name', 'phase'] },
    ),
    { 'x-kubernetes-list-type': 'atomic' },
  ),
  leadingHold: object(
    'What the rollout waits for first. Missing while it waits for nothing.',
    {
      reason: text('In one word; the runbook lists them.'),
      message: text('What it waits for.'),
      since: text('Since when.'),
      node: text('The node that waits. Missing: the whole Plan.'),
      endedBy: text('Who can end it: time, cluster or person.'),
      blockedBy: text('What stands in the way, as kind/namespace/name.'),
      retryAt: text('When it ends, where time ends it.'),
    },
    { required: ['reason', 'message', 'since', 'endedBy'] },
  ),
}

const column = (name: string, jsonPath: string, type: 'string' | 'integer' = 'string') => ({ name, type, jsonPath })

/** As applied by the controller at start. Plain JSON. */
export const planCRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'plans.upgrade.cattle.io' },
  spec: {
    group: 'upgrade.cattle.io',
    names: { kind: 'Plan', listKind: 'PlanList', plural: 'plans', singular: 'plan' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          column('Image', '.spec.upgrade.image'),
          column('Channel', '.spec.channel'),
          column('Version', '.spec.version'),
          column('Complete', ".status.conditions[?(@.type=='Complete')].status"),
          column('Done', '.status.nodeCounts.done', 'integer'),
          column('Selected', '.status.nodeCounts.selected', 'integer'),
          column('Message', ".status.conditions[?(@.message!='')].message"),
          { ...column('Applying', '.status.applying'), priority: 10 },
        ],
        schema: {
          openAPIV3Schema: object('A set of nodes, and what is to run on each of them once.', {
            apiVersion: text('Version of this schema.'),
            kind: text('Plan.'),
            metadata: { type: 'object' },
            spec,
            // The default makes a Plan that nobody has looked at yet read as being in progress, for tools that understand kstatus.
            status: object('How far it is.', { ...sucStatus, ...addedStatus }, { default: { observedGeneration: -1 } }),
          }),
        },
      },
    ],
  },
} as const
