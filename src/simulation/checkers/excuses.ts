import type { Mirror } from './mirror.ts'
import {
  hostnameOf,
  isCordoned,
  isEtcd,
  isReady,
  isServer,
  keyOf,
  kubeletOf,
  recordOf,
  type SeenNode,
  type SeenPlan,
  selects,
} from './seen.ts'
import { policyExcuse, policyNodeExcuse } from './policy-excuses.ts'
import { isKnownImage, readVersion } from './versions.ts'

/** What the judge knows of the simulated hosts and of the settings, beside the history. */
export interface Truth {
  /** The namespace whose Plans are acted on. */
  readonly namespace: string
  /** The host is on, its service runs, and nothing is wrong with it. */
  well(node: string): boolean
  /** The namespace carries people's kill switch. */
  namespaceHeld(): boolean
  /** The controllers run in strict compatibility: promises 3 to 7 are not given, and Jobs cordon the nodes. */
  readonly strict?: boolean
  /** Wall-clock time of a user's process at that moment. */
  wall?(user: string, mono: number): number
  /** How far the wall clocks of two controllers may be apart, in milliseconds. */
  readonly clocksApartMs?: number
  /** DROVER_CLUSTER_MAX_UNAVAILABLE, if it is set. */
  readonly maxUnavailable?: string
}

/** Nodes that may be unavailable at once: a number, or a percentage rounded down but at least 1. Undefined = no limit. */
export function budgetOf(truth: Truth, mirror: Mirror): number | undefined {
  const text = truth.maxUnavailable
  if (text === undefined) return undefined
  if (!text.endsWith('%')) return Number(text)
  return Math.max(1, Math.floor((mirror.nodes.size * Number(text.slice(0, -1))) / 100))
}

export type Excuse =
  | 'paused'
  | 'aborted'
  | 'namespaceHold'
  | 'nodeHold'
  | 'disabled'
  | 'noConcurrency'
  | 'unresolvable'
  | 'invalid'
  | 'hostname'
  | 'notReady'
  | 'foreignCordon'
  | 'downgrade'
  | 'minorSkip'
  | 'etcdTooOld'
  | 'aboveServer'
  | 'imageMismatch'
  | 'taint'
  | 'dependency'
  | 'quorum'
  | 'otherPlan'
  | 'drain'
  | 'slots'
  | 'budget'
  | 'endless'
  | 'policy'
  | 'policyBudget'
  | 'wave'
  | 'maxFailures'
  | 'policyRetry'

/** Plans of the controller's namespace that still exist. */
export function plansOf(mirror: Mirror, truth: Truth): readonly SeenPlan[] {
  return [...mirror.plans.values()].filter(
    (plan) => plan.metadata.namespace === truth.namespace && plan.metadata.deletionTimestamp === undefined,
  )
}

export function selectedBy(plan: SeenPlan, mirror: Mirror): readonly SeenNode[] {
  return [...mirror.nodes.values()].filter((node) => selects(plan.spec.nodeSelector, node.metadata.labels ?? {}))
}

export function isDone(node: SeenNode, plan: SeenPlan): boolean {
  const hash = plan.status?.latestHash
  return hash !== undefined && hash !== '' && node.metadata.labels?.[`plan.upgrade.cattle.io/${plan.metadata.name}`] === hash
}

export function isDisruptive(plan: SeenPlan): boolean {
  return plan.spec.cordon === true || plan.spec.drain !== undefined || isKnownImage(plan.spec.upgrade.image)
}

