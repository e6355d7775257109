/** RolloutPolicies on the real API server: what a policy asks for is done, under the manifests' permissions and with the real definition. */
import { expect } from '@jest/globals'
import type { NotifyMessage } from '../../src/api/notify.ts'
import type { ApiError } from '../../src/kube/client/api-error.ts'
import { json, serve } from '../kube/client/servers.ts'
import { NAMESPACE, NEW, OLD } from './cluster.ts'
import { without } from './hang.ts'
import type { Scenario } from './scenario.ts'
import { shareCluster } from './shared.ts'
import { deployment, neverDisrupt } from './workloads.ts'

const { scenario } = shareCluster({})

const RBAC = 'rbac.authorization.k8s.io/v1'

const policy = (id: string, spec: object): object => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: id, namespace: NAMESPACE },
  spec: { planNames: [id], ...spec },
})

/** Merge patch of the scenario's policy. */
const edit = (s: Scenario, spec: object): Promise<string> =>
  s.kubectl('--namespace', NAMESPACE, 'patch', 'rolloutpolicy', s.id, '--type=merge', '--patch', JSON.stringify({ spec }))

/** What the Plan says that it waits for. */
const waits = (s: Scenario, words: RegExp): Promise<void> =>
  s.until(`the Plan says ${words.source}`, async () => words.test(await s.condition('Complete')))

/** What its nodes say. */
const nodeWaits = (s: Scenario, node: string, words: RegExp): Promise<void> =>
  s.until(`${node} says ${words.source}`, async () => words.test(await s.status(node)))

const ready = async (s: Scenario, name = s.id): Promise<string> => {
  const text = await s.kubectl('--namespace', NAMESPACE, 'get', 'rolloutpolicy', name, '-o', 'json')
  const { status } = JSON.parse(text) as { status?: { conditions?: readonly { type: string; status: string; reason: string }[] } }
  const found = status?.conditions?.find(({ type }) => type === 'Ready')
  return `${found?.status} ${found?.reason}`
}

const untouched = async (s: Scenario, nodes: readonly string[]): Promise<void> => {
  for (const node of nodes) expect([node, await s.cordoned(node), await s.record(node), s.runs(node)]).toEqual([node, false, {}, 0])
}

/** Admission lets nobody evict the scenario's pods. Returns the name of policy and binding. */
async function denyEvictions(s: Scenario, reason?: 'Forbidden'): Promise<string> {
  const apiVersion = 'admissionregistration.k8s.io/v1'
  const metadata = { name: `${s.id}.example.com` }
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods/eviction'] }
  const expression = `object.metadata.namespace != '${s.id}'`
  await s.cluster.apply(
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        matchConstraints: { resourceRules: [rule] },
        validations: [{ expression, message: 'not while it is busy', ...(reason === undefined ? {} : { reason }) }],
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: metadata.name, validationActions: ['Deny'] },
    },
  )
  return metadata.name
}

scenario(
  'calendar',
  'windows, exclusions, lead, after, pauses, faults and the loss of a policy hold a Plan one after the other',
  async (s) => {
    const hours = (count: number): Date => new Date(Date.now() + count * 3_600_000)
    const start = `${hours(12).getUTCMinutes()} ${hours(12).getUTCHours()} * * *`
    await s.cluster.apply(policy(s.id, { windows: [{ start, duration: '1h' }] }))
    await s.apply()
    await waits(s, /no window of RolloutPolicy calendar is open/)
    expect(await ready(s)).toBe('True InForce')
    const exclusions = [{ from: hours(-1).toISOString(), to: hours(1).toISOString(), reason: 'year end' }]
    await edit(s, { windows: null, exclusions })
    await waits(s, /^False Excluded: .*year end/)
    // Open since a minute, for an hour; no node takes less than 61 minutes.
    const begun = new Date(Date.now() - 60_000)
    await edit(s, {
      exclusions: null,
      windows: [
        { start: `${begun.getUTCMinutes()} ${begun.getUTCHours()} * * *`, duration: '1h' },
        { start, duration: '3h', timeZone: 'Etc/UTC' },
      ],
      lead: '61m',
    })
    await waits(s, /^False WindowTooShort/)
    await edit(s, { windows: null, lead: null, after: ['no-such-plan'] })
    await waits(s, /^False WaitingForPlan: .*no-such-plan/)
    await edit(s, { after: null, paused: true })
    await waits(s, /^False Paused: RolloutPolicy calendar/)
    await edit(s, { paused: null, windows: [{ start: '* * * * *', duration: '1h', timeZone: 'Nowhere/Land' }] })
    await waits(s, /^False PolicyUnreadable: .*spec\.windows\[0\]\.timeZone/)
    expect(await s.condition('Stalled')).toMatch(/^True PolicyUnreadable/)
    await s.until('the policy says so', async () => (await ready(s)) === 'False PolicyUnreadable')
    // Added before the fault is mended, or the Plan would go on in between.
    await s.cluster.apply({ ...policy('calendar-2', {}), spec: { planNames: [s.id] } })
    await edit(s, { windows: null })
    await waits(s, /^False PolicyConflict: RolloutPolicies calendar and calendar-2/)
    await edit(s, { paused: true })
    await s.kubectl('--namespace', NAMESPACE, 'delete', 'rolloutpolicy', 'calendar-2')
    await waits(s, /^False Paused/)
    await s.kubectl('--namespace', NAMESPACE, 'delete', 'rolloutpolicy', s.id)
    await waits(s, /^False PolicyGone: RolloutPolicy calendar was in force/)
    await s.wait(3)
    await untouched(s, s.nodes)
    await s.annotatePlan({ 'drover.io/policy': 'none' })
    await s.done()
  },
)

