/**
 * kured reboots nodes one at a time, under a lock: an annotation on its DaemonSet (https://kured.dev). With the policy's `coordinate.kured` no
 * node is taken while kured holds it, and kured reboots none while nodes of the Plan are in flight. The lock is ours under a name that no node
 * has: kured uncordons a node that finds itself named there when it starts.
 */
import { type Hold, hold } from '../api/reasons.ts'
import type { Settings } from '../base/settings.ts'
import { isClaimed } from './claim.ts'
import type { Context, NodeGate } from './gates/gate.ts'
import type { Pass } from './pass.ts'
import type { PlanState } from './plan-state.ts'
import { recordOf } from './verdict.ts'
import type { KuredView, World } from './world.ts'

/** Where kured's manifests and its Helm chart put it. */
export const KURED = { namespace: 'kube-system', name: 'kured' } as const
const DAEMONSET = `DaemonSet/${KURED.namespace}/${KURED.name}`

/** The lock is renewed while it is needed; left behind, it ends by itself. */
export const KURED_TTL_MS = 3_600_000
const RENEW_MS = KURED_TTL_MS / 3
const POLL_MS = 10_000
/** While nothing is to be taken: a leader that has just begun may find a lock of ours. */
const IDLE_POLL_MS = 600_000
/** More than anybody lets kured reboot at once. */
const MAX_OWNERS = 100

interface Entry {
  readonly nodeID?: unknown
  readonly created?: unknown
  readonly TTL?: unknown
}

type Lock =
  | { readonly held: 'nobody' }
  | { readonly held: 'us'; readonly sinceMs: number }
  | { readonly held: 'others'; readonly who: string }
  | { readonly held: 'unknown'; readonly hold: Hold }

const unknown = (message: string, more: Parameters<typeof hold>[2] = {}): Lock => ({
  held: 'unknown',
  hold: hold('KuredLocked', message, { blockedBy: DAEMONSET, ...more }),
})

/** By which we are known in the lock. */
const ourID = ({ namespace, name }: Pick<Settings, 'namespace' | 'name'>): string => `drover/${namespace}/${name}`

function lockOf({ observed, settings, now }: World): Lock {
  const seen = observed.kured.get('lock')
  if (seen === undefined) return unknown("kured's lock is being read")
  if (!seen.ok) {
    if (seen.refused === true) return { held: 'unknown', hold: hold('Refused', `kured's lock cannot be read: ${seen.error}`) }
    return unknown(`kured's lock cannot be read: ${seen.error}`)
  }
  if (seen.value === null)
    return unknown(`there is no ${DAEMONSET}, whose lock RolloutPolicy coordinate.kured asks for`, { endedBy: 'person' })
  const { lock } = seen.value
  if (lock === undefined) return { held: 'nobody' }
  const entries = readEntries(lock)
  if (entries === undefined) return unknown(`the lock on ${DAEMONSET} cannot be read: ${lock.slice(0, 200)}`, { endedBy: 'person' })
  const live = entries.filter((entry) => !isOver(entry, now.wall))
  const own = live.find((entry) => isOurs(entry, settings))
  const other = live.find((entry) => !isOurs(entry, settings))
  if (other !== undefined) return { held: 'others', who: String(other.nodeID) }
  if (own === undefined) return { held: 'nobody' }
  return { held: 'us', sinceMs: Date.parse(String(own.created)) }
}

/** One lock, or with kured's `--concurrency` several; undefined = neither. An entry without a node is an empty lock. */
function readEntries(text: string): readonly Entry[] | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { locks, ...single } = value as Entry & { readonly locks?: unknown }
  if (locks !== undefined && locks !== null && !Array.isArray(locks)) return undefined
  const entries = [single, ...((locks ?? []) as unknown[])].filter((entry): entry is Entry => typeof entry === 'object' && entry !== null)
  return entries.filter(({ nodeID }) => typeof nodeID === 'string' && nodeID !== '')
}

function isOurs({ nodeID }: Entry, settings: Pick<Settings, 'namespace' | 'name'>): boolean {
  const id = ourID(settings)
  return nodeID === id || String(nodeID).startsWith(`${id}/`)
}

/** Who stands in the lock, also past its end. What cannot be read was not written by us. */
export function holdersOf(
  lock: string | undefined,
  settings: Pick<Settings, 'namespace' | 'name'>,
): { readonly ours: boolean; readonly others: readonly string[] } {
  const entries = lock === undefined ? [] : (readEntries(lock) ?? [])
  const others = entries.filter((entry) => !isOurs(entry, settings))
  return { ours: others.length < entries.length, others: [...new Set(others.map(({ nodeID }) => String(nodeID)))] }
}

