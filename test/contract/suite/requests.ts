import { describe, expect } from '@jest/globals'
import type { Contract } from './contract.ts'
import { pod, refused } from './contract.ts'

/** Paths, methods, media types, bodies, and who may do what. */
export function requests(test: Contract): void {
  describe('requests', () => {
    test('an unknown path is answered in plain text, an unknown resource of a known group with a Status', async ({ api, at }) => {
      for (const path of ['/nope', '/apis/nope.example.com/v1/things', '/apis/nope.example.com']) {
        const answer = await api.get(path)
        expect([path, answer.status, answer.body]).toEqual([path, 404, '404 page not found\n'])
      }
      const missing = refused(404, 'NotFound', { message: 'the server could not find the requested resource', details: {} })
      for (const path of [
        '/api/v9/nodes',
        '/apis/batch/v9/jobs',
        '/api/v1/nope',
        '/apis/batch/v1/nope',
        '/apis/batch/v1/nodes',
        `${at.pods}/x/nope`,
      ])
        expect([path, await api.get(path)]).toMatchObject([path, missing])
    })

    test('methods that a path does not take', async ({ api, at }) => {
      const wrong = refused(405, 'MethodNotAllowed', { message: 'the server does not allow this method on the requested resource' })
      expect(await api.post('/api/v1/pods', pod('x'))).toMatchObject(wrong)
      expect(await api.put('/api/v1/nodes', {})).toMatchObject(wrong)
      expect(await api.merge(at.pods, {})).toMatchObject(wrong)
      expect(await api.delete('/apis/batch/v1/jobs')).toMatchObject(wrong)
      expect(await api.post(`${at.pods}/x`, pod('x'))).toMatchObject(wrong)
      expect(await api.delete(`${at.pods}/x/status`)).toMatchObject(wrong)
      expect(await api.get(`${at.pods}/x/eviction`)).toMatchObject(wrong)
      expect(await api.get(`${at.pods}/x/binding`)).toMatchObject(wrong)
    })

    test('media types', async ({ api, at, nodes }) => {
      const body = { metadata: { name: 'x' } }
      expect(await api.send({ method: 'POST', path: at.configmaps, body, contentType: 'text/plain' })).toMatchObject(
        refused(415, 'UnsupportedMediaType', {
          message:
            'the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf',
        }),
      )
      expect(
        await api.send({ method: 'PATCH', path: `/api/v1/nodes/${nodes[0]}`, body: {}, contentType: 'application/json' }),
      ).toMatchObject(refused(415, 'UnsupportedMediaType', { message: '415: Unsupported Media Type' }))
      expect(await api.get('/api/v1/nodes', {}, 'text/html')).toMatchObject(refused(406, 'NotAcceptable'))
      // The first alternative that the server knows wins.
      expect(await api.get('/api/v1/nodes', {}, 'text/html, application/json')).toMatchObject({ status: 200, body: { kind: 'NodeList' } })
      expect(await api.get('/api/v1/nodes', {}, '*/*')).toMatchObject({ status: 200, body: { kind: 'NodeList' } })
    })

    test('bodies that are not the object of the path', async ({ api, at, namespace }) => {
      const bad = refused(400, 'BadRequest')
      expect(await api.post(at.configmaps, [])).toMatchObject(bad)
      expect(await api.post(at.configmaps, { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'x' } })).toMatchObject(bad)
      expect(await api.post(at.configmaps, { kind: 'ConfigMap', apiVersion: 'v2', metadata: { name: 'x' } })).toMatchObject(bad)
      expect(await api.post(at.configmaps, { metadata: { name: 'x', namespace: 'default' } })).toMatchObject(
        refused(400, 'BadRequest', { message: 'the namespace of the provided object does not match the namespace sent on the request' }),
      )
      // Kind and version may be left out; namespaces may be named.
      const made = await api.ok(api.post(at.configmaps, { metadata: { name: 'x', namespace } }))
      expect(made).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1' })
      expect(await api.put(`${at.configmaps}/y`, { metadata: { name: 'x' } })).toMatchObject(
        refused(400, 'BadRequest', { message: 'the name of the object (x) does not match the name on the URL (y)' }),
      )
    })

    test('fields of the wrong type are refused at once, unknown ones dropped unless asked to be strict', async ({ api, at }) => {
      expect(await api.post(at.configmaps, { metadata: { name: 'x', labels: { a: 1 } } })).toMatchObject(refused(400, 'BadRequest'))
      expect(await api.post(at.pods, { metadata: { name: 'x' }, spec: { containers: 'none' } })).toMatchObject(refused(400, 'BadRequest'))
      const odd = { metadata: { name: 'x' }, data: { a: 'b' }, dta: {} }
      expect(await api.post(at.configmaps, odd, { fieldValidation: 'Strict' })).toMatchObject(
        refused(400, 'BadRequest', { message: expect.stringContaining('strict decoding error: unknown field "dta"') }),
      )
      const kept = await api.ok(api.post(at.configmaps, odd))
      expect(kept.data).toEqual({ a: 'b' })
      expect(kept.dta).toBeUndefined()
      expect(await api.post(at.configmaps, odd, { fieldValidation: 'Nope' })).toMatchObject(refused(422, 'Invalid'))
    })

    test('a stranger is told what he may not do', async ({ as, at, namespace, nodes }) => {
      const nobody = as('nobody')
      const forbidden = (what: string, verb: string, where: string, details: object): object =>
        refused(403, 'Forbidden', { message: `${what} is forbidden: User "nobody" cannot ${verb} ${where}`, details })
      expect(await nobody.get('/api/v1/nodes')).toMatchObject(
        forbidden('nodes', 'list', 'resource "nodes" in API group "" at the cluster scope', { kind: 'nodes' }),
      )
      expect(await nobody.merge(`/api/v1/nodes/${nodes[0]}`, {})).toMatchObject(
        forbidden(`nodes "${nodes[0]}"`, 'patch', 'resource "nodes" in API group "" at the cluster scope', {
          name: nodes[0],
          kind: 'nodes',
        }),
      )
      const scope = `in the namespace "${namespace}"`
      expect(await nobody.get(`${at.jobs}/x`)).toMatchObject(
        forbidden('jobs.batch "x"', 'get', `resource "jobs" in API group "batch" ${scope}`, { name: 'x', group: 'batch', kind: 'jobs' }),
      )
      expect(await nobody.post(`${at.pods}/x/eviction`, {})).toMatchObject(
        forbidden('pods "x"', 'create', `resource "pods/eviction" in API group "" ${scope}`, { name: 'x', kind: 'pods' }),
      )
      expect(await nobody.delete(at.pods)).toMatchObject(
        forbidden('pods', 'deletecollection', `resource "pods" in API group "" ${scope}`, { kind: 'pods' }),
      )
      expect((await nobody.get('/version')).status).toBe(200)
    })

    test('a watch is refused like any request', async ({ server }) => {
      const { signal } = new AbortController()
      const answer = await server.as('nobody').watch({ method: 'GET', path: '/api/v1/nodes', query: { watch: 'true' } }, signal)
      expect(answer).toMatchObject(
        refused(403, 'Forbidden', {
          message: 'nodes is forbidden: User "nobody" cannot watch resource "nodes" in API group "" at the cluster scope',
        }),
      )
    })

    test('who may do what can be asked', async ({ api, as, namespace }) => {
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
      const ask = { spec: { resourceAttributes: { verb: 'delete', resource: 'pods', namespace } } }
      expect(await api.post(path, ask)).toMatchObject({
        status: 201,
        body: { kind: 'SelfSubjectAccessReview', apiVersion: 'authorization.k8s.io/v1', spec: ask.spec, status: { allowed: true } },
      })
      const refusal = await as('nobody').post(path, ask)
      // Everybody may ask on a real server, by the role system:basic-user.
      expect(refusal).toMatchObject({ status: 201, body: { spec: ask.spec, status: { allowed: false } } })
      expect(await api.post(path, { spec: {} })).toMatchObject(refused(422, 'Invalid'))
      expect(await api.get(path)).toMatchObject(refused(405, 'MethodNotAllowed'))
    })

    test('a token of a service account', async ({ api, at, server, namespace }) => {
      await api.ok(api.post(at.serviceaccounts, { metadata: { name: 'robot' } }))
      const path = `${at.serviceaccounts}/robot/token`
      const made = await api.ok(
        api.post(path, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } }),
      )
      expect(made).toMatchObject({ kind: 'TokenRequest', spec: { expirationSeconds: 3600 }, status: { token: expect.any(String) } })
      expect(Date.parse(made.status.expirationTimestamp)).toBeGreaterThan(server.clock.wall() + 3_500_000)
      const robot = server.withToken(made.status.token)
      const answer = await robot.send({ method: 'GET', path: '/api/v1/nodes' }, new AbortController().signal)
      expect(answer).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining(`User "system:serviceaccount:${namespace}:robot" cannot list resource "nodes"`) },
      })
      expect(await api.post(`${at.serviceaccounts}/nobody/token`, { spec: {} })).toMatchObject(
        refused(404, 'NotFound', { message: 'serviceaccounts "nobody" not found' }),
      )
      expect(await api.post(path, { spec: { expirationSeconds: 5 } })).toMatchObject(refused(422, 'Invalid'))
    })

    test('health and version', async ({ api }) => {
      for (const path of ['/livez', '/readyz', '/healthz'])
        expect([path, await api.get(path)]).toMatchObject([path, { status: 200, body: 'ok' }])
      const { status, body } = await api.get('/version')
      expect([status, body.major, typeof body.gitVersion]).toEqual([200, '1', 'string'])
    })

    test('discovery tells resources, their verbs and subresources', async ({ api }) => {
      const { body } = await api.get('/apis/batch/v1')
      expect(body).toMatchObject({ kind: 'APIResourceList', groupVersion: 'batch/v1' })
      const jobs = body.resources.find((each: { name: string }) => each.name === 'jobs')
      expect(jobs).toMatchObject({ kind: 'Job', namespaced: true, singularName: 'job' })
      expect((jobs.verbs as string[]).toSorted()).toEqual([
        'create',
        'delete',
        'deletecollection',
        'get',
        'list',
        'patch',
        'update',
        'watch',
      ])
      expect(body.resources.map((each: { name: string }) => each.name)).toContain('jobs/status')
      const core = (await api.get('/api/v1')).body.resources.map((each: { name: string }) => each.name)
      for (const name of [
        'nodes',
        'nodes/status',
        'pods',
        'pods/eviction',
        'pods/log',
        'pods/binding',
        'namespaces/finalize',
        'serviceaccounts/token',
      ])
        expect(core).toContain(name)
      const { groups } = (await api.get('/apis')).body
      expect(groups.map((group: { name: string }) => group.name)).toEqual(
        expect.arrayContaining(['apps', 'batch', 'policy', 'coordination.k8s.io']),
      )
      expect((await api.get('/apis/batch')).body).toMatchObject({ kind: 'APIGroup', preferredVersion: { groupVersion: 'batch/v1' } })
    })
  })
}
