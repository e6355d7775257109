import { expect, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import type { Json } from '../../src/base/json.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Process, Request } from '../../src/base/process.ts'
import { neededPermissions } from '../../src/controller/permissions.ts'
import { missingPermissions } from '../../src/controller/self-check.ts'
import { createClient } from '../../src/kube/client/client.ts'
import { nowhere } from '../../src/base/nowhere.ts'

const signal = new AbortController().signal

function clientOf(answer: (attributes: Record<string, unknown>) => { status: number; body: Json }) {
  let open = 0
  let most = 0
  const asked: Record<string, unknown>[] = []
  const process: Process = {
    name: 'test',
    clock: systemClock,
    random: () => 0.5,
    log: silentLog,
    outside: nowhere,
    transport: {
      async send(request: Request) {
        most = Math.max(most, ++open)
        await new Promise((resolve) => setImmediate(resolve))
        open--
        const { spec } = JSON.parse(JSON.stringify(request.body)) as { spec: { resourceAttributes: Record<string, unknown> } }
        asked.push(spec.resourceAttributes)
        return answer(spec.resourceAttributes)
      },
      watch: () => Promise.reject(new Error('not used')),
    },
  }
  return { client: createClient(process), asked, most: () => most }
}

const allowed = (yes: boolean) => ({ status: 201, body: { kind: 'SelfSubjectAccessReview', status: { allowed: yes } } })

test('nothing is missing where all is allowed; each verb is asked for once, a few at a time', async () => {
  const { client, asked, most } = clientOf(() => allowed(true))
  const permissions = neededPermissions('ns', 'lease')

  expect(await missingPermissions(client, permissions, signal)).toEqual([])
  expect(asked).toHaveLength(permissions.reduce((sum, permission) => sum + permission.verbs.length * (permission.names?.length ?? 1), 0))
  expect(asked).toContainEqual({ group: '', resource: 'pods', subresource: 'eviction', verb: 'create' })
  expect(asked).toContainEqual({ group: 'coordination.k8s.io', resource: 'leases', verb: 'update', namespace: 'ns', name: 'lease' })
  expect(most()).toBeGreaterThan(1)
  expect(most()).toBeLessThanOrEqual(8)
})

test('what is missing is named, with what will not work', async () => {
  const { client } = clientOf(({ verb, resource, subresource }) =>
    allowed(!(resource === 'nodes' && verb === 'patch') && subresource !== 'status'),
  )

  expect(await missingPermissions(client, neededPermissions('ns', 'lease'), signal)).toEqual([
    { access: 'patch plans/status.upgrade.cattle.io in namespace ns', why: 'claiming nodes and reporting' },
    { access: 'patch rolloutpolicies/status.drover.io in namespace ns', why: 'saying what a RolloutPolicy governs' },
    { access: 'patch nodes', why: 'choosing, cordoning and labelling nodes' },
  ])
})

test('an answer without a verdict counts as missing; no answer is an error', async () => {
  const [one] = neededPermissions('ns', 'lease')

  expect(await missingPermissions(clientOf(() => ({ status: 201, body: {} })).client, one === undefined ? [] : [one], signal)).toHaveLength(
    2,
  )
  await expect(
    missingPermissions(
      clientOf(() => ({ status: 404, body: { kind: 'Status', code: 404, reason: 'NotFound' } })).client,
      one === undefined ? [] : [one],
      signal,
    ),
  ).rejects.toMatchObject({
    code: expect.any(String),
  })
})
