/** Carries out the steps of a decision. Each write carries its precondition; a failure ends only its step, which is tried again after a backoff. */
import {
  ANNOTATION_HOOK,
  ANNOTATION_MEMORY,
  ANNOTATION_RECORD,
  FIELD_MANAGER,
  LABEL_CONTROLLER,
  LABEL_IN_FLIGHT,
  PLAN_PATH_PREFIX,
  POLICY_PATH_PREFIX,
} from '../api/names.ts'
import type { PlanStatus } from '../api/plan.ts'
import { hold } from '../api/reasons.ts'
import { formatMemory } from '../api/memory.ts'
import { formatRecord } from '../api/record.ts'
import { DroverError, messageOf } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import type { Process } from '../base/process.ts'
import { ApiError, isConflict, isDenied, isForbidden, isNotFound } from '../kube/client/api-error.ts'
import { type Backoff, createBackoff } from '../kube/client/backoff.ts'
import type { Client } from '../kube/client/client.ts'
import type { EventRecorder } from '../kube/client/events.ts'
import type { Store } from '../kube/client/store.ts'
import type { Metrics } from '../observability/metrics.ts'
import { claimKey } from '../rollout/claim.ts'
import { SHIELD, UNSHIELD } from '../rollout/objectset.ts'
import { slotName } from '../rollout/slot-name.ts'
import type { Action, Evicted, Ref, Step } from '../rollout/world.ts'
import type { Caches } from './caches.ts'
import type { Confirm } from './confirm.ts'
import { writeKured } from './kured-lock.ts'
import type { Memory } from './memory.ts'
import { subjectOf } from './subject.ts'
import { evictionOf, evictionPath } from './try-evictions.ts'

/** Steps carried out at once. */
const STEPS = 32
/** After a conflict the cache only needs to catch up. */
const CONFLICT_RETRY_MS = 250
const HELD_RETRY_MS = 10_000
/** Busy while claims of any Plan are confirmed. */
const CONFIRMING = 'confirm'
/** A step that succeeded and is asked for again unchanged waits this long, twice as long each time. */
const REPEAT_MS = 500
const REPEAT_MAX_MS = 60_000
/** What is known of a subject that has been quiet for so long is forgotten. */
const FORGET_MS = 600_000
/** Below the time between the renew deadline and the Lease's duration: a write cannot outlive our leadership by much. */
const WRITE_TIMEOUT_MS = 15_000

