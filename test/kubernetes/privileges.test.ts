/**
 * Least privilege: with what `manifests/` grants the controller is refused nothing and uses all of it; without any one of its rules a rollout
 * is refused exactly that, and says so.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import type { Json } from '../../src/base/json.ts'
import type { Fields, Log } from '../../src/base/log.ts'
import type { Outside, Process } from '../../src/base/process.ts'
import { neededPermissions } from '../../src/controller/permissions.ts'
import { covers } from '../../src/controller/install.ts'
import { runController } from '../../src/controller/run.ts'
import { missingPermissions } from '../../src/controller/self-check.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { createClient } from '../../src/kube/client/client.ts'
import { followAudit, type Asked } from './asked.ts'
import { type Cluster, NAMESPACE, NEW, OLD, type Plan, startCluster } from './cluster.ts'
import { snapshotDefinition } from '../../src/simulation/etcd-snapshot-kind.ts'
import { etcdSnapshot } from '../etcd-snapshots.ts'
import { lacking } from './needs.ts'
import { controllerRules, grantsFor, lineOf, type Rule } from './rules.ts'
import { IMAGE } from './workloads.ts'
import { nowhere } from '../../src/base/nowhere.ts'

const LEASE = 'system-upgrade-controller'
const LIMIT_MS = 8 * 60_000
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const RULES = controllerRules()
const own = lacking('least privilege', ['audit-log', 'kubelet', 'all-nodes'])
  ? { test: test.skip, concurrent: test.skip, describe: describe.skip }
  : { test, concurrent: test.concurrent, describe }
const isCRD = ({ resource }: Rule): boolean => resource === 'customresourcedefinitions'

/** Without these nothing can be written to a Plan's status, or no Plan suffers: the log has it. */
const LOG_ONLY = new Set([
  'list plans.upgrade.cattle.io',
  `patch plans/status.upgrade.cattle.io in ${NAMESPACE}`,
  `create leases.coordination.k8s.io in ${NAMESPACE}`,
  `get leases.coordination.k8s.io ${LEASE} in ${NAMESPACE}`,
  `update leases.coordination.k8s.io ${LEASE} in ${NAMESPACE}`,
  `patch rolloutpolicies/status.drover.io in ${NAMESPACE}`,
  'create events',
  'patch events',
  ...RULES.filter(isCRD).map(lineOf),
])

let cluster: Cluster
let checked = 0
let askedBy: (user: string) => readonly Asked[]
/** The one server is everybody's; this one has it first. */
let whole: Promise<unknown> = Promise.resolve()

beforeAll(async () => {
  cluster = await startCluster({ agents: 0, serverVersion: 'v1.36.90+rke2r1', heartbeatMs: 5000 })
  askedBy = followAudit(cluster.plane.auditLog)
  const labels = { app: 'kured' }
  const template = { metadata: { labels }, spec: { nodeSelector: { none: 'such' }, containers: [{ name: 'kured', image: IMAGE }] } }
  await create({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'kured', namespace: 'kube-system' },
    spec: { selector: { matchLabels: labels }, template },
  })
  const { name } = snapshotDefinition.metadata
  await cluster.api.create(CRDS, snapshotDefinition)
  const taken = etcdSnapshot('scheduled', new Date().toISOString())
  await cluster.until(`${name} is served`, () =>
    cluster.api.create('/apis/k3s.cattle.io/v1/etcdsnapshotfiles', taken).then(
      () => true,
      () => false,
    ),
  )
}, 180_000)

afterAll(() => cluster?.stop(), 60_000)

const ENDPOINTS: Readonly<Record<string, string>> = {
  ServiceAccount: 'api/v1 serviceaccounts',
  Secret: 'api/v1 secrets',
  Pod: 'api/v1 pods',
  DaemonSet: 'apis/apps/v1 daemonsets',
  PodDisruptionBudget: 'apis/policy/v1 poddisruptionbudgets',
  RolloutPolicy: 'apis/drover.io/v1alpha1 rolloutpolicies',
  Plan: 'apis/upgrade.cattle.io/v1 plans',
  Role: 'apis/rbac.authorization.k8s.io/v1 roles',
  RoleBinding: 'apis/rbac.authorization.k8s.io/v1 rolebindings',
  ClusterRole: 'apis/rbac.authorization.k8s.io/v1 clusterroles',
  ClusterRoleBinding: 'apis/rbac.authorization.k8s.io/v1 clusterrolebindings',
  Namespace: 'api/v1 namespaces',
}

/** Dozens of `kubectl apply` at once would be most of the work. */
async function create(...objects: readonly object[]): Promise<void> {
  for (const object of objects) {
    const { kind, metadata } = object as { readonly kind: string; readonly metadata: { readonly namespace?: string } }
    const [api = '', plural = ''] = (ENDPOINTS[kind] ?? '').split(' ')
    const where = metadata.namespace === undefined ? '' : `namespaces/${metadata.namespace}/`
    await cluster.api.create(`/${api}/${where}${plural}`, object as { readonly [key: string]: Json })
  }
}

