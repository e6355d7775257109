import { describe, expect, test } from '@jest/globals'
import { createSandbox } from '../../../src/sandbox/cluster.ts'
import { standardCluster } from '../../../src/sandbox/standard-cluster.ts'

describe('a sandbox on the real clock', () => {
  test('comes up, answers over HTTP and ends', async () => {
    const sandbox = createSandbox({ clock: 'real' })
    await standardCluster(sandbox, { servers: 1, agents: 2, workloads: [{ name: 'web', replicas: 2, readyAfterMs: 0 }] })
    const listener = await sandbox.listen()
    const answer = await fetch(`${listener.url}/api/v1/nodes`)
    const { items } = (await answer.json()) as { items: readonly { metadata: { name: string } }[] }
    expect(items.map(({ metadata }) => metadata.name)).toEqual(['agent-1', 'agent-2', 'server-1'])
    await listener.close()
    await sandbox.stop()
  })

  test('virtual time cannot be served', async () => {
    await expect(createSandbox().listen()).rejects.toThrow('clock: real')
  })
})