export interface Act {
  /** Starts the steps whose subject is free and not backing off; `ended` is called after each. Returns when the next backoff ends. */
  start(steps: readonly Step[], reconcileID: number): number | undefined
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

/** The step stops here: a check found a hold. */
class Held extends DroverError {
  constructor(message: string) {
    super('Held', message, { retry: 'backoff' })
  }
}

export interface ActOptions {
  readonly process: Process
  readonly client: Client
  readonly caches: Caches
  readonly memory: Memory
  readonly events: EventRecorder
  readonly metrics: Metrics
  readonly confirm: Confirm
  readonly leading: () => boolean
  /** Called when the API server did not keep all that was written to a Plan's status. */
  readonly pruned: () => void
  readonly ended: () => void
}

export function createAct({ process, client, caches, memory, events, metrics, confirm, leading, pruned, ended }: ActOptions): Act {
  const { clock, log, random } = process
  const busy = new Set<string>()
  const repeats = new Map<string, { readonly signature: string; readonly count: number; readonly at: number }>()
  /** `met`: the versions of objects with which the step met a conflict; seen to be others, it need not wait. */
  const backoffs = new Map<string, { readonly backoff: Backoff; readonly until: number; readonly met: string | undefined }>()
  let idle: (() => void)[] = []

  async function patchNode(action: Extract<Action, { do: 'patchNode' | 'labelNode' }>): Promise<void> {
    const working = action.do === 'patchNode' ? { [LABEL_IN_FLIGHT]: action.record.work === undefined ? null : 'true' } : {}
    const patch = {
      metadata: {
        uid: action.uid,
        resourceVersion: action.resourceVersion,
        labels: { ...action.labels, ...working },
        ...(action.do === 'patchNode' ? { annotations: { [ANNOTATION_RECORD]: formatRecord(action.record), ...hookOf(action) } } : {}),
      },
      ...(action.do === 'patchNode' && action.unschedulable !== undefined
        ? { spec: { unschedulable: action.unschedulable ? true : null } }
        : {}),
    }
    const options = { fieldManager: FIELD_MANAGER, timeoutMs: WRITE_TIMEOUT_MS }
    await keep(caches.nodes, () => client.mergePatch(`/api/v1/nodes/${action.node}`, patch, options))
  }

  async function writeStatus(action: Extract<Action, { do: 'writeStatus' }>): Promise<void> {
    const { plan, status } = action
    const key = `${plan.namespace}/${plan.name}`
    const claimed = action.confirm.flatMap((name) => caches.nodes.get(name) ?? [])
    const hash = status.latestHash ?? ''
    const claims = claimed.map((node) => claimKey({ ref: plan, hash }, node))
    for (const claim of claims) memory.confirmed.delete(claim)
    // Failures that are tried again, and adopted nodes: they stay whatever the confirmation finds.
    const stood = new Set(caches.plans.get(key)?.plan?.status.applying ?? [])
    const path = `${PLAN_PATH_PREFIX}/namespaces/${plan.namespace}/plans/${plan.name}/status`
    const { leadingHold } = status
    const told = leadingHold ? { ...status, leadingHold: { ...NOT_SAID, ...leadingHold } } : status
    const patch = { metadata: { uid: plan.uid, resourceVersion: action.resourceVersion }, status: told }
    const options = { fieldManager: FIELD_MANAGER, timeoutMs: WRITE_TIMEOUT_MS }
    await keep(caches.plans, async () => {
      const answer = await client.mergePatch<JsonObject & { status?: Partial<PlanStatus> }>(path, patch, options)
      if (status.observedGeneration !== undefined && answer.status?.observedGeneration === undefined) pruned()
      return answer
    })
    if (claimed.length === 0) return
    const { holds, read } = await confirm.claims(key, hash, claimed)
    for (const [index, node] of claimed.entries()) {
      const held = holds.get(node.name)
      if (held === undefined) {
        memory.confirmed.add(claims[index] ?? '')
        memory.rechecks.delete(node.name)
        memory.setbacks.delete(`claim ${key} ${node.name}`)
        continue
      }
      const told = {
        ...held,
        ...hold('ClaimWithdrawn', `the claim was withdrawn: ${held.message} (${held.reason})`, { retryAt: clock.wall() + HELD_RETRY_MS }),
      }
      memory.setbacks.set(`claim ${key} ${node.name}`, { plan: key, node: node.name, hold: told, at: clock.mono() })
    }
    if (holds.size === 0) return
    metrics.claimWithdrawn()
    const hostnames = claimed.filter((node) => holds.has(node.name)).map(slotName)
    const withdrawn = new Set(hostnames.filter((hostname) => !stood.has(hostname)))
    // From what was read, not from what we wrote: another leader may have claimed in between.
    const applying = read?.applying.filter((hostname) => !withdrawn.has(hostname))
    if (read !== undefined && applying !== undefined && applying.length < read.applying.length) {
      const withdrawal = { metadata: { uid: plan.uid, resourceVersion: read.resourceVersion }, status: { applying } }
      await keep(caches.plans, () => client.mergePatch(path, withdrawal, options))
    }
    throw new Held([...holds.values()][0]?.message ?? '')
  }

  const jobPath = (job: Ref) => `/apis/batch/v1/namespaces/${job.namespace}/jobs/${job.name}`
  const podPath = (pod: Ref) => `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`

  async function patchJob(job: Ref, spec: object, metadata = {}): Promise<void> {
    const patch = { metadata: { uid: job.uid, ...metadata }, spec }
    await keep(caches.jobs, () => client.mergePatch(jobPath(job), patch, { fieldManager: FIELD_MANAGER, timeoutMs: WRITE_TIMEOUT_MS }))
  }

  /** The version of a paused Job as the decision saw it; ask before anything is awaited. Whoever starts the Job changes it. */
  function pausedVersion(job: Ref): string | undefined {
    const seen = caches.jobs.get(`${job.namespace}/${job.name}`)
    return seen?.uid === job.uid && seen.parallelism === 0 && !seen.complete && seen.failed === undefined ? seen.resourceVersion : undefined
  }

  /** Without a `resourceVersion` the Job goes in whatever state it is by now. */
  async function removeJob(job: Ref, resourceVersion: string | undefined): Promise<void> {
    const options = { uid: job.uid, propagationPolicy: 'Background', timeoutMs: WRITE_TIMEOUT_MS } as const
    if (resourceVersion === undefined) await ignoringGone(() => client.delete(jobPath(job), options))
    else await ignoringAbsent(() => client.delete(jobPath(job), { ...options, resourceVersion }))
    caches.jobs.wroteDelete(`${job.namespace}/${job.name}`, job.uid)
  }

  const refusedEviction = (error: ApiError): Evicted => ({
    at: clock.mono(),
    message: error.message,
    sent: false,
    forbidden: isForbidden(error) && !isDenied(error),
  })

  async function evict(action: Extract<Action, { do: 'evict' }>): Promise<void> {
    const { pod, graceSeconds } = action
    try {
      await client.create(evictionPath(pod), evictionOf(pod, graceSeconds), { timeoutMs: WRITE_TIMEOUT_MS })
      memory.evictions.set(pod.uid, { at: clock.mono(), message: '', sent: true })
      metrics.evicted('evicted')
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      const denied = isDenied(error)
      if (!denied && (error.status === 404 || error.status === 409)) return metrics.evicted('gone')
      memory.evictions.set(pod.uid, refusedEviction(error))
      metrics.evicted(denied || error.status === 429 ? 'blocked' : 'error')
    } finally {
      for (const node of memory.drains.keys()) memory.expired.add(`drain ${node}`)
    }
  }

  async function perform(action: Action): Promise<void> {
    switch (action.do) {
      case 'writeStatus':
        return writeStatus(action)
      case 'writePolicyStatus': {
        const { policy, resourceVersion, status } = action
        const path = `${POLICY_PATH_PREFIX}/namespaces/${policy.namespace}/rolloutpolicies/${policy.name}/status`
        const patch = { metadata: { uid: policy.uid, resourceVersion }, status }
        await keep(caches.policies, () => client.mergePatch(path, patch, { fieldManager: FIELD_MANAGER, timeoutMs: WRITE_TIMEOUT_MS }))
        return
      }
      case 'annotatePlan': {
        const patch = {
          metadata: {
            uid: action.plan.uid,
            resourceVersion: action.resourceVersion,
            annotations: { [ANNOTATION_MEMORY]: formatMemory(action.memory) },
          },
        }
        await keep(caches.plans, () =>
          client.mergePatch(`${PLAN_PATH_PREFIX}/namespaces/${action.plan.namespace}/plans/${action.plan.name}`, patch, {
            fieldManager: FIELD_MANAGER,
            timeoutMs: WRITE_TIMEOUT_MS,
          }),
        )
        return
      }
      case 'patchNode':
      case 'labelNode':
        return patchNode(action)
      case 'lockKured':
        memory.kured.set('lock', { at: clock.mono(), ok: true, value: await writeKured(client, action, WRITE_TIMEOUT_MS) })
        return
      case 'createPod':
        await keep(caches.pods, () =>
          client.create(`/api/v1/namespaces/${action.pod.metadata?.namespace ?? ''}/pods`, action.pod, {
            timeoutMs: WRITE_TIMEOUT_MS,
          }),
        )
        return
      case 'deletePod': {
        const { pod, graceSeconds } = action
        const grace = graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }
        try {
          await ignoringGone(() => client.delete(podPath(pod), { uid: pod.uid, timeoutMs: WRITE_TIMEOUT_MS, ...grace }))
        } catch (error) {
          // The drain tells of it as of a refused eviction.
          if (isRefusal(error)) memory.evictions.set(pod.uid, refusedEviction(error))
          throw error
        }
        // Gone at once, now or before.
        if (graceSeconds === 0) caches.pods.wroteDelete(`${pod.namespace}/${pod.name}`, pod.uid)
        memory.evictions.set(pod.uid, { at: clock.mono(), message: '', sent: true })
        for (const node of memory.drains.keys()) memory.expired.add(`drain ${node}`)
        return
      }
      case 'evict':
        return evict(action)
      case 'createJob':
        await keep(caches.jobs, () =>
          client.create(`/apis/batch/v1/namespaces/${action.job.metadata?.namespace ?? ''}/jobs`, action.job, {
            timeoutMs: WRITE_TIMEOUT_MS,
          }),
        )
        return
      case 'startJob':
        // Its TTL begins with the verdict (janitor): a Job that vanished before is evidence lost, and would be run again.
        return patchJob(action.job, { parallelism: 1, ttlSecondsAfterFinished: null }, { annotations: SHIELD })
      case 'shieldJob':
        return patchJob(action.job, {}, { annotations: SHIELD })
      case 'suspendJob':
        return patchJob(action.job, { suspend: true }, action.unshield === true ? { annotations: UNSHIELD } : {})
      case 'expireJob':
        return patchJob(
          action.job,
          { ttlSecondsAfterFinished: action.ttlSeconds },
          action.disown === true ? { labels: { [LABEL_CONTROLLER]: null } } : {},
        )
      case 'markJob': {
        const { labels, annotations, ownerReferences } = action.like.metadata ?? {}
        const patch = { metadata: { uid: action.job.uid, labels, annotations, ownerReferences } } as JsonObject
        const options = { fieldManager: FIELD_MANAGER, timeoutMs: WRITE_TIMEOUT_MS }
        await keep(caches.jobs, () => client.mergePatch(jobPath(action.job), patch, options))
        return
      }
      case 'deleteJob':
        return removeJob(action.job, action.resourceVersion ?? pausedVersion(action.job))
      case 'recheck': {
        const version = pausedVersion(action.job)
        const held = await confirm.start(action.plan, action.node, action.quorum)
        if (held === undefined) {
          memory.rechecks.delete(action.node)
          return
        }
        memory.rechecks.set(action.node, held)
        if (version !== undefined) await removeJob(action.job, version)
        throw new Held(held.message)
      }
      case 'event':
        return recordEvent(action)
    }
  }