/** `TTL` is in nanoseconds; 0 or none never ends. */
function isOver({ created, TTL }: Entry, nowMs: number): boolean {
  if (typeof TTL !== 'number' || TTL <= 0) return false
  const at = Date.parse(String(created))
  return !Number.isNaN(at) && nowMs >= at + TTL / 1e6
}

/** Readable by kured with one lock and with several, all of which are taken. */
function ourLock({ settings, now }: World, { owners }: KuredView): string {
  const id = ourID(settings)
  const entry = (nodeID: string) => ({
    nodeID,
    metadata: { unschedulable: false },
    created: new Date(now.wall).toISOString(),
    TTL: KURED_TTL_MS * 1e6,
  })
  if (owners <= 1) return JSON.stringify(entry(id))
  const locks = Array.from({ length: Math.min(owners, MAX_OWNERS) }, (_, index) => entry(`${id}/${index + 1}`))
  return JSON.stringify({ ...entry(id), maxOwners: owners, locks })
}

const concerns = ({ rules, disruptive }: PlanState): boolean => rules.kured && disruptive

/** kured works on a node, or it is not known whether it does. What has been taken needs our own lock before it is started. */
export const kuredIsAway: NodeGate = (state, node, { world }) => {
  if (!concerns(state)) return undefined
  const lock = lockOf(world)
  if (lock.held === 'others')
    return hold('KuredLocked', `kured holds its lock for node ${lock.who}, which it is about to reboot`, { blockedBy: DAEMONSET })
  if (lock.held === 'unknown') return lock.hold
  if (lock.held === 'nobody' && recordOf(node).work?.plan === state.key)
    return hold('KuredLocked', "kured's lock was lost and is being taken again", { blockedBy: DAEMONSET })
  return undefined
}

/** Asked last before a claim. Undefined = the lock is ours; otherwise it is being taken. */
export function takeKured(state: PlanState, pass: Pass): Hold | undefined {
  if (!concerns(state) || lockOf(pass.world).held === 'us') return undefined
  write(state, 'take', pass)
  return hold('KuredLocked', "kured's lock is being taken", { blockedBy: DAEMONSET })
}

function write(state: PlanState, what: 'take' | 'release', pass: Pass): void {
  const seen = pass.world.observed.kured.get('lock')
  if (seen?.ok !== true || seen.value === null) return
  const { uid, resourceVersion } = seen.value
  const value = what === 'take' ? ourLock(pass.world, seen.value) : null
  pass.step('kured', [{ do: 'lockKured', plan: state.key, uid, resourceVersion, value }])
}

/** After all Plans have had their turn: the lock is kept while it is needed, renewed, taken again where it was lost, and given back. */
export function keepKured({ states, cluster, ledger }: Context, pass: Pass): void {
  const concerned = [...states.values()].filter(concerns)
  const [first] = concerned
  if (first === undefined) return
  const { world } = pass
  const lock = lockOf(world)
  const busy = concerned.find((state) =>
    [...ledger.slots(state.key)].some((hostname) =>
      (cluster.byHostname.get(hostname) ?? []).some((node) => {
        const { work, past } = recordOf(node)
        const claimed = isClaimed(node, world)
        return work?.plan === state.key || claimed || past?.[state.key] === undefined
      }),
    ),
  )
  const open = concerned.some(({ selected, label, hash }) => [...selected.values()].some((node) => node.labels[label] !== hash))
  pass.need({ kind: 'kured', maxAgeMs: open || lock.held === 'us' ? POLL_MS : IDLE_POLL_MS })
  if (busy === undefined) {
    if (lock.held === 'us' && !isClaiming(pass)) write(first, 'release', pass)
    return
  }
  if (lock.held === 'nobody') return write(busy, 'take', pass)
  if (lock.held !== 'us') return
  const renew = lock.sinceMs + RENEW_MS
  if (world.now.wall >= renew) write(busy, 'take', pass)
  else pass.lookAtWall(renew)
}

/** Nodes are being claimed in this very pass. */
const isClaiming = (pass: Pass): boolean =>
  pass.decision().steps.some(({ actions }) => actions.some((action) => action.do === 'writeStatus' && action.confirm.length > 0))