scenario(
  'budget',
  'a budget, and zones that go one after the other, hold back a Plan that would take all its nodes',
  async (s) => {
    const zone = (node: string): string => (s.nodes.indexOf(node) < 2 ? 'x' : 'y')
    for (const node of s.nodes) await s.kubectl('label', 'node', node, `zone=${zone(node)}`)
    await s.cluster.apply(policy(s.id, { budget: { maxUnavailable: '25%' } }))
    const gate = s.gate()
    await s.apply({ concurrency: 4, upgrade: { image: gate.image } })
    await s.until('one node is being upgraded', () => gate.entered.length === 1)
    const [first = ''] = gate.entered
    for (const other of without(s, first)) await nodeWaits(s, other, /1 nodes are unavailable or in flight; RolloutPolicy budget allows 1/)
    await untouched(s, without(s, first))
    await edit(s, { budget: { maxUnavailable: null, spread: [{ topologyKey: 'zone', domains: 'Sequential', maxUnavailable: '100%' }] } })
    await s.until('a second one is', () => gate.entered.length === 2)
    expect(zone(gate.entered[1] ?? '')).toBe(zone(first))
    const rest = s.nodes.filter((node) => zone(node) !== zone(first))
    for (const node of rest) await nodeWaits(s, node, /in flight in another domain than zone=/)
    await untouched(s, rest)
    gate.open()
    await s.done()
  },
  4,
)

scenario(
  'waves',
  'one node goes first, is watched, and somebody approves it for this hash, before the others go',
  async (s) => {
    const waves = [
      { name: 'canary', size: '1%', soak: '4s', approval: 'Manual' },
      { name: 'marked', nodeSelector: { matchLabels: { wave: 'two' } }, maxUnavailable: 1 },
    ]
    for (const node of s.nodes) await s.kubectl('label', 'node', node, 'wave=two')
    await s.cluster.apply(policy(s.id, { waves }))
    await s.apply({ concurrency: 3 })
    await s.until('one is done', async () => (await Promise.all(s.nodes.map((node) => s.label(node)))).some((label) => label !== undefined))
    const labels = await Promise.all(s.nodes.map(async (node) => [node, await s.label(node)] as const))
    const [canary = ''] = labels.flatMap(([node, label]) => (label === undefined ? [] : [node]))
    await waits(s, /^False WaveSoaking: wave canary/)
    await waits(s, /^False AwaitingApproval: wave canary is done; set annotation drover\.io\/approve: \w{8}\/canary/)
    await s.annotatePlan({ 'drover.io/approve': '01234567/canary' })
    await s.wait(3)
    await untouched(s, without(s, canary))
    await s.annotatePlan({ 'drover.io/approve': `${(await s.hash()).slice(0, 8)}/canary` })
    let most = 0
    await s.until('the next wave goes', async () => {
      const cordoned = (await Promise.all(without(s, canary).map((node) => s.cordoned(node)))).filter(Boolean).length
      most = Math.max(most, cordoned)
      return (await s.condition('Complete')).startsWith('True')
    })
    expect(most).toBe(1)
    await s.done()
  },
  3,
)

