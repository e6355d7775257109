/** What gates check, asked of a sandbox's API server and of real servers on loopback that misbehave. */
import { afterEach, beforeAll, afterAll, describe, expect, test } from '@jest/globals'
import net from 'node:net'
import type { GateCheck } from '../../src/api/gate.ts'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import { systemClock } from '../../src/base/clock.ts'
import { createEvaluateGate } from '../../src/controller/evaluate-gate.ts'
import { createClient } from '../../src/kube/client/client.ts'
import { createOutside } from '../../src/kube/client/outside.ts'
import { createSandbox, type Sandbox } from '../../src/sandbox/cluster.ts'
import { apply } from '../../src/sandbox/standard-cluster.ts'
import type { GateSeen } from '../../src/rollout/world.ts'
import { type VirtualClock, virtualClock } from '../kube/client/clocks.ts'
import { memoryLog, refusal, scriptedTransport, testProcess } from '../kube/client/process.ts'
import { type Handler, json, listen, serve, type TestServer } from '../kube/client/servers.ts'

function checkOf(gate: object): GateCheck {
  const view = decodePolicy({ metadata: { name: 'p' }, spec: { gates: [{ name: 'g', at: ['PlanStart'], ...gate }] } } as never)
  const check = view?.ok === true ? view.policy.spec.gates[0]?.check : undefined
  if (check === undefined) throw new Error(view?.ok === false ? view.error : 'no check')
  return check
}

const met: GateSeen = { kind: 'verdict', met: true, message: '' }

describe('objects', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = createSandbox()
    const map = (name: string, labels: object, ok: string) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'ops', labels },
      data: { ok },
    })
    for (const object of [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ops', labels: { team: 'a' } } },
      map('one', { app: 'x' }, 'yes'),
      map('two', { app: 'y' }, 'no'),
      map('three', { app: 'y' }, 'yes'),
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'ops' }, spec: deployment },
    ])
      await sandbox.finish(apply(sandbox, object as never))
  })
  afterAll(() => sandbox.stop())

  const yes = { path: '.data.ok', operator: 'eq', value: 'yes' }
  function evaluate(object: object): Promise<GateSeen> {
    const process = sandbox.process('gates', 'admin')
    return sandbox.finish(
      createEvaluateGate(process, createClient(process))(checkOf({ object: { expect: [yes], ...object } }), 'system-upgrade'),
    )
  }
  const map = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'ops' }

  test('are found by name and by selector, in a namespace, in all, or in none', async () => {
    expect(await evaluate({ ...map, name: 'one' })).toEqual(met)
    expect(await evaluate({ ...map, name: 'two' })).toMatchObject({ met: false, message: 'ConfigMap ops/two: .data.ok is no, not yes' })
    expect(await evaluate({ ...map, selector: { matchLabels: { app: 'x' } } })).toEqual(met)
    expect(await evaluate({ apiVersion: 'v1', kind: 'ConfigMap', selector: { matchLabels: { app: 'y' } } })).toMatchObject({ met: false })
    expect(await evaluate({ ...map, selector: { matchLabels: { app: 'z' } } })).toMatchObject({
      met: false,
      message: 'no ConfigMap matches the selector',
    })
    const active = { expect: [{ path: '.status.phase', operator: 'eq', value: 'Active' }] }
    expect(await evaluate({ apiVersion: 'v1', kind: 'Namespace', name: 'ops', ...active })).toEqual(met)
    expect(await evaluate({ apiVersion: 'v1', kind: 'Namespace', selector: { matchLabels: { team: 'a' } }, ...active })).toEqual(met)
    const spec = [{ path: '.spec.replicas', operator: 'eq', value: 2 }]
    expect(await evaluate({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'ops', name: 'web', expect: spec })).toEqual(met)
  })

  test.each<[string, object, string]>([
    ['that does not exist', { ...map, name: 'four' }, 'ConfigMap ops/four does not exist'],
    ['of an unknown kind', { ...map, kind: 'Ceph', name: 'x' }, 'the API server does not know Ceph of v1'],
    [
      'of an unknown group',
      { ...map, apiVersion: 'ceph.rook.io/v1', name: 'x' },
      'the API server does not know ConfigMap of ceph.rook.io/v1',
    ],
    [
      'of an unknown version',
      { apiVersion: 'apps/v9', kind: 'Deployment', namespace: 'ops', name: 'x' },
      'the API server does not know Deployment of apps/v9',
    ],
    ['without its namespace', { apiVersion: 'v1', kind: 'ConfigMap', name: 'one' }, 'ConfigMap needs object.namespace'],
    [
      'with a namespace too many',
      { apiVersion: 'v1', kind: 'Node', namespace: 'ops', name: 'a' },
      'Node has no namespace; leave object.namespace out',
    ],
  ])('%s cannot be evaluated', async (_, object, message) => {
    await expect(evaluate(object)).rejects.toThrow(message)
  })
})

