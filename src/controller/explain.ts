/** Why a node is where it is, for a person: the same decision that the controller makes, on a fresh read of the cluster, carried out by nobody. */
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import { createClient } from '../kube/client/client.ts'
import { noMetrics } from '../observability/metrics.ts'
import { decide } from '../rollout/decide.ts'
import type { Decision, Need, World } from '../rollout/world.ts'
import { createCaches } from './caches.ts'
import { createGather } from './gather.ts'
import { createMemory, remember } from './memory.ts'

const SYNC_TIMEOUT_MS = 30_000
const POLL_MS = 50
/** What the decision needs is fetched in so many rounds at most: channel, then drain or heartbeat. */
const ROUNDS = 3
const ROUND_MS = 1_500
/** From where a person sits another server may answer, or none, and tokens are not to travel there. */
const ONLY_THE_CONTROLLER = "Prometheus is asked by the controller only; what it found is in the Plan's status"

const asksPrometheus = (need: Need): need is Extract<Need, { kind: 'gate' }> => need.kind === 'gate' && need.check.kind === 'prometheus'

/** Reads the cluster and decides, without writing anything. @throws Error when the cluster cannot be read within 30 s, or may not be read, or the signal's reason */
export async function lookOnce(
  process: Process,
  settings: Settings,
  signal?: AbortSignal,
): Promise<{ readonly world: World; readonly decision: Decision }> {
  const end = new AbortController()
  const client = createClient(process, { signal: end.signal })
  const caches = createCaches(process, client, settings, noMetrics, end.signal, () => undefined)
  const memory = createMemory()
  try {
    const deadline = process.clock.mono() + SYNC_TIMEOUT_MS
    while (!caches.synced()) {
      const refusal = caches.troubles.refusal()
      if (refusal !== undefined) throw new Error(`the cluster cannot be read: ${refusal.message}`)
      if (process.clock.mono() > deadline)
        throw new Error(
          'the cluster could not be read within 30 s; is the API server reachable, and are Plans, RolloutPolicies, Nodes, Jobs and Pods readable for you?',
        )
      await process.clock.sleep(POLL_MS, signal)
    }
    const gather = createGather(process, client, settings, caches, memory, noMetrics, () => undefined)
    let world = gather.world()
    let decision = decide(world)
    for (let round = 0; round < ROUNDS && decision.needs.length > 0; round++) {
      remember(memory, decision, world)
      for (const need of decision.needs) {
        const at = process.clock.mono()
        if (asksPrometheus(need)) memory.gates.set(need.key, { at, ok: false, error: ONLY_THE_CONTROLLER })
        // A request for a write: explain asks for none, and looks at what comes after. A refusal stands in the Plan's status.
        if (need.kind === 'dryRun') memory.dryRuns.set(need.key, { at, ok: true, value: true })
      }
      gather.fetch(decision.needs.filter((need) => need.kind !== 'dryRun' && !asksPrometheus(need)))
      await process.clock.sleep(ROUND_MS, signal)
      world = gather.world()
      decision = decide(world)
    }
    return { world, decision }
  } finally {
    end.abort()
  }
}
