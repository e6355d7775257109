import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { Faults } from '../../src/sandbox/faults.ts'
import { createFaults } from '../../src/sandbox/faults.ts'
import type { Listener } from '../../src/sandbox/listen.ts'
import { listen } from '../../src/sandbox/listen.ts'
import type { ApiServer } from '../../src/sandbox/server/server.ts'
import { createApiServer } from '../../src/sandbox/server/server.ts'

let server: ApiServer
let faults: Faults
let listener: Listener
let folder: string

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'drover-listen-'))
  const random = seededRandom(1)
  faults = createFaults({ random, latencyMs: [0, 0] })
  server = createApiServer({ clock: systemClock, random, faults, freeze: true })
  listener = await listen(server, { users: { secret: 'alice' }, kubeconfigPath: join(folder, 'config') })
})

afterEach(async () => {
  await listener.close()
  rmSync(folder, { recursive: true, force: true })
})

const json = { 'Content-Type': 'application/json' }
const createNode = (name: string, headers: Record<string, string> = {}) =>
  fetch(`${listener.url}/api/v1/nodes`, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify({ metadata: { name } }) })

describe('listen', () => {
  test('serves the API as JSON, with status codes and Retry-After', async () => {
    expect((await createNode('a')).status).toBe(201)
    const answer = await fetch(`${listener.url}/api/v1/nodes/a`)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(await answer.json()).toMatchObject({ kind: 'Node', metadata: { name: 'a' } })
    expect((await fetch(`${listener.url}/api/v1/nodes/nope`)).status).toBe(404)
    faults.once('throttled')
    const throttled = await fetch(`${listener.url}/api/v1/nodes`)
    expect([throttled.status, Number(throttled.headers.get('retry-after'))]).toEqual([429, expect.any(Number)])
    expect(Number(throttled.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('knows users by token or header, and managers by user agent', async () => {
    await createNode('a', { Authorization: 'Bearer secret', 'User-Agent': 'kubectl/v1.32.4 (linux/amd64)' })
    await createNode('b', { Authorization: 'Bearer bob' })
    await createNode('c', { 'X-Remote-User': 'carol' })
    await createNode('d')
    expect(server.history.map((write) => write.user)).toEqual(['alice', 'bob', 'carol', 'kubectl'])
    expect(server.peek('nodes', 'a')?.metadata['managedFields']).toMatchObject([{ manager: 'kubectl' }])
  })

  test('streams a watch line by line and ends it when the client leaves', async () => {
    await createNode('a')
    const stop = new AbortController()
    const answer = await fetch(`${listener.url}/api/v1/nodes?watch=true`, { signal: stop.signal })
    const lines: string[] = []
    const reading = (async () => {
      let rest = ''
      for await (const chunk of answer.body ?? []) {
        rest += Buffer.from(chunk as Uint8Array).toString()
        const whole = rest.split('\n')
        rest = whole.pop() ?? ''
        lines.push(...whole)
      }
    })().catch(() => undefined)
    const has = async (count: number): Promise<void> => {
      for (let tries = 0; tries < 200 && lines.length < count; tries++) await systemClock.sleep(10)
    }
    await has(1)
    await createNode('b')
    await has(2)
    expect(lines.map((line) => JSON.parse(line)).map((event) => `${event.type} ${event.object.metadata.name}`)).toEqual([
      'ADDED a',
      'ADDED b',
    ])
    stop.abort()
    await reading
  })

  test('a watch that is refused answers as any request', async () => {
    expect((await fetch(`${listener.url}/api/v1/nodes?watch=true&fieldSelector=spec.nope%3D1`)).status).toBe(400)
  })

  test('a lost answer is a broken connection', async () => {
    faults.once('answerLost')
    await expect(createNode('a')).rejects.toThrow()
    expect(server.peek('nodes', 'a')).toBeDefined()
  })

  test('reads YAML where it is named so, refuses what it cannot read', async () => {
    const apply = await fetch(`${listener.url}/api/v1/nodes/y?fieldManager=me`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/apply-patch+yaml' },
      body: 'apiVersion: v1\nkind: Node\nmetadata:\n  name: y\n  labels: {a: b}\n',
    })
    expect(apply.status).toBe(201)
    expect(server.peek('nodes', 'y')?.metadata.labels).toEqual({ a: 'b' })
    const post = (contentType: string, body: string | Uint8Array) =>
      fetch(`${listener.url}/api/v1/nodes`, { method: 'POST', headers: { 'Content-Type': contentType }, body })
    expect((await post('application/json', '{')).status).toBe(400)
    expect((await post('application/vnd.kubernetes.protobuf', 'k8s\0nonsense')).status).toBe(415)
    expect((await fetch(`${listener.url}/api/v1/nodes`, { method: 'OPTIONS' })).status).toBe(405)
  })

  test('reads the few protobuf messages that kubectl insists on: a Namespace, byte for byte', async () => {
    const field = (number: number, bytes: Uint8Array | string) => {
      const data = Buffer.from(bytes)
      return Buffer.concat([Buffer.from([(number << 3) | 2, data.length]), data])
    }
    const label = Buffer.concat([field(1, 'team'), field(2, 'ops')])
    const namespace = field(1, Buffer.concat([field(1, 'made'), field(11, label)]))
    const type = Buffer.concat([field(1, 'v1'), field(2, 'Namespace')])
    const body = Buffer.concat([Buffer.from('k8s\0'), field(1, type), field(2, namespace), field(3, ''), field(4, '')])
    const answer = await fetch(`${listener.url}/api/v1/namespaces`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/vnd.kubernetes.protobuf' },
      body,
    })
    expect(answer.status).toBe(201)
    expect(server.peek('namespaces', 'made')?.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'made', team: 'ops' })
  })

  test('writes a kubeconfig that names it', () => {
    const config = JSON.parse(readFileSync(join(folder, 'config'), 'utf8'))
    expect(config.clusters[0].cluster.server).toBe(listener.url)
    expect(config['current-context']).toBe('sandbox')
  })
})
