/** Brings the world together for a decision, and fetches what the last one needed: bounded, de-duplicated, each with a deadline. */
import type { Pod, Secret } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.d.ts'
import pLimit from 'p-limit'
import { messageOf } from '../base/errors.ts'
import type { Process } from '../base/process.ts'
import type { Settings } from '../base/settings.ts'
import { ApiError, isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import type { Metrics } from '../observability/metrics.ts'
import { channelHeaders, checkChannelURL, interpretAnswer } from '../rollout/channel.ts'
import type { DrainView, Fresh, Moment, Need, World } from '../rollout/world.ts'
import type { Caches } from './caches.ts'
import { createEvaluateGate } from './evaluate-gate.ts'
import { listSnapshots } from './list-snapshots.ts'
import { readKured } from './kured-lock.ts'
import type { Memory } from './memory.ts'
import { tryEvictions } from './try-evictions.ts'

/** Requests for needs under way at once. */
const FETCHES = 8
/** A fetch that failed is not tried again sooner. */
const ERROR_RETRY_MS = 5_000
/** What lies outside of the cluster, or waits for a person, is asked again ever more seldom, up to this. */
const MAX_ERROR_RETRY_MS = { channel: 300_000, dryRun: 60_000, gate: 30_000, snapshots: 60_000 }
/** Gates may ask servers that do not answer; what the rollout itself needs does not queue behind them. */
const GATES = 4
const LOG_LINES = '20'
/** An answer that nobody has asked for in so long is forgotten. */
const FORGET_MS = 3_600_000
/** Nodes that are looked at at about the same time share the list of PodDisruptionBudgets (the API server judges each eviction anyway), and that of VolumeAttachments. */
const SHARED_MS = 1_000
/** DaemonSets seldom come and go. */
const DAEMONSET_MAX_AGE_MS = 300_000

export interface Gather {
  readonly world: () => World
  /** Starts fetching what is missing or too old; `fetched` is called after each. Returns the monotonic time at which something falls due. */
  fetch(needs: readonly Need[]): number | undefined
}

export function createGather(
  process: Process,
  client: Client,
  settings: Settings,
  caches: Caches,
  memory: Memory,
  metrics: Metrics,
  fetched: () => void,
): Gather {
  const { clock, log } = process
  const limit = pLimit(FETCHES)
  const gateLimit = pLimit(GATES)
  const evaluateGate = createEvaluateGate(process, client)
  const under = new Set<string>()
  const askedAt = new Map<string, { at: number; failures: number; need: Need; wantedAt: number }>()
  const daemonSets = new Map<string, { at: number; exists: boolean }>()
  const budgets = shared<PodDisruptionBudget>('/apis/policy/v1/poddisruptionbudgets')
  const attachments = shared<VolumeAttachment>('/apis/storage.k8s.io/v1/volumeattachments')
  let clusterID: string | undefined
  caches.plans.subscribe(() => {
    if (caches.plans.list().some((view) => view.plan?.spec.secrets?.some((secret) => secret.ignoreUpdates !== true) === true)) {
      caches.watchSecrets((name) => {
        memory.secrets.delete(name)
        askedAt.delete(`secret ${name}`)
      })
    }
  })

  const attempt = async <T>(work: () => Promise<T>): Promise<Fresh<T>> => {
    const at = clock.mono()
    try {
      return { at, ok: true, value: await work() }
    } catch (error) {
      log.debug('fetch failed', { error })
      return { at, ok: false, error: messageOf(error), refused: isRefusal(error) }
    }
  }

  async function resolveChannel(url: string, latestVersion: string): Promise<string> {
    try {
      clusterID ??= await client
        // A list: to get any namespace by its name would be a permission of its own.
        .list<{ metadata?: { uid?: string } }>('/api/v1/namespaces', { query: { fieldSelector: 'metadata.name=kube-system' } })
        .then(({ items }) => items[0]?.metadata?.uid ?? '')
    } catch (error) {
      log.debug('cluster id not known, asking the channel without it', { error })
    }
    const bad = checkChannelURL(url)
    if (bad !== undefined) throw new Error(bad)
    let answer: ReturnType<typeof interpretAnswer>
    try {
      const response = await process.outside.get(url, channelHeaders(clusterID ?? '', latestVersion), settings.channelTimeoutMs, never)
      answer = interpretAnswer(url, response, settings.compatibility)
    } catch (error) {
      metrics.channelPolled('error')
      throw error
    }
    metrics.channelPolled(answer.ok ? 'resolved' : 'refused')
    if (!answer.ok) throw new Error(answer.error)
    return answer.version
  }

  /** One list for nodes that are looked at at about the same time. */
  function shared<T extends object>(path: string): () => Promise<readonly T[]> {
    let last: { readonly at: number; readonly list: Promise<readonly T[]> } | undefined
    return () => {
      const at = clock.mono()
      if (last !== undefined && at - last.at < SHARED_MS) return last.list
      const list = client.list<T>(path).then(({ items }) => items)
      last = { at, list }
      list.catch(() => (last = undefined))
      return list
    }
  }

  async function drainView(node: string): Promise<DrainView> {
    const [pods, found] = await Promise.all([
      client.list<Pod>('/api/v1/pods', { query: { fieldSelector: `spec.nodeName=${node}` } }),
      budgets(),
    ])
    return { pods: pods.items, budgets: found, daemonSets: await daemonSetsOf(pods.items) }
  }

  /** Which of the DaemonSets that the pods name exist, as `namespace/name`; kubectl looks too (a pod of one that is gone needs force). */
  async function daemonSetsOf(pods: readonly Pod[]): Promise<ReadonlySet<string>> {
    const named = new Set<string>()
    for (const { metadata } of pods) {
      const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true && reference.kind === 'DaemonSet')
      if (owner !== undefined) named.add(`${metadata?.namespace ?? ''}/${owner.name}`)
    }
    for (const [key, { at }] of daemonSets) if (clock.mono() - at > DAEMONSET_MAX_AGE_MS) daemonSets.delete(key)
    const existing = new Set<string>()
    for (const key of named) {
      const known = daemonSets.get(key)
      const exists = known?.exists ?? (await daemonSetExists(key))
      if (known === undefined) daemonSets.set(key, { at: clock.mono(), exists })
      if (exists) existing.add(key)
    }
    return existing
  }

  async function daemonSetExists(key: string): Promise<boolean> {
    const [namespace, name] = key.split('/')
    try {
      await client.get(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`)
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  async function secret(name: string): Promise<Secret | null> {
    try {
      return await client.get<Secret>(`/api/v1/namespaces/${settings.namespace}/secrets/${name}`)
    } catch (error) {
      if (isNotFound(error)) return null
      throw error
    }
  }

  async function run(need: Need): Promise<boolean> {
    switch (need.kind) {
      case 'drain': {
        const seen = await attempt(() => drainView(need.node))
        memory.drains.set(need.node, seen)
        return seen.ok
      }
      case 'kured': {
        const seen = await attempt(() => readKured(client))
        memory.kured.set('lock', seen)
        return seen.ok
      }
      case 'attachments': {
        const seen = await attempt(async () => attachedTo(need.node, await attachments()))
        memory.attachments.set(need.node, seen)
        return seen.ok
      }
      case 'tries': {
        const seen = await attempt(() => tryEvictions(client, need.pods, need.graceSeconds))
        memory.tries.set(need.node, seen)
        return seen.ok
      }
      case 'beat': {
        const seen = await attempt(() =>
          client.get<{ spec?: { renewTime?: string } }>(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${need.node}`),
        )
        if (seen.ok) caches.beats.sawLease(need.node, seen.value.spec?.renewTime ?? '', seen.at, clock.mono())
        else if (seen.refused === true) caches.beats.refused(need.node, seen.error)
        return seen.ok
      }
      case 'channel': {
        const seen = await attempt(() => resolveChannel(need.url, need.latestVersion))
        memory.channels.set(need.url, seen)
        return seen.ok
      }
      case 'secret': {
        const seen = await attempt(() => secret(need.name))
        memory.secrets.set(need.name, seen)
        return seen.ok
      }
      case 'log': {
        const seen = await attempt(() =>
          client.text(`/api/v1/namespaces/${need.namespace}/pods/${need.pod}/log`, {
            query: { tailLines: LOG_LINES, limitBytes: '4096' },
            retries: 1,
          }),
        )
        memory.logs.set(need.podUID, seen)
        return true
      }
      case 'snapshots': {
        const seen = await attempt(() => listSnapshots(client))
        memory.snapshots.set('etcd', seen)
        return seen.ok
      }
      case 'dryRun': {
        const seen = await attempt(async () => {
          await client.create(`/api/v1/namespaces/${need.namespace}/pods`, need.pod, { dryRun: true })
          return true as const
        })
        memory.dryRuns.set(need.key, seen)
        return seen.ok
      }
      case 'gate': {
        const seen = await attempt(() => evaluateGate(need.check, need.namespace))
        memory.gates.set(need.key, seen)
        return seen.ok
      }
    }
  }

  return {
    world() {
      const now: Moment = { wall: clock.wall(), mono: clock.mono() }
      return {
        settings,
        now,
        plans: caches.plans.list(),
        policies: caches.policies.synced ? caches.policies.list() : caches.noPolicies() ? [] : undefined,
        nodes: caches.nodes.list(),
        jobs: caches.jobs.list(),
        pods: caches.pods.list(),
        namespaceHold: heldNamespace(caches.namespaces.get(settings.namespace)?.hold),
        refusal: caches.troubles.refusal(),
        observed: { ...memory, beats: caches.beats.all },
        since: memory.since,
        confirmed: memory.confirmed,
      }
    },
    fetch(needs) {
      const now = clock.mono()
      let next: number | undefined
      for (const need of needs) {
        const key = keyOf(need)
        if (under.has(key)) continue
        const last = askedAt.get(key)
        if (last !== undefined) last.wantedAt = now
        const gone = isForgotten(memory, need)
        const due =
          last === undefined || (gone && last.failures === 0)
            ? now
            : last.at + (last.failures > 0 ? errorRetryMs(need, last.failures) : memory.expired.has(key) ? 0 : need.maxAgeMs)
        if (due > now) {
          if (Number.isFinite(due) && (next === undefined || due < next)) next = due
          continue
        }
        under.add(key)
        memory.expired.delete(key)
        const at = now
        void (need.kind === 'gate' ? gateLimit : limit)(() => run(need))
          .catch((error: unknown) => {
            log.error('fetch broke', { key, error })
            return false
          })
          .then((ok) => {
            under.delete(key)
            askedAt.set(key, { at, failures: ok ? 0 : (last?.failures ?? 0) + 1, need, wantedAt: at })
            fetched()
          })
      }
      for (const [key, { need, wantedAt }] of askedAt) {
        if (now - wantedAt < FORGET_MS) continue
        askedAt.delete(key)
        forget(memory, need)
      }
      return next
    },
  }
}