  function recordEvent(action: Extract<Action, { do: 'event' }>): void {
    const { kind, namespace, name, uid } = action.on
    const on = kind === 'Plan' ? { apiVersion: 'upgrade.cattle.io/v1', kind, namespace, name, uid } : { apiVersion: 'v1', kind, name, uid }
    events.record({ on, type: action.type, reason: action.reason, message: action.message })
  }

  /** `subjects`: what `busy` holds for the step; freed before anybody who waits for idleness is told. */
  async function run(step: Step, reconcileID: number, subjects: readonly string[]): Promise<void> {
    let current: Action | undefined
    try {
      for (const action of step.actions) {
        current = action
        if (!leading()) throw new Held('leadership is lost')
        await perform(action)
      }
      backoffs.delete(step.about)
      memory.setbacks.delete(step.about)
      const signature = signatureOf(step)
      const before = repeats.get(step.about)
      repeats.set(step.about, { signature, count: before?.signature === signature ? before.count + 1 : 0, at: clock.mono() })
      log.info('step done', { reconcileID, about: step.about, actions: step.actions.map((action) => action.do) })
    } catch (error) {
      if (isRefusal(error) && current !== undefined)
        memory.setbacks.set(step.about, {
          ...subjectOf(step, current, caches),
          hold: hold('Refused', `the API server refuses what has to be done: ${error.message}`),
          at: clock.mono(),
        })
      const before = backoffs.get(step.about)
      const backoff = before?.backoff ?? createBackoff({ baseMs: 1000, maxMs: 60_000, random })
      const conflict = error instanceof ApiError && (isConflict(error) || isNotFound(error))
      const asked = error instanceof DroverError ? (error.retryAfterMs ?? 0) : 0
      const wait = Math.max(
        asked,
        error instanceof Held ? HELD_RETRY_MS : conflict && before === undefined ? CONFLICT_RETRY_MS : backoff.next(),
      )
      backoffs.set(step.about, { backoff, until: clock.mono() + wait, met: conflict ? versionsOf(step) : undefined })
      const fields = {
        reconcileID,
        about: step.about,
        actions: step.actions.map((action) => action.do),
        error: messageOf(error),
        waitMs: Math.round(wait),
      }
      if (conflict || error instanceof Held) log.info('step put off', fields)
      else log.warn('step failed', fields)
    } finally {
      for (const subject of subjects) busy.delete(subject)
      if (busy.size === 0) {
        for (const resolve of idle) resolve()
        idle = []
      }
      ended()
    }
  }

