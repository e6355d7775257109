/** The controller is killed between a write and its answer, again and again, at every kind of write. */
import { afterEach, describe, expect } from '@jest/globals'
import { agentPlan, type Cluster, type Controller, NAMESPACE, startCluster } from './cluster.ts'
import { endsWell, limited } from './ending.ts'
import { testNeeding } from './needs.ts'
import { type Asked, isWrite, type Proxy, startProxy } from './proxy.ts'

const test = testNeeding('audit-log')

const AGENTS = 100
const CONCURRENCY = 10
const KILLS = 50
/** Writes that each controller lives for at least. A rollout has some nine a node, and the kills must not outlast it. */
const WRITES_BETWEEN = 4
/** When none of the wanted kind has come after so many, any is taken. */
const PATIENCE = 12
/** How often each kind of write must have been cut off. */
const EACH = 2
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/system-upgrade-controller`

let cluster: Cluster | undefined
let proxy: Proxy | undefined

afterEach(async () => {
  await cluster?.stop()
  await proxy?.close()
  cluster = undefined
})

type Kind =
  /** Also of slots that were freed by the same write. */
  'claim' | 'release' | 'cordon' | 'mark start' | 'done' | 'create Job' | 'start Job' | 'other Job write' | 'create pod' | 'delete pod'

const WANTED = [
  'claim',
  'cordon',
  'create Job',
  'mark start',
  'start Job',
  'done',
  'other Job write',
  'create pod',
  'delete pod',
] as const satisfies readonly Kind[]

describe('a controller that is killed between request and answer', () => {
  test(`${KILLS} times over ${AGENTS} nodes: limits hold, each node is upgraded once, nothing is left`, async () => {
    cluster = await startCluster({ agents: AGENTS, audit: 'Request', heartbeatMs: 5000, nodeGraceSeconds: 60 })
    const { api, plane } = cluster
    proxy = await startProxy(plane)
    const kills: (Kind | undefined)[] = []
    let controller: Controller | undefined
    let dead = 0
    /** Writes of this controller; undefined = it is to live. */
    let writes: number | undefined
    const kindOf = kinds()

    proxy.decide((asked) => {
      if (!isWrite(asked)) return { is: 'passed' }
      const kind = kindOf(asked)
      if (writes === undefined) return { is: 'passed' }
      writes += 1
      // First whatever has not been cut off often enough, then one kind after the other.
      const rare = WANTED.filter((one) => kills.filter((other) => other === one).length < EACH)
      const wanted = rare.length > 0 ? rare.some((one) => one === kind) : kind === WANTED[kills.length % WANTED.length]
      if (writes < WRITES_BETWEEN || (!wanted && writes < PATIENCE)) return { is: 'passed' }
      writes = undefined
      kills.push(kind)
      return { is: 'swallowed', answered: () => void controller?.kill().then(() => (dead += 1)) }
    })

    await cluster.apply(agentPlan({ concurrency: CONCURRENCY }))
    while (dead < KILLS) {
      const before = dead
      writes = 0
      controller = await cluster.controller({ server: proxy.url, env: limited(CONCURRENCY) })
      await cluster.until(`controller ${before} is killed`, async () => dead > before)
      // The dead cannot give their Lease back, and the living need not wait for it here.
      await api.mergePatch(LEASE, { spec: { holderIdentity: '' } })
    }
    await cluster.controller({ server: proxy.url, env: limited(CONCURRENCY) })
    await endsWell(cluster, { agents: AGENTS, concurrency: CONCURRENCY, seconds: 600 })
    for (const kind of WANTED) {
      const times = kills.filter((one) => one === kind).length
      expect({ kind, times, enough: times >= EACH }).toEqual({ kind, times, enough: true })
    }
  }, 1_200_000)
})

/** What a write of a rollout is for; tells claims from releases by the slots that it has seen before. */
function kinds(): (asked: Asked) => Kind | undefined {
  let applying: readonly string[] = []
  return ({ method, path, body }) => {
    const json = JSON.parse(body === '' ? '{}' : body) as Body
    if (/\/plans\/[^/]+\/status/.test(path)) {
      const before = applying
      applying = json.status?.applying ?? before
      if (applying.some((name) => !before.includes(name))) return 'claim'
      return before.some((name) => !applying.includes(name)) ? 'release' : undefined
    }
    if (/\/nodes\//.test(path)) {
      if (json.spec?.unschedulable === true) return 'cordon'
      return Object.keys(json.metadata?.labels ?? {}).some((key) => key.startsWith('plan.upgrade.cattle.io/')) ? 'done' : 'mark start'
    }
    if (/\/jobs/.test(path)) return method === 'POST' ? 'create Job' : json.spec?.parallelism === 1 ? 'start Job' : 'other Job write'
    if (/\/pods/.test(path)) return method === 'POST' ? 'create pod' : 'delete pod'
    return undefined
  }
}

interface Body {
  readonly metadata?: { readonly labels?: Readonly<Record<string, unknown>> }
  readonly spec?: { readonly unschedulable?: boolean | null; readonly parallelism?: number }
  readonly status?: { readonly applying?: readonly string[] }
}
