import { expect, test } from '@jest/globals'
import { ApiError, isConflict } from '../../../src/kube/client/api-error.ts'
import { createApiServer } from '../../../src/sandbox/server/server.ts'
import { createFaults } from '../../../src/sandbox/faults.ts'
import { virtualClock } from '../../../src/sandbox/clock.ts'
import { seededRandom } from '../../../src/base/random.ts'

test('a patch that names the uid of an object made anew is a conflict, though the server calls it invalid', async () => {
  const random = seededRandom(1)
  const server = createApiServer({ clock: virtualClock(), random, faults: createFaults({ random, latencyMs: [0, 0] }) })
  const { signal } = new AbortController()
  const send = async (method: 'POST' | 'PATCH', path: string, body: object) =>
    server
      .as('tester')
      .send({ method, path, body: body as never, ...(method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {}) }, signal)
  await send('POST', '/api/v1/nodes', { metadata: { name: 'n' } })
  const other = new ApiError('patch', await send('PATCH', '/api/v1/nodes/n', { metadata: { uid: 'of the one before' } }))
  expect([other.status, isConflict(other), other.retry]).toEqual([422, true, 'backoff'])
  const invalid = new ApiError('patch', await send('PATCH', '/api/v1/nodes/n', { metadata: { labels: { a: 'x y' } } }))
  expect([invalid.status, isConflict(invalid), invalid.retry]).toEqual([422, false, 'never'])
})
