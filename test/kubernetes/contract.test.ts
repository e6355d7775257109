import { afterAll, beforeAll, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { createHttpsTransport, type HttpsTransport } from '../../src/kube/client/https-transport.ts'
import { contract } from '../contract/suite/all.ts'
import { contractOf, type Server } from '../contract/suite/contract.ts'
import { startControlPlane } from './control-plane.ts'
import { startMachines } from './machines.ts'
import { lacking } from './needs.ts'

const START_MS = 15 * 60_000
const READY_MS = 60_000

/** A real control plane with the sandbox's machines as its nodes. */
async function startKubernetes(): Promise<Server> {
  // The history goes every ten seconds instead of every five minutes, or the test that needs it gone would wait as long.
  const plane = await startControlPlane({ users: ['nobody'], audit: 'None', apiServerFlags: ['--etcd-compaction-interval=10s'] })
  const machines = await startMachines({ as: (user) => plane.as(user) })
  const nodes = ['server-1', 'agent-1'] as const
  const made = nodes.map((name) => machines.add({ name, role: name === 'server-1' ? 'server' : 'agent', version: 'v1.33.3+rke2r1' }))
  const deadline = systemClock.mono() + READY_MS
  while (made.some(({ ready }) => !ready)) {
    if (systemClock.mono() > deadline) throw new Error(`the machines are not Ready within ${READY_MS / 1000} s`)
    await systemClock.sleep(100)
  }
  const byToken: HttpsTransport[] = []
  const tls = { ca: plane.ca, rejectUnauthorized: true }
  return {
    clock: systemClock,
    as: (user) => plane.as(user),
    withToken(token) {
      const shared = { server: plane.url, clock: systemClock, log: silentLog, tls: () => tls }
      const transport = createHttpsTransport({ ...shared, token: () => Promise.resolve(token) })
      byToken.push(transport)
      return transport
    },
    nodes,
    run: (work) => work,
    power: (node, on) => (on ? machines.all.get(node)?.powerOn() : machines.all.get(node)?.powerOff()),
    forget() {},
    async stop() {
      for (const transport of byToken) transport.close()
      await machines.stop()
      await plane.stop()
    },
  }
}

let server: Server
if (lacking('the contract of the API server', ['api-server'])) test.skip('the contract of the API server', () => {})
else {
  beforeAll(async () => {
    server = await startKubernetes()
  }, START_MS)
  afterAll(() => server.stop(), 60_000)

  contract(contractOf(() => server))
}
