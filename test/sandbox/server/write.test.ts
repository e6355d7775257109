import { describe, expect, test } from '@jest/globals'
import { harness, pod, podSpec } from './harness.ts'

const nodes = '/api/v1/nodes'
const pods = '/api/v1/namespaces/default/pods'
const jobs = '/apis/batch/v1/namespaces/default/jobs'
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
const template = { spec: { ...podSpec, restartPolicy: 'Never' } }

describe('create', () => {
  test('gives identity, and tells who exists already', async () => {
    const h = harness()
    const answer = await h.call('POST', jobs, {
      metadata: { name: 'j', uid: 'mine', generation: 9, creationTimestamp: '1999-01-01T00:00:00Z' },
      spec: { template },
      status: { succeeded: 1 },
    })
    expect(answer.status).toBe(201)
    const job = await h.ok('GET', `${jobs}/j`)
    expect(job.metadata).toMatchObject({ namespace: 'default', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' })
    expect(job.metadata.uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(job.status).toEqual({})
    expect(await h.call('POST', jobs, { metadata: { name: 'j' }, spec: { template } })).toMatchObject({
      status: 409,
      body: { reason: 'AlreadyExists', message: 'jobs.batch "j" already exists' },
    })
  })

  test('generateName makes names that differ', async () => {
    const h = harness()
    const made = new Set<string>()
    for (let index = 0; index < 20; index++)
      made.add((await h.ok('POST', pods, pod('', { metadata: { name: undefined, generateName: 'web-' } }))).metadata.name)
    expect(made.size).toBe(20)
    for (const name of made) expect(name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  })

  test('dryRun=All validates and stores nothing', async () => {
    const h = harness()
    const query = { dryRun: 'All' }
    const before = h.server.resourceVersion
    expect((await h.ok('POST', pods, pod('p'), { query })).spec.restartPolicy).toBe('Always')
    expect((await h.call('POST', pods, { metadata: { name: 'q' }, spec: { containers: [] } }, { query })).status).toBe(422)
    expect((await h.call('GET', `${pods}/p`)).status).toBe(404)
    expect(h.server.resourceVersion).toBe(before)
    expect(h.server.history.map((write) => [write.dryRun, write.status])).toEqual([
      [true, 201],
      [true, 422],
    ])
  })

  test('a namespace must exist and not be terminating', async () => {
    const h = harness()
    expect(await h.call('POST', '/api/v1/namespaces/nope/pods', pod('p'))).toMatchObject({
      status: 404,
      body: { message: 'namespaces "nope" not found' },
    })
    await h.ok('POST', '/api/v1/namespaces', { metadata: { name: 'ns' } })
    expect(await h.ok('DELETE', '/api/v1/namespaces/ns')).toMatchObject({ status: { phase: 'Terminating' } })
    const refused = await h.call('POST', '/api/v1/namespaces/ns/pods', pod('p'))
    expect(refused).toMatchObject({ status: 403, body: { details: { causes: [{ reason: 'NamespaceTerminating' }] } } })
    await h.ok('PUT', '/api/v1/namespaces/ns/finalize', { metadata: { name: 'ns' }, spec: { finalizers: [] } })
    expect((await h.call('GET', '/api/v1/namespaces/ns')).status).toBe(404)
    expect((await h.call('DELETE', '/api/v1/namespaces/default')).status).toBe(403)
  })

  test.each([
    ['a name with capitals', nodes, { metadata: { name: 'Node' } }, 'metadata.name'],
    ['no name at all', nodes, { metadata: {} }, 'metadata.name'],
    ['a label value of 64 characters', nodes, { metadata: { name: 'n', labels: { a: 'x'.repeat(64) } } }, 'metadata.labels'],
    ['a label key with two slashes', nodes, { metadata: { name: 'n', labels: { 'a/b/c': 'x' } } }, 'metadata.labels'],
    ['annotations above 256 KiB', nodes, { metadata: { name: 'n', annotations: { a: 'x'.repeat(262_144) } } }, 'metadata.annotations'],
    [
      'an ownerReference without uid',
      pods,
      pod('p', { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n' }] } }),
      'metadata.ownerReferences.uid',
    ],
    ['a pod without containers', pods, { metadata: { name: 'p' }, spec: {} }, 'spec.containers'],
    ['a container without image', pods, { metadata: { name: 'p' }, spec: { containers: [{ name: 'c' }] } }, 'spec.containers[0].image'],
    [
      'a mount of no volume',
      pods,
      { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i', volumeMounts: [{ name: 'v', mountPath: '/v' }] }] } },
      'spec.containers[0].volumeMounts[0].name',
    ],
    [
      'a Job that always restarts',
      jobs,
      { metadata: { name: 'j' }, spec: { template: { spec: podSpec } } },
      'spec.template.spec.restartPolicy',
    ],
    ['a negative deadline', jobs, { metadata: { name: 'j' }, spec: { template, activeDeadlineSeconds: -1 } }, 'spec.activeDeadlineSeconds'],
    ['a taint without effect', nodes, { metadata: { name: 'n' }, spec: { taints: [{ key: 'a' }] } }, 'metadata.taints[0].effect'],
    ['a Lease of no time', leases, { metadata: { name: 'l' }, spec: { leaseDurationSeconds: 0 } }, 'spec.leaseDurationSeconds'],
  ])('refuses %s with 422', async (_what, path, body, field) => {
    const h = harness()
    const answer = await h.call('POST', path, body as never)
    expect(answer).toMatchObject({
      status: 422,
      body: { reason: 'Invalid', details: { causes: expect.arrayContaining([expect.objectContaining({ field })]) } },
    })
    expect(h.server.history).toHaveLength(1)
  })

  test('refuses fields of the wrong type before it looks any closer', async () => {
    const h = harness()
    const wrong = [
      [nodes, { metadata: { name: 'n', labels: { a: true } } }],
      [nodes, { metadata: { name: 'n', annotations: { a: 1 } } }],
      [leases, { metadata: { name: 'l' }, spec: { renewTime: '2026-01-01T00:00:00Z' } }],
      ['/api/v1/namespaces/default/secrets', { metadata: { name: 's' }, data: { a: 'not base64' } }],
    ] as const
    for (const [path, body] of wrong)
      expect(await h.call('POST', path, body)).toMatchObject({ status: 400, body: { reason: 'BadRequest' } })
  })

  test('refuses what is not the object of the path', async () => {
    const h = harness()
    for (const body of [undefined, [], { kind: 'Pod', metadata: { name: 'n' } }, { apiVersion: 'v2', metadata: { name: 'n' } }])
      expect((await h.call('POST', nodes, body)).status).toBe(400)
    expect((await h.call('POST', pods, pod('p', { metadata: { namespace: 'other' } }))).status).toBe(400)
    expect((await h.call('POST', '/api/v1/pods', pod('p'))).status).toBe(405)
    expect((await h.call('POST', nodes, { metadata: { name: 'n' } }, { contentType: 'text/plain' })).status).toBe(415)
  })

  test('fills in what the real server fills in', async () => {
    const h = harness()
    const job = await h.ok('POST', jobs, { metadata: { name: 'j' }, spec: { template } })
    expect(job.spec).toMatchObject({
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      completionMode: 'NonIndexed',
      suspend: false,
      podReplacementPolicy: 'TerminatingOrFailed',
    })
    const own = { 'batch.kubernetes.io/controller-uid': job.metadata.uid }
    expect(job.spec.selector).toEqual({ matchLabels: own })
    expect(job.spec.template.metadata.labels).toEqual({
      ...own,
      'controller-uid': job.metadata.uid,
      'batch.kubernetes.io/job-name': 'j',
      'job-name': 'j',
    })
    const paused = await h.ok('POST', jobs, { metadata: { name: 'k' }, spec: { template, parallelism: 0 } })
    expect(paused.spec).toMatchObject({ parallelism: 0 })
    expect(paused.spec.completions).toBeUndefined()
    const made = await h.ok('POST', pods, pod('p', { spec: { tolerations: [{ operator: 'Exists' }] } }))
    expect(made.spec).toMatchObject({
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      serviceAccountName: 'default',
      tolerations: [{ operator: 'Exists' }],
    })
    expect((await h.ok('POST', pods, pod('q'))).spec.tolerations.map((each: { key: string }) => each.key)).toEqual([
      'node.kubernetes.io/not-ready',
      'node.kubernetes.io/unreachable',
    ])
    const secret = await h.ok('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: 's' }, stringData: { a: 'b' } })
    expect(secret).toMatchObject({ type: 'Opaque', data: { a: 'Yg==' } })
    expect(secret.stringData).toBeUndefined()
  })
})

describe('update', () => {
  test('a stale resourceVersion or a foreign uid is a conflict', async () => {
    const h = harness()
    const node = await h.ok('POST', nodes, { metadata: { name: 'n' } })
    await h.merge(`${nodes}/n`, { metadata: { labels: { a: 'b' } } })
    expect(await h.call('PUT', `${nodes}/n`, node)).toMatchObject({
      status: 409,
      body: { reason: 'Conflict', message: expect.stringContaining('the object has been modified') },
    })
    expect((await h.merge(`${nodes}/n`, { metadata: { resourceVersion: node.metadata.resourceVersion, labels: { c: 'd' } } })).status).toBe(
      409,
    )
    expect((await h.merge(`${nodes}/n`, { metadata: { uid: 'other', labels: { c: 'd' } } })).status).toBe(422)
    const { metadata } = await h.ok('GET', `${nodes}/n`)
    expect(
      (await h.merge(`${nodes}/n`, { metadata: { uid: metadata.uid, resourceVersion: metadata.resourceVersion, labels: { c: 'd' } } }))
        .status,
    ).toBe(200)
  })

  test('nothing is written when nothing changes', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'n', labels: { a: 'b' } } })
    const before = h.server.resourceVersion
    await h.merge(`${nodes}/n`, { metadata: { labels: { a: 'b' } } })
    await h.ok('PUT', `${nodes}/n`, await h.ok('GET', `${nodes}/n`))
    expect(h.server.resourceVersion).toBe(before)
    expect(h.server.history).toHaveLength(3)
  })

  test('identity does not change, generation counts changes of the spec, status goes its own way', async () => {
    const h = harness()
    const job = await h.ok('POST', jobs, { metadata: { name: 'j' }, spec: { template } })
    await h.merge(`${jobs}/j`, { metadata: { creationTimestamp: null, generation: 7, labels: { a: 'b' } }, status: { active: 1 } })
    expect(await h.ok('GET', `${jobs}/j`)).toMatchObject({
      metadata: { generation: 1, creationTimestamp: job.metadata.creationTimestamp },
      status: {},
    })
    await h.merge(`${jobs}/j`, { spec: { suspend: true } })
    await h.merge(`${jobs}/j/status`, { spec: { suspend: false }, status: { active: 1 } })
    expect(await h.ok('GET', `${jobs}/j`)).toMatchObject({ metadata: { generation: 2 }, spec: { suspend: true }, status: { active: 1 } })
  })

  test.each([
    ['the template of a Job', jobs, { spec: { template: { spec: { containers: [{ name: 'c', image: 'other' }] } } } }, 'spec.template'],
    ['the selector of a Job', jobs, { spec: { selector: { matchLabels: { a: 'b' } } } }, 'spec.selector'],
    ['the command of a pod', pods, { spec: { containers: [{ name: 'c', image: 'busybox:1', command: ['x'] }] } }, 'spec'],
  ])('%s is immutable', async (_what, path, patch, field) => {
    const h = harness()
    await h.ok('POST', path, path === jobs ? { metadata: { name: 'x' }, spec: { template } } : pod('x'))
    expect(await h.merge(`${path}/x`, patch)).toMatchObject({
      status: 422,
      body: { details: { causes: [expect.objectContaining({ field })] } },
    })
  })

  test('a Lease is never overwritten blindly', async () => {
    const h = harness()
    await h.ok('POST', leases, { metadata: { name: 'l' }, spec: { holderIdentity: 'a' } })
    expect((await h.call('PUT', `${leases}/l`, { metadata: { name: 'l' }, spec: { holderIdentity: 'b' } })).status).toBe(422)
  })

  test('of what is not there: 404', async () => {
    const h = harness()
    expect((await h.call('PUT', `${nodes}/n`, { metadata: { name: 'n' } })).status).toBe(404)
    expect((await h.merge(`${nodes}/n`, {})).status).toBe(404)
  })

  test('binding sets the node once', async () => {
    const h = harness()
    await h.ok('POST', pods, pod('p'))
    await h.ok('POST', `${pods}/p/binding`, { target: { kind: 'Node', name: 'n1' } })
    expect(await h.ok('GET', `${pods}/p`)).toMatchObject({
      spec: { nodeName: 'n1' },
      status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
    })
    expect((await h.call('POST', `${pods}/p/binding`, { target: { kind: 'Node', name: 'n2' } })).status).toBe(409)
  })

  test('scale reads and writes replicas', async () => {
    const h = harness()
    const deployments = '/apis/apps/v1/namespaces/default/deployments'
    const labels = { a: 'b' }
    await h.ok('POST', deployments, {
      metadata: { name: 'd' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } },
    })
    expect(await h.ok('GET', `${deployments}/d/scale`)).toMatchObject({ kind: 'Scale', spec: { replicas: 1 }, status: { selector: 'a=b' } })
    expect((await h.merge(`${deployments}/d/scale`, { spec: { replicas: 5 } })).body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 5 },
    })
    expect(await h.ok('GET', `${deployments}/d`)).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 5 } })
  })
})

