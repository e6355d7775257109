/** The etcd snapshots of a cluster, as the servers of RKE2 and K3s tell of them (`etcdsnapshotfiles.k3s.cattle.io`, of the whole cluster). */
import type { JsonObject } from '../base/json.ts'
import { isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import { amountOf } from '../kube/objects/quantity.ts'
import type { SnapshotView } from '../rollout/world.ts'

const PATH = '/apis/k3s.cattle.io/v1/etcdsnapshotfiles'
/** The newest of these many are kept of each page. */
const MAX_KEPT = 100

/**
 * Page by page; of many only the newest are kept. `unknown`: the API server has no such kind.
 * @throws ApiError or TransportError
 */
export async function listSnapshots(client: Client): Promise<readonly SnapshotView[] | 'unknown'> {
  let kept: readonly SnapshotView[] = []
  try {
    for await (const page of client.pages(PATH)) {
      const views = page.items.map(snapshotView)
      kept = (page.first ? views : [...kept, ...views]).toSorted(byWorth).slice(0, MAX_KEPT)
    }
  } catch (error) {
    if (isNotFound(error)) return 'unknown'
    throw error
  }
  return kept
}

const byWorth = (a: SnapshotView, b: SnapshotView): number => Number(b.usable) - Number(a.usable) || b.createdAt - a.createdAt

interface Raw {
  readonly metadata?: { readonly name?: string }
  readonly spec?: { readonly snapshotName?: string; readonly nodeName?: string }
  readonly status?: { readonly readyToUse?: boolean; readonly size?: string | number; readonly creationTime?: string }
}

/** A snapshot without a size has failed. */
function snapshotView(raw: JsonObject): SnapshotView {
  const { metadata, spec, status } = raw as Raw
  const created = Date.parse(status?.creationTime ?? '')
  const size = status?.size === undefined ? 0 : (amountOf(String(status.size)) ?? 0)
  return {
    name: spec?.snapshotName ?? metadata?.name ?? '',
    node: spec?.nodeName ?? '',
    createdAt: Number.isNaN(created) ? 0 : created,
    usable: status?.readyToUse === true && size > 0 && !Number.isNaN(created),
  }
}
