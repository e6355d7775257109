import { describe, expect, test } from '@jest/globals'
import type { Node } from 'kubernetes-types/core/v1.d.ts'
import {
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
