/** The demo from end to end, on virtual time. */
import { expect, test } from '@jest/globals'
import type { Outside } from '../../src/base/process.ts'
import { answerChannel } from '../../src/cli/channel-server.ts'
import { HEARTBEAT_MS, SEED, TARGET } from '../../src/cli/demo/scenario.ts'
import { openScreen } from '../../src/cli/demo/screen.ts'
import { buildCluster, upgrade } from '../../src/cli/demo/upgrade.ts'
import { createSandbox, type Sandbox } from '../../src/sandbox/cluster.ts'
import { nowhere } from '../../src/base/nowhere.ts'

const outside: Outside = {
  ...nowhere,
  get: async (url) => {
    const answer = answerChannel({ channels: { stable: TARGET } }, 'http://channels', 'GET', new URL(url).pathname)
    return { ...answer, statusLine: `HTTP/1.1 ${answer.status}` }
  },
}

async function play(trouble: (sandbox: Sandbox) => void, seed = SEED): Promise<{ code: number | undefined; text: string }> {
  const sandbox = createSandbox({ heartbeatMs: HEARTBEAT_MS, seed })
  await buildCluster(sandbox)
  trouble(sandbox)
  const written: string[] = []
  const screen = openScreen({ write: (text) => written.push(text) }, {})
  let code: number | undefined
  const channel = 'http://channels/v1-release/channels/stable'
  void upgrade({ sandbox, screen, outside, channel, signal: new AbortController().signal }).then((result) => (code = result))
  await sandbox.run(() => code !== undefined, 300_000)
  await sandbox.stop()
  return { code, text: written.join('') }
}

test.each([SEED, 1, 2])('with seed %d everything is as promised, and the blocked drain is shown by name', async (seed) => {
  const { code, text } = await play(() => {}, seed)
  expect(text).not.toContain('BROKEN')
  expect(code).toBe(0)
  expect(text).toMatch(/Draining \(cordoned\), waits for: .*pod default\/ledger-\S+ .*PodDisruptionBudget default\/ledger/)
  expect(text).toContain('Somebody scaled ledger to two replicas')
  expect(text.match(/^ {4}ok /gm)).toHaveLength(10)
})

test('with a release whose kubelet never starts it says what is broken and ends with 1', async () => {
  const { code, text } = await play((sandbox) => sandbox.releases.set(TARGET, 'crash'))
  expect(code).toBe(1)
  expect(text).toMatch(/BROKEN {2}every node upgraded/)
  // What has to hold holds even then.
  expect(text).toMatch(/ok {6}etcd quorum kept/)
})

test('an outsider who takes a second server away is noticed', async () => {
  const { code, text } = await play((sandbox) => {
    let done = false
    sandbox.server.onWrite(({ ref, after }) => {
      const cordoned = (after?.['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable === true
      if (done || ref.resource !== 'nodes' || !cordoned) return
      done = true
      const other = ref.name === 'server-1' ? 'server-2' : 'server-1'
      const patch = (unschedulable: boolean | null) =>
        sandbox.as('outsider').send(
          {
            method: 'PATCH',
            path: `/api/v1/nodes/${other}`,
            contentType: 'application/merge-patch+json',
            body: { spec: { unschedulable } },
          },
          new AbortController().signal,
        )
      void patch(true).then(() => patch(null))
    })
  })
  expect(code).toBe(1)
  expect(text).toMatch(/BROKEN {2}etcd quorum kept: at most 2 of 3 servers away/)
})
