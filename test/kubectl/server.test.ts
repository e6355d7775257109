// The sandbox's API server, judged by the real kubectl: what it prints, and what it did to the store.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { seededRandom } from '../../src/base/random.ts'
import { createFaults } from '../../src/sandbox/faults.ts'
import type { Listener } from '../../src/sandbox/listen.ts'
import { listen } from '../../src/sandbox/listen.ts'
import type { ApiServer } from '../../src/sandbox/server/server.ts'
import { createApiServer } from '../../src/sandbox/server/server.ts'

const signal = new AbortController().signal
let folder: string
let server: ApiServer
let listener: Listener

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'drover-kubectl-'))
  const random = seededRandom(1)
  server = createApiServer({ clock: systemClock, random, faults: createFaults({ random, latencyMs: [0, 0] }), freeze: true })
  listener = await listen(server, { kubeconfigPath: join(folder, 'config') })
})

afterEach(async () => {
  await listener.close()
  rmSync(folder, { recursive: true, force: true })
})

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, KUBECONFIG: join(folder, 'config'), HOME: folder })

interface Result {
  readonly code: number
  readonly out: string
}

/** Runs kubectl; `out` is all it printed. */
function kubectl(...args: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile('kubectl', [...args], { env: environment(), timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, out: stdout + stderr })
    })
  })
}

