/** RolloutPolicies on the real API server: what a policy asks for is done, under the manifests' permissions and with the real definition. */
import { expect } from '@jest/globals'
import type { NotifyMessage } from '../../src/api/notify.ts'
import { serve } from '../kube/client/servers.ts'
import { NAMESPACE } from './cluster.ts'
import { shareCluster } from './shared.ts'

const { scenario } = shareCluster({})

const policy = (id: string, spec: object): object => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: id, namespace: NAMESPACE },
  spec: { planNames: [id], ...spec },
})

scenario('notify', 'webhooks hear of a rollout, by URL and by Secret; one that refuses is told of on the policy', async (s) => {
  const got: { path: string; message: NotifyMessage }[] = []
  const server = await serve(
    (request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        got.push({ path: request.url ?? '', message: JSON.parse(body) as NotifyMessage })
        response.writeHead(request.url === '/gone' ? 410 : 200).end()
      })
    },
    { secure: false },
  )
  try {
    await s.cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: `${s.id}-webhook`, namespace: NAMESPACE },
        stringData: { url: `${server.url}/secret-token` },
      },
      policy(s.id, {
        notify: [{ url: `${server.url}/plain` }, { secretRef: { name: `${s.id}-webhook`, key: 'url' } }, { url: `${server.url}/gone` }],
      }),
    )
    await s.apply()
    await s.done()
    const heard = (path: string) => got.filter((one) => one.path === path).map(({ message }) => message.event)
    await s.until('the end was told', () => heard('/plain').length === 2 && heard('/secret-token').length === 2)
    await s.until('the end was noted', async () => told(await s.plan()))
    await s.wait(3)
    for (const path of ['/plain', '/secret-token', '/gone'])
      expect([path, heard(path)]).toEqual([path, ['RolloutStarted', 'RolloutComplete']])
    expect(got.at(-1)?.message).toMatchObject({ plan: { namespace: NAMESPACE, name: s.id }, policy: s.id, hash: await s.hash() })
    const refusals = await s.events('NotifyFailed')
    expect(refusals).toContainEqual({
      on: `RolloutPolicy/${s.id}`,
      type: 'Warning',
      reason: 'NotifyFailed',
      message: `spec.notify[2]: RolloutComplete of Plan ${s.id} is given up: HTTP status 410`,
    })
    expect(JSON.stringify(await s.kubectl('get', 'events,plans,rolloutpolicies', '--all-namespaces', '-o', 'json'))).not.toContain(
      'secret-token',
    )
  } finally {
    await server.close()
  }
})

/** The Plan's memory says that the end was told. */
function told(plan: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } }): boolean {
  return plan.metadata?.annotations?.['drover.io/rollout']?.includes('RolloutComplete') === true
}
