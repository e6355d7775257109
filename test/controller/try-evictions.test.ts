/** Dry runs of evictions, against an API server with budgets: the same words as a real eviction, and nobody goes. */
import { expect, test } from '@jest/globals'
import { ApiError } from '../../src/kube/client/api-error.ts'
import type { Client } from '../../src/kube/client/client.ts'
import { tryEvictions } from '../../src/controller/try-evictions.ts'

const pod = (name: string) => ({ namespace: 'default', name, uid: `uid-${name}` })
const answer = (status: number, message: string) =>
  new ApiError('POST', { status, headers: {}, body: { kind: 'Status', status: 'Failure', code: status, message } } as never)

/** Answers each pod's eviction as told; says what it was asked. */
function server(answers: Readonly<Record<string, Error>>): { client: Client; asked: { path: string; body: unknown; options: unknown }[] } {
  const asked: { path: string; body: unknown; options: unknown }[] = []
  const create = (path: string, body: unknown, options: unknown) => {
    asked.push({ path, body, options })
    const failure = answers[/pods\/(.*)\/eviction$/.exec(path)?.[1] ?? '']
    return failure === undefined ? Promise.resolve({}) : Promise.reject(failure)
  }
  return { client: { create } as unknown as Client, asked }
}

test('each is asked as a dry run, by UID, with the grace period of the drain', async () => {
  const { client, asked } = server({})
  const tries = await tryEvictions(client, [pod('web')], 5)
  expect([...tries.asked, ...tries.refused]).toEqual(['uid-web'])
  expect(asked).toEqual([
    {
      path: '/api/v1/namespaces/default/pods/web/eviction',
      body: {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: 'web', namespace: 'default' },
        deleteOptions: { preconditions: { uid: 'uid-web' }, gracePeriodSeconds: 5 },
      },
      options: { dryRun: true },
    },
  ])
})

test('what would be refused is told in the server’s words; a pod that is gone is in nobody’s way', async () => {
  const { client } = server({
    budget: answer(429, 'Cannot evict pod'),
    several: answer(500, 'more than one PodDisruptionBudget'),
    webhook: answer(403, 'denied'),
    gone: answer(404, 'not found'),
    another: answer(409, 'UID differs'),
  })
  const tries = await tryEvictions(client, ['budget', 'several', 'webhook', 'gone', 'another', 'free'].map(pod), undefined)
  expect([...tries.refused.keys()].toSorted((a, b) => a.localeCompare(b))).toEqual(['uid-budget', 'uid-several', 'uid-webhook'])
  expect(tries.refused.get('uid-budget')).toContain('Cannot evict pod')
  expect(tries.asked.size).toBe(6)
})

test('no answer is no answer', async () => {
  await expect(tryEvictions(server({ web: new Error('socket hang up') }).client, [pod('web')], undefined)).rejects.toThrow('socket hang up')
  await expect(tryEvictions(server({ web: answer(401, 'who are you') }).client, [pod('web')], undefined)).rejects.toThrow('who are you')
})
