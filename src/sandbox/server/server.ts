import type { Clock } from '../../base/clock.ts'
import type { Transport } from '../../base/process.ts'
import type { TimerClock } from '../clock.ts'
import { withTimers } from '../clock.ts'
import type { Faults } from '../faults.ts'
import { createFaults } from '../faults.ts'
import { createHandler } from './handle.ts'
import type { RequestCounts } from './history.ts'
import { createHistory } from './history.ts'
import { createRegistry } from './registry.ts'
import type { Registry } from './registry.ts'
import type { Denial } from './status.ts'
import { createStore } from './store.ts'
import type { Store } from './store.ts'
import type { PodLogs } from './subresources.ts'
import { createPodLogs } from './subresources.ts'
import { createTransport } from './transport.ts'
import type { ApiObject, Who, Write } from './types.ts'
import { qualified } from './types.ts'
import { createWatchHub } from './watch.ts'
import { newUid } from './write.ts'

export type { RequestCounts } from './history.ts'
export type { PodLogs } from './subresources.ts'
export type { ApiObject, Write } from './types.ts'

/** What a rule of authorization is asked. */
export interface Asked {
  readonly verb: string
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
}

export interface ApiServerOptions {
  readonly clock: Clock
  /** Uniform in [0, 1): uids, name suffixes, and the default fault plan. */
  readonly random: () => number
  /** Default: 1–5 ms of latency each way and no faults. */
  readonly faults?: Faults
  /** Freeze what is stored, so that a client that writes into an answer is found out. Default false. */
  readonly freeze?: boolean
  /** Changes remembered for resuming watches and for pages of a list. Default 50 000. */
  readonly watchWindow?: number
  /** Authorization. Default: everybody may do everything. */
  readonly allow?: (user: string, asked: Asked) => boolean
  /** Validating admission webhooks, asked about every write that is allowed, dry runs included; undefined = it may pass. Default: none. */
  readonly admit?: (user: string, asked: Asked) => Denial | undefined
  /**
   * Whether pods need their service account, as on a real server: some controller has to make the account `default` of each namespace.
   * Default false.
   */
  readonly accounts?: boolean
  /** How often a watch that asked for bookmarks gets one, in milliseconds. Default 60 000. */
  readonly bookmarkMs?: number
}

/** A Kubernetes API server in memory. */
export interface ApiServer {
  /** How a user talks to it. The user agent (default: the user) names the field manager when a write does not. */
  as(user: string, options?: { userAgent?: string }): Transport
  /** Every write request, refused ones and dry runs included, in the order in which they took effect. */
  readonly history: readonly Write[]
  /** Calls back in the instant of each write request. Returns how to stop it. */
  onWrite(listener: (write: Write) => void): () => void
  readonly requests: RequestCounts
  readonly faults: Faults
  readonly logs: PodLogs
  /** Looks into the store without being a request: for checkers and tests. `plural` may name its group (`jobs.batch`). */
  peek(plural: string, name: string, namespace?: string): ApiObject | undefined
  peekAll(plural: string, namespace?: string): readonly ApiObject[]
  /** Forgets all changes: older watches and list pages answer 410. */
  compact(): void
  readonly resourceVersion: number
}

/** The parts of a server that its requests share. */
export interface Core {
  readonly clock: TimerClock
  readonly random: () => number
  readonly store: Store
  readonly registry: Registry
  readonly faults: Faults
  readonly hub: ReturnType<typeof createWatchHub>
  readonly logs: ReturnType<typeof createPodLogs>
  readonly history: ReturnType<typeof createHistory>
  readonly allow: (user: string, asked: Asked) => boolean
  readonly admit: (user: string, asked: Asked) => Denial | undefined
  readonly accounts: boolean
}

const firstNamespaces = ['default', 'kube-node-lease', 'kube-public', 'kube-system']

export function createApiServer(options: ApiServerOptions): ApiServer {
  const clock = withTimers(options.clock)
  const store = createStore({ window: options.watchWindow ?? 50_000, freeze: options.freeze ?? false })
  const faults = options.faults ?? createFaults({ random: options.random })
  const hub = createWatchHub({ clock, faults, bookmarkMs: options.bookmarkMs ?? 60_000, revision: () => store.revision })
  const core: Core = {
    clock,
    random: options.random,
    store,
    registry: createRegistry(),
    faults,
    hub,
    logs: createPodLogs(() => clock.wall()),
    history: createHistory(clock),
    allow: options.allow ?? (() => true),
    admit: options.admit ?? (() => undefined),
    accounts: options.accounts ?? false,
  }
  store.subscribe((resource, change) => {
    if (resource === 'customresourcedefinitions.apiextensions.k8s.io') {
      if (change.type === 'DELETED') undefine(core, change.after)
      else core.registry.define(change.after)
      if (change.type === 'ADDED') store.begin(change.after.metadata.name)
    }
    hub.publish(resource, change)
  })
  faults.onOutage = (ms) => {
    hub.cutAll('the API server is down')
    return clock.mono() + ms
  }
  for (const name of firstNamespaces) {
    const created = new Date(clock.wall()).toISOString().replace(/\.\d+/, '')
    const metadata = {
      name,
      uid: newUid(options.random),
      resourceVersion: '',
      creationTimestamp: created,
      labels: { 'kubernetes.io/metadata.name': name },
    }
    store.put('namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata,
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    })
  }
  const handle = createHandler(core)
  const named = (plural: string): string => {
    const resource = core.registry.byName(plural)
    if (resource === undefined) throw new Error(`no resource ${plural} is served, or several are`)
    return qualified(resource)
  }

  return {
    as(user, more) {
      const who: Who = { user, userAgent: more?.userAgent ?? user }
      return createTransport(core, handle, who)
    },
    history: core.history.writes,
    onWrite: (listener) => core.history.listen(listener),
    requests: core.history.requests,
    faults,
    logs: core.logs,
    peek: (plural, name, namespace) => store.get(named(plural), namespace, name),
    peekAll: (plural, namespace) => {
      const table = store.table(named(plural))
      return table.keys().flatMap((key) => {
        const object = table.objects.get(key)
        return object === undefined || (namespace !== undefined && object.metadata.namespace !== namespace) ? [] : [object]
      })
    },
    compact: () => store.compact(),
    get resourceVersion() {
      return store.revision
    },
  }
}

/** A definition goes, and everything it defined with it. */
function undefine(core: Core, crd: ApiObject): void {
  for (const resource of core.registry.all.filter((each) => each.custom !== undefined && qualified(each) === crd.metadata.name)) {
    const table = core.store.table(qualified(resource))
    for (const key of table.keys()) {
      const object = table.objects.get(key)
      if (object !== undefined) core.store.remove(qualified(resource), object)
    }
  }
  core.registry.undefine(crd)
}