  return {
    start(steps, reconcileID) {
      const now = clock.mono()
      let next: number | undefined
      for (const [about, { until }] of backoffs) if (until + FORGET_MS < now) backoffs.delete(about)
      for (const [about, { at }] of repeats) if (at + FORGET_MS < now) repeats.delete(about)
      let confirming = busy.has(CONFIRMING)
      for (const step of steps) {
        if (busy.has(step.about) || busy.size >= STEPS || !leading()) continue
        if (step.actions.every((action) => action.do === 'event')) {
          // Nothing in the world changes by it, so no new pass is due.
          for (const action of step.actions) if (action.do === 'event') recordEvent(action)
          continue
        }
        const { until, met } = backoffs.get(step.about) ?? NO_WAIT
        if (until > now && (met === undefined || met === versionsOf(step))) {
          if (next === undefined || until < next) next = until
          continue
        }
        // The very same step again: the world does not show yet, or never will, what it did. Asking faster would not help.
        // Evictions have a pace of their own: a refused one is asked for again as it was.
        const last = step.actions.some((action) => action.do === 'evict') ? undefined : repeats.get(step.about)
        if (last !== undefined && last.signature === signatureOf(step)) {
          const again = last.at + Math.min(REPEAT_MAX_MS, REPEAT_MS * 2 ** Math.min(last.count, 10))
          if (again > now) {
            if (next === undefined || again < next) next = again
            continue
          }
        }
        // Claims of several Plans one after the other: each must see the other's.
        const claims = step.actions.some((action) => action.do === 'writeStatus' && action.confirm.length > 0)
        if (claims && confirming) continue
        if (claims) confirming = true
        const subjects = claims ? [step.about, CONFIRMING] : [step.about]
        for (const subject of subjects) busy.add(subject)
        void run(step, reconcileID, subjects)
      }
      return next
    },
    idle: () => (busy.size === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  }
}

/** An answer that stays the same until somebody changes something. */
const isRefusal = (error: unknown): error is ApiError =>
  error instanceof ApiError &&
  error.status >= 400 &&
  error.status < 500 &&
  ![401, 404, 408, 409, 429].includes(error.status) &&
  !isConflict(error)

const hookOf = ({ hook }: Extract<Action, { do: 'patchNode' }>) => (hook === undefined ? {} : { [ANNOTATION_HOOK]: hook })

/** A merge patch keeps what it does not name: a hold must not keep the node of the one before. */
const NOT_SAID = { node: null, blockedBy: null, retryAt: null }

const NO_WAIT = { until: 0, met: undefined }

/** What the step takes its objects to be; undefined = it does not say. */
function versionsOf(step: Step): string | undefined {
  const versions = step.actions.flatMap((action) => ('resourceVersion' in action ? [action.resourceVersion] : []))
  return versions.length === 0 ? undefined : versions.join(' ')
}

const signatureOf = (step: Step): string => JSON.stringify(step.actions)

/** Shows the answer to a write at once, as the cache would show it later. */
async function keep<T>(cache: Store<T>, write: () => Promise<JsonObject>): Promise<void> {
  const { lists } = cache
  cache.wrote(await write(), lists)
}

async function ignoringAbsent(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

async function ignoringGone(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof ApiError && (isNotFound(error) || isConflict(error)))) throw error
  }
}
