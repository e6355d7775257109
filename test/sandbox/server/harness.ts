import type { Json, JsonObject } from '../../../src/base/json.ts'
import type { Request, Response, Transport } from '../../../src/base/process.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { VirtualClock } from '../../../src/sandbox/clock.ts'
import { virtualClock } from '../../../src/sandbox/clock.ts'
import type { Faults } from '../../../src/sandbox/faults.ts'
import { createFaults } from '../../../src/sandbox/faults.ts'
import type { ApiServer, ApiServerOptions } from '../../../src/sandbox/server/server.ts'
import { createApiServer } from '../../../src/sandbox/server/server.ts'
import type { Tree } from '../../kube/client/collect.ts'

export const signal = new AbortController().signal

export interface Harness {
  readonly clock: VirtualClock
  readonly faults: Faults
  readonly server: ApiServer
  readonly transport: Transport
  call(method: Request['method'], path: string, body?: Json, more?: Partial<Request>): Promise<Response>
  /** As `call`, and fails unless the answer is 2xx. Returns the body. */
  ok(method: Request['method'], path: string, body?: Json, more?: Partial<Request>): Promise<Tree>
  merge(path: string, body: Json, query?: Record<string, string>): Promise<Response>
}

/** A server without latency: answers come without the clock being run. What it stores is frozen. */
export function harness(options: Partial<ApiServerOptions> & { user?: string } = {}): Harness {
  const random = seededRandom(7)
  const clock = virtualClock()
  const faults = createFaults({ random, latencyMs: [0, 0] })
  const server = createApiServer({ clock, random, faults, freeze: true, ...options })
  const transport = server.as(options.user ?? 'tester')
  const call: Harness['call'] = (method, path, body, more = {}) =>
    transport.send({ method, path, ...(body === undefined ? {} : { body }), ...more }, signal)
  return {
    clock,
    faults,
    server,
    transport,
    call,
    async ok(method, path, body, more) {
      const answer = await call(method, path, body, more)
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
      return answer.body
    },
    merge: (path, body, query = {}) => call('PATCH', path, body, { contentType: 'application/merge-patch+json', query }),
  }
}

export const podSpec: JsonObject = { containers: [{ name: 'c', image: 'busybox:1' }] }

export function pod(name: string, more: JsonObject = {}): JsonObject {
  return {
    metadata: { name, ...(more['metadata'] as JsonObject | undefined) },
    spec: { ...podSpec, ...(more['spec'] as JsonObject | undefined) },
  }
}

/** Lets all promises settle. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