/** What the last answer said of the node went with its drain. */
function isForgotten(memory: Memory, need: Need): boolean {
  if (need.kind === 'drain') return !memory.drains.has(need.node)
  if (need.kind === 'tries') return !memory.tries.has(need.node)
  return need.kind === 'attachments' && !memory.attachments.has(need.node)
}

/** Names of the volumes, for people. */
function attachedTo(node: string, attachments: readonly VolumeAttachment[]): readonly string[] {
  return attachments
    .filter(({ spec }) => spec.nodeName === node)
    .map(({ metadata, spec }) => spec.source.persistentVolumeName ?? spec.source.inlineVolumeSpec?.csi?.driver ?? metadata?.name ?? '')
    .toSorted()
}

function forget(memory: Memory, need: Need): void {
  switch (need.kind) {
    case 'channel':
      return void memory.channels.delete(need.url)
    case 'secret':
      return void memory.secrets.delete(need.name)
    case 'dryRun':
      return void memory.dryRuns.delete(need.key)
    case 'gate':
      return void memory.gates.delete(need.key)
    case 'snapshots':
      memory.snapshots.clear()
      return
    case 'kured':
      memory.kured.clear()
      return
    case 'drain':
    case 'attachments':
    case 'tries':
    case 'beat':
    case 'log':
      // These go with the node or the pod.
      return
  }
}