scenario(
  'failures',
  'a policy tries failed nodes once more, stops at the second of them, and leaves them in service',
  async (s) => {
    const broken = (times: number): void => {
      for (const node of s.nodes) s.machine(node).trouble.programFailures = times
    }
    broken(1000)
    const failure = { retries: 1, backoff: { base: '2s', cap: '4s' }, maxFailures: 2, uncordonOnFailure: 'Always' }
    await s.cluster.apply(policy(s.id, { failure }))
    await s.apply({ jobActiveDeadlineSecs: 4 })
    await s.until('stopped', async () => /MaxFailuresExceeded: 2 nodes failed/.test(await s.condition('Stalled')))
    const past = async (node: string) => (await s.record(node)).past?.[`${NAMESPACE}/${s.id}`]
    const failed = async () => {
      const outcomes = await Promise.all(s.nodes.map(async (node) => ({ node, attempts: (await past(node))?.attempts ?? 0 })))
      return outcomes.filter(({ attempts }) => attempts > 0)
    }
    await s.until('both were tried twice', async () => (await failed()).every(({ attempts }) => attempts === 2))
    await s.wait(6)
    const nodes = (await failed()).map(({ node }) => node)
    expect((await failed()).map(({ attempts }) => attempts)).toEqual([2, 2])
    for (const node of nodes) expect([node, await s.cordoned(node), await past(node)]).toMatchObject([node, false, { reason: 'JobFailed' }])
    await untouched(
      s,
      s.nodes.filter((node) => !nodes.includes(node)),
    )
    broken(0)
    await s.edit({ jobActiveDeadlineSecs: 120 })
    await s.done()
  },
  3,
)

scenario(
  'verify',
  "what proves a node is the policy's word: its kubelet, a reboot, or the Job alone; and then it is watched",
  async (s) => {
    const [node = ''] = s.nodes
    const image = `${s.id}.example.com/script`
    let boots = 0
    s.cluster.machines.fleet.programs.set(image, async (_pod, machine) => {
      if (boots > 0) machine.reboot()
      boots--
      return 0
    })
    const reason = async (): Promise<string | undefined> => (await s.record(node)).past?.[`${NAMESPACE}/${s.id}`]?.reason
    const failure = { uncordonOnFailure: 'Always' }
    await s.cluster.apply(policy(s.id, { failure, verify: { version: 'Kubelet', timeout: '4s', minReadySeconds: 2 } }))
    await s.apply({ upgrade: { image } })
    await s.until('the kubelet is the old one', async () => (await reason()) === 'VersionMismatch')
    await edit(s, { soak: '5s', verify: { version: 'Off', reboot: 'Required', timeout: '15s' } })
    await s.annotatePlan({ 'drover.io/retry': 'a' })
    await nodeWaits(s, node, /^Verifying/)
    await s.until('nobody has booted it', async () => (await reason()) === 'NotRebooted')
    boots = 1
    await s.annotatePlan({ 'drover.io/retry': 'b' })
    await nodeWaits(s, node, /^Soaking/)
    expect([await s.label(node), await s.cordoned(node)]).toEqual([undefined, false])
    await s.until('done', async () => (await s.label(node)) === (await s.hash()))
    expect(await s.version(node)).toBe(OLD)
  },
  1,
)

scenario(
  'exceptions',
  'nodes that others manage or have cordoned, and a step back, are taken when a policy says so',
  async (s) => {
    const [node = ''] = s.nodes
    await s.kubectl('annotate', 'node', node, 'cluster.x-k8s.io/machine=m-1')
    await s.kubectl('cordon', node)
    await s.cluster.apply({
      ...policy(s.id, {}),
      spec: { planSelector: { matchLabels: { story: s.id } }, budget: { alreadyUnavailable: 'Skip' } },
    })
    await s.apply({}, { labels: { story: s.id } })
    await waits(s, /^False ManagedElsewhere: .*Cluster API/)
    await edit(s, { managedElsewhere: 'Ignore' })
    await waits(s, /^False CordonedByOthers/)
    await s.wait(2)
    expect([await s.record(node), s.runs(node)]).toEqual([{}, 0])
    await edit(s, { budget: { alreadyUnavailable: 'Include' } })
    await s.until('done', async () => (await s.label(node)) === (await s.hash()) && (await s.version(node)) === NEW)
    expect(await s.cordoned(node)).toBe(true)
    await s.kubectl('uncordon', node)
    await s.edit({ version: OLD })
    await waits(s, /^False Downgrade/)
    await edit(s, { versionPath: { allow: [`${NEW}>${OLD}`] } })
    await s.done(OLD)
  },
  1,
)

