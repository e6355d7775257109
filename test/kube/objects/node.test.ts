import { describe, expect, test } from '@jest/globals'
import type { Node } from 'kubernetes-types/core/v1.d.ts'
import {
  etcdVoter,
  hostnameOf,
  isCordoned,
  isReady,
  isServer,
  isWindows,
  kubeletVersion,
  nodeReady,
  nodeRoles,
} from '../../../src/kube/objects/node.ts'

const labelled = (labels: Record<string, string>): Node => ({ metadata: { name: 'n', labels } })
const ready = (status: string): Node => ({
  status: {
    conditions: [
      { type: 'MemoryPressure', status: 'True' },
      { type: 'Ready', status, lastHeartbeatTime: '2026-01-02T03:04:05Z', reason: 'KubeletReady' },
    ],
  },
})

test.each([
  ['True', '2026-01-02T03:04:05Z', true],
  ['False', '2026-01-02T03:04:05Z', false],
  ['Unknown', '2026-01-02T03:04:05Z', false],
  // Refreshed every five minutes: two minutes of slack.
  ['True', '2026-01-02T02:57:05Z', true],
  ['True', '2026-01-02T02:57:04Z', false],
  // By whichever clock it was written, it is not older than the node's own word.
  ['True', '2026-01-02T04:00:00Z', true],
  ['True', undefined, true],
])('an etcd member with EtcdIsVoter %s of %s, on a node heard of at 03:04:05, votes: %s', (status, lastHeartbeatTime, votes) => {
  const said = { type: 'EtcdIsVoter', status, ...(lastHeartbeatTime === undefined ? {} : { lastHeartbeatTime }) }
  expect(etcdVoter({ status: { conditions: [...(ready('True').status?.conditions ?? []), said] } })).toBe(votes)
})

test('nothing is said of an etcd member without the condition', () => {
  expect(etcdVoter(ready('True'))).toBeUndefined()
})

test('readiness is read from the Ready condition alone', () => {
  expect(nodeReady(ready('True'))).toEqual({ status: 'True', heartbeat: '2026-01-02T03:04:05Z', reason: 'KubeletReady' })
  expect([ready('True'), ready('False'), ready('Unknown'), ready('Maybe'), {}].map(isReady)).toEqual([true, false, false, false, false])
  expect(nodeReady({})).toEqual({ status: 'Unknown' })
  expect(nodeReady(ready('Maybe')).status).toBe('Unknown')
})

describe('roles', () => {
  const role = (name: string, value = 'true') => labelled({ [`node-role.kubernetes.io/${name}`]: value })
  test.each([
    [role('control-plane'), true, false],
    [role('master'), true, false],
    [role('etcd'), false, true],
    [role('control-plane', ''), true, false],
    [role('control-plane', 'false'), false, false],
    [role('worker'), false, false],
  ])('%j', (node, controlPlane, etcd) => {
    expect(nodeRoles(node)).toEqual({ controlPlane, etcd })
    expect(isServer(node)).toBe(controlPlane || etcd)
  })
})

test('other readings have an answer for empty Nodes', () => {
  expect([hostnameOf({}), kubeletVersion({}), isWindows({}), isCordoned({})]).toEqual([undefined, '', false, false])
  expect(hostnameOf(labelled({ 'kubernetes.io/hostname': 'h' }))).toBe('h')
  expect(isWindows(labelled({ 'kubernetes.io/os': 'windows' }))).toBe(true)
  expect(isCordoned({ spec: { unschedulable: true } })).toBe(true)
})
