import { describe, expect, test } from '@jest/globals'
import type { Request } from '../../src/base/process.ts'
import { neededPermissions } from '../../src/controller/permissions.ts'
import { accessOf, permits } from './access.ts'

const permissions = neededPermissions('ns', 'lease')

type Line = readonly [Request['method'], string, Request['query']?]

/** Every kind of request that the way of a node consists of. */
const REQUESTS: readonly Line[] = [
  ['GET', '/api/v1/namespaces', { watch: 'true' }],
  ['GET', '/apis/upgrade.cattle.io/v1/plans'],
  ['GET', '/apis/upgrade.cattle.io/v1/plans', { watch: '1' }],
  ['GET', '/apis/upgrade.cattle.io/v1/namespaces/ns/plans/p'],
  ['PATCH', '/apis/upgrade.cattle.io/v1/namespaces/ns/plans/p'],
  ['PATCH', '/apis/upgrade.cattle.io/v1/namespaces/ns/plans/p/status'],
  ['GET', '/api/v1/nodes', { labelSelector: 'drover.io/in-flight' }],
  ['PATCH', '/api/v1/nodes/n'],
  ['GET', '/api/v1/pods', { fieldSelector: 'spec.nodeName=n' }],
  ['DELETE', '/api/v1/namespaces/other/pods/p'],
  ['POST', '/api/v1/namespaces/other/pods/p/eviction'],
  ['POST', '/api/v1/namespaces/ns/pods', { dryRun: 'All' }],
  ['GET', '/api/v1/namespaces/ns/pods/p/log'],
  ['GET', '/apis/apps/v1/namespaces/other/daemonsets/d'],
  ['GET', '/apis/policy/v1/poddisruptionbudgets'],
  ['POST', '/apis/batch/v1/namespaces/ns/jobs'],
  ['PATCH', '/apis/batch/v1/namespaces/ns/jobs/j'],
  ['DELETE', '/apis/batch/v1/namespaces/ns/jobs/j'],
  ['GET', '/api/v1/namespaces/ns/secrets/s'],
  ['POST', '/apis/coordination.k8s.io/v1/namespaces/ns/leases'],
  ['PUT', '/apis/coordination.k8s.io/v1/namespaces/ns/leases/lease'],
  ['GET', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n'],
  ['PATCH', '/apis/apps/v1/namespaces/kube-system/daemonsets/kured'],
  ['POST', '/api/v1/namespaces/default/events'],
  ['PATCH', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io'],
]

const access = ([method, path, query]: Line) => accessOf({ method, path, ...(query === undefined ? {} : { query }) })

test.each(REQUESTS.map((line) => [line]))('%j is permitted', (line) => {
  const asked = access(line)

  expect(asked).toBeDefined()
  expect(asked !== undefined && permits(permissions, asked)).toBe(true)
})

test.each<[Line]>([
  [['DELETE', '/api/v1/nodes/n']],
  [['PUT', '/api/v1/nodes/n']],
  [['PATCH', '/apis/upgrade.cattle.io/v1/namespaces/other/plans/p/status']],
  [['DELETE', '/apis/upgrade.cattle.io/v1/namespaces/ns/plans/p']],
  [['GET', '/apis/upgrade.cattle.io/v1/namespaces/other/plans/p']],
  [['GET', '/api/v1/namespaces/kube-system']],
  [['GET', '/api/v1/namespaces/other/secrets/s']],
  [['GET', '/api/v1/secrets']],
  [['POST', '/apis/batch/v1/namespaces/other/jobs']],
  [['PATCH', '/apis/apps/v1/namespaces/kube-system/daemonsets/other']],
  [['POST', '/api/v1/namespaces/other/pods']],
  [['POST', '/api/v1/namespaces/ns/pods/p/exec']],
  [['PUT', '/apis/coordination.k8s.io/v1/namespaces/ns/leases/other']],
  [['PUT', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n']],
  [['PATCH', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/others.example.com']],
  [['POST', '/api/v1/namespaces/ns/serviceaccounts/sa/token']],
])('%j is not', (line) => {
  const asked = access(line)

  expect(asked).toBeDefined()
  expect(asked !== undefined && permits(permissions, asked)).toBe(false)
})

describe('accessOf', () => {
  test.each<[Line, unknown]>([
    [['GET', '/api/v1/nodes'], { verb: 'list', group: '', resource: 'nodes' }],
    [['GET', '/api/v1/namespaces/a'], { verb: 'get', group: '', resource: 'namespaces', name: 'a' }],
    [['GET', '/api/v1/namespaces/a/pods/b/log'], { verb: 'get', group: '', resource: 'pods/log', namespace: 'a', name: 'b' }],
    [['GET', '/apis/batch/v1/namespaces/a/jobs', { watch: 'true' }], { verb: 'watch', group: 'batch', resource: 'jobs', namespace: 'a' }],
    [['GET', '/version'], undefined],
    [['GET', '/apis/batch/v1'], undefined],
  ])('%j', (line, expected) => {
    expect(access(line)).toEqual(expected)
  })
})
