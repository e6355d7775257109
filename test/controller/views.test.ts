import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { jobView, nodeView as project, planView, podView, sameNode } from '../../src/controller/views.ts'

const nodeView = (raw: object) => project(raw as JsonObject)

const node = (more: object = {}, spec: object = {}, managers: { manager: string; fieldsV1: object }[] = []) => ({
  metadata: {
    name: 'a',
    uid: 'u',
    resourceVersion: '7',
    labels: { 'kubernetes.io/hostname': 'h', 'node-role.kubernetes.io/etcd': 'true' },
    managedFields: managers,
    ...more,
  },
  spec,
  status: {
    nodeInfo: { kubeletVersion: 'v1.33.3+rke2r1' },
    conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
  },
})
const owns = (manager: string) => ({ manager, fieldsV1: { 'f:spec': { 'f:unschedulable': {} } } })

describe('nodes', () => {
  test('who set spec.unschedulable is read from managedFields', () => {
    const cordoned = nodeView(node({}, { unschedulable: true }, [{ manager: 'kubelet', fieldsV1: { 'f:status': {} } }, owns('drover')]))
    expect([cordoned?.unschedulable, cordoned?.cordonOwner]).toEqual([true, 'drover'])
    expect(nodeView(node())?.cordonOwner).toBeUndefined()
  })

  test('a record of another UID is not ours; a broken one is kept as unreadable', () => {
    const record = (text: string) => nodeView(node({ annotations: { 'drover.io/node-upgrade': text } }))?.record
    expect(record('{"v":1,"nodeUID":"other"}')).toBeUndefined()
    expect(record('{"v":1,"nodeUID":"u"}')).toEqual({ ok: true, record: { v: 1, nodeUID: 'u' } })
    expect(record('{')).toMatchObject({ ok: false })
    expect(record('{"v":2,"nodeUID":"u"}')).toMatchObject({ ok: false })
  })

  test('only what a decision looks at makes two views differ', () => {
    const a = nodeView(node())
    const later = nodeView({
      ...node({ resourceVersion: '8' }),
      status: {
        nodeInfo: { kubeletVersion: 'v1.33.3+rke2r1' },
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:05:00Z' }],
      },
    })
    const cordoned = nodeView(node({}, { unschedulable: true }, [owns('kubectl')]))
    if (a === undefined || later === undefined || cordoned === undefined) throw new Error('not projected')
    expect(sameNode(a, later)).toBe(true)
    expect(sameNode(a, cordoned)).toBe(false)
    expect(sameNode(a, { ...a, labels: { ...a.labels, x: 'y' } })).toBe(false)
    expect(sameNode(a, { ...a, hold: '' })).toBe(false)
  })
})

describe('Jobs and pods', () => {
  test('a Job counts as failed or complete only by its conditions', () => {
    const job = (conditions: object[], spec: object = {}) =>
      jobView({ metadata: { name: 'j', uid: 'u', namespace: 'n' }, spec, status: { failed: 3, succeeded: 1, conditions } } as never)
    expect(job([])).toMatchObject({ complete: false, failed: undefined, failedPods: 3, parallelism: 1 })
    expect(job([{ type: 'Failed', status: 'False' }])?.failed).toBeUndefined()
    expect(job([{ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message: 'm' }])?.failed).toEqual({
      reason: 'BackoffLimitExceeded',
      message: 'm',
    })
    expect(job([{ type: 'Complete', status: 'True' }], { parallelism: 0, suspend: true })).toMatchObject({
      complete: true,
      parallelism: 0,
      suspend: true,
    })
  })

  const pod = (status: object) =>
    podView({
      metadata: { name: 'p', uid: 'u', namespace: 'n', ownerReferences: [{ kind: 'Job', name: 'j', uid: 'job', controller: true }] },
      spec: {},
      status,
    } as never)

  test('a container that could not start has pulled its image and touched nothing', () => {
    const started = pod({
      phase: 'Failed',
      containerStatuses: [{ imageID: 'sha256:1', state: { terminated: { reason: 'StartError', exitCode: 128 } } }],
    })
    expect(started).toMatchObject({ pulled: true, ranContainer: false, jobUID: 'job' })
    expect(
      pod({ phase: 'Failed', containerStatuses: [{ imageID: 'sha256:1', state: { terminated: { reason: 'Error', exitCode: 1 } } }] })
        ?.ranContainer,
    ).toBe(true)
  })

  test("Drover's own images are known by their name", () => {
    const of = (image: string) =>
      podView({ metadata: { name: 'p', uid: 'u', namespace: 'n' }, spec: { containers: [{ image }] }, status: {} } as never)?.ownImage
    expect([
      of('registry.example.com/drover-rke2-upgrade:v1.33.5-rke2r1'),
      of('rancher/rke2-upgrade:v1'),
      of('drover-k3s-upgrade'),
    ]).toEqual([true, false, true])
  })

  test("the payload's last word is read from the termination message, another program's is not", () => {
    const ended = (message: string) =>
      pod({ phase: 'Failed', containerStatuses: [{ imageID: 'sha256:1', state: { terminated: { exitCode: 20, message } } }] })?.said
    const line = { drover: 1, result: 'RolledBack', message: 'it crashed', final: true, log: 'fatal' }
    expect(ended(JSON.stringify(line))).toEqual(line)
    expect(ended('cp: no space left on device')).toBeUndefined()
    expect(ended('{"drover":1,"result":7}')).toBeUndefined()
    expect(ended('{"drover":')).toBeUndefined()
  })

  test('why a pod waits: its container first, else the scheduler', () => {
    expect(
      pod({ phase: 'Pending', containerStatuses: [{ imageID: '', state: { waiting: { reason: 'ErrImagePull', message: 'not found' } } }] })
        ?.waiting,
    ).toEqual({ reason: 'ErrImagePull', message: 'not found' })
    expect(
      pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no node' }] })
        ?.waiting,
    ).toEqual({ reason: 'Unschedulable', message: 'no node' })
    expect(pod({ phase: 'Running', containerStatuses: [{ imageID: 'x', state: { running: {} } }] })?.waiting).toBeUndefined()
  })
})

test('a Plan that cannot be decoded keeps its name, and its error names the field', () => {
  const view = planView({
    metadata: { name: 'p', namespace: 'n', uid: 'u', resourceVersion: '1' },
    spec: { upgrade: { image: 5 } },
  } as never)
  expect(view).toMatchObject({ key: 'n/p', plan: undefined })
  expect(view?.plan === undefined ? view?.error : '').toContain('image')
})