/** A namespace with a controller of its own, two nodes, and Plans that need everything. */
interface Scene {
  readonly id: string
  readonly user: string
  /** Warnings and errors of the controller. */
  readonly logged: readonly string[]
  start(): void
  /** What was refused. */
  refused(): readonly string[]
  plans(): Promise<readonly Plan[]>
  /** So much time passes for the controller, as on a machine that was suspended. */
  jump(ms: number): void
  until(what: string, holds: () => Promise<boolean> | boolean): Promise<void>
  stop(): Promise<void>
}

async function stage(id: string, without?: Rule): Promise<Scene> {
  const user = `system:serviceaccount:${id}:drover`
  const logged: string[] = []
  const life = new AbortController()
  let ahead = 0
  let running: Promise<void> = Promise.resolve()
  const note = (message: string, fields?: Fields): void => void logged.push(`${message} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { debug() {}, info() {}, warn: note, error: note, with: () => log }
  const answer = { status: 302, statusLine: 'HTTP/1.1 302 Found', headers: { location: `https://example.com/${NEW}` }, body: '' }
  const channel: Outside = { ...nowhere, get: () => Promise.resolve(answer) }
  const clock = { ...systemClock, mono: () => systemClock.mono() + ahead }
  const process: Process = { name: id, clock, random: Math.random, transport: cluster.plane.as(user), outside: channel, log }

  await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: id } }, ...grantsFor(id, without))
  const client = createClient(process, { signal: life.signal })
  const missing = async (): Promise<readonly string[]> =>
    (await missingPermissions(client, neededPermissions(id, LEASE), life.signal)).map(({ access }) => access)
  // The API server hears of new roles a moment later.
  const expected = without === undefined ? [] : [lineOf(without).replace(` in ${NAMESPACE}`, ` in ${id}`).replace(' in ', ' in namespace ')]
  let last: readonly string[] = ['not asked']
  await cluster
    .until(`${id}: the roles hold`, async () => JSON.stringify((last = await missing())) === JSON.stringify(expected), 30)
    .catch(() => undefined)
  // The self check names exactly what is missing, and nothing else.
  expect(last).toEqual(expected)

  const env = {
    SYSTEM_UPGRADE_CONTROLLER_NAME: LEASE,
    SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: id,
    SYSTEM_UPGRADE_CONTROLLER_NODE_NAME: 'server-1',
    SYSTEM_UPGRADE_JOB_BACKOFF_LIMIT: '0',
    DROVER_SELF_CHECK: 'false',
    DROVER_VERIFY_MIN_READY: '1s',
    DROVER_LEASE_RETRY: '1s',
  }
  return {
    id,
    user,
    logged,
    start() {
      running = runController(process, parseSettings(env, []).settings, life.signal)
    },
    refused: () => [...new Set(askedBy(user).flatMap((asked) => (asked.allowed ? [] : [lineOf(ruleOf(asked, id))])))],
    plans: async () => (await cluster.api.list<Plan>(`/apis/upgrade.cattle.io/v1/namespaces/${id}/plans`)).items,
    jump(ms) {
      ahead += ms
    },
    until: (what, holds) => cluster.until(`${id}: ${what}; warnings: ${logged.slice(-3).join('\n')}`, async () => holds(), 150),
    async stop() {
      life.abort()
      await running
    },
  }
}

/** The rule that allows it, named as in `manifests/`. */
function ruleOf({ verb, group, resource, name, namespace }: Asked, id: string): Rule {
  const inManifests = namespace === id ? NAMESPACE : namespace
  const candidates = RULES.filter((rule) => rule.verb === verb && rule.group === group && rule.resource === resource)
  return (
    candidates.find((rule) => (rule.namespace ?? inManifests) === inManifests && (rule.name ?? name) === name) ?? {
      verb,
      group,
      resource,
      name,
      namespace,
    }
  )
}

