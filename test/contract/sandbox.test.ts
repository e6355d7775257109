import { afterAll, beforeAll } from '@jest/globals'
import { createSandbox } from '../../src/sandbox/cluster.ts'
import { standardCluster } from '../../src/sandbox/standard-cluster.ts'
import { contract } from './suite/all.ts'
import { contractOf, type Server } from './suite/contract.ts'

/** The sandbox on virtual time: hours of Jobs and TTLs pass in a moment. What it stores is frozen. */
async function startSandbox(): Promise<Server> {
  const sandbox = createSandbox({
    freeze: true,
    allow: (user) => user === 'admin' || /^system:(kube-|nodes?\b)/.test(user),
  })
  await standardCluster(sandbox, { servers: 1, agents: 1 })
  return {
    clock: sandbox.clock,
    as: (user) => sandbox.as(user),
    // Whoever has the token is whom it names.
    withToken: (token) => sandbox.as(token),
    nodes: ['server-1', 'agent-1'],
    run: (work) => sandbox.finish(work),
    power: (node, on) => (on ? sandbox.machines.get(node)?.powerOn() : sandbox.machines.get(node)?.powerOff()),
    forget: () => sandbox.server.compact(),
    stop: () => sandbox.stop(),
  }
}

let server: Server
beforeAll(async () => {
  server = await startSandbox()
})
afterAll(() => server.stop())

contract(contractOf(() => server))
