/**
 * Stepping through minor versions (design §6, `versionPath.stepThroughMinors`). Servers go from minor to minor, each step to the newest release
 * of the channel server's `vX.Y` channel; the agents of the namespace's other stepping Plans follow to what the servers have before the servers
 * go on. A step stands, by the Plan's memory, until all nodes of the Plan are there.
 */
import type { RolloutMemory } from '../api/memory.ts'
import type { Plan } from '../api/plan.ts'
import { bringsEtcd36, isReadyForEtcd36 } from './etcd-version.ts'
import { withoutPassword } from './go-url.ts'
import { isServer } from './is-server.ts'
import type { Pass } from './pass.ts'
import {
  compareToTarget,
  compareVersions,
  type Distribution,
  minorName,
  minorsBetween,
  munge,
  parseVersion,
  type Version,
} from './version.ts'
import type { NodeView } from './world.ts'

/** A Plan on its way to a version that is more than one minor off. */
export interface Stepping {
  /** Where the way leads; munged. */
  readonly target: string
  /** All nodes have taken the step, and this is waited for before the next; undefined = some have not. */
  readonly waits: string | undefined
}

/** What a Plan is to do now. `version` is empty while the first step is not known. */
export interface Goal {
  readonly version: string
  readonly problem?: string | undefined
  readonly memory?: RolloutMemory | undefined
  readonly stepping?: Stepping | undefined
}

export interface Way {
  readonly plan: Plan
  readonly nodes: readonly NodeView[]
  /** Nodes of the other Plans of the namespace that step. */
  readonly others: () => readonly NodeView[]
  readonly memory: RolloutMemory
  readonly writable: boolean
}

/** The channel servers of the two distributions, for Plans without a channel of their own. */
const CHANNELS: Readonly<Record<Distribution, string>> = {
  rke2: 'https://update.rke2.io/v1-release/channels',
  k3s: 'https://update.k3s.io/v1-release/channels',
}

/** Not stepping, or not any more. */
export function withoutStep(goal: Goal, { memory, writable }: Pick<Way, 'memory' | 'writable'>): Goal {
  const { step, ...rest } = goal.memory ?? memory
  return step === undefined || !writable || goal.version === '' ? goal : { ...goal, memory: rest }
}

/** The step that was begun, as it is. */
export function standStill(goal: Goal, { memory }: Pick<Way, 'memory'>): Goal {
  const step = (goal.memory ?? memory).step?.version
  return step === undefined || goal.version === '' ? goal : { ...goal, version: step, stepping: { target: goal.version, waits: undefined } }
}

export function takeStep(goal: Goal, way: Way, pass: Pass): Goal {
  const target = parseVersion(goal.version)
  if (target === undefined) return goal
  const servers = way.nodes.filter(isServer)
  return (
    (servers.length > 0 ? stepOfServers(goal, target, servers, way, pass) : stepOfAgents(goal, target, way, pass)) ?? withoutStep(goal, way)
  )
}

/** Undefined = straight to the target. */
function stepOfServers(goal: Goal, target: Version, servers: readonly NodeView[], way: Way, pass: Pass): Goal | undefined {
  const low = lowest(servers, target)
  if (low === undefined || minorsBetween(low, target) < 0) return undefined
  const current = stepInForce(goal, way, target, (step) => minorsBetween(low, step) <= 1)
  if (current !== undefined && isUnderWay(current, way)) return stay(goal, current, undefined)
  const minors = minorsBetween(low, target)
  const ahead = minors <= 1 ? target : { ...low, minor: low.minor + 1 }
  if (current !== undefined) {
    const left = way.others().find((node) => isBelowMinor(node, low))
    if (left !== undefined)
      return stay(
        goal,
        current,
        `node ${left.name} of another Plan is at ${left.kubeletVersion}; it goes to ${minorName(low)} before servers go to ${minorName(ahead)}`,
      )
  }
  const far = pass.world.nodes.find((node) => isTooFarBehind(node, ahead))
  if (far !== undefined)
    return unresolved(
      goal,
      current,
      `node ${far.name} is at ${far.kubeletVersion}, too far behind for servers at ${minorName(ahead)}: kubelets may be ${kubeletLag(far)} minors older`,
    )
  const next = minors <= 1 ? { ok: true as const, version: target } : newestOf(ahead, goal, way, pass)
  if (!next.ok) return unresolved(goal, current, next.error)
  if (servers.some(({ etcd }) => etcd) && bringsEtcd36(next.version) && !isReadyForEtcd36(low)) {
    const first = newestOf(low, goal, way, pass)
    if (!first.ok) return unresolved(goal, current, first.error)
    if (isReadyForEtcd36(first.version) && !bringsEtcd36(first.version) && compareVersions(first.version, low) > 0)
      return begin(goal, first.version, way)
  }
  return minors <= 1 ? undefined : begin(goal, highest(next.version, servers), way)
}