describe('delete', () => {
  test('at once where nobody has a say, with preconditions', async () => {
    const h = harness()
    const node = await h.ok('POST', nodes, { metadata: { name: 'n' } })
    expect((await h.call('DELETE', `${nodes}/n`, { preconditions: { uid: 'other' } })).status).toBe(409)
    expect((await h.call('DELETE', `${nodes}/n`, { preconditions: { resourceVersion: '1' } })).status).toBe(409)
    expect((await h.call('DELETE', `${nodes}/n`, { dryRun: ['All'] })).status).toBe(200)
    expect(h.server.peek('nodes', 'n')).toBeDefined()
    expect(await h.ok('DELETE', `${nodes}/n`, { preconditions: { uid: node.metadata.uid } })).toMatchObject({
      kind: 'Status',
      status: 'Success',
      details: { uid: node.metadata.uid },
    })
    expect((await h.call('DELETE', `${nodes}/n`)).status).toBe(404)
  })

  test('a pod on a node waits for its kubelet, a shorter grace counts, a pending one goes at once', async () => {
    const h = harness()
    for (const name of ['p', 'q']) await h.ok('POST', pods, pod(name))
    await h.ok('DELETE', `${pods}/q`)
    expect((await h.call('GET', `${pods}/q`)).status).toBe(404)
    await h.ok('POST', `${pods}/p/binding`, { target: { kind: 'Node', name: 'n1' } })
    expect((await h.ok('DELETE', `${pods}/p`)).metadata).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:30Z',
      deletionGracePeriodSeconds: 30,
    })
    expect((await h.ok('DELETE', `${pods}/p`, { gracePeriodSeconds: 5 })).metadata).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:05Z',
      deletionGracePeriodSeconds: 5,
    })
    expect((await h.ok('DELETE', `${pods}/p`, { gracePeriodSeconds: 60 })).metadata.deletionGracePeriodSeconds).toBe(5)
    await h.ok('DELETE', `${pods}/p`, { gracePeriodSeconds: 0 })
    expect((await h.call('GET', `${pods}/p`)).status).toBe(404)
  })

  test('finalizers hold it until the last one goes', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'n', finalizers: ['a.io/x'] } })
    expect((await h.ok('DELETE', `${nodes}/n`)).metadata.deletionTimestamp).toBeDefined()
    await h.merge(`${nodes}/n`, { metadata: { labels: { a: 'b' } } })
    expect(h.server.peek('nodes', 'n')).toBeDefined()
    await h.merge(`${nodes}/n`, { metadata: { finalizers: null } })
    expect(h.server.peek('nodes', 'n')).toBeUndefined()
    // Who reads the history sees it go.
    expect(h.server.history.at(-1)).toMatchObject({ verb: 'patch', status: 200, before: { metadata: { name: 'n' } } })
    expect(h.server.history.at(-1)?.after).toBeUndefined()
  })

  test('propagationPolicy sets the finalizers of the garbage collector', async () => {
    const h = harness()
    for (const [name, propagationPolicy, finalizer] of [
      ['f', 'Foreground', 'foregroundDeletion'],
      ['o', 'Orphan', 'orphan'],
    ] as const) {
      await h.ok('POST', jobs, { metadata: { name }, spec: { template } })
      expect((await h.ok('DELETE', `${jobs}/${name}`, { propagationPolicy })).metadata.finalizers).toEqual([finalizer])
    }
    await h.ok('POST', jobs, { metadata: { name: 'b' }, spec: { template } })
    await h.ok('DELETE', `${jobs}/b`, { propagationPolicy: 'Background' })
    expect(h.server.peek('jobs', 'b', 'default')).toBeUndefined()
    expect((await h.call('DELETE', `${jobs}/f`, { propagationPolicy: 'Nope' })).status).toBe(422)
  })

  test('a collection, by selector', async () => {
    const h = harness()
    for (const [name, a] of [
      ['p', 'x'],
      ['q', 'x'],
      ['r', 'y'],
    ] as const)
      await h.ok('POST', pods, pod(name, { metadata: { labels: { a } } }))
    await h.ok('DELETE', pods, undefined, { query: { labelSelector: 'a=x' } })
    expect(h.server.peekAll('pods').map((each) => each.metadata.name)).toEqual(['r'])
    expect(h.server.history.at(-1)).toMatchObject({ verb: 'deletecollection', status: 200 })
  })
})