/** An answer that asking again will not change. */
const isRefusal = (error: unknown): boolean =>
  error instanceof ApiError && error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status)

const never = new AbortController().signal
const heldNamespace = (value: string | undefined) => (value === 'false' ? undefined : value)

/** How long to wait after so many failures in a row. */
function errorRetryMs(need: Need, failures: number): number {
  if (need.kind === 'channel' || need.kind === 'dryRun' || need.kind === 'gate' || need.kind === 'snapshots')
    return Math.min(MAX_ERROR_RETRY_MS[need.kind], ERROR_RETRY_MS * 2 ** (failures - 1))
  return Math.min(ERROR_RETRY_MS, Math.max(need.maxAgeMs, 1000))
}

/** What makes two needs the same. */
function keyOf(need: Need): string {
  switch (need.kind) {
    case 'drain':
    case 'attachments':
    case 'tries':
    case 'beat':
      return `${need.kind} ${need.node}`
    case 'channel':
      return `channel ${need.url}`
    case 'secret':
      return `secret ${need.name}`
    case 'log':
      return `log ${need.podUID}`
    case 'snapshots':
    case 'kured':
      return need.kind
    case 'dryRun':
      return `dryRun ${need.key}`
    case 'gate':
      return `gate ${need.key}`
  }
}