const deployment = {
  replicas: 2,
  selector: { matchLabels: { app: 'web' } },
  template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'b' }] } },
}

describe('requests to the API server', () => {
  const list = (resources: object[]) => ({ status: 200, body: { kind: 'APIResourceList', resources } as never })
  const configMaps = list([
    { name: 'configmaps/status', kind: 'ConfigMap', namespaced: false },
    { name: 'configmaps', kind: 'ConfigMap', namespaced: true },
  ])
  const check = checkOf({
    object: { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'n', name: 'c', expect: [{ path: '.a', operator: 'exists' }] },
  })

  test('find the kind once in ten minutes, ask once each, and have a deadline', async () => {
    const clock: VirtualClock = virtualClock()
    const transport = scriptedTransport(({ path }) => (path === '/api/v1' ? configMaps : { status: 200, body: { a: 1 } }))
    const process = testProcess({ transport, clock })
    const evaluate = createEvaluateGate(process, createClient(process))
    for (let n = 0; n < 3; n++) expect(await evaluate(check, 'n')).toEqual(met)
    expect(transport.requests.map(({ path }) => path)).toEqual(['/api/v1', ...Array(3).fill('/api/v1/namespaces/n/configmaps/c')])
    expect(transport.requests.every(({ timeoutMs }) => timeoutMs === 10_000)).toBe(true)
    await clock.advance(600_000)
    await evaluate(check, 'n')
    expect(transport.requests.slice(4).map(({ path }) => path)).toEqual(['/api/v1', '/api/v1/namespaces/n/configmaps/c'])
  })

  test('cannot be led elsewhere by names', async () => {
    const transport = scriptedTransport(({ path }) => (path === '/api/v1' ? configMaps : { status: 200, body: { a: 1 } }))
    const process = testProcess({ transport })
    const named = checkOf({
      object: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        namespace: 'n/../m',
        name: '../secrets/x?y',
        expect: [{ path: '.a', operator: 'exists' }],
      },
    })
    await createEvaluateGate(process, createClient(process))(named, 'n')
    expect(transport.requests.at(-1)?.path).toBe('/api/v1/namespaces/n%2F..%2Fm/configmaps/..%2Fsecrets%2Fx%3Fy')
  })

  test('that are refused, or break off, are told as they are, and not repeated at once', async () => {
    for (const answer of [
      refusal(403, 'Forbidden', 'configmaps "c" is forbidden'),
      refusal(503, 'ServiceUnavailable', 'later'),
      new Error('reset'),
    ]) {
      const transport = scriptedTransport(({ path }) => (path === '/api/v1' ? configMaps : answer))
      const process = testProcess({ transport })
      await expect(createEvaluateGate(process, createClient(process))(check, 'n')).rejects.toThrow(
        /configmaps "c" is forbidden|later|reset/,
      )
      expect(transport.requests).toHaveLength(2)
    }
  })

  test('a discovery that failed, or knew nothing, is asked for again', async () => {
    const answers = [refusal(503, 'ServiceUnavailable'), refusal(404, 'NotFound'), configMaps, { status: 200, body: { a: 1 } }]
    const transport = scriptedTransport((_, n) => answers[n - 1] ?? new Error('too many'))
    const process = testProcess({ transport })
    const evaluate = createEvaluateGate(process, createClient(process))
    await expect(evaluate(check, 'n')).rejects.toThrow('503')
    await expect(evaluate(check, 'n')).rejects.toThrow('the API server does not know ConfigMap of v1')
    expect(await evaluate(check, 'n')).toEqual(met)
  })

  test('pods that have ended are not there; more than one page is not counted', async () => {
    const pods = checkOf({ podsAbsent: { namespace: 'batch', selector: { matchLabels: { a: 'b' } } } })
    const pod = (name: string, phase: string) => ({ metadata: { name, namespace: 'batch' }, spec: { nodeName: 'n1' }, status: { phase } })
    const items = [pod('a', 'Succeeded'), pod('b', 'Failed'), pod('c', 'Running'), pod('d', 'Pending')]
    let token = ''
    const transport = scriptedTransport(() => ({ status: 200, body: { metadata: { continue: token }, items } as never }))
    const process = testProcess({ transport })
    const evaluate = createEvaluateGate(process, createClient(process))
    expect(await evaluate(pods, 'n')).toEqual({
      kind: 'pods',
      pods: [
        { namespace: 'batch', name: 'c', node: 'n1' },
        { namespace: 'batch', name: 'd', node: 'n1' },
      ],
    })
    expect(transport.requests[0]).toMatchObject({ path: '/api/v1/namespaces/batch/pods', query: { labelSelector: 'a=b', limit: '500' } })
    token = 'more'
    await expect(evaluate(pods, 'n')).rejects.toThrow('more than 500 objects match; narrow the selector')
    expect(transport.requests).toHaveLength(2)
  })
})