/** Two machines, something on each that a drain has to deal with, and the Plans. */
async function furnish(id: string, server: boolean, kured: boolean): Promise<void> {
  const { machines } = cluster
  for (const part of ['a', 'b']) machines.add({ name: `${id}-${part}`, role: 'agent', version: OLD, labels: { scenario: id, part } })
  const failing = machines.all.get(`${id}-b`)
  if (failing !== undefined) failing.trouble.programFailures = 100
  await cluster.until(`${id}: machines are Ready`, async () => ['a', 'b'].every((part) => machines.all.get(`${id}-${part}`)?.ready))
  const pod = (name: string, labels: object, part: string) => ({
    metadata: { name, namespace: id, labels },
    spec: {
      nodeSelector: { scenario: id, part },
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: IMAGE }],
    },
  })
  const daemon = pod('daemon', { app: 'daemon' }, 'a')
  const plan = (name: string, spec: object) => ({
    apiVersion: 'upgrade.cattle.io/v1',
    kind: 'Plan',
    metadata: { name, namespace: id },
    spec: { concurrency: 1, serviceAccountName: 'system-upgrade', upgrade: { image: 'rancher/rke2-upgrade' }, ...spec },
  })
  const select = (part: string) => ({ nodeSelector: { matchLabels: { scenario: id, part } } })
  await create(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'system-upgrade', namespace: id } },
    {
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name: 'servers', namespace: id },
      spec: { planNames: [`serves-${id}`], etcdSnapshot: { policy: 'Require' } },
    },
    {
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name: 'drains', namespace: id },
      spec: { planNames: ['drains'], drain: { volumeDetachTimeout: '1m' }, coordinate: { kured } },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'script', namespace: id }, data: { run: 'ZWNobwo=' } },
    { apiVersion: 'v1', kind: 'Pod', ...pod('web', { app: 'web' }, 'a') },
    { apiVersion: 'v1', kind: 'Pod', ...pod('lone', { app: 'lone' }, 'b') },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'daemon', namespace: id },
      spec: { selector: { matchLabels: { app: 'daemon' } }, template: { metadata: { labels: { app: 'daemon' } }, spec: daemon.spec } },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'web', namespace: id },
      spec: { minAvailable: 0, selector: { matchLabels: { app: 'web' } } },
    },
  )
  await cluster.until(`${id}: its pods run`, async () => {
    const pods = await cluster.pods(id)
    return pods.length === 3 && pods.every(({ status }) => status?.phase === 'Running')
  })
  await create(
    plan('drains', {
      ...select('a'),
      channel: 'https://channels.example.com/stable',
      prepare: { image: 'busybox', command: ['true'] },
      drain: { force: true },
      secrets: [{ name: 'script', path: '/script' }],
    }),
    plan('fails', { ...select('b'), version: NEW, drain: { force: true, disableEviction: true } }),
    ...(server
      ? [
          // Finished nodes carry a label of the Plan's name, whatever its namespace.
          plan(`serves-${id}`, {
            nodeSelector: { matchLabels: { 'node-role.kubernetes.io/control-plane': 'true' } },
            version: 'v1',
            cordon: true,
            upgrade: { image: 'busybox', command: ['true'] },
          }),
        ]
      : []),
  )
}

const says = (plan: Plan | undefined, type: string): string => {
  const found = plan?.status?.conditions?.find((condition) => condition.type === type)
  return `${found?.status} ${found?.reason}`
}

/**
 * What happens meanwhile: people put the broken machine right and ask for a retry. After a while, in which its events have become old, the
 * leader loses its Lease to somebody for a moment and says once more that it leads.
 */
async function play(scene: Scene, over: () => boolean): Promise<void> {
  const { id } = scene
  const named = async (name: string): Promise<Plan | undefined> => (await scene.plans()).find(({ metadata }) => metadata.name === name)
  await scene.until('Plan fails has failed', async () => over() || says(await named('fails'), 'Complete') === 'False JobFailed')
  if (over()) return
  const broken = cluster.machines.all.get(`${id}-b`)
  if (broken !== undefined) broken.trouble.programFailures = 0
  await cluster.kubectl('--namespace', id, 'annotate', 'plan', 'fails', 'drover.io/retry=1')
  const complete = async (): Promise<boolean> => (await scene.plans()).every((plan) => says(plan, 'Complete').startsWith('True'))
  await scene.until('all is done', async () => over() || complete())
  if (over()) return
  scene.jump(11 * 60_000)
  const other = { spec: { holderIdentity: 'somebody else', leaseDurationSeconds: 1 } }
  await cluster.kubectl('--namespace', id, 'patch', 'lease', LEASE, '--type=merge', '--patch', JSON.stringify(other))
  await scene.until('it leads again and repeats its event', () => over() || used(scene).has('patch events'))
}

/** The rules by which the controller was allowed something. */
const used = ({ user, id }: Scene): ReadonlySet<string> =>
  new Set(askedBy(user).flatMap((asked) => (asked.allowed ? [lineOf(ruleOf(asked, id))] : [])))

own.concurrent(
  'with what is granted nothing is refused, and all of it is used',
  async () => {
    const run = async (): Promise<void> => {
      const scene = await stage('whole')
      try {
        await furnish(scene.id, true, true)
        scene.start()
        await play(scene, () => false)
        expect(scene.refused()).toEqual([])
        // Definitions are everybody's: they have tests of their own.
        expect(
          RULES.filter((rule) => !isCRD(rule))
            .map(lineOf)
            .filter((line) => !used(scene).has(line)),
        ).toEqual([])
      } finally {
        await scene.stop()
      }
    }
    whole = run()
    await whole
  },
  LIMIT_MS,
)

