/** Two replicas, and a network that cuts off the one that leads: it drops, delays and resets. */
import { afterEach, describe, expect } from '@jest/globals'
import { agentPlan, type Cluster, type Controller, startCluster } from './cluster.ts'
import { endsWell } from './ending.ts'
import { testNeeding } from './needs.ts'
import { type Asked, type Fate, type Proxy, startProxy } from './proxy.ts'

const test = testNeeding('audit-log')

const AGENTS = 60
const CONCURRENCY = 6
/** Nodes that the new leader finishes before the old one is heard again. */
const NODES_EACH = 4
/** Short, so that a leader changes in seconds; in the proportions that ship. */
const LEASE = { DROVER_LEASE_DURATION: '6s', DROVER_LEASE_RENEW_DEADLINE: '4s', DROVER_LEASE_RETRY: '1s' }
/** Beyond the Lease's end: what the old leader still asked for arrives when another leads. */
const DELAY_MS = 9000

interface Replica {
  readonly controller: Controller
  readonly proxy: Proxy
}

let cluster: Cluster | undefined
const proxies: Proxy[] = []

afterEach(async () => {
  await cluster?.stop()
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()))
  cluster = undefined
})

type Fault = 'drops' | 'delays' | 'resets'
const FATES: Readonly<Record<Fault, (asked: Asked) => Fate>> = {
  drops: () => ({ is: 'dropped' }),
  delays: () => ({ is: 'delayed', ms: DELAY_MS }),
  resets: () => ({ is: 'reset' }),
}

describe('a leader that is cut off', () => {
  test('by dropped, delayed and reset packets: another leads, late writes are fenced off, each node is upgraded once', async () => {
    const own = (cluster = await startCluster({ agents: AGENTS, audit: 'Request', heartbeatMs: 5000, nodeGraceSeconds: 60 }))
    const replicas: Replica[] = []
    for (let i = 0; i < 2; i++) {
      const proxy = await startProxy(own.plane)
      proxies.push(proxy)
      replicas.push({ proxy, controller: await own.controller({ server: proxy.url, env: LEASE }) })
    }
    const done = async (): Promise<number> =>
      (await own.nodes()).filter(({ metadata }) => metadata?.labels?.['plan.upgrade.cattle.io/agents'] !== undefined).length
    const leader = async (): Promise<Replica | undefined> => {
      const name = await holder(own)
      return replicas.find(({ controller }) => name !== '' && controller.output().includes(`"identity":"${name}","msg":"leading"`))
    }
    /** Who was delayed, and when another led. */
    const delayed: { readonly proxy: Proxy; readonly since: number }[] = []

    await own.apply(agentPlan({ concurrency: CONCURRENCY }))
    for (const fault of ['drops', 'delays', 'resets', 'delays', 'drops', 'resets'] as const) {
      const from = await done()
      await own.until(`nodes are finished before the leader's network ${fault} packets`, async () => (await done()) >= from + NODES_EACH)
      const old = (await leader()) as Replica
      expect(old).toBeDefined()
      old.proxy.decide(FATES[fault])
      if (fault === 'resets') old.proxy.sever()
      else old.proxy.freeze()
      await own.until(`another leads because the network ${fault} packets`, async () => {
        const now = await leader()
        return now !== undefined && now !== old
      })
      if (fault === 'delays') delayed.push({ proxy: old.proxy, since: Date.now() })
      const then = await done()
      await own.until(`the new leader finishes nodes while the network ${fault} packets`, async () => (await done()) >= then + NODES_EACH)
      old.proxy.decide(() => ({ is: 'passed' }))
      old.proxy.sever()
    }
    await endsWell(own, { agents: AGENTS, concurrency: CONCURRENCY, seconds: 600 })
    // Writes of a leader that had been replaced did arrive, and were refused.
    const late = delayed.flatMap(({ proxy, since }) => proxy.writes.filter(({ late: is, at }) => is && at > since && at < since + DELAY_MS))
    const refused = late.filter(({ status }) => status === 409 || status === 404 || status === 422)
    expect({ late: late.length > 0, refused: refused.length > 0 }).toEqual({ late: true, refused: true })
  }, 900_000)
})

async function holder({ api }: Cluster): Promise<string> {
  const path = '/apis/coordination.k8s.io/v1/namespaces/system-upgrade/leases/system-upgrade-controller'
  const { spec } = await api.get<{ spec?: { holderIdentity?: string } }>(path)
  return spec?.holderIdentity ?? ''
}
