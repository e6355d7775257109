/** What stands around Drover in a world: objects that gates look at, who answers hooks, an imaginary kured, and etcd's snapshots. */
import { formatTime } from '../base/clock.ts'
import { seededRandom } from '../base/random.ts'
import type { ApplyObject } from '../sandbox/standard-cluster.ts'
import { person, type Stage } from './act.ts'
import { type HistoryWrite, took } from './checkers/fact.ts'
import type { SeenNode } from './checkers/seen.ts'
import { snapshotDefinition } from './etcd-snapshot-kind.ts'
import { ACK_AFTER, ACK_BEFORE, OPS } from './policy-surroundings.ts'
import type { Action, Scenario, Surroundings } from './scenario.ts'

const MINUTE = 60_000
const KURED_LOCK = 'weave.works/kured-node-lock'
const KURED_PATH = '/apis/apps/v1/namespaces/kube-system/daemonsets/kured'
const SNAPSHOTS_PATH = '/apis/k3s.cattle.io/v1/etcdsnapshotfiles'
const REQUEST = 'drover.io/hook-request'
const MERGE = 'application/merge-patch+json'
/** After the calm somebody takes one so often. */
export const SNAPSHOT_EVERY_MS = 10 * MINUTE

export type SurroundingAction = Extract<Action, { do: 'gateRed' | 'kuredLock' | 'etcdSnapshot' }>

/** There before the controllers are. */
export function surroundingObjects({ gateObjects = [], kured, snapshots }: Surroundings): readonly ApplyObject[] {
  return [
    ...(gateObjects.length === 0 ? [] : [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: OPS } }]),
    ...gateObjects.map((name) => {
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: OPS }, data: { state: 'green' } }
      return object
    }),
    ...(kured === true ? [kuredDaemonSet()] : []),
    ...(snapshots === true ? [snapshotDefinition] : []),
  ]
}

export function surroundingAct(stage: Stage, action: SurroundingAction): void {
  switch (action.do) {
    case 'gateRed':
      turn(stage, action.object, 'red')
      return stage.later(action.undoAfterMs, () => turn(stage, action.object, 'green'))
    case 'kuredLock':
      return lockKured(stage, action.holder, action.undoAfterMs, 20)
    case 'etcdSnapshot':
      return takeSnapshot(stage, action.usable)
  }
}

function turn(stage: Stage, name: string, state: 'red' | 'green'): void {
  person(stage, { method: 'PATCH', path: `/api/v1/namespaces/${OPS}/configmaps/${name}`, body: { data: { state } }, contentType: MERGE })
}

/** As kured does: only when nobody holds the lock, by compare and swap, tried again every minute. */
function lockKured(stage: Stage, nodeID: string, forMs: number, tries: number): void {
  const seen = stage.sandbox.server.peek('daemonsets.apps', 'kured', 'kube-system')
  if (seen === undefined || tries === 0 || stage.calm()) return
  if (seen.metadata.annotations?.[KURED_LOCK] !== undefined) return stage.later(MINUTE, () => lockKured(stage, nodeID, forMs, tries - 1))
  const created = formatTime(stage.sandbox.clock.wall())
  const set = (value: string | null, resourceVersion?: string) =>
    person(stage, {
      method: 'PATCH',
      path: KURED_PATH,
      body: { metadata: { annotations: { [KURED_LOCK]: value }, ...(resourceVersion === undefined ? {} : { resourceVersion }) } },
      contentType: MERGE,
    })
  set(JSON.stringify({ nodeID, metadata: { unschedulable: false }, created, TTL: 0 }), seen.metadata.resourceVersion)
  stage.later(forMs, () => {
    const text = stage.sandbox.server.peek('daemonsets.apps', 'kured', 'kube-system')?.metadata.annotations?.[KURED_LOCK]
    if (text !== undefined && (JSON.parse(text) as { nodeID?: string }).nodeID === nodeID) set(null)
  })
}

export function takeSnapshot(stage: Stage, usable: boolean): void {
  const name = `snapshot-${stage.sandbox.server.peekAll('etcdsnapshotfiles.k3s.cattle.io').length}-${Math.floor(stage.sandbox.clock.mono())}`
  person(stage, {
    method: 'POST',
    path: SNAPSHOTS_PATH,
    body: {
      apiVersion: 'k3s.cattle.io/v1',
      kind: 'ETCDSnapshotFile',
      metadata: { name },
      spec: { snapshotName: name, nodeName: stage.scenario.machines[0]?.name ?? '', location: `file:///snapshots/${name}` },
      status: { creationTime: formatTime(stage.sandbox.clock.wall()), readyToUse: usable, size: usable ? '9871392' : '0' },
    },
  })
}

/** Answers the requests that appear on nodes: some at once, some late, and some only when an operator looks after them. */
export function hookAgent(stage: Stage, scenario: Scenario): (write: HistoryWrite) => void {
  const random = seededRandom(scenario.seed ^ 0x400c)
  if (scenario.surroundings.hooks !== true) return () => undefined
  return (write) => {
    if (write.ref.resource !== 'nodes' || !took(write)) return
    const node = write.after as SeenNode | undefined
    const token = node?.metadata.annotations?.[REQUEST]
    if (node === undefined || token === undefined || token === (write.before as SeenNode | undefined)?.metadata.annotations?.[REQUEST])
      return
    const annotation = token.startsWith('before/') ? ACK_BEFORE : ACK_AFTER
    const chance = random()
    const delayMs = chance < 0.4 ? random() * 5_000 : chance < 0.75 ? random() * 4 * MINUTE : 12 * MINUTE
    stage.soon(delayMs, () =>
      person(stage, {
        method: 'PATCH',
        path: `/api/v1/nodes/${node.metadata.name}`,
        body: { metadata: { annotations: { [annotation]: token } } },
        contentType: MERGE,
      }),
    )
  }
}

function kuredDaemonSet(): ApplyObject {
  const labels = { app: 'kured' }
  const object = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'kured', namespace: 'kube-system' },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'kured', image: 'registry.example/app:1' }] } },
    },
  }
  return object
}