async function ok(...args: readonly string[]): Promise<string> {
  const { code, out } = await kubectl(...args)
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit code ${code}\n${out}`)
  return out
}

function file(...objects: readonly JsonObject[]): string {
  const path = join(folder, `${objects.length}-${Math.random().toString(36).slice(2)}.json`)
  writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  return path
}

const node = (name: string): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: {},
})
const pod = (name: string, more: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app: name }, ...more },
  spec: { nodeName: 'n1', containers: [{ name: 'main', image: 'busybox:1' }] },
})
const deployment = (image: string, replicas = 1): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [
          { name: 'web', image },
          { name: 'side', image: 'side:1' },
        ],
      },
    },
  },
})
const crd: JsonObject = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { kind: 'Thing', plural: 'things', singular: 'thing', shortNames: ['th'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                description: 'What is wanted of a thing.',
                properties: {
                  size: { type: 'integer', default: 3, description: 'How large it is.' },
                  names: { type: 'array', items: { type: 'string' } },
                },
              },
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
    ],
  },
}
const thing = (spec: JsonObject): JsonObject => ({
  apiVersion: 'example.com/v1',
  kind: 'Thing',
  metadata: { name: 'x', namespace: 'default' },
  spec,
})

/** Sets the status of a pod as its kubelet would. */
async function running(name: string, phase = 'Running'): Promise<void> {
  const status = {
    phase,
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: [{ name: 'main', ready: true, restartCount: 0, image: 'busybox:1', imageID: '', state: { running: {} } }],
  }
  await server.as('kubelet').send(
    {
      method: 'PATCH',
      path: `/api/v1/namespaces/default/pods/${name}/status`,
      contentType: 'application/merge-patch+json',
      body: { status },
    },
    signal,
  )
}

/** Ends pods that are to be deleted, as a kubelet does. */
function kubelet(): void {
  server.onWrite(({ after, status, ref }) => {
    if (status >= 300 || ref.resource !== 'pods' || after?.metadata.deletionTimestamp === undefined) return
    const path = `/api/v1/namespaces/default/pods/${after.metadata.name}`
    void server
      .as('kubelet')
      .send({ method: 'DELETE', path, body: { gracePeriodSeconds: 0, preconditions: { uid: after.metadata.uid } } }, signal)
  })
}

describe('kubectl', () => {
  test('apply creates, changes item by item, prunes and then leaves alone', async () => {
    await ok('apply', '-f', file(node('n1'), deployment('one:1', 2)))
    await ok('scale', 'deployment/web', '--replicas=4')
    const changed = deployment('one:2')
    const { replicas: _, ...spec } = changed['spec'] as JsonObject
    expect(await ok('apply', '-f', file({ ...changed, spec }))).toContain('deployment.apps/web configured')
    const stored = server.peek('deployments', 'web', 'default')
    expect(stored).toMatchObject({
      spec: { template: { spec: { containers: [{ name: 'web', image: 'one:2', imagePullPolicy: 'IfNotPresent' }, { name: 'side' }] } } },
    })
    expect(await ok('apply', '-f', file({ ...changed, spec }))).toContain('deployment.apps/web unchanged')
    expect(server.peek('deployments', 'web', 'default')).toBe(stored)
  })

  test('apply --server-side owns fields, names conflicts and forces them', async () => {
    await ok('apply', '--server-side', '-f', file(deployment('one:1', 2)))
    await ok('apply', '--server-side', '-f', file(deployment('one:2', 2)))
    const other = file(deployment('one:2', 5))
    const refused = await kubectl('apply', '--server-side', '--field-manager=other', '-f', other)
    expect(refused.code).not.toBe(0)
    expect(refused.out).toContain('conflict with "kubectl": .spec.replicas')
    await ok('apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', other)
    expect(server.peek('deployments', 'web', 'default')).toMatchObject({ spec: { replicas: 5 } })
  })

  test('apply --server-side takes over what apply made', async () => {
    await ok('apply', '-f', file(deployment('one:1', 2)))
    await ok('apply', '--server-side', '-f', file(deployment('one:2', 2)))
    const managed = server.peek('deployments', 'web', 'default')?.metadata['managedFields'] as readonly JsonObject[]
    expect(managed.map((entry) => [entry['manager'], entry['operation']])).toContainEqual(['kubectl', 'Apply'])
    expect(managed.map((entry) => entry['manager'])).not.toContain('kubectl-client-side-apply')
  })

  test('dry runs and diffs store nothing', async () => {
    const manifest = file(deployment('one:1'))
    await ok('apply', '--dry-run=server', '-f', manifest)
    expect((await kubectl('diff', '-f', manifest)).out).toContain('+  name: web')
    expect(server.peekAll('deployments')).toEqual([])
  })

  test('custom resources: established, defaulted, validated, explained, printed, waited for', async () => {
    await ok('apply', '-f', file(crd))
    await ok('wait', '--for=condition=Established', 'crd/things.example.com', '--timeout=10s')
    await ok('apply', '-f', file(thing({ names: ['a'] })))
    expect((await ok('get', 'th')).split('\n').map((line) => line.split(/\s+/).slice(0, 2))).toEqual([['NAME', 'SIZE'], ['x', '3'], ['']])
    const unknown = await kubectl('apply', '-f', file(thing({ nope: 1 })))
    expect([unknown.code, unknown.out]).toEqual([1, expect.stringContaining('unknown field "spec.nope"')])
    const wrong = await kubectl('apply', '-f', file(thing({ size: 'large' })))
    expect([wrong.code, wrong.out]).toEqual([1, expect.stringContaining('spec.size in body must be of type integer: "string"')])
    expect(await ok('explain', 'thing.spec.size')).toContain('How large it is.')
    const waiting = ok('wait', 'thing/x', '--for=jsonpath={.status.phase}=Done', '--timeout=20s')
    await ok('patch', 'thing', 'x', '--subresource=status', '--type=merge', '-p', '{"status":{"phase":"Done"}}')
    expect(await waiting).toContain('condition met')
    await ok('delete', 'thing', 'x')
    expect(server.peekAll('things')).toEqual([])
  })

  test('get lists, selects, sorts, and prints as asked', async () => {
    await ok('apply', '-f', file(node('n1'), node('n2'), pod('a'), pod('b')))
    await ok('label', 'node', 'n2', 'size=large')
    expect(await ok('get', 'nodes', '-l', 'size=large', '-o', 'name')).toBe('node/n2\n')
    expect(await ok('get', 'pods', '-A', '--field-selector', 'spec.nodeName=n1', '-o', 'name')).toBe('pod/a\npod/b\n')
    expect(await ok('get', 'nodes', '--chunk-size=1', '-o', 'jsonpath={.items[*].metadata.name}')).toBe('n1 n2')
    expect((await ok('get', 'pods', '-o', 'wide')).split('\n')[1]?.split(/\s+/)).toEqual(
      expect.arrayContaining(['a', '0/1', 'Pending', 'n1']),
    )
    const missing = await kubectl('get', 'pod', 'nope')
    expect([missing.code, missing.out]).toEqual([1, 'Error from server (NotFound): pods "nope" not found\n'])
  })

  test('get -w follows', async () => {
    await ok('apply', '-f', file(node('n1')))
    const child = spawn('kubectl', ['get', 'nodes', '-w'], { env: environment() })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    const shows = async (text: string): Promise<void> => {
      for (let tries = 0; tries < 200 && !out.includes(text); tries++) await systemClock.sleep(50)
    }
    try {
      await shows('n1')
      await ok('cordon', 'n1')
      await shows('SchedulingDisabled')
      await ok('apply', '-f', file(node('n2')))
      await shows('n2')
    } finally {
      child.kill()
    }
    expect(out).toMatch(/^NAME +STATUS.*\nn1 +Unknown .*\nn1 +Unknown,SchedulingDisabled .*\nn2 +Unknown /)
  })

  test('describe tells of nodes, pods and Jobs, with their events', async () => {
    await ok('apply', '-f', file(node('n1'), pod('a')))
    const uid = server.peek('nodes', 'n1')?.metadata.uid ?? ''
    const event = {
      metadata: { name: 'n1.1', namespace: 'default' },
      involvedObject: { kind: 'Node', name: 'n1', uid: 'n1' },
      reason: 'Tested',
      message: 'seen by describe',
      type: 'Normal',
      count: 1,
      lastTimestamp: '2026-01-01T00:00:00Z',
      firstTimestamp: '2026-01-01T00:00:00Z',
      source: { component: 'test' },
    }
    const path = '/api/v1/namespaces/default/events'
    for (const [index, involved] of ['n1', uid].entries())
      await server.as('test').send(
        {
          method: 'POST',
          path,
          body: {
            ...event,
            metadata: { name: `n1.${index}`, namespace: 'default' },
            involvedObject: { ...event.involvedObject, uid: involved },
          },
        },
        signal,
      )
    const told = await ok('describe', 'node', 'n1')
    expect(told).toMatch(/Unschedulable: +false/)
    expect(told).toContain('seen by describe')
    expect(await ok('describe', 'pod', 'a')).toMatch(/Node: +n1/)
    await ok(
      'apply',
      '-f',
      file({
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'j', namespace: 'default' },
        spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox:1' }] } } },
      }),
    )
    expect(await ok('describe', 'job', 'j')).toMatch(/Parallelism: +1/)
  })

  test('patch, label, annotate and taint', async () => {
    await ok('apply', '-f', file(node('n1'), deployment('one:1')))
    await ok('patch', 'deployment', 'web', '-p', '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:2"}]}}}}')
    expect(server.peek('deployments', 'web', 'default')).toMatchObject({
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'web', image: 'one:1' },
              { name: 'side', image: 'side:2' },
            ],
          },
        },
      },
    })
    await ok('patch', 'deployment', 'web', '--type=json', '-p', '[{"op":"replace","path":"/spec/replicas","value":3}]')
    await ok('label', 'node', 'n1', 'a=b')
    await ok('annotate', 'node', 'n1', 'drover.io/hold=maintenance')
    await ok('taint', 'node', 'n1', 'a=b:NoSchedule')
    expect(server.peek('nodes', 'n1')).toMatchObject({
      metadata: { labels: { a: 'b' }, annotations: { 'drover.io/hold': 'maintenance' } },
      spec: { taints: [{ key: 'a', value: 'b', effect: 'NoSchedule' }] },
    })
    await ok('label', 'node', 'n1', 'a-')
    expect(server.peek('nodes', 'n1')?.metadata.labels).not.toHaveProperty('a')
    const refused = await kubectl('label', 'node', 'n1', `a=${'x'.repeat(64)}`)
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining('must be no more than 63')])
  })

  test('cordon and uncordon own the field as on a real server', async () => {
    const owners = (): unknown[] =>
      ((server.peek('nodes', 'n1')?.metadata['managedFields'] ?? []) as readonly JsonObject[])
        .filter((entry) => JSON.stringify(entry['fieldsV1']).includes('f:unschedulable'))
        .map((entry) => entry['manager'])
    await ok('apply', '-f', file(node('n1')))
    await ok('cordon', 'n1')
    expect([server.peek('nodes', 'n1')?.['spec'], owners()]).toEqual([{ unschedulable: true }, ['kubectl']])
    const writes = server.history.length
    await ok('cordon', 'n1')
    expect(server.history).toHaveLength(writes)
    await ok('uncordon', 'n1')
    expect([server.peek('nodes', 'n1')?.['spec'], owners()]).toEqual([{}, []])
  })

  test('drain evicts, waits for the pods to go, and names the budget in the way', async () => {
    kubelet()
    await ok('apply', '-f', file(node('n1'), pod('free'), pod('held')))
    for (const name of ['free', 'held']) await running(name)
    await ok(
      'apply',
      '-f',
      file({
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'held', namespace: 'default' },
        spec: { minAvailable: 1, selector: { matchLabels: { app: 'held' } } },
      }),
    )
    const status = (disruptionsAllowed: number) => ({
      status: { observedGeneration: 1, disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
    })
    const budget = '/apis/policy/v1/namespaces/default/poddisruptionbudgets/held/status'
    const allow = (count: number) =>
      server
        .as('controller')
        .send({ method: 'PATCH', path: budget, contentType: 'application/merge-patch+json', body: status(count) }, signal)
    await allow(0)
    const blocked = await kubectl('drain', 'n1', '--force', '--timeout=3s')
    expect([blocked.code, blocked.out]).toEqual([
      1,
      expect.stringContaining("Cannot evict pod as it would violate the pod's disruption budget"),
    ])
    expect(server.peekAll('pods').map((each) => each.metadata.name)).toEqual(['held'])
    await allow(1)
    expect(await ok('drain', 'n1', '--force', '--timeout=20s')).toContain('node/n1 drained')
    expect(server.peekAll('pods')).toEqual([])
    expect(server.peek('nodes', 'n1')).toMatchObject({ spec: { unschedulable: true } })
  })

  test('delete waits until it is gone', async () => {
    await ok('apply', '-f', file(node('n1'), pod('a')))
    await running('a')
    const deleting = ok('delete', 'pod', 'a', '--timeout=20s')
    for (let tries = 0; tries < 200 && server.peek('pods', 'a', 'default')?.metadata.deletionTimestamp === undefined; tries++)
      await systemClock.sleep(50)
    expect(server.peek('pods', 'a', 'default')?.metadata.deletionTimestamp).toBeDefined()
    await server
      .as('kubelet')
      .send({ method: 'DELETE', path: '/api/v1/namespaces/default/pods/a', body: { gracePeriodSeconds: 0 } }, signal)
    expect(await deleting).toContain('pod "a" deleted')
    await ok('delete', 'node', 'n1')
    expect(server.peekAll('nodes')).toEqual([])
  })

  test('logs, whole, the tail, and followed to the end', async () => {
    await ok('apply', '-f', file(node('n1'), pod('a')))
    await running('a')
    const uid = server.peek('pods', 'a', 'default')?.metadata.uid ?? ''
    for (const line of ['one', 'two']) server.logs.append(uid, 'main', line)
    expect(await ok('logs', 'a')).toBe('one\ntwo\n')
    expect(await ok('logs', 'a', '--tail=1')).toBe('two\n')
    const following = ok('logs', '-f', 'a')
    for (let tries = 0; tries < 200 && server.requests.total({ resource: 'pods/log' }) < 3; tries++) await systemClock.sleep(50)
    server.logs.append(uid, 'main', 'three')
    await running('a', 'Succeeded')
    expect(await following).toBe('one\ntwo\nthree\n')
  })

  test('create, for what has no manifest', async () => {
    await ok('create', 'namespace', 'ops')
    await ok('create', 'secret', 'generic', 'token', '-n', 'ops', '--from-literal=value=s3cret')
    await ok('create', 'configmap', 'settings', '-n', 'ops', '--from-literal=a=b')
    expect(server.peek('secrets', 'token', 'ops')).toMatchObject({
      type: 'Opaque',
      data: { value: Buffer.from('s3cret').toString('base64') },
    })
    expect(server.peek('configmaps', 'settings', 'ops')).toMatchObject({ data: { a: 'b' } })
    expect(await ok('auth', 'can-i', 'create', 'pods')).toBe('yes\n')
    expect(await ok('explain', 'pod')).toMatch(/KIND: +Pod/)
  })
})