scenario(
  'drains',
  'a drain that a budget forbids is forecast, given back, quarantined, and goes through with rules for its pods; volumes are waited for',
  async (s) => {
    const [node = ''] = s.nodes
    await s.workload(deployment(s.id, 1), deployment(s.id, 1, {}, 'batch'), neverDisrupt())
    const running = async (app: string): Promise<string | undefined> =>
      (await s.pods()).find(({ metadata, status }) => metadata?.labels?.['app'] === app && status?.phase === 'Running')?.metadata?.uid
    await s.until('the workloads run', async () => (await running('web')) !== undefined && (await running('batch')) !== undefined)
    const [web, batch] = [await running('web'), await running('batch')]
    await s.cluster.apply(policy(s.id, { drain: { forecast: 'Enforce', maxBlockedNodes: 0 }, failure: { backoff: { base: '1s' } } }))
    await s.apply({ drain: { force: true } })
    await waits(s, /^False DrainForecastBlocked: .*PodDisruptionBudget drains\/web/)
    await untouched(s, [node])
    await edit(s, { drain: { forecast: 'Off', timeout: '3s', onTimeout: 'Release' }, failure: { backoff: { base: '1h' } } })
    await waits(s, /^False TooManyBlockedNodes/)
    expect([await s.cordoned(node), await s.applying()]).toEqual([false, []])
    await edit(s, { drain: { onTimeout: 'Quarantine' } })
    await s.annotatePlan({ 'drover.io/retry': 'a' })
    await s.until('quarantined', async () => /^True (Quarantined|TooManyBlockedNodes)/.test(await s.condition('Stalled')))
    await s.wait(2)
    expect([await s.cordoned(node), await s.applying(), await running('web')]).toEqual([true, [], web])
    const attachment = `${s.id}-volume`
    await s.cluster.apply({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      metadata: { name: attachment },
      spec: { attacher: 'csi.example.com', nodeName: node, source: { persistentVolumeName: attachment } },
    })
    const rules = [
      { podSelector: { matchLabels: { app: 'web' } }, behavior: 'Skip' },
      { podSelector: { matchLabels: { app: 'batch' } }, behavior: 'WaitCompleted', order: -1, timeout: '2s' },
    ]
    await edit(s, { drain: { rules, timeout: '2m', volumeDetachTimeout: '2m' } })
    await s.annotatePlan({ 'drover.io/retry': 'b' })
    await nodeWaits(s, node, /volume/)
    expect([await running('web'), await running('batch')]).toEqual([web, undefined])
    await s.kubectl('delete', 'volumeattachment', attachment)
    await s.done()
    expect(await running('web')).toBe(web)
    expect(await running('batch')).not.toBe(batch)
  },
  1,
)

scenario('notify', 'webhooks hear of a rollout, by URL and by Secret; one that refuses is told of on the policy', async (s) => {
  const got: { path: string; message: NotifyMessage }[] = []
  const server = await serve(
    (request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        got.push({ path: request.url ?? '', message: JSON.parse(body) as NotifyMessage })
        response.writeHead(request.url === '/gone' ? 410 : 200).end()
      })
    },
    { secure: false },
  )
  try {
    await s.cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: `${s.id}-webhook`, namespace: NAMESPACE },
        stringData: { url: `${server.url}/secret-token` },
      },
      policy(s.id, {
        notify: [{ url: `${server.url}/plain` }, { secretRef: { name: `${s.id}-webhook`, key: 'url' } }, { url: `${server.url}/gone` }],
      }),
    )
    await s.apply()
    await s.done()
    const heard = (path: string) => got.filter((one) => one.path === path).map(({ message }) => message.event)
    await s.until('the end was told', () => heard('/plain').length === 2 && heard('/secret-token').length === 2)
    await s.until('the end was noted', async () => told(await s.plan()))
    await s.wait(3)
    for (const path of ['/plain', '/secret-token', '/gone'])
      expect([path, heard(path)]).toEqual([path, ['RolloutStarted', 'RolloutComplete']])
    expect(got.at(-1)?.message).toMatchObject({ plan: { namespace: NAMESPACE, name: s.id }, policy: s.id, hash: await s.hash() })
    const refusals = await s.events('NotifyFailed')
    expect(refusals).toContainEqual({
      on: `RolloutPolicy/${s.id}`,
      type: 'Warning',
      reason: 'NotifyFailed',
      message: `spec.notify[2]: RolloutComplete of Plan ${s.id} is given up: HTTP status 410`,
    })
    expect(JSON.stringify(await s.kubectl('get', 'events,plans,rolloutpolicies', '--all-namespaces', '-o', 'json'))).not.toContain(
      'secret-token',
    )
  } finally {
    await server.close()
  }
})

