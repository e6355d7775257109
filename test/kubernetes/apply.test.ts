/** What people apply with the real kubectl: manifests, definitions, examples; and SUC's definition of Plans in the place of ours. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Deployment } from 'kubernetes-types/apps/v1.d.ts'
import { planCRD } from '../../src/api/crd.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { covers } from '../../src/controller/install.ts'
import { manifestsOf, only } from '../manifests/objects.ts'
import { ADMIN } from './control-plane.ts'
import { agentPlan, type Cluster, type Controller, JOBS, NAMESPACE, NEW, PLANS, startCluster } from './cluster.ts'
import { lacking } from './needs.ts'
import { root } from './root.ts'

const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io'
const sucCRD = JSON.parse(readFileSync(`${root}test/vectors/suc/suc-crd.json`, 'utf8')) as JsonObject

// Definitions, and with them everybody's Plans, are removed.
const group = lacking('applying by kubectl', ['api-server', 'all-nodes']) ? describe.skip : describe

let cluster: Cluster
let config: string
let controller: Controller | undefined

beforeAll(async () => {
  cluster = await startCluster({ agents: 3 })
  config = await cluster.plane.kubeconfig(ADMIN)
}, 180_000)

afterEach(async () => {
  await controller?.stop()
  controller = undefined
}, 60_000)

afterAll(() => cluster?.stop(), 60_000)

/** Like `cluster.kubectl`, but it rejects when the API server warns of anything. */
function strictly(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const words = ['kubectl', '--kubeconfig', config, '--warnings-as-errors', ...args]
    const child = execFile(cluster.plane.binary, words, { cwd: root, timeout: 120_000 }, (error, stdout, stderr) => {
      if (error === null && stderr === '') resolve(stdout)
      else reject(new Error(`${args.join(' ')}: ${stderr}${stdout}`))
    })
    child.stdin?.end(input)
  })
}

/** The objects as they stand, but for what others write. (`configured` says only that kubectl sent something.) */
async function stored(where: readonly string[]): Promise<readonly unknown[]> {
  const text = await cluster.kubectl('get', ...where, '--output', 'json')
  const { items = [JSON.parse(text) as JsonObject] } = JSON.parse(text) as { items?: readonly JsonObject[] }
  return items.map(({ metadata, status: _status, ...rest }) => {
    const { resourceVersion: _version, managedFields: _fields, ...kept } = metadata as JsonObject
    return { metadata: kept, ...rest }
  })
}

const crdSpec = async (): Promise<unknown> => (await cluster.api.get(CRD))['spec']
const isOurs = async (): Promise<boolean> => covers(await crdSpec(), planCRD.spec)
/** As SUC and Rancher's chart do it: all of the spec, whatever stands there. */
const putSucCRD = (): Promise<string> =>
  cluster.kubectl(
    'patch',
    'crd',
    'plans.upgrade.cattle.io',
    '--type=json',
    '--patch',
    JSON.stringify([{ op: 'replace', path: '/spec', value: sucCRD['spec'] }]),
  )

group('manifests', () => {
  test('applied again they change nothing', async () => {
    await strictly(['apply', '-k', 'manifests'])
    const before = await stored(['-k', 'manifests'])
    expect(before.length).toBeGreaterThan(12)
    await strictly(['apply', '-k', 'manifests'])
    expect(await stored(['-k', 'manifests'])).toEqual(before)
    expect(await cluster.kubectl('diff', '-k', 'manifests')).toBe('')
  }, 120_000)

  test("the Deployment's pods are admitted where PodSecurity `restricted` is enforced", async () => {
    const { template } = only<Deployment>(manifestsOf('manifests'), 'Deployment').spec ?? {}
    const namespace = 'restricted'
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/enforce-version': 'latest' }
    await cluster.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'drover', namespace } },
    )
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...template?.metadata, name: 'drover', namespace }, spec: template?.spec }
    const dryRun = (object: object): Promise<string> => strictly(['create', '--dry-run=server', '-f', '-'], JSON.stringify(object))
    expect(await dryRun(pod)).toContain('pod/drover created')
    const spec = { ...template?.spec, hostPID: true }
    await expect(dryRun({ ...pod, spec })).rejects.toThrow(/violates PodSecurity "restricted:latest"/)
  }, 60_000)

  test('the two replicas are admitted and run', async () => {
    await cluster.until('both run', async () => {
      const pods = (await cluster.pods()).filter(({ metadata }) => metadata?.labels?.['app.kubernetes.io/name'] === 'drover')
      return pods.length === 2 && pods.every(({ status }) => status?.phase === 'Running')
    })
    await cluster.kubectl('--namespace', NAMESPACE, 'scale', 'deployment/drover', '--replicas=0')
  }, 130_000)
})

