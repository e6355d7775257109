import { expect, test } from '@jest/globals'
import { runController } from '../../src/controller/run.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { createSandbox } from '../../src/sandbox/cluster.ts'
import { apply } from '../../src/sandbox/standard-cluster.ts'
import { agentsOnly } from './scenarios/story.ts'
import { agentPlan, CONTROLLER, createWorld, settingsFor } from './harness.ts'

/** Nodes change all the time, so at any moment a pass may be queued; the controller has to end whenever it is told to. */
test.each(Array.from({ length: 12 }, (_, i) => i * 3))('a controller told to stop %d ms into a burst of changes ends', async (offsetMs) => {
  const sandbox = createSandbox()
  const { clock } = sandbox
  const { settings } = parseSettings({ SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: 'system-upgrade' }, [])
  let ended: unknown
  let burst = true
  const controller = sandbox.spawn((own, signal) => runController(own, settings, signal), { name: 'drover' })
  void controller.done.then((how) => (ended = how))
  void (async () => {
    await apply(sandbox, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'system-upgrade' } })
    await apply(sandbox, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' } })
    for (let n = 0; burst; n++) {
      const patch = { metadata: { labels: { n: String(n) } } }
      await sandbox
        .as('admin')
        .send(
          { method: 'PATCH', path: '/api/v1/nodes/a', body: patch, contentType: 'application/merge-patch+json' },
          new AbortController().signal,
        )
      await clock.sleep(4)
    }
  })()
  const leads = () => sandbox.history.some((write) => write.ref.resource === 'leases' && write.user === 'drover' && write.status < 300)
  expect(await sandbox.run(leads, 60_000)).toBe(true)
  await sandbox.run(() => false, 1000 + offsetMs)
  controller.stop()
  await sandbox.run(() => ended !== undefined, 30_000)
  burst = false
  await sandbox.stop()
  expect(ended).toBe('finished')
})

test('a controller told to stop while it confirms a claim ends at once and gives the Lease back', async () => {
  const world = await createWorld({ cluster: agentsOnly })
  const { sandbox } = world
  let lists = 0
  let told: number | undefined
  let ended: { readonly how: unknown; readonly at: number } | undefined
  const controller = sandbox.spawn(
    (own, signal) => {
      const { transport } = own
      const send: typeof transport.send = (request, stop) => {
        // The second list of Plans is the quorum read after the claim.
        if (request.method === 'GET' && request.path === '/apis/upgrade.cattle.io/v1/plans' && ++lists === 2) {
          told = sandbox.clock.mono()
          controller.stop()
        }
        return transport.send(request, stop)
      }
      return runController(
        { ...own, transport: { ...transport, send, watch: (request, stop) => transport.watch(request, stop) } },
        settingsFor(),
        signal,
      )
    },
    { name: 'drover', user: CONTROLLER },
  )
  void controller.done.then((how) => (ended = { how, at: sandbox.clock.mono() }))
  await sandbox.run(() => sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined, 60_000)
  await world.apply(JSON.parse(JSON.stringify(agentPlan({ prepare: undefined, drain: undefined }))) as object)
  await sandbox.run(() => ended !== undefined, 300_000)
  const lease = sandbox.server.peek('leases.coordination.k8s.io', 'system-upgrade-controller', 'system-upgrade')
  await world.stop()
  expect(ended?.how).toBe('finished')
  expect((ended?.at ?? 0) - (told ?? Number.NaN)).toBeLessThan(5000)
  expect(lease?.['spec']).toMatchObject({ holderIdentity: '' })
})