/** The Plan's memory says that the end was told. */
function told(plan: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } }): boolean {
  return plan.metadata?.annotations?.['drover.io/rollout']?.includes('RolloutComplete') === true
}

scenario('gates', 'gates hold by a permission that is missing, an object, and a Prometheus that asks for a token', async (s) => {
  let firing = '1'
  const asked: (string | undefined)[] = []
  const server = await serve(
    (request, response) => {
      asked.push(request.headers.authorization)
      json(response, 200, { status: 'success', data: { resultType: 'vector', result: [{ metric: {}, value: [1, firing] }] } })
    },
    { secure: true },
  )
  const verbs = { apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }
  const grant = [
    { apiVersion: RBAC, kind: 'Role', metadata: { name: 'gates', namespace: s.id }, rules: [verbs] },
    {
      apiVersion: RBAC,
      kind: 'RoleBinding',
      metadata: { name: 'gates', namespace: s.id },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'gates' },
      subjects: [{ kind: 'ServiceAccount', name: 'drover', namespace: NAMESPACE }],
    },
  ]
  const health = (state: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'health', namespace: s.id },
    data: { state },
  })
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: s.id,
    name: 'health',
    expect: [{ path: '.data.state', operator: 'eq', value: 'green' }],
  }
  const prometheus = {
    url: server.url,
    query: 'count(ALERTS) or vector(0)',
    expect: { operator: 'lt', value: 1 },
    caBundle: server.ca,
    tokenSecretRef: { name: `${s.id}-token`, key: 'token' },
  }
  try {
    await s.workload(health('red'))
    await s.cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: `${s.id}-token`, namespace: NAMESPACE },
        stringData: { token: 'let-me-in' },
      },
      policy(s.id, {
        gates: [
          { name: 'health', at: ['NodeStart'], object },
          { name: 'alerts', at: ['NodeEnd'], prometheus },
        ],
      }),
    )
    await s.apply()
    const says = (text: RegExp) => async () => text.test(await s.condition('Complete'))
    await s.until(
      'the refusal is told',
      says(/^False GatePending: gate health .*cannot be evaluated: .*403.*configmaps "health" is forbidden/),
    )
    await s.cluster.apply(...grant)
    await s.until('the object is told', says(/^False GatePending: gate health .*: \.data\.state is red, not green/))
    expect(await Promise.all(s.nodes.map((node) => s.cordoned(node)))).toEqual(s.nodes.map(() => false))
    await s.workload(health('green'))
    const node = await s.taken()
    await s.until('the alerts are told', async () => /gate alerts .*: the query gives 1, not lt 1/.test(await s.status(node)))
    expect([await s.cordoned(node), await s.label(node)]).toEqual([true, undefined])
    firing = '0'
    await s.done()
    expect(new Set(asked)).toEqual(new Set(['Bearer let-me-in']))
  } finally {
    await server.close()
  }
})