test('the history has who, what, before and after, refusals included', async () => {
  const h = harness()
  const seen: number[] = []
  const stop = h.server.onWrite((write) => seen.push(write.n))
  await h.ok('POST', nodes, { metadata: { name: 'n' } })
  await h.merge(`${nodes}/n`, { spec: { unschedulable: true } }, { fieldManager: 'drover' })
  stop()
  await h.call('DELETE', `${nodes}/n`, { preconditions: { uid: 'x' } })
  const [made, cordoned, refused] = h.server.history
  expect(made).toMatchObject({
    n: 1,
    user: 'tester',
    verb: 'create',
    ref: { group: '', resource: 'nodes', name: 'n' },
    status: 201,
    dryRun: false,
  })
  expect(made?.before).toBeUndefined()
  expect(cordoned).toMatchObject({
    verb: 'patch',
    query: { fieldManager: 'drover' },
    before: { spec: {} },
    after: { spec: { unschedulable: true } },
    body: { spec: { unschedulable: true } },
  })
  expect(refused).toMatchObject({ verb: 'delete', status: 409, before: { metadata: { name: 'n' } } })
  expect(refused?.after).toBeUndefined()
  expect(seen).toEqual([1, 2])
})

test('pod logs: what was printed, the tail, and why there is nothing', async () => {
  const h = harness()
  const made = await h.ok('POST', pods, pod('p', { spec: { nodeName: 'n' } }))
  for (let line = 1; line <= 5; line++) h.server.logs.append(made.metadata.uid, 'c', `line ${line}`)
  expect((await h.call('GET', `${pods}/p/log`)).body).toBe('line 1\nline 2\nline 3\nline 4\nline 5\n')
  expect((await h.call('GET', `${pods}/p/log`, undefined, { query: { tailLines: '2' } })).body).toBe('line 4\nline 5\n')
  expect((await h.call('GET', `${pods}/p/log`, undefined, { query: { container: 'nope' } })).status).toBe(400)
  await h.ok('POST', pods, {
    metadata: { name: 'two' },
    spec: {
      containers: [
        { name: 'a', image: 'i' },
        { name: 'b', image: 'i' },
      ],
    },
  })
  expect((await h.call('GET', `${pods}/two/log`)).body).toMatchObject({
    message: 'a container name must be specified for pod two, choose one of: [a b]',
  })
})
