/** Who is taken next in strict compatibility: SUC's candidates in SUC's order, as many as the concurrency leaves, and nothing is looked at before. */
import { LABEL_HOSTNAME } from '../../api/names.ts'
import type { Hold } from '../../api/reasons.ts'
import { compileLabelSelector, makeRequirement } from '../../kube/objects/selector.ts'
import { type Admission, inOrder, namesake } from '../admit.ts'
import type { Context } from '../gates/gate.ts'
import { checkNode } from '../gates/node-gates.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { Slots } from '../slots.ts'
import type { NodeView } from '../world.ts'

const MAX_REPORTED = 50

export function admitAsSUC(state: PlanState, slots: Slots, planHolds: readonly Hold[], context: Context, pass: Pass): Admission {
  const { ledger } = context
  const nothing: Admission = { claims: [], pulls: new Set(), held: 0 }
  const error = selectionError(state)
  if (error !== undefined)
    return { ...nothing, fault: { type: 'Warning', reason: 'SelectNodesFailed', message: `Failed to select Nodes: ${error}` } }
  if (planHolds.length > 0) return nothing
  const held = ledger.slots(state.key)
  const open = [...state.selected.values()].filter(
    (node) => node.labels[state.label] !== state.hash && node.hostname !== undefined && !held.has(node.hostname),
  )
  const limit = state.plan.spec.concurrency ?? 0
  const again = new Set(slots.again)
  let free = limit - held.size
  let freeAgain = limit - (held.size - again.size)
  let waits = 0
  const claims: NodeView[] = []
  for (const node of [...slots.again, ...inOrder(state, open)]) {
    if (Math.max(free, freeAgain) <= 0) break
    const found = checkNode(state.conduct.nodeGates, state, node, context) ?? namesake(state, node, pass)
    if (found !== undefined) {
      if (++waits <= MAX_REPORTED) pass.node(state.key, node.name, 'Pending', found)
      continue
    }
    if ((again.has(node) ? freeAgain : free) <= 0) continue
    if (again.has(node)) freeAgain--
    else free--
    claims.push(node)
    ledger.take(state.key, node, state.disruptive)
  }
  const refused = windowsRefused([...claims, ...holders(state, context)], pass)
  if (refused !== undefined) return { ...nothing, held: open.length, fault: refused }
  return { claims, pulls: new Set(), held: open.length + again.size - claims.length }
}

/** Why SUC would choose no node: a selector that Kubernetes does not take, in its words. It asks for nodes by the Plan's label and by `status.applying`, too. */
function selectionError({ plan: { spec, status }, label, hash }: PlanState): string | undefined {
  const asked = [
    compileLabelSelector(spec.nodeSelector),
    makeRequirement(label, 'notin', ['disabled', hash]),
    ...(status.applying.length === 0 ? [] : [makeRequirement(LABEL_HOSTNAME, 'in', status.applying)]),
  ]
  return asked.flatMap((part) => (part.ok ? [] : [part.error]))[0]
}

/** Nodes that SUC would go on with. */
function holders(state: PlanState, { cluster }: Context): NodeView[] {
  return state.plan.status.applying.flatMap((hostname) =>
    (cluster.byHostname.get(hostname) ?? []).filter((node) => state.selected.has(node.name) && node.labels[state.label] !== state.hash),
  )
}

/** Without a kubectl image for Windows, one Windows node keeps SUC from making any Job of its Plan (correction 7). */
function windowsRefused(nodes: readonly NodeView[], { world }: Pass): Admission['fault'] {
  if (world.settings.job.kubectlImageWindows !== '') return undefined
  const [first] = nodes.filter((node) => node.windows).sort((a, b) => (a.name < b.name ? -1 : 1))
  if (first === undefined) return undefined
  const why = 'SYSTEM_UPGRADE_JOB_KUBECTL_IMAGE_WINDOWS is required when targeting Windows nodes'
  return { type: 'Warning', reason: 'ValidationFailed', message: `Failed to create job for node ${first.name}: ${why}` }
}
