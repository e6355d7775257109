/** Gates of one node under one Plan: asked for each candidate, and again before the point of no return. */
import { type Hold, hold } from '../../api/reasons.ts'
import { untoleratedTaints } from '../../kube/objects/taints.ts'
import type { PlanState } from '../plan-state.ts'
import { isServer } from '../is-server.ts'
import { applyJobName } from '../job.ts'
import { notBlocked } from '../drain/blocked.ts'
import { kuredIsAway } from '../kured.ts'
import { tolerationsOf } from '../pod-parts.ts'
import { inWave } from '../policy/waves.ts'
import { compareToTarget, minorsBetween, munge, parseVersion } from '../version.ts'
import { bringsEtcd36, isReadyForEtcd36, READY_FOR_ETCD_36 } from '../etcd-version.ts'
import type { NodeView } from '../world.ts'
import { BUDGET_GATES } from './budget.ts'
import { etcdQuorum } from './etcd.ts'
import { type Cluster, type Context, type NodeGate, reasonGiven } from './gate.ts'
import { snapshotTaken } from './snapshot.ts'

const recordReadable: NodeGate = (_state, node) =>
  node.record === undefined || node.record.ok
    ? undefined
    : hold(
        'RecordUnreadable',
        `annotation drover.io/node-upgrade of node ${node.name} cannot be read (${node.record.error}); it is never overwritten: correct or remove it`,
      )

const nodeHeld: NodeGate = (_state, node) =>
  node.hold === undefined || node.hold === 'false'
    ? undefined
    : hold('NodeHeld', `node ${node.name} carries drover.io/hold${reasonGiven(node.hold)}`)

const notDeleting: NodeGate = (_state, node) => (node.deleting ? hold('NodeDeleting', `node ${node.name} is being deleted`) : undefined)

const hostname: NodeGate = (_state, node, { cluster }) => {
  if (node.hostname === undefined || node.hostname === '')
    return hold('HostnameMissing', `node ${node.name} has no label kubernetes.io/hostname; Jobs cannot be bound to it`)
  const same = cluster.byHostname.get(node.hostname) ?? []
  if (same.length < 2) return undefined
  return hold(
    'HostnameDuplicate',
    `nodes ${same.map((n) => n.name).join(', ')} share kubernetes.io/hostname=${node.hostname}; a Job could land on the wrong one`,
  )
}

const notBusy: NodeGate = (state, node, { ledger }) => {
  const [other] = ledger.othersOn(node, state.key)
  if (other === undefined) return undefined
  const blockedBy = `Plan/${other.plan}`
  return other.failed
    ? hold(
        'NodeBusy',
        `Plan ${other.plan} failed on node ${node.name} and keeps it cordoned; put the node right and set drover.io/retry on that Plan`,
        { blockedBy, endedBy: 'person' },
      )
    : hold('NodeBusy', `Plan ${other.plan} works on node ${node.name}`, { blockedBy })
}

/** A failure of another Plan keeps no Plan of SUC's waiting. */
const notWorkedOn: NodeGate = (state, node, { ledger }) => {
  const other = ledger.othersOn(node, state.key).find(({ failed }) => !failed)
  if (other === undefined) return undefined
  return hold('NodeBusy', `Plan ${other.plan} works on node ${node.name}`, { blockedBy: `Plan/${other.plan}` })
}

const ready: NodeGate = (state, node) =>
  !state.disruptive || node.ready === 'True'
    ? undefined
    : hold('NodeNotReady', `node ${node.name} is not Ready (${node.ready})`, { blockedBy: `Node//${node.name}` })

const tolerated: NodeGate = (state, node) => {
  const taint = untoleratedTaints(node.taints, tolerationsOf(state.plan))[0]
  if (taint === undefined) return undefined
  return hold(
    'UntoleratedTaint',
    `node ${node.name} has taint ${taint.key}${taint.value ? `=${taint.value}` : ''}:${taint.effect}, which spec.tolerations does not tolerate`,
    KUBERNETES_OWN.test(taint.key) ? { endedBy: 'cluster' } : {},
  )
}

