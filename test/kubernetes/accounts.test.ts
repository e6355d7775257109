/** Who else talks to the API server: the upgrade Jobs' service account, and people who call `drover explain` and `drover release`. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import type { Request } from '../../src/base/process.ts'
import { type Manifest, parseManifests } from '../manifests/objects.ts'
import { followAudit } from './asked.ts'
import { agentPlan, type Cluster, JOBS, NAMESPACE, PLANS, startCluster } from './cluster.ts'
import { lacking } from './needs.ts'
import { root } from './root.ts'
import { lineOf, type Rule, rulesOf } from './rules.ts'
import { budget, deployment } from './workloads.ts'

const JOBS_ACCOUNT = `system:serviceaccount:${NAMESPACE}:system-upgrade`
const OPERATOR = 'operator'
const group = lacking("what Jobs' and people's accounts may do", ['audit-log', 'all-nodes']) ? describe.skip : describe

let cluster: Cluster

beforeAll(async () => {
  cluster = await startCluster({
    agents: 4,
    users: [OPERATOR],
    machine: (spec) => ({ ...spec, labels: { scenario: 'drains', name: spec.name } }),
  })
}, 180_000)

afterAll(() => cluster?.stop(), 60_000)

group("the upgrade Jobs' account", () => {
  const signal = new AbortController().signal
  const status = async (request: Request): Promise<number> => (await cluster.plane.as(JOBS_ACCOUNT).send(request, signal)).status

  test('may do what the upstream images do in `prepare`, with the real kubectl', async () => {
    await cluster.apply(agentPlan({ nodeSelector: { matchLabels: { none: 'none' } } }, { name: 'server-plan' }))
    const config = await cluster.plane.kubeconfig(JOBS_ACCOUNT, NAMESPACE)
    const as = (...args: readonly string[]) => cluster.kubectl('--kubeconfig', config, ...args)
    expect(JSON.parse(await as('get', 'plan', 'server-plan', '--namespace', NAMESPACE, '--output', 'json'))).toMatchObject({ kind: 'Plan' })
    const label = 'node-role.kubernetes.io/control-plane'
    for (const selector of [label, `${label}=true`]) {
      const { items } = JSON.parse(await as('get', 'nodes', '--selector', selector, '--output', 'json')) as { items: JsonObject[] }
      expect(items).toHaveLength(1)
    }
  }, 60_000)

  test('may do nothing else that not everybody may', async () => {
    const rulesAs = async (user: string, namespace: string): Promise<readonly string[]> => {
      const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } }
      const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews'
      const answer = (await cluster.plane.as(user).send({ method: 'POST', path, body }, signal)).body as {
        status?: {
          incomplete: boolean
          resourceRules: { verbs: string[]; apiGroups: string[]; resources: string[]; resourceNames?: string[] }[]
        }
      }
      expect(answer.status?.incomplete).toBe(false)
      return (answer.status?.resourceRules ?? []).flatMap(({ verbs, apiGroups, resources, resourceNames }) =>
        verbs.flatMap((verb) =>
          apiGroups.flatMap((group) => resources.map((resource) => [verb, group, resource, ...(resourceNames ?? [])].join(' '))),
        ),
      )
    }
    const more = async (namespace: string): Promise<readonly string[]> => {
      const everybody = new Set(await rulesAs('system:serviceaccount:default:default', namespace))
      expect(everybody.size).toBeGreaterThan(0)
      return (await rulesAs(JOBS_ACCOUNT, namespace)).filter((rule) => !everybody.has(rule)).toSorted()
    }
    expect(await more(NAMESPACE)).toEqual(['get upgrade.cattle.io plans', 'list  nodes'])
    expect(await more('kube-system')).toEqual(['list  nodes'])
    expect(await more('default')).toEqual(['list  nodes'])
  })

  const json = 'application/merge-patch+json'
  const pod = `/api/v1/namespaces/${NAMESPACE}/pods`
  test.each<[Request['method'], string, Request['query']?]>([
    ['GET', PLANS],
    ['GET', '/apis/upgrade.cattle.io/v1/plans'],
    ['GET', '/apis/upgrade.cattle.io/v1/namespaces/default/plans/server-plan'],
    ['PATCH', `${PLANS}/server-plan`],
    ['PATCH', `${PLANS}/server-plan/status`],
    ['DELETE', `${PLANS}/server-plan`],
    ['GET', '/api/v1/nodes/agent-1'],
    ['GET', '/api/v1/nodes', { watch: 'true' }],
    ['PATCH', '/api/v1/nodes/agent-1'],
    ['PATCH', '/api/v1/nodes/agent-1/status'],
    ['DELETE', '/api/v1/nodes/agent-1'],
    ['GET', '/api/v1/pods'],
    ['GET', pod],
    ['POST', pod],
    ['DELETE', `${pod}/x`],
    ['POST', `${pod}/x/eviction`],
    ['POST', `${pod}/x/exec`],
    ['POST', JOBS],
    ['PATCH', `${JOBS}/x`],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/secrets`],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/secrets/x`],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/configmaps`],
    ['POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/drover/token`],
    ['PUT', `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/system-upgrade-controller`],
    ['POST', `/api/v1/namespaces/${NAMESPACE}/events`],
    ['GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'],
    ['POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'],
  ])('may not %s %s', async (...[method, path, query]) => {
    const body = method === 'GET' ? {} : { body: {}, contentType: method === 'PATCH' ? json : 'application/json' }
    expect(await status({ method, path, ...body, ...(query === undefined ? {} : { query }) })).toBe(403)
  })
})

group('people', () => {
  /** The roles that the guide shows. */
  const documented = (): readonly Manifest[] => {
    const text = /```yaml\n(apiVersion: rbac[^]*?)```/.exec(readFileSync(`${root}docs/guide.md`, 'utf8'))?.[1] ?? ''
    return parseManifests(text, 'docs/guide.md')
  }

  async function drover(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
    const config = await cluster.plane.kubeconfig(OPERATOR, NAMESPACE)
    const { PATH, HOME } = process.env
    return new Promise((resolve) => {
      const options = { cwd: root, timeout: 120_000, env: { PATH, HOME } }
      const child = execFile(process.execPath, ['dist/main.js', ...args, '--kubeconfig', config], options, (_error, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, text: `${stdout}${stderr}` }),
      )
    })
  }

  test('are told what they lack', async () => {
    const { code, text } = await drover('explain', 'node', 'agent-1')
    expect(code).not.toBe(0)
    expect(text).toMatch(/the cluster cannot be read: .* User "operator" cannot list resource/)
  }, 60_000)

  test('explain and release with the roles of the guide: nothing is refused, and no role is too much', async () => {
    const roles = documented()
    expect(roles.map(({ kind }) => kind)).toEqual(['ClusterRole', 'Role'])
    const subject = { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: OPERATOR }
    const bindings = roles.map(({ apiVersion, kind, metadata }) => ({
      apiVersion,
      kind: `${kind}Binding`,
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: metadata.name },
      subjects: [subject],
    }))
    await cluster.apply(...roles, ...bindings)
    const namespace = 'drains'
    const within = (object: object): object => ({ ...object, metadata: { ...(object as Manifest).metadata, namespace } })
    await cluster.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'script', namespace: NAMESPACE }, data: { run: 'ZWNobwo=' } },
      within(deployment('drains', 8, { graceSeconds: 1 })),
      within(budget('web', { maxUnavailable: 0 })),
      within({
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'daemon' },
        spec: {
          selector: { matchLabels: { app: 'daemon' } },
          template: {
            metadata: { labels: { app: 'daemon' } },
            spec: { containers: [{ name: 'daemon', image: 'registry.example.com/daemon' }] },
          },
        },
      }),
    )
    await cluster.until('the pods run', async () => {
      const pods = await cluster.pods(namespace)
      return pods.length >= 12 && pods.every(({ status }) => status?.phase === 'Running')
    })
    const on = (...names: string[]) => ({ nodeSelector: { matchExpressions: [{ key: 'name', operator: 'In', values: names }] } })
    const script = (text: string) => ({ image: 'busybox', command: ['sh', '-c', text] })
    const controller = await cluster.controller({ env: { DROVER_STATUS_DELAY: '1s' } })
    await cluster.apply(
      agentPlan({ ...on('agent-1', 'agent-4'), drain: {}, secrets: [{ name: 'script', path: '/script' }] }, { name: 'drains' }),
      agentPlan({ ...on('agent-2'), prepare: script('sleep 600') }, { name: 'prepares' }),
    )
    const jobs = async (plan: string, role: string) =>
      (await cluster.jobs()).filter(({ metadata }) => metadata?.name?.startsWith(`${role}-${plan}-on-`) === true)
    await cluster.until('all is under way', async () => {
      const blocked = (await cluster.plan('drains')).status?.nodeStatuses?.some(({ phase }) => phase === 'Draining')
      const pulled = (await cluster.pods()).filter(({ metadata }) => metadata?.labels?.['drover.io/role'] === 'pull').length > 0
      const [prepare] = await jobs('prepares', 'prepare')
      return blocked === true && pulled && prepare?.status?.active === 1
    })
    await cluster.apply(agentPlan({ ...on('agent-3'), version: 'v1', upgrade: script('sleep 15') }, { name: 'ends' }))
    await cluster.until('an upgrade runs', async () => (await jobs('ends', 'apply'))[0]?.status?.active === 1)
    // Killed, so that what it had in hand stays as it is.
    await controller.kill()
    await cluster.until('the Job is complete', async () => (await jobs('ends', 'apply'))[0]?.status?.succeeded === 1)

    const drains = await drover('explain', 'plan', 'drains')
    expect(drains.text).toMatch(/DrainBlocked: node agent-[14]: .*drains\/web/)
    expect(drains.code).toBe(0)
    const ends = await drover('explain', 'node', 'agent-3')
    expect(ends).toMatchObject({ code: 0, text: expect.stringMatching(/Plan system-upgrade\/ends: (Verifying|Done)/) })
    expect(await drover('release')).toMatchObject({ code: 1, text: expect.stringContaining('holds the Lease') })
    const released = await drover('release', '--all', '--force')
    expect(released.text).toMatch(/node agent-[14]: uncordoned and released/)
    expect(released.code).toBe(0)
    for (const node of await cluster.nodes()) {
      expect([node.metadata?.name, node.spec?.unschedulable, node.metadata?.annotations?.['drover.io/node-upgrade']]).toEqual([
        node.metadata?.name,
        undefined,
        undefined,
      ])
    }

    const rules = roles.flatMap(rulesOf)
    const asked = followAudit(cluster.plane.auditLog)(OPERATOR)
    const covers = (rule: Rule, one: (typeof asked)[number]): boolean =>
      rule.verb === one.verb &&
      rule.group === one.group &&
      rule.resource === one.resource &&
      (rule.namespace ?? one.namespace) === one.namespace
    const after = asked.filter(({ allowed }) => allowed)
    expect(asked.filter((one) => !one.allowed && rules.some((rule) => covers(rule, one)) === false)).toEqual([])
    // What `release` finds changed under its hands it reads again; that is not always so.
    const again = new Set(['nodes', 'plans', 'jobs', 'pods'])
    const unused = rules.filter((rule) => !after.some((one) => covers(rule, one)) && !(rule.verb === 'get' && again.has(rule.resource)))
    expect(unused.map(lineOf)).toEqual([])
  }, 300_000)
})
