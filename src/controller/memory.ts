/** What a leader keeps in memory between passes. All of it can be lost: a new leader starts with an empty one (design §3). */
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import type { Hold } from '../api/reasons.ts'
import { slotName } from '../rollout/slot-name.ts'
import type {
  Decision,
  DrainView,
  Evicted,
  EvictionTries,
  Fresh,
  GateSeen,
  KuredView,
  Moment,
  Setback,
  SnapshotView,
  World,
} from '../rollout/world.ts'

export interface Memory {
  readonly drains: Map<string, Fresh<DrainView>>
  readonly kured: Map<'lock', Fresh<KuredView | null>>
  readonly attachments: Map<string, Fresh<readonly string[]>>
  readonly tries: Map<string, Fresh<EvictionTries>>
  readonly channels: Map<string, Fresh<string>>
  readonly secrets: Map<string, Fresh<Secret | null>>
  readonly logs: Map<string, Fresh<string>>
  readonly snapshots: Map<'etcd', Fresh<readonly SnapshotView[] | 'unknown'>>
  readonly dryRuns: Map<string, Fresh<true>>
  readonly evictions: Map<string, Evicted>
  readonly rechecks: Map<string, Hold>
  readonly gates: Map<string, Fresh<GateSeen>>
  /** By a step's subject, or `claim <Plan> <node>`. */
  readonly setbacks: Map<string, Setback & { readonly at: number }>
  readonly since: Map<string, Moment>
  readonly confirmed: Set<string>
  /** Ids of messages to webhooks that were delivered, or given up; kept by the notifier. */
  readonly notified: Set<string>
  /** Keys of needs whose answer is out of date, whatever its age. */
  readonly expired: Set<string>
}

/** A setback that nothing repeats is told no longer: the step is no more asked for, or another node was claimed. */
const SETBACK_MS = 60_000

export function createMemory(): Memory {
  return {
    drains: new Map(),
    kured: new Map(),
    attachments: new Map(),
    tries: new Map(),
    channels: new Map(),
    secrets: new Map(),
    logs: new Map(),
    snapshots: new Map(),
    dryRuns: new Map(),
    evictions: new Map(),
    rechecks: new Map(),
    gates: new Map(),
    setbacks: new Map(),
    since: new Map(),
    confirmed: new Set(),
    notified: new Set(),
    expired: new Set(),
  }
}

/** Takes over what the decision asserted, and forgets what nobody will ask for any more. */
export function remember(memory: Memory, decision: Decision, { now, nodes, pods, plans }: World): void {
  for (const key of memory.since.keys()) if (!decision.facts.has(key)) memory.since.delete(key)
  for (const key of decision.facts) if (!memory.since.has(key)) memory.since.set(key, now)
  for (const [kind, known] of [
    ['drain', memory.drains],
    ['tries', memory.tries],
    ['attachments', memory.attachments],
  ] as const) {
    const wanted = new Set(decision.needs.flatMap((need) => (need.kind === kind ? [need.node] : [])))
    for (const key of known.keys()) if (!wanted.has(key)) known.delete(key)
  }
  for (const name of memory.rechecks.keys()) if (!nodes.some((node) => node.name === name)) memory.rechecks.delete(name)
  const tried = new Set(decision.steps.map((step) => step.about))
  for (const [key, { at }] of memory.setbacks) if (!tried.has(key) && at + SETBACK_MS < now.mono) memory.setbacks.delete(key)
  const alive = new Set(pods.map((pod) => pod.uid))
  for (const key of memory.logs.keys()) if (!alive.has(key)) memory.logs.delete(key)
  // A claim is confirmed until its node has a record; a later attempt has to be confirmed anew.
  const working = new Set<string>()
  for (const node of nodes) if (node.record?.ok === true && node.record.record.work !== undefined) working.add(node.uid)
  for (const key of memory.confirmed) {
    const [planUID, , nodeUID] = key.split('/')
    const plan = plans.find((view) => view.uid === planUID)
    const node = nodes.find((view) => view.uid === nodeUID)
    const applying = plan?.plan?.status.applying ?? []
    // What is confirmed stands in `applying`; a slot that was given back has to be claimed anew.
    if (node === undefined || working.has(node.uid) || !applying.includes(slotName(node))) memory.confirmed.delete(key)
  }
  if (memory.evictions.size > 10_000) memory.evictions.clear()
}