scenario(
  'moments',
  'gates at the beginning, at a node and at the end of a wave: pods that must be gone, for a while, and a query that may find nothing',
  async (s) => {
    const nothing = { status: 'success', data: { resultType: 'vector', result: [] } }
    const server = await serve((_request, response) => json(response, 200, nothing), { secure: false })
    const [first = '', second = ''] = s.nodes
    const pod = (app: string, node: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: app, labels: { app } },
      spec: { nodeName: node, containers: [{ name: 'main', image: 'registry.example.com/app' }] },
    })
    const absent = (app: string) => ({ namespace: s.id, selector: { matchLabels: { app } } })
    const gates = (emptyIs: string) => [
      { name: 'migrated', at: ['PlanStart'], podsAbsent: absent('migration') },
      { name: 'quiet', at: ['NodeStart'], stableFor: '3s', podsAbsent: { ...absent('batch'), onNode: true } },
      { name: 'errors', at: ['WaveEnd'], prometheus: { url: server.url, query: 'errors', expect: { operator: 'lt', value: 1 }, emptyIs } },
    ]
    try {
      await s.workload(pod('migration', first), pod('batch', second))
      await s.kubectl('label', 'node', first, 'wave=one')
      await s.cluster.apply(
        policy(s.id, { waves: [{ name: 'one', nodeSelector: { matchLabels: { wave: 'one' } } }], gates: gates('Hold') }),
      )
      await s.apply({ drain: undefined })
      await waits(s, /^False GatePending: gate migrated .*pod \S+\/migration should be absent, and is there/)
      await untouched(s, s.nodes)
      await s.kubectl('--namespace', s.id, 'delete', 'pod', 'migration', '--grace-period=0', '--force')
      await nodeWaits(s, first, /gate quiet .*it is met, and must stay so until/)
      await s.until('the first is done', async () => (await s.label(first)) !== undefined)
      await waits(s, /^False GatePending: gate errors .*cannot be evaluated: the query finds nothing/)
      await untouched(s, [second])
      await edit(s, { gates: gates('Pass') })
      await waits(s, /^False GatePending: gate quiet .*pod \S+\/batch should be absent, and is there on node/)
      await untouched(s, [second])
      await s.kubectl('--namespace', s.id, 'delete', 'pod', 'batch', '--grace-period=0', '--force')
      await s.done()
    } finally {
      await server.close()
    }
  },
)

scenario('hooks', 'hooks hold a node before its cordon and before its end, until they set the annotation', async (s) => {
  const [ready, ok] = ['example.com/ready', 'example.com/ok']
  await s.cluster.apply(
    policy(s.id, { hooks: { before: [{ name: 'cmdb', ackAnnotation: ready }], after: [{ name: 'smoke', ackAnnotation: ok }] } }),
  )
  await s.apply()
  const request = async (node: string): Promise<string> => {
    const read = await s.cluster.api.get<{ metadata: { annotations?: Record<string, string> } }>(`/api/v1/nodes/${node}`)
    return read.metadata.annotations?.['drover.io/hook-request'] ?? ''
  }
  for (const when of ['before', 'after', 'before', 'after']) {
    let node = ''
    await s.until(`a hook is asked, ${when}`, async () => {
      for (const name of s.nodes) if ((await request(name)).startsWith(`${when}/`)) node = name
      return node !== ''
    })
    expect(await s.cordoned(node)).toBe(when === 'after')
    await s.annotateNode(node, { [when === 'before' ? ready : ok]: await request(node) })
  }
  await s.done()
  expect(await Promise.all(s.nodes.map(request))).toEqual(s.nodes.map(() => ''))
})

scenario(
  'neighbours',
  "kured's lock is waited for and then held, and an eviction that admission would refuse keeps the node from being cordoned",
  async (s) => {
    const [node = ''] = s.nodes
    const labels = { app: 'kured' }
    const lock = 'weave.works/kured-node-lock'
    const kured = ['--namespace', 'kube-system']
    const holder = async (): Promise<string | undefined> => {
      const text = await s.kubectl(...kured, 'get', 'daemonset', 'kured', '-o', 'json')
      const { metadata } = JSON.parse(text) as { metadata: { annotations?: Readonly<Record<string, string>> } }
      const value = metadata.annotations?.[lock]
      return value === undefined ? undefined : (JSON.parse(value) as { nodeID: string }).nodeID
    }
    const held = { nodeID: 'another-node', metadata: { unschedulable: false }, created: new Date().toISOString(), TTL: 0 }
    await s.cluster.apply({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'kured', namespace: 'kube-system', annotations: { [lock]: JSON.stringify(held) } },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { nodeSelector: { none: 'such' }, containers: [{ name: 'kured', image: 'kured' }] } },
      },
    })
    await s.workload(deployment(s.id, 1))
    const web = async () => (await s.pods()).find(({ status }) => status?.phase === 'Running')
    await s.until('the workload runs', async () => (await web()) !== undefined)
    const uid = (await web())?.metadata?.uid
    const name = await denyEvictions(s)
    await s.cluster.apply(policy(s.id, { coordinate: { kured: true }, drain: { forecast: 'Enforce' } }))
    const gate = s.gate()
    await s.apply({ drain: { force: true }, upgrade: { image: gate.image } })
    await waits(s, /^False KuredLocked: kured holds its lock for node another-node/)
    await s.kubectl(...kured, 'annotate', 'daemonset', 'kured', `${lock}-`)
    await waits(s, /^False DrainForecastBlocked: .*not while it is busy/)
    await untouched(s, [node])
    expect([(await web())?.metadata?.uid, await holder()]).toEqual([uid, undefined])
    await s.kubectl('delete', 'validatingadmissionpolicybinding', name)
    await s.kubectl('delete', 'validatingadmissionpolicy', name)
    await s.until('it is being upgraded', () => gate.entered.length === 1)
    expect(await holder()).toMatch(/^drover\//)
    gate.open()
    await s.done()
    await s.until('the lock is given back', async () => (await holder()) === undefined)
  },
  1,
)