group('examples', () => {
  const files = readdirSync(`${root}examples`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()

  beforeAll(() => cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'cattle-system' } }))

  test('there are some', () => {
    expect(files.length).toBeGreaterThanOrEqual(8)
  })

  test.each(files)(
    '%s is valid without a warning, and applied again it changes nothing',
    async (file) => {
      const path = `examples/${file}`
      await strictly(['apply', '--dry-run=server', '--validate=strict', '-f', path])
      await strictly(['apply', '--validate=strict', '-f', path])
      const before = await stored(['-f', path])
      await strictly(['apply', '--validate=strict', '-f', path])
      expect(await stored(['-f', path])).toEqual(before)
      await cluster.kubectl('delete', '-f', path)
    },
    60_000,
  )

  test('a field that does not exist is refused', async () => {
    const plan = agentPlan({ concurency: 1 })
    await expect(strictly(['apply', '--validate=strict', '-f', '-'], JSON.stringify(plan))).rejects.toThrow(
      /unknown field "spec.concurency"/,
    )
  }, 60_000)
})

group('kubectl', () => {
  test('explains the fields of a Plan', async () => {
    const explained = (path: string): Promise<string> => cluster.kubectl('explain', path)
    await cluster.until('the API server publishes the schema', async () => (await explained('plans.spec')) !== '')
    expect(await explained('plans.spec.drain.disableEviction')).toMatch(/DESCRIPTION:\s+\S+/)
    expect(await explained('plan.spec')).toMatch(/concurrency\s+<integer>/)
    expect(await explained('rolloutpolicies.spec')).toMatch(/DESCRIPTION/)
  }, 60_000)

  test('waits for a Plan, and shows it on one line', async () => {
    controller = await cluster.controller()
    await cluster.apply(agentPlan({ concurrency: 3 }))
    const waited = await cluster.kubectl('--namespace', NAMESPACE, 'wait', '--for=condition=Ready', 'plan/agents', '--timeout=110s')
    expect(waited).toContain('condition met')
    const [head = '', row = '', ...rest] = (await cluster.kubectl('--namespace', NAMESPACE, 'get', 'plans')).trim().split('\n')
    expect(rest).toEqual([])
    const starts = [...head.matchAll(/\S+/g)].map(({ index }) => index)
    const cells = starts.map((start, i) => [head.slice(start, starts[i + 1]).trim(), row.slice(start, starts[i + 1]).trim()])
    expect(Object.fromEntries(cells)).toEqual({
      NAME: 'agents',
      IMAGE: 'rancher/rke2-upgrade',
      CHANNEL: '',
      VERSION: NEW,
      COMPLETE: 'True',
      DONE: '3',
      SELECTED: '3',
      MESSAGE: '3 of 3 nodes done',
    })
    await cluster.kubectl('--namespace', NAMESPACE, 'delete', 'plan', 'agents')
  }, 180_000)
})

