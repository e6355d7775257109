/** Reads that a cache cannot replace: after a claim, and before the point of no return (design §4.2, §4.5). All are quorum reads. */
import { ANNOTATION_RETRY, LABEL_IN_FLIGHT, PLAN_PATH_PREFIX } from '../api/names.ts'
import { type Hold, hold } from '../api/reasons.ts'
import type { PlanKey } from '../api/record.ts'
import type { JsonObject } from '../base/json.ts'
import type { Client } from '../kube/client/client.ts'
import { recheck } from '../rollout/decide.ts'
import { isServer } from '../rollout/is-server.ts'
import type { NodeView, PlanView, World } from '../rollout/world.ts'
import { nodeView, planView } from './views.ts'

const ETCD = 'node-role.kubernetes.io/etcd'
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane'

export interface PlanAsRead {
  readonly resourceVersion: string
  /** Hostnames in status.applying. */
  readonly applying: readonly string[]
}

export interface Confirm {
  /** Holds on nodes just claimed, and the Plan as read; undefined = it is gone or cannot be read. */
  claims(
    plan: PlanKey,
    hash: string,
    nodes: readonly NodeView[],
  ): Promise<{ readonly holds: ReadonlyMap<string, Hold>; readonly read: PlanAsRead | undefined }>
  /** The hold that stands in the way of the start, if any. */
  start(plan: PlanKey, node: string, quorum: boolean): Promise<Hold | undefined>
}

export function createConfirm(client: Client, world: () => World): Confirm {
  const listNodes = async (labelSelector: string): Promise<NodeView[]> =>
    views(await client.list('/api/v1/nodes', { query: { labelSelector } }), nodeView)

  async function serversOf(nodes: readonly NodeView[]): Promise<NodeView[]> {
    const etcd = nodes.some((node) => node.etcd) ? await listNodes(ETCD) : []
    const rest = nodes.some((node) => node.controlPlane && !node.etcd) ? await listNodes(CONTROL_PLANE) : []
    return [...etcd, ...rest]
  }

  return {
    async claims(plan, hash, nodes) {
      const plans = views(await client.list(`${PLAN_PATH_PREFIX}/plans`), planView)
      const inFlight = await listNodes(LABEL_IN_FLIGHT)
      const servers = nodes.some(isServer) ? await serversOf(world().nodes) : []
      const now = world()
      const names = nodes.map((node) => node.name)
      const found = plans.find((view) => view.key === plan)
      const known = now.plans.find((view) => view.key === plan)
      // The attempt will remember the retry that it answers: one that our watch has not shown yet would be answered once more.
      const behind = retryOf(found) === retryOf(known) ? [] : names
      const unseen = hold('ClaimWithdrawn', `annotation ${ANNOTATION_RETRY} of Plan ${plan} has just changed`)
      const late = new Map(behind.map((name) => [name, unseen]))
      return {
        holds: late.size > 0 ? late : recheck({ ...now, plans, nodes: merge(now.nodes, [...inFlight, ...servers]) }, plan, names, hash),
        read: found === undefined ? undefined : { resourceVersion: found.resourceVersion, applying: applyingOf(found) },
      }
    },
    async start(plan, node, quorum) {
      let now = world()
      const record = now.nodes.find((view) => view.name === node)?.record
      const hash = record?.ok === true ? (record.record.work?.hash ?? '') : ''
      if (quorum) {
        const [namespace, name] = plan.split('/')
        const fresh = planView(await client.get<JsonObject>(`${PLAN_PATH_PREFIX}/namespaces/${namespace}/plans/${name}`))
        const servers = await serversOf(now.nodes)
        now = world()
        const plans = now.plans.map((view) => (view.key === plan && fresh !== undefined ? fresh : view))
        now = { ...now, plans, nodes: merge(now.nodes, servers) }
      }
      return recheck(now, plan, [node], hash).get(node)
    },
  }
}

const retryOf = (view: PlanView | undefined): string | undefined => view?.plan?.metadata.annotations[ANNOTATION_RETRY]

const applyingOf = (view: PlanView): readonly string[] => (view.plan === undefined ? view.applying : view.plan.status.applying)

function merge(cached: readonly NodeView[], fresh: readonly NodeView[]): NodeView[] {
  const byName = new Map(cached.map((node) => [node.name, node]))
  for (const node of fresh) byName.set(node.name, node)
  return [...byName.values()]
}

function views<T extends NodeView | PlanView>(
  list: { readonly items: readonly JsonObject[] },
  project: (raw: JsonObject) => T | undefined,
): T[] {
  return list.items.map(project).filter((view) => view !== undefined)
}