/** Taints that Kubernetes sets by what becomes of a node, and takes away itself: not-ready, unreachable, disk-pressure and the like; out-of-service is a person's. */
const KUBERNETES_OWN = /^node\.kubernetes\.io\/(?!out-of-service$)/

/** Somebody else holds the node back; a server would be one member less, so it waits. Other nodes are taken last and stay cordoned (design §6). */
export function cordonedByOthers(node: NodeView): boolean {
  if (!node.unschedulable) return false
  return !(node.record?.ok === true && node.record.record.cordon !== undefined)
}

/** What becomes of a node that somebody else has cordoned; without a policy servers wait and others go last. */
export function whenCordoned({ rules }: PlanState, node: NodeView): 'Skip' | 'Last' | 'Include' {
  return rules.budget.alreadyUnavailable ?? (isServer(node) ? 'Skip' : 'Last')
}

const notCordonedByOthers: NodeGate = (state, node) =>
  state.disruptive && cordonedByOthers(node) && whenCordoned(state, node) === 'Skip'
    ? hold(
        'CordonedByOthers',
        `${isServer(node) ? 'server' : 'node'} ${node.name} was cordoned by somebody else${node.cordonOwner === undefined ? '' : ` (${node.cordonOwner})`}; uncordon it to have it upgraded`,
      )
    : undefined

const direction: NodeGate = (state, node, { cluster }) => {
  if (!state.kubernetes) return undefined
  const order = compareToTarget(node.kubeletVersion, state.version)
  if (order === undefined)
    return hold(
      'VersionUnknown',
      `node ${node.name} reports ${node.kubeletVersion === '' ? 'no version' : node.kubeletVersion}, which cannot be compared with ${state.version}`,
    )
  if (isAllowedStep(state, node)) return undefined
  if (order > 0)
    return hold('Downgrade', `node ${node.name} is at ${node.kubeletVersion}, above the target ${state.version}; Drover does not downgrade`)
  const from = parseVersion(node.kubeletVersion)
  const to = parseVersion(state.version)
  if (from === undefined || to === undefined) return hold('VersionUnknown', `version ${state.version} cannot be parsed`)
  if (isServer(node)) {
    const minors = minorsBetween(from, to)
    return minors <= 1
      ? undefined
      : hold(
          'SkippedMinor',
          `server ${node.name} is at ${node.kubeletVersion}; ${state.version} would skip ${minors - 1} minor version${minors === 2 ? '' : 's'}`,
        )
  }
  const server = serverBehind(cluster, state.version)
  if (server === undefined) return undefined
  const blockedBy = `Node//${server.name}`
  return compareToTarget(server.kubeletVersion, state.version) === undefined
    ? hold(
        'VersionUnknown',
        `server ${server.name} reports ${server.kubeletVersion === '' ? 'no version' : server.kubeletVersion}, so it is not known whether ${state.version} is newer`,
        { blockedBy },
      )
    : hold('AheadOfServers', `${state.version} is newer than server ${server.name} (${server.kubeletVersion}); servers come first`, {
        blockedBy,
      })
}

/** etcd 3.6 only after every member has run 3.5.26. */
const etcdPrepared: NodeGate = (state, node, { cluster }) => {
  if (!state.kubernetes || !node.etcd || isAllowedStep(state, node)) return undefined
  const to = parseVersion(state.version)
  if (to === undefined || !bringsEtcd36(to)) return undefined
  const behind = cluster.etcdMembers.find(({ kubeletVersion }) => {
    const version = parseVersion(kubeletVersion)
    return version !== undefined && !isReadyForEtcd36(version)
  })
  if (behind === undefined) return undefined
  return hold(
    'EtcdTooOld',
    `${state.version} brings etcd 3.6, and etcd member ${behind.name} is at ${behind.kubeletVersion}, whose etcd is older than 3.5.26: first upgrade all members to ${READY_FOR_ETCD_36}`,
    { blockedBy: `Node//${behind.name}` },
  )
}

