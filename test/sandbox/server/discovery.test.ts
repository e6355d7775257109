import { describe, expect, test } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import { harness } from './harness.ts'

const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'

describe('discovery', () => {
  test('plain and aggregated say the same', async () => {
    const h = harness()
    const plain = new Map<string, string[]>()
    for (const group of (await h.ok('GET', '/apis')).groups)
      for (const { groupVersion } of group.versions) {
        const { resources } = await h.ok('GET', `/apis/${groupVersion}`)
        plain.set(
          groupVersion,
          resources.map((each: Tree) => each.name).filter((name: string) => !name.includes('/')),
        )
      }
    plain.set(
      'v1',
      (await h.ok('GET', '/api/v1')).resources.map((each: Tree) => each.name).filter((name: string) => !name.includes('/')),
    )
    const whole = new Map<string, string[]>()
    for (const root of ['/api', '/apis'])
      for (const group of (await h.ok('GET', root, undefined, { accept: aggregated })).items)
        for (const version of group.versions)
          whole.set(
            group.metadata.name === '' ? version.version : `${group.metadata.name}/${version.version}`,
            version.resources.map((each: Tree) => each.resource),
          )
    expect(Object.fromEntries(whole)).toEqual(Object.fromEntries(plain))
    expect(plain.get('batch/v1')).toContain('jobs')
    expect(plain.get('authorization.k8s.io/v1')).toEqual(['selfsubjectaccessreviews'])
  })

  test('says which subresources are of another kind', async () => {
    const h = harness()
    const { resources } = await h.ok('GET', '/api/v1')
    expect(resources.find((each: Tree) => each.name === 'pods/eviction')).toMatchObject({
      kind: 'Eviction',
      group: 'policy',
      version: 'v1',
      verbs: ['create'],
    })
  })

  test('OpenAPI v3 lists what is served, with the hash of what it says', async () => {
    const h = harness()
    const { paths } = await h.ok('GET', '/openapi/v3')
    const url: string = paths['apis/batch/v1'].serverRelativeURL
    expect(url).toMatch(/^\/openapi\/v3\/apis\/batch\/v1\?hash=[0-9A-F]{32}$/)
    const document = await h.ok('GET', '/openapi/v3/apis/batch/v1')
    const { patch } = document.paths['/apis/batch/v1/namespaces/{namespace}/jobs/{name}']
    expect(patch['x-kubernetes-group-version-kind']).toEqual({ group: 'batch', version: 'v1', kind: 'Job' })
    expect(patch.parameters.map((each: Tree) => each.name)).toContain('fieldValidation')
    expect((await h.call('GET', '/openapi/v3/apis/nope/v1')).status).toBe(404)
  })

  test('the version, health, and nothing else', async () => {
    const h = harness()
    expect(await h.ok('GET', '/version')).toMatchObject({ major: '1', gitVersion: expect.stringMatching(/^v1\.\d+\.\d+$/) })
    expect((await h.call('GET', '/readyz')).body).toBe('ok')
    for (const path of ['/', '/apis/nope', '/api/v2', '/apis/batch/v9', '/nope', '/api/v1/nope'])
      expect([path, (await h.call('GET', path)).status]).toEqual([path, 404])
    expect((await h.call('POST', '/version', {})).status).toBe(404)
  })
})
