/** Two replicas, and a network that cuts off the one that leads: it drops, delays and resets. */
import { afterEach, describe, expect } from '@jest/globals'
import { agentPlan, type Cluster, type Controller, startCluster } from './cluster.ts'
import { endsWell, limited } from './ending.ts'
import { testNeeding } from './needs.ts'
import { type Asked, type Fate, type Proxy, startProxy } from './proxy.ts'

const test = testNeeding('audit-log')

const AGENTS = 60
const CONCURRENCY = 6
/** Nodes that the new leader finishes before the old one is heard again. */
const NODES_EACH = 4
/** Short, so that a leader changes in seconds; in the proportions that ship. */
const LEASE = { DROVER_LEASE_DURATION: '6s', DROVER_LEASE_RENEW_DEADLINE: '4s', DROVER_LEASE_RETRY: '1s' }

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

/** Lets a fault begin; returns what ends it. */
function cutOff({ proxy }: Replica, fault: Fault): () => void {
  let arrive = (): void => {}
  const until = new Promise<void>((resolve) => (arrive = resolve))
  const fates: Readonly<Record<Fault, Fate>> = { drops: { is: 'dropped' }, delays: { is: 'delayed', until }, resets: { is: 'reset' } }
  // From the next claim on, so that one is among what arrives late.
  let began = fault !== 'delays'
  const begin = (): void => {
    began = true
    if (fault === 'resets') proxy.sever()
    else proxy.freeze()
  }
  if (began) begin()
  proxy.decide((asked) => {
    if (!began && isClaim(asked)) begin()
    return began ? fates[fault] : { is: 'passed' }
  })
  return () => {
    proxy.decide(() => ({ is: 'passed' }))
    arrive()
    proxy.sever()
  }
}

const isClaim = ({ path, body }: Asked): boolean => /\/plans\/[^/]+\/status/.test(path) && body.includes('"applying"')

describe('a leader that is cut off', () => {
  test('by dropped, delayed and reset packets: another leads, late writes are fenced off, each node is upgraded once', async () => {
    const own = (cluster = await startCluster({ agents: AGENTS, audit: 'Request', heartbeatMs: 5000, nodeGraceSeconds: 60 }))
    const replicas: Replica[] = []
    for (let i = 0; i < 2; i++) {
      const proxy = await startProxy(own.plane)
      proxies.push(proxy)
      replicas.push({ proxy, controller: await own.controller({ server: proxy.url, env: { ...LEASE, ...limited(CONCURRENCY) } }) })
    }
    const done = async (): Promise<number> =>
      (await own.nodes()).filter(({ metadata }) => metadata?.labels?.['plan.upgrade.cattle.io/agents'] !== undefined).length
    const leader = async (): Promise<Replica | undefined> => {
      const name = await holder(own)
      return replicas.find(({ controller }) => name !== '' && controller.output().includes(`"identity":"${name}","msg":"leading"`))
    }
    await own.apply(agentPlan({ concurrency: CONCURRENCY }))
    for (const fault of ['drops', 'delays', 'resets', 'delays', 'drops', 'resets'] as const) {
      const from = await done()
      await own.until(`nodes are finished before the leader's network ${fault} packets`, async () => (await done()) >= from + NODES_EACH)
      const old = (await leader()) as Replica
      expect(old).toBeDefined()
      const heal = cutOff(old, fault)
      await own.until(`another leads because the network ${fault} packets`, async () => {
        const now = await leader()
        return now !== undefined && now !== old
      })
      const then = await done()
      await own.until(`the new leader finishes nodes while the network ${fault} packets`, async () => (await done()) >= then + NODES_EACH)
      heal()
    }
    await endsWell(own, { agents: AGENTS, concurrency: CONCURRENCY, seconds: 600 })
    // What two replaced leaders had asked for did arrive; their claims were refused.
    const late = proxies.flatMap((proxy) => proxy.writes.filter((write) => write.late))
    const claims = late.filter(isClaim).map(({ status }) => status)
    expect(claims.length).toBeGreaterThanOrEqual(2)
    expect(claims.filter((status) => status !== 409)).toEqual([])
  }, 900_000)
})

async function holder({ api }: Cluster): Promise<string> {
  const path = '/apis/coordination.k8s.io/v1/namespaces/system-upgrade/leases/system-upgrade-controller'
  const { spec } = await api.get<{ spec?: { holderIdentity?: string } }>(path)
  return spec?.holderIdentity ?? ''
}