/** Clusters that others provision and upgrade. Plans that upgrade something else, such as Rancher's system-agent-upgrader, go on there. */
const ours: NodeGate = ({ kubernetes, rules }, { name, caretaker }) => {
  if (!kubernetes || caretaker === undefined) return undefined
  if (caretaker === 'RKE1')
    return hold(
      'UnsupportedDistribution',
      `node ${name} belongs to an RKE1 cluster, which this Plan cannot upgrade; migrate it to RKE2 first`,
    )
  if (rules.managedElsewhere === 'Ignore') return undefined
  return hold(
    'ManagedElsewhere',
    `node ${name} was provisioned by ${caretaker}, which upgrades it itself; set managedElsewhere: Ignore in a RolloutPolicy to go on all the same`,
  )
}

/** Somebody allowed exactly this step (policy, `versionPath.allow`). */
function isAllowedStep({ rules, version }: PlanState, node: NodeView): boolean {
  const from = munge(node.kubeletVersion)
  return rules.allowedSteps.some((step) => step.from === from && step.to === version)
}

/** The first control-plane node that is below the version, or cannot be compared with it; looked for once a pass. */
function serverBehind(cluster: Cluster, version: string): NodeView | undefined {
  let byVersion = behind.get(cluster)
  if (byVersion === undefined) behind.set(cluster, (byVersion = new Map()))
  if (!byVersion.has(version)) {
    const found = cluster.servers.find((server) => {
      const order = server.controlPlane ? compareToTarget(server.kubeletVersion, version) : 0
      return order === undefined || order < 0
    })
    byVersion.set(version, found)
  }
  return byVersion.get(version)
}

const behind = new WeakMap<Cluster, Map<string, NodeView | undefined>>()

/** SUC's Job has succeeded on the node: it is about to be labelled (strict/jobs.ts), not to be taken. */
function doneBySUC(state: PlanState, node: NodeView, { world }: Context): Hold | undefined {
  const name = applyJobName(state.plan.metadata.name, node.name, state.hash)
  const job = world.jobs.find((other) => other.name === name && other.namespace === state.ref.namespace)
  return job?.attempt === undefined && job?.complete === true
    ? hold('WaitingForPods', `Job ${name} was made by SUC and has succeeded`)
    : undefined
}

const oneServerAtATime: NodeGate = (state, node, { cluster, ledger }) => {
  if (!state.disruptive || !isServer(node)) return undefined
  for (const server of cluster.servers) {
    const holder = server.name === node.name ? undefined : ledger.inFlight(server)
    if (holder === undefined) continue
    const blockedBy = `Node//${server.name}`
    return holder.failed
      ? hold('ControlPlaneBusy', `Plan ${holder.plan} failed on server ${server.name}; put it right and set drover.io/retry on that Plan`, {
          blockedBy,
          endedBy: 'person',
        })
      : hold('ControlPlaneBusy', `server ${server.name} is in flight for Plan ${holder.plan}; servers go one at a time`, { blockedBy })
  }
  return undefined
}

export const NODE_GATES: readonly NodeGate[] = [
  recordReadable,
  nodeHeld,
  notDeleting,
  hostname,
  notBusy,
  notBlocked,
  inWave,
  ours,
  direction,
  etcdPrepared,
  ready,
  notCordonedByOthers,
  tolerated,
  oneServerAtATime,
  etcdQuorum,
  snapshotTaken,
  kuredIsAway,
  ...BUDGET_GATES,
]

/** In strict compatibility: what claim, record and the cluster's budget rest on; SUC asks nothing of a node. */
export const STRICT_NODE_GATES: readonly NodeGate[] = [recordReadable, nodeHeld, hostname, notWorkedOn, doneBySUC, ...BUDGET_GATES]

export function checkNode(gates: readonly NodeGate[], state: PlanState, node: NodeView, context: Context): Hold | undefined {
  for (const gate of gates) {
    const found = gate(state, node, context)
    if (found !== undefined) return found
  }
  return undefined
}
