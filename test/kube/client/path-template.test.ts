import { expect, test } from '@jest/globals'
import { pathTemplate } from '../../../src/kube/client/path-template.ts'

test.each([
  ['/api/v1/nodes', '/api/v1/nodes'],
  ['/api/v1/nodes/a.b', '/api/v1/nodes/{name}'],
  ['/api/v1/namespaces', '/api/v1/namespaces'],
  ['/api/v1/namespaces/kube-system', '/api/v1/namespaces/{name}'],
  ['/api/v1/namespaces/ns/pods', '/api/v1/namespaces/{namespace}/pods'],
  ['/api/v1/namespaces/ns/pods/p/eviction', '/api/v1/namespaces/{namespace}/pods/{name}/eviction'],
  ['/apis/batch/v1/namespaces/ns/jobs/j', '/apis/batch/v1/namespaces/{namespace}/jobs/{name}'],
  ['/apis/upgrade.cattle.io/v1/plans', '/apis/upgrade.cattle.io/v1/plans'],
  ['/version', '/version'],
])('%s', (path, wanted) => {
  expect(pathTemplate(path)).toBe(wanted)
})