group("SUC's definition", () => {
  test('first, then ours over it: Plans keep what they say, and one that does not fit stops only itself', async () => {
    await cluster.kubectl('delete', 'crd', 'plans.upgrade.cattle.io')
    // Older than any schema: SUC's first releases took what came.
    const [version] = (sucCRD['spec'] as { versions: JsonObject[] }).versions
    const loose = { ...version, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }
    await cluster.apply({ ...sucCRD, spec: { ...(sucCRD['spec'] as object), versions: [loose] } })
    await cluster.until('SUC’s definition is served', async () => (await cluster.api.list(PLANS)).items.length === 0)
    const none = { nodeSelector: { matchLabels: { none: 'none' } } }
    const bad = agentPlan({ ...none, concurrency: 'two', tolerations: 'all' }, { name: 'bad' })
    await cluster.apply(agentPlan(none, { name: 'good', annotations: { 'drover.io/paused': 'kept' } }), bad)
    await cluster.kubectl(
      '--namespace',
      NAMESPACE,
      'patch',
      'plan',
      'good',
      '--subresource=status',
      '--type=merge',
      '--patch',
      '{"status":{"latestHash":"abc","applying":["gone"]}}',
    )
    await putSucCRD()
    const good = async (): Promise<JsonObject> => cluster.api.get<JsonObject>(`${PLANS}/good`)
    expect(await good()).toMatchObject({ metadata: { annotations: { 'drover.io/paused': 'kept' } }, status: { latestHash: 'abc' } })

    controller = await cluster.controller()
    await cluster.until('ours is over it', isOurs)
    await cluster.until('the good Plan goes on', async () =>
      (await cluster.condition('good', 'Complete')).startsWith('True NoMatchingNodes'),
    )
    expect((await cluster.plan('good')).metadata.annotations).toMatchObject({ 'drover.io/paused': 'kept' })
    await cluster.until('the bad one says so', async () =>
      /^False Error: .*(concurrency|tolerations)/.test(await cluster.condition('bad', 'Validated')),
    )
    expect(await cluster.condition('bad', 'Stalled')).toMatch(/^True PlanUnreadable/)
    await cluster.kubectl('--namespace', NAMESPACE, 'delete', 'plans', '--all')
  }, 240_000)

  test('over ours in the middle of a rollout: put back, and nothing that decides is lost', async () => {
    const machines = ['agent-1', 'agent-2', 'agent-3'].map((name) => cluster.machines.all.get(name))
    const replaced = (): readonly number[] =>
      machines.map((machine) => machine?.timeline.filter(({ what }) => what === 'replaced').length ?? -1)
    const before = replaced()
    const NEXT = 'v1.36.3+rke2r2'
    controller = await cluster.controller({ env: { DROVER_STATUS_DELAY: '1s' } })
    await cluster.until('ours is there', isOurs)
    const server = cluster.machines.all.get('server-1')
    server?.replaceBinary(NEXT)
    server?.restartService()
    await cluster.until('the server is ahead', async () => (await cluster.node('server-1')).status?.nodeInfo?.kubeletVersion === NEXT)
    await cluster.apply(agentPlan({ version: NEXT, prepare: { image: 'busybox', command: ['sleep', '3'] } }))
    const done = async (): Promise<number> =>
      ((await cluster.plan('agents')).status as { nodeCounts?: { done?: number } } | undefined)?.nodeCounts?.done ?? -1
    await cluster.until('one node is done', async () => (await done()) === 1)
    const memory = (await cluster.plan('agents')).metadata.annotations?.['drover.io/rollout']
    expect(memory).toBeDefined()
    await putSucCRD()
    expect(await isOurs()).toBe(false)
    expect(await done()).toBe(-1)
    expect((await cluster.plan('agents')).metadata.annotations?.['drover.io/rollout']).toBe(memory)
    await cluster.until('ours is back', isOurs)
    expect(controller.output()).toContain('somebody put another CRD over ours')
    await cluster.until('complete', async () => (await cluster.condition('agents', 'Complete')).startsWith('True Complete'))
    await cluster.until('counts are back', async () => (await done()) === 3)
    expect(replaced()).toEqual(before.map((count) => count + 1))
    expect((await cluster.api.list(JOBS)).items.length).toBeGreaterThan(0)
  }, 300_000)
})