/** Why a Plan as a whole may stand still, judged anew from its object. */
export function planExcuse(plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  const annotations = plan.metadata.annotations ?? {}
  if (truth.namespaceHeld()) return 'namespaceHold'
  if (annotations['drover.io/paused'] !== undefined && annotations['drover.io/paused'] !== 'false') return 'paused'
  const hash = plan.status?.latestHash ?? ''
  if (hash !== '' && annotations['drover.io/abort'] === hash.slice(0, 8)) return 'aborted'
  if ((plan.spec.concurrency ?? 0) <= 0) return 'noConcurrency'
  if (plan.spec.version === undefined && plan.spec.channel === undefined) return 'unresolvable'
  if (plan.status?.conditions?.some((condition) => condition.type === 'Validated' && condition.status === 'False') === true)
    return 'invalid'
  const tag = /:([^/@]+)$/.exec(plan.spec.upgrade.image)?.[1]
  const version = plan.status?.latestVersion ?? ''
  if (tag !== undefined && isKnownImage(plan.spec.upgrade.image) && readVersion(version) !== undefined && tag !== version)
    return 'imageMismatch'
  // A Job without a deadline may wait for ever, and strict waits with it.
  if (truth.strict === true && plan.spec.jobActiveDeadlineSecs === 0) return 'endless'
  const policy = truth.strict === true ? undefined : policyExcuse(plan, mirror)
  if (policy !== undefined) return policy
  const [verb, needed] = plan.spec.prepare?.args ?? []
  if (
    verb === 'prepare' &&
    needed !== undefined &&
    !dependencyMet(plan, mirror.plans.get(keyOf({ ...plan.metadata, name: needed })), mirror)
  )
    return 'dependency'
  return undefined
}

function dependencyMet(plan: SeenPlan, other: SeenPlan | undefined, mirror: Mirror): boolean {
  if (other === undefined || other.status?.latestVersion !== plan.status?.latestVersion) return false
  const nodes = selectedBy(other, mirror)
  return (
    nodes.length > 0 &&
    nodes.every((node) => isDone(node, other) || node.metadata.labels?.[`plan.upgrade.cattle.io/${other.metadata.name}`] === 'disabled')
  )
}

/** Why a node that its Plan selects may rightly not be done; undefined = nothing holds it. */
export function nodeExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  return (
    ownExcuse(node, plan, mirror, truth) ??
    slotsExcuse(node, plan, mirror, truth) ??
    (truth.strict === true ? undefined : policyNodeExcuse(node, plan, mirror, truth))
  )
}

/** What holds this node itself, whatever becomes of others. */
function ownExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  const labels = node.metadata.labels ?? {}
  const hostname = hostnameOf(node)
  if (labels[`plan.upgrade.cattle.io/${plan.metadata.name}`] === 'disabled') return 'disabled'
  if (hostname === undefined || [...mirror.nodes.values()].filter((other) => hostnameOf(other) === hostname).length > 1) return 'hostname'
  const hold = node.metadata.annotations?.['drover.io/hold']
  if (hold !== undefined && hold !== 'false') return 'nodeHold'
  if (!truth.well(node.metadata.name) || !isReady(node)) return 'notReady'
  if (untolerated(node, plan)) return 'taint'
  const story = mirror.node(node.metadata.uid)
  if (isDisruptive(plan) && isCordoned(node) && story.cordon?.by !== 'drover') return 'foreignCordon'
  const work = recordOf(node)?.work
  if (work !== undefined && work.plan !== keyOf(plan.metadata)) return 'otherPlan'
  if (drainImpossible(node, plan, mirror)) return 'drain'
  return versionExcuse(node, plan, mirror) ?? quorumExcuse(node, plan, mirror, truth) ?? budgetExcuse(node, plan, mirror, truth)
}

function versionExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror): Excuse | undefined {
  const target = readVersion(plan.status?.latestVersion ?? '')
  const from = readVersion(kubeletOf(node))
  if (target === undefined || from === undefined || !isKnownImage(plan.spec.upgrade.image)) return undefined
  if (target.rank < from.rank) return 'downgrade'
  const servers = [...mirror.nodes.values()].filter(isServer)
  if (isServer(node)) {
    // Whatever server is the oldest, no server may get two minors ahead of it.
    const skips = servers.some((server) => target.minor > (readVersion(kubeletOf(server))?.minor ?? target.minor) + 1)
    if (target.minor > from.minor + 1 || skips) return 'minorSkip'
    return etcdTooOld(node, plan.status?.latestVersion ?? '', mirror) ? 'etcdTooOld' : undefined
  }
  return servers.some((server) => (readVersion(kubeletOf(server))?.rank ?? target.rank) < target.rank) ? 'aboveServer' : undefined
}