describe('Prometheus', () => {
  const cleanups: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup()
  })

  async function server(handler: Handler, secure = false): Promise<TestServer> {
    const made = await serve(handler, { secure })
    cleanups.push(() => made.close())
    return made
  }

  const secrets: Record<string, Record<string, string>> = {}
  const transport = scriptedTransport(({ path }) => {
    const data = secrets[path.replace('/api/v1/namespaces/system-upgrade/secrets/', '')]
    return data === undefined ? refusal(404, 'NotFound') : { status: 200, body: { data } as never }
  })
  const base64 = (text: string) => Buffer.from(text).toString('base64')

  function evaluate(url: string, more: object = {}): Promise<GateSeen> {
    const prometheus = { url, query: 'up{a="b"} or vector(0)', expect: { operator: 'lt', value: 1 }, ...more }
    const outside = createOutside({ clock: systemClock, log: memoryLog([]), env: {} })
    const process = testProcess({ transport, outside })
    return createEvaluateGate(process, createClient(process))(checkOf({ prometheus }), 'system-upgrade')
  }
  const answering =
    (body: unknown, status = 200): Handler =>
    (_request, response) =>
      json(response, status, body)
  const success = (resultType: string, result: unknown, more: object = {}) => ({ status: 'success', data: { resultType, result }, ...more })
  const sample = (value: string, metric: object = {}) => ({ metric, value: [1_700_000_000.123, value] })

  test('is asked by its API, with the token of the Secret, below the path of its URL', async () => {
    const { url, requests } = await server(answering(success('vector', [sample('0')])))
    secrets['monitoring'] = { token: base64('abc.def\n') }
    expect(await evaluate(`${url}/prefix/`, { tokenSecretRef: { name: 'monitoring', key: 'token' } })).toEqual(met)
    const asked = new URL(requests[0]?.url ?? '', url)
    expect([requests[0]?.method, asked.pathname, asked.searchParams.get('query')]).toEqual([
      'GET',
      '/prefix/api/v1/query',
      'up{a="b"} or vector(0)',
    ])
    expect(requests[0]?.headers.authorization).toBe('Bearer abc.def')
    await evaluate(url)
    expect(requests[1]?.headers.authorization).toBeUndefined()
  })

  test('is believed by the certificate of the policy or of its Secret, and not without', async () => {
    const { url, ca = '' } = await server(answering(success('scalar', [1, '0'])), true)
    await expect(evaluate(url)).rejects.toThrow(/certificate/)
    expect(await evaluate(url, { caBundle: ca })).toEqual(met)
    secrets['ca'] = { 'ca.crt': base64(ca), bad: base64('no certificate') }
    expect(await evaluate(url, { caSecretRef: { name: 'ca', key: 'ca.crt' } })).toEqual(met)
    await expect(evaluate(url, { caSecretRef: { name: 'ca', key: 'bad' } })).rejects.toThrow('no certificates in PEM')
  })

  test.each<[string, object, string]>([
    ['Secret that does not exist', { tokenSecretRef: { name: 'none', key: 'k' } }, 'Secret none does not exist'],
    ['key that does not exist', { tokenSecretRef: { name: 'odd', key: 'none' } }, 'Secret odd has no key none'],
    [
      'token that would be a header of its own',
      { tokenSecretRef: { name: 'odd', key: 'lines' } },
      'key lines of Secret odd holds no token',
    ],
    ['token that is empty', { tokenSecretRef: { name: 'odd', key: 'empty' } }, 'key empty of Secret odd holds no token'],
  ])('is not asked with a %s', async (_, more, message) => {
    secrets['odd'] = { lines: base64('a\r\nX-Other: b'), empty: base64('\n') }
    const { url, requests } = await server(answering(success('scalar', [1, '0'])))
    await expect(evaluate(url, more)).rejects.toThrow(message)
    expect(requests).toHaveLength(0)
  })

  test.each<[string, unknown, object, string]>([
    ['a sample that is as expected', success('vector', [sample('0')]), {}, ''],
    ['several', success('vector', [sample('0'), sample('-Inf')]), {}, ''],
    ['a scalar', success('scalar', [1, '0.5']), {}, ''],
    [
      'one of several that is not',
      success('vector', [sample('0'), sample('2', { job: 'x' })]),
      {},
      'the query gives 2 for {job="x"}, not lt 1',
    ],
    ['NaN', success('vector', [sample('NaN')]), {}, 'the query gives NaN, not lt 1'],
    [
      'NaN, which is not even different',
      success('scalar', [1, 'NaN']),
      { expect: { operator: 'ne', value: 1 } },
      'the query gives NaN, not ne 1',
    ],
    ['infinity', success('scalar', [1, '+Inf']), {}, 'the query gives Infinity, not lt 1'],
    ['nothing that counts as met', success('vector', []), { emptyIs: 'Pass' }, ''],
    ['hints that are no warnings', success('scalar', [1, '0'], { infos: ['PromQL info: x'] }), {}, ''],
  ])('says %s', async (_, body, more, message) => {
    const { url } = await server(answering(body))
    expect(await evaluate(url, more)).toEqual({ kind: 'verdict', met: message === '', message })
  })

  test.each<[string, unknown, number, string]>([
    ['nothing', success('vector', []), 200, 'the query finds nothing'],
    ['a matrix', success('matrix', []), 200, 'Prometheus answers with neither an instant vector nor a scalar (matrix)'],
    ['a text', success('string', [1, 'x']), 200, 'nor a scalar (string)'],
    ['a vector that is none', success('vector', { a: 1 }), 200, 'nor a scalar (vector)'],
    [
      'samples without a number',
      success('vector', [{ metric: {}, value: [1, 'many'] }]),
      200,
      'Prometheus answers with samples that are no numbers',
    ],
    ['histograms', success('vector', [{ metric: {}, histogram: [1, {}] }]), 200, 'Prometheus answers with samples that are no numbers'],
    ['null among samples', success('vector', [null]), 200, 'Prometheus answers with samples that are no numbers'],
    ['a number as such', success('scalar', [1, 0]), 200, 'Prometheus answers with samples that are no numbers'],
    ['a part with a warning', success('scalar', [1, '0'], { warnings: ['a store is away'] }), 200, 'Prometheus warns: a store is away'],
    [
      'an error',
      { status: 'error', errorType: 'bad_data', error: 'parse error' },
      400,
      'Prometheus answers with an error: bad_data: parse error',
    ],
    [
      'an error as if all were well',
      { status: 'error', errorType: 'timeout', error: 'late' },
      200,
      'Prometheus answers with an error: timeout: late',
    ],
    ['success with a bad status', success('scalar', [1, '0']), 500, 'Prometheus answers with HTTP/1.1 500 Internal Server Error'],
    ['other JSON', { ok: true }, 200, 'Prometheus does not answer as Prometheus does'],
    ['a list', [1], 200, 'Prometheus does not answer as Prometheus does'],
    ['null', null, 200, 'Prometheus does not answer as Prometheus does'],
    ['no data', { status: 'success' }, 200, 'nor a scalar (undefined)'],
  ])('that says %s cannot be evaluated', async (_, body, status, message) => {
    const { url } = await server(answering(body, status))
    await expect(evaluate(url)).rejects.toThrow(message)
  })

  test.each<[string, Handler, string]>([
    ['a page of HTML', (_request, response) => void response.end('<html>Login</html>'), 'Prometheus does not answer as Prometheus does'],
    ['502 in HTML', (_request, response) => void response.writeHead(502).end('<html>'), 'Prometheus answers with HTTP/1.1 502 Bad Gateway'],
    [
      'a redirect',
      (_request, response) => void response.writeHead(302, { location: '/login' }).end(),
      'Prometheus answers with HTTP/1.1 302 Found',
    ],
    ['401', (_request, response) => void response.writeHead(401).end('no'), 'Prometheus answers with HTTP/1.1 401 Unauthorized'],
    ['half of its JSON', (_request, response) => void response.end('{"status":"succ'), 'Prometheus does not answer as Prometheus does'],
    [
      'without an end',
      (_request, response) => {
        const pump = (): void => void (response.write(' '.repeat(10_000)) ? setImmediate(pump) : response.once('drain', pump))
        pump()
      },
      'Prometheus answers with 64 KiB or more; let the query aggregate',
    ],
  ])('that answers with %s cannot be evaluated', async (_, handler, message) => {
    const { url, requests } = await server(handler)
    await expect(evaluate(url)).rejects.toThrow(message)
    expect(requests).toHaveLength(1)
  })

  test('that is not there, breaks off, or speaks something else, cannot be evaluated', async () => {
    const gone = await serve(() => {}, { secure: false })
    await gone.close()
    await expect(evaluate(gone.url)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    const { url } = await server((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{', () => response.destroy())
    })
    await expect(evaluate(url)).rejects.toMatchObject({ code: 'ConnectionLost' })
    const tcp = net.createServer((socket) => socket.once('data', () => socket.end('SSH-2.0-x\r\n')))
    const { port, close } = await listen(tcp)
    cleanups.push(close)
    await expect(evaluate(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'BadAnswer' })
  })

  test('that does not answer is given up after ten seconds', async () => {
    const clock = virtualClock()
    const { url, requests } = await server(() => {})
    const process = testProcess({ transport, outside: createOutside({ clock, log: memoryLog([]), env: {} }) })
    const check = checkOf({ prometheus: { url, query: 'up', expect: { operator: 'eq', value: 1 } } })
    const asked = createEvaluateGate(process, createClient(process))(check, 'system-upgrade')
    const outcome = expect(asked).rejects.toMatchObject({ code: 'Timeout' })
    while (requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(10_000)
    await outcome
  })
})
