import { expect, test } from '@jest/globals'
import { fatNode, withFatNodes } from '../../bench/fat-nodes.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { createSandbox } from '../../src/sandbox/cluster.ts'
import { standardCluster } from '../../src/sandbox/standard-cluster.ts'

test('Nodes are as heavy as real ones for whom it is asked, and only for them', async () => {
  const sandbox = createSandbox()
  try {
    await standardCluster(sandbox, { servers: 1, agents: 1 })
    const server = withFatNodes(sandbox.server, (user) => user === 'controller')
    const size = async (user: string, path: string) => {
      const response = await sandbox.finish(server.as(user).send({ method: 'GET', path }, new AbortController().signal))
      return JSON.stringify(response.body).length
    }
    const fat = await size('controller', '/api/v1/nodes/agent-1')
    expect(fat).toBeGreaterThan(14_000)
    expect(fat).toBeLessThan(20_000)
    expect(await size('controller', '/api/v1/nodes')).toBeGreaterThan(28_000)
    expect(await size('admin', '/api/v1/nodes/agent-1')).toBeLessThan(6_000)
  } finally {
    await sandbox.stop()
  }
})

test('a bookmark stays what it is', () => {
  const bookmark: JsonObject = { kind: 'Node', metadata: { resourceVersion: '7' } }
  expect(fatNode(bookmark)).toBe(bookmark)
})