/** RKE2 v1.33.11 and later bring etcd 3.6, for which each member must have run 3.5.26: v1.32.11+rke2r3, v1.33.7+rke2r3. */
export function etcdTooOld(server: SeenNode, target: string, mirror: Mirror): boolean {
  if (!isEtcd(server) || mirror.policies.allows(kubeletOf(server), target)) return false
  const rank = (text: string): number => (text.includes('rke2') ? (readVersion(text)?.rank ?? 0) : 0)
  if (rank(target) < rank('v1.33.11+rke2r1')) return false
  return [...mirror.nodes.values()].filter(isEtcd).some((member) => {
    const at = rank(kubeletOf(member))
    const ready = at >= rank('v1.33.7+rke2r3') || (at >= rank('v1.32.11+rke2r3') && at < rank('v1.33.0+rke2r1'))
    return at > 0 && !ready
  })
}

/** DaemonSet pods on the node, and a drain that may neither evict nor ignore them: a person has to decide. */
export function drainImpossible(node: SeenNode, plan: SeenPlan, mirror: Mirror): boolean {
  if (plan.spec.drain?.ignoreDaemonSets !== false) return false
  return [...mirror.pods.values()].some(
    (pod) => pod.spec?.nodeName === node.metadata.name && pod.metadata.ownerReferences?.some(({ kind }) => kind === 'DaemonSet') === true,
  )
}

/** All slots are taken by nodes that are held themselves; or a server that waits so keeps the other servers waiting. */
function slotsExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  const stuck = (other: SeenPlan, hostname: string): SeenNode | undefined => {
    const holder = mirror.nodeByHostname(hostname)
    if (holder === undefined || holder === node || isDone(holder, other)) return undefined
    const work = recordOf(holder)?.past?.[keyOf(other.metadata)]
    return ownExcuse(holder, other, mirror, truth) !== undefined && (work?.result === 'Failed' || drainImpossible(holder, other, mirror))
      ? holder
      : undefined
  }
  const applying = plan.status?.applying ?? []
  if (applying.length >= (plan.spec.concurrency ?? 0) && applying.some((hostname) => stuck(plan, hostname) !== undefined)) return 'slots'
  if (!isServer(node)) return undefined
  const blocked = plansOf(mirror, truth).some((other) =>
    (other.status?.applying ?? []).some((hostname) => {
      const holder = stuck(other, hostname)
      return holder !== undefined && isServer(holder)
    }),
  )
  return blocked ? 'slots' : undefined
}

/** So many other nodes are unavailable for good that none may be added. */
function budgetExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  const budget = budgetOf(truth, mirror)
  if (budget === undefined || !isDisruptive(plan)) return undefined
  const down = [...mirror.nodes.values()].filter(
    (other) => other !== node && (isCordoned(other) || !isReady(other) || !truth.well(other.metadata.name) || keepsFailure(other, mirror)),
  )
  return down.length >= budget ? 'budget' : undefined
}

/** A failed node that stands in `applying` counts as unavailable (design §4.8). */
export function keepsFailure(node: SeenNode, mirror: Mirror): boolean {
  const failed = Object.entries(recordOf(node)?.past ?? {}).filter(([, outcome]) => outcome.result === 'Failed')
  return failed.some(([key]) => mirror.plans.get(key)?.status?.applying?.includes(hostnameOf(node) ?? '') === true)
}

function quorumExcuse(node: SeenNode, plan: SeenPlan, mirror: Mirror, truth: Truth): Excuse | undefined {
  if (!isEtcd(node) || !isDisruptive(plan)) return undefined
  const others = [...mirror.nodes.values()].filter((other) => isEtcd(other) && other !== node)
  const well = others.filter((other) => isReady(other) && truth.well(other.metadata.name) && !isCordoned(other)).length
  const total = others.length + 1
  return well < (total >= 3 ? Math.floor(total / 2) + 1 : total - 1) ? 'quorum' : undefined
}

function untolerated(node: SeenNode, plan: SeenPlan): boolean {
  return (node.spec?.taints ?? []).some((taint) => {
    if (taint.effect === 'PreferNoSchedule' || taint.key === 'node.kubernetes.io/unschedulable') return false
    return !(plan.spec.tolerations ?? []).some((toleration) => {
      if (toleration.effect !== undefined && toleration.effect !== taint.effect) return false
      if (toleration.key === undefined) return toleration.operator === 'Exists'
      return toleration.key === taint.key && (toleration.operator === 'Exists' || (toleration.value ?? '') === (taint.value ?? ''))
    })
  })
}