/** Agents take what the servers have, once all servers have it. Undefined = straight to the target. */
function stepOfAgents(goal: Goal, target: Version, way: Way, pass: Pass): Goal | undefined {
  const servers = pass.world.nodes.filter(({ controlPlane }) => controlPlane)
  const low = lowest(servers, target)
  if (low === undefined || minorsBetween(low, target) <= 0) return undefined
  const current = stepInForce(goal, way, target, (step) => compareVersions(step, low) <= 0)
  if (current !== undefined && isUnderWay(current, way)) return stay(goal, current, undefined)
  if (way.nodes.some((node) => isBelowMinor(node, low))) return begin(goal, low, way)
  return current === undefined ? undefined : stay(goal, current, `the servers are at ${low.text}; they go on first`)
}

/** Undefined where one cannot be compared: the gates of direction tell which. */
function lowest(nodes: readonly NodeView[], target: Version): Version | undefined {
  let low: Version | undefined
  for (const { kubeletVersion } of nodes) {
    const version = parseVersion(kubeletVersion)
    if (version === undefined || version.distribution !== target.distribution || version.major !== target.major) return undefined
    if (low === undefined || compareVersions(version, low) < 0) low = version
  }
  return low
}

/** A server that is ahead within the minor would have to go back otherwise. */
function highest(step: Version, servers: readonly NodeView[]): Version {
  const same = servers.map(({ kubeletVersion }) => parseVersion(kubeletVersion)).filter((version) => version?.minor === step.minor)
  return same.reduce<Version>((high, version) => (version !== undefined && compareVersions(version, high) > 0 ? version : high), step)
}

function isBelowMinor({ kubeletVersion }: NodeView, than: Version): boolean {
  const version = parseVersion(kubeletVersion)
  return version === undefined || version.distribution !== than.distribution || minorsBetween(version, than) > 0
}

/** How many minors a kubelet may be older than the API servers (Kubernetes' version skew policy). */
function kubeletLag({ kubeletVersion }: NodeView): number {
  return (parseVersion(kubeletVersion)?.minor ?? 0) < 25 ? 2 : 3
}

/** A kubelet that would be left without support; whose version cannot be read is held elsewhere. */
function isTooFarBehind(node: NodeView, servers: Version): boolean {
  const version = parseVersion(node.kubeletVersion)
  return version !== undefined && version.distribution === servers.distribution && minorsBetween(version, servers) > kubeletLag(node)
}

/** The step that the memory names, as long as it still lies on the way. */
function stepInForce({ memory }: Goal, way: Way, target: Version, fits: (step: Version) => boolean): Version | undefined {
  const step = parseVersion((memory ?? way.memory).step?.version ?? '')
  const ahead = step !== undefined && step.distribution === target.distribution && compareVersions(step, target) < 0
  return ahead && fits(step) ? step : undefined
}

/** Nodes are to go, or are at work: an old hash must not be left before they are back. */
function isUnderWay(step: Version, { nodes, plan }: Way): boolean {
  return (
    plan.status.applying.length > 0 || nodes.some(({ kubeletVersion }) => (compareToTarget(kubeletVersion, munge(step.text)) ?? -1) < 0)
  )
}

const stay = (goal: Goal, step: Version, waits: string | undefined): Goal => ({
  ...goal,
  version: munge(step.text),
  stepping: { target: goal.version, waits },
})

function begin(goal: Goal, step: Version, { memory, writable }: Way): Goal {
  const version = munge(step.text)
  const before = goal.memory ?? memory
  return {
    ...stay(goal, step, undefined),
    ...(writable && before.step?.version !== version ? { memory: { ...before, step: { version } } } : {}),
  }
}

function unresolved(goal: Goal, current: Version | undefined, problem: string): Goal {
  return current === undefined ? { ...goal, version: '', problem } : stay(goal, current, problem)
}

type Newest = { readonly ok: true; readonly version: Version } | { readonly ok: false; readonly error: string }

/** The newest release of a minor, as its channel says. */
function newestOf(minor: Version, goal: Goal, { plan }: Way, pass: Pass): Newest {
  const name = minorName(minor)
  const url = channelOf(plan, name, minor.distribution)
  const { settings, observed } = pass.world
  pass.need({ kind: 'channel', url, latestVersion: goal.version, maxAgeMs: settings.planPollingIntervalMs })
  const seen = observed.channels.get(url)
  if (seen === undefined) return { ok: false, error: `the channel for the step to ${name} has not answered yet` }
  const shown = withoutPassword(url)
  if (!seen.ok) return { ok: false, error: `cannot resolve channel ${shown} for the step to ${name}: ${seen.error}` }
  const version = parseVersion(seen.value)
  if (version === undefined || version.distribution !== minor.distribution || minorName(version) !== name)
    return { ok: false, error: `cannot resolve channel ${shown} for the step to ${name}: it names ${seen.value}` }
  return { ok: true, version }
}

/** The Plan's own channel with another last element, or the one of its distribution. */
export function channelOf({ spec }: Pick<Plan, 'spec'>, name: string, distribution: Distribution): string {
  const own = /^([^?#]*\/)[^/?#]+\/*((?:\?[^#]*)?)(?:#.*)?$/.exec(spec.channel ?? '')
  // A host is no last element.
  if (own === null || /^[A-Za-z][A-Za-z0-9+.-]*:\/\/$/.test(own[1] ?? '')) return `${CHANNELS[distribution]}/${name}`
  return `${own[1]}${name}${own[2]}`
}
