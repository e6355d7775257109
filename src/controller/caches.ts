/** The controller's view of the cluster: one watch a kind. Pods are ours only, Jobs those of any Plan; Secrets as metadata, and only once a Plan names one. */
import { decodePolicy } from '../api/decode-policy.ts'
import { LABEL_CONTROLLER, LABEL_PLAN, LABEL_ROLE, PLAN_PATH_PREFIX, POLICY_PATH_PREFIX } from '../api/names.ts'
import type { PolicyView } from '../api/policy.ts'
import type { JsonObject } from '../base/json.ts'
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import { isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import { runReflector } from '../kube/client/reflector.ts'
import { type Cache, createStore, type Store } from '../kube/client/store.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { JobView, NodeView, PlanView, PodView } from '../rollout/world.ts'
import { type Beats, createBeats } from './beats.ts'
import { jobView, type NamespaceView, namespaceView, nodeView, planView, podView, sameNode } from './views.ts'
import { createWatchTroubles, type WatchTroubles } from './watch-troubles.ts'

export interface Caches {
  readonly plans: Store<PlanView>
  readonly nodes: Store<NodeView>
  readonly jobs: Store<JobView>
  readonly pods: Store<PodView>
  readonly namespaces: Cache<NamespaceView>
  /** RolloutPolicies of our namespace. */
  readonly policies: Store<PolicyView>
  /** The API server does not know RolloutPolicies, so there are none. */
  noPolicies(): boolean
  readonly beats: Beats
  /** All kinds have been listed once. */
  synced(): boolean
  readonly troubles: Pick<WatchTroubles, 'refusal' | 'interrupted' | 'unreachable'>
  /** Begins to watch the metadata of Secrets; does nothing when it already does. `changed` is called with a Secret's name. */
  watchSecrets(changed: (name: string) => void): void
  /** Ends when the signal does. */
  readonly done: Promise<void>
}

const metadataOnly = (kind: string): string => `application/json;as=${kind};g=meta.k8s.io;v=v1`
/** A real API server ends a watch that asks for lists without a word. */
const METADATA_ONLY = { accept: metadataOnly('PartialObjectMetadataList'), watchAccept: metadataOnly('PartialObjectMetadata') }
const sameJson = <T>(a: T, b: T) => JSON.stringify(a) === JSON.stringify(b)

export function createCaches(
  process: Process,
  client: Client,
  settings: Settings,
  metrics: Metrics,
  signal: AbortSignal,
  changed: () => void,
): Caches {
  const { clock, log } = process
  const beats = createBeats()
  const running: Promise<void>[] = []
  const troubles = createWatchTroubles(clock)
  const watch = <T>(
    resource: string,
    path: string,
    project: (raw: JsonObject) => T | undefined,
    more: {
      same?: (a: T, b: T) => boolean
      query?: Readonly<Record<string, string>>
      accept?: string
      watchAccept?: string
      failed?: (error: unknown) => void
    },
  ) => {
    const store = createStore<T>({ project, same: more.same ?? sameJson, clock, log })
    store.subscribe(changed)
    const onError = (error: unknown) => {
      metrics.watchRestarted(resource)
      log.debug('watch failed, resuming', { resource, error })
      more.failed?.(error)
      if (troubles.failed(resource, error)) changed()
    }
    const onWatch = () => {
      if (troubles.accepted(resource)) changed()
    }
    running.push(
      runReflector({
        process,
        client,
        path,
        store,
        signal,
        onError,
        onWatch,
        ...(more.query === undefined ? {} : { query: more.query }),
        ...(more.accept === undefined ? {} : { accept: more.accept }),
        ...(more.watchAccept === undefined ? {} : { watchAccept: more.watchAccept }),
      }),
    )
    return store
  }
  const ours = { labelSelector: `${LABEL_CONTROLLER}=${settings.name}` }
  const namespaced = (prefix: string, resource: string) => `${prefix}/namespaces/${settings.namespace}/${resource}`
  const nodes = watch(
    'nodes',
    '/api/v1/nodes',
    (raw) => {
      const view = nodeView(raw)
      if (view !== undefined) beats.sawNode(view.name, view.heartbeat, clock.mono())
      return view
    },
    { same: sameNode },
  )
  nodes.subscribe((old, now) => {
    if (now === undefined && old !== undefined) beats.forget(old.name)
  })
  const plans = watch('plans', `${PLAN_PATH_PREFIX}/plans`, planView, {})
  // Unselected: prepare Jobs carry no label of SUC's, by which it would take them for broken apply Jobs.
  const jobs = watch('jobs', namespaced('/apis/batch/v1', 'jobs'), (raw) => planJob(jobView(raw), settings.name), {})
  const pods = watch('pods', namespaced('/api/v1', 'pods'), podView, { query: ours })
  const namespaces = watch('namespaces', '/api/v1/namespaces', namespaceView, {
    query: { fieldSelector: `metadata.name=${settings.namespace}` },
  })
  let noPolicies = false
  const policies = watch('rolloutpolicies', namespaced(POLICY_PATH_PREFIX, 'rolloutpolicies'), decodePolicy, {
    failed: (error) => {
      // The kind is unknown where its CRD could not be installed; then nobody can have asked for anything.
      noPolicies = isNotFound(error)
      changed()
    },
  })
  let secrets: Store<{ name: string; version: string }> | undefined
  return {
    plans,
    nodes,
    jobs,
    pods,
    namespaces,
    beats,
    policies,
    noPolicies: () => noPolicies,
    synced: () => [plans, nodes, jobs, pods, namespaces].every((store) => store.synced) && (policies.synced || noPolicies),
    troubles,
    watchSecrets(secretChanged) {
      if (secrets !== undefined) return
      secrets = watch('secrets', namespaced('/api/v1', 'secrets'), secretMetadata, METADATA_ONLY)
      secrets.subscribe((old, now) => secretChanged((now ?? old)?.name ?? ''))
    },
    get done() {
      return Promise.all(running).then(() => undefined)
    },
  }
}

/** Also those of a SUC under another name: two hands on one machine must come to light. */
function planJob(job: JobView | undefined, name: string): JobView | undefined {
  const wanted =
    job !== undefined &&
    (job.labels[LABEL_PLAN] !== undefined || job.labels[LABEL_ROLE] !== undefined || job.labels[LABEL_CONTROLLER] === name)
  return wanted ? job : undefined
}

function secretMetadata(raw: JsonObject): { name: string; version: string } | undefined {
  const metadata = raw['metadata'] as { name?: string; resourceVersion?: string } | undefined
  return metadata?.name === undefined ? undefined : { name: metadata.name, version: metadata.resourceVersion ?? '' }
}