scenario(
  'leftover',
  'with Proceed a node is upgraded although a pod is left that may not go',
  async (s) => {
    await s.workload(deployment(s.id, 1), neverDisrupt())
    const web = async () => (await s.pods()).find(({ status }) => status?.phase === 'Running')?.metadata?.uid
    await s.until('the workload runs', async () => (await web()) !== undefined)
    const before = await web()
    await s.cluster.apply(policy(s.id, { drain: { timeout: '5s', onTimeout: 'Proceed' } }))
    await s.apply({ drain: { force: true } })
    await s.done()
    expect(await web()).toBe(before)
    expect((await s.events('DrainIncomplete')).map(({ message }) => message).join('\n')).toContain(`${s.id}/web-`)
  },
  1,
)

scenario(
  'by-job',
  'with engine Job it is the Job that cordons and drains, with the rights of its own account',
  async (s) => {
    const [node = ''] = s.nodes
    await s.cluster.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: s.id, namespace: NAMESPACE } },
      {
        apiVersion: RBAC,
        kind: 'ClusterRoleBinding',
        metadata: { name: s.id },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'ServiceAccount', name: s.id, namespace: NAMESPACE }],
      },
    )
    await s.workload(deployment(s.id, 1))
    const web = async () => (await s.pods()).find(({ status }) => status?.phase === 'Running')?.metadata?.uid
    await s.until('the workload runs', async () => (await web()) !== undefined)
    const before = await web()
    const gate = s.gate()
    await s.cluster.apply(policy(s.id, { drain: { engine: 'Job' } }))
    await s.apply({ drain: { force: true }, serviceAccountName: s.id, upgrade: { image: gate.image } })
    await s.until('it is being upgraded', () => gate.entered.length === 1)
    await s.until('the cordon is adopted', async () => (await s.record(node)).cordon?.adopted !== undefined)
    expect([await s.cordoned(node), await web()]).toEqual([true, undefined])
    gate.open()
    await s.done()
    expect(await web()).not.toBe(before)
    await s.kubectl('delete', 'clusterrolebinding', s.id)
  },
  1,
)

scenario(
  'denied',
  'with Proceed a node is upgraded although admission denies an eviction as RBAC would, with 403',
  async (s) => {
    await s.workload(deployment(s.id, 1))
    const web = async () => (await s.pods()).find(({ status }) => status?.phase === 'Running')?.metadata
    await s.until('the workload runs', async () => (await web()) !== undefined)
    const before = await web()
    const name = await denyEvictions(s, 'Forbidden')
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: before?.name ?? '', namespace: s.id } }
    await s.until('it is denied', () =>
      s.cluster.api.create(`/api/v1/namespaces/${s.id}/pods/${before?.name}/eviction`, eviction, { dryRun: true }).then(
        () => false,
        (error: ApiError) => error.status === 403 && error.said.includes('not while it is busy'),
      ),
    )
    await s.cluster.apply(policy(s.id, { drain: { timeout: '5s', onTimeout: 'Proceed' } }))
    await s.apply({ drain: { force: true } })
    await s.done()
    expect((await web())?.uid).toBe(before?.uid)
    expect((await s.events('DrainIncomplete')).map(({ message }) => message).join('\n')).toContain(`${s.id}/web-`)
    await s.kubectl('delete', 'validatingadmissionpolicybinding,validatingadmissionpolicy', name)
  },
  1,
)