for (const [index, rule] of RULES.filter((one) => !isCRD(one) || one.verb === 'get').entries()) {
  const line = lineOf(rule)
  own.concurrent(
    `without: ${line}`,
    async () => {
      const starts = rule.resource === 'plans' && rule.verb === 'get'
      // kured has one lock for all.
      const kured = rule.resource === 'daemonsets' && rule.verb === 'patch'
      if (starts || kured) await whole
      const scene = await stage(`without-${index + 1}`, rule)
      try {
        // Without a list of snapshots no server is even claimed.
        await furnish(scene.id, starts || rule.resource === 'etcdsnapshotfiles', kured)
        scene.start()
        await play(scene, () => scene.refused().length > 0)
        await told(scene, rule)
      } finally {
        await scene.stop()
      }
    },
    LIMIT_MS,
  )
}

/** Exactly this is refused, and it is told in the status of a Plan, or in the log where that cannot be. */
async function told(scene: Scene, rule: Rule): Promise<void> {
  const words = `cannot ${rule.verb} resource "${rule.resource}"`
  const text = async (): Promise<string> =>
    LOG_ONLY.has(lineOf(rule))
      ? scene.logged.join('\n').replaceAll('\\"', '"')
      : (await scene.plans()).map(({ status }) => JSON.stringify(status).replaceAll('\\"', '"')).join('\n')
  await scene.until(`told: ${words}`, async () => (await text()).includes(words))
  expect(scene.refused()).toEqual([lineOf(rule)])
}

/** Definitions are everybody's, so nothing else may run. */
async function withDefinition(rule: Rule, prepare: () => Promise<unknown>): Promise<void> {
  const name = rule.name ?? 'plans.upgrade.cattle.io'
  const id = `${rule.verb}-${name.split('.')[0]}`
  const before = await cluster.api.get(`${CRDS}/${name}`)
  await prepare()
  const scene = await stage(`without-${id}`, rule)
  scene.start()
  try {
    await scene.until('refused', () => scene.refused().length > 0)
    await told(scene, rule)
  } finally {
    await scene.stop()
  }
  const allowed = await stage(`with-${id}`)
  allowed.start()
  try {
    await allowed.until(`used: ${lineOf(rule)}`, () => used(allowed).has(lineOf(rule)))
    await allowed.until('as it was', async () => covers((await cluster.api.get(`${CRDS}/${name}`))['spec'], before['spec']))
    expect(allowed.refused()).toEqual([])
  } finally {
    await allowed.stop()
  }
}

const path = '/spec/versions/0/additionalPrinterColumns'
for (const rule of RULES.filter((one) => isCRD(one) && one.verb !== 'get')) {
  const name = rule.name ?? 'plans.upgrade.cattle.io'
  own.test(
    `without: ${lineOf(rule)}`,
    () =>
      withDefinition(rule, () =>
        rule.verb === 'create'
          ? cluster.api.delete(`${CRDS}/${name}`)
          : cluster.kubectl('patch', 'crd', name, '--type=json', '--patch', JSON.stringify([{ op: 'replace', path, value: [] }])),
      ),
    LIMIT_MS,
  )
}

own.describe('the check at start', () => {
  const find = (output: string, message: string): readonly { readonly missing?: readonly { readonly access: string }[] }[] =>
    output
      .split('\n')
      .filter((line) => line.includes(message))
      .map((line) => JSON.parse(line) as object)

  test('says that nothing is missing', async () => {
    const controller = await cluster.controller()
    await cluster.until('checked', async () => controller.output().includes('own permissions checked'), 60)
    expect(find(controller.output(), 'permissions are missing')).toEqual([])
    await controller.stop()
  }, 120_000)

  test.each([
    ['patch nodes', 'patch nodes'],
    [
      'get customresourcedefinitions.apiextensions.k8s.io plans.upgrade.cattle.io',
      'get customresourcedefinitions.apiextensions.k8s.io plans.upgrade.cattle.io',
    ],
    [`create jobs.batch in ${NAMESPACE}`, 'create jobs.batch in namespace checked-2'],
  ])(
    'names what is missing, in one message: %s',
    async (line, access) => {
      const id = `checked-${checked++}`
      const scene = await stage(
        id,
        RULES.find((rule) => lineOf(rule) === line),
      )
      const controller = await cluster.controller({ user: scene.user, env: { SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: id } })
      await cluster.until('told', async () => controller.output().includes('permissions are missing'), 60)
      const messages = find(controller.output(), 'permissions are missing')
      expect(messages.map(({ missing }) => missing?.map((one) => one.access))).toEqual([[access]])
      await controller.stop()
      await scene.stop()
    },
    120_000,
  )
})
