import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { pathTemplate } from '../../src/observability/path-template.ts'

describe('pathTemplate', () => {
  test.each([
    ['/api/v1/nodes', '/api/v1/nodes'],
    ['/api/v1/nodes/worker-1', '/api/v1/nodes/{name}'],
    ['/api/v1/namespaces/kube-system', '/api/v1/namespaces/{name}'],
    ['/api/v1/namespaces/a/pods', '/api/v1/namespaces/{namespace}/pods'],
    ['/api/v1/namespaces/a/pods/b', '/api/v1/namespaces/{namespace}/pods/{name}'],
    ['/api/v1/namespaces/a/pods/b/eviction', '/api/v1/namespaces/{namespace}/pods/{name}/eviction'],
    ['/apis/batch/v1/namespaces/a/jobs', '/apis/batch/v1/namespaces/{namespace}/jobs'],
    ['/apis/upgrade.cattle.io/v1/namespaces/a/plans/p/status', '/apis/upgrade.cattle.io/v1/namespaces/{namespace}/plans/{name}/status'],
    ['/apis/upgrade.cattle.io/v1/plans', '/apis/upgrade.cattle.io/v1/plans'],
    ['/version', '/version'],
    ['/openapi/v3/apis/batch/v1', '/openapi/v3'],
    ['/', '/'],
  ])('%s → %s', (path, template) => {
    expect(pathTemplate(path)).toBe(template)
  })

  test('names never reach the label, whatever they are', () => {
    const name = fc.stringMatching(/^x[a-z0-9.-]{1,20}$/)
    fc.assert(
      fc.property(name, name, (namespace, pod) => {
        expect(pathTemplate(`/api/v1/namespaces/${namespace}/pods/${pod}/log`)).toBe('/api/v1/namespaces/{namespace}/pods/{name}/log')
        expect(pathTemplate(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${pod}`)).toBe(
          '/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}',
        )
      }),
    )
  })
})
