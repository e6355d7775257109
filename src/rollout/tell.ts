/** What is told of a Plan: its status, and an event where a condition changes its meaning. */
import type { PlanStatus } from '../api/plan.ts'
import type { Pass } from './pass.ts'
import type { PlanState } from './plan-state.ts'
import { planStatus, type StatusInput } from './status.ts'
import { overnightWarning } from './window.ts'

export interface PlanEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}

/** How a Plan stands, as the pass leaves it. */
export interface Telling extends Omit<StatusInput, 'kstatus' | 'now'> {
  /** Strict only: what keeps SUC from making Jobs, as its event says it. */
  readonly fault: PlanEvent | undefined
}

export interface Told {
  readonly status: PlanStatus
  readonly events: readonly PlanEvent[]
  /** Said now, whether or not the status is written. */
  readonly aside?: readonly PlanEvent[]
  /** Readers cannot tell the difference, and it is to be written all the same. */
  readonly urgent?: boolean
}

/** Status fields that SUC does not know. */
export const ADDED_STATUS = ['observedGeneration', 'nodeCounts', 'nodeStatuses', 'leadingHold'] as const

export function tellReaders(telling: Telling, pass: Pass): Told {
  const status = planStatus({ ...telling, kstatus: pass.world.settings.kstatus, now: pass.now })
  return { status, events: eventsOf(telling.state, status) }
}

/** SUC's events, in words of our own. */
function eventsOf(state: PlanState, status: PlanStatus): PlanEvent[] {
  const events: PlanEvent[] = []
  const say = (type: PlanEvent['type'], reason: string, message: string) => events.push({ type, reason, message })
  const { generation } = state.plan.metadata
  const overnight = state.plan.spec.window === undefined ? undefined : overnightWarning(state.plan.spec.window)
  if (overnight !== undefined && state.plan.status.observedGeneration !== generation) say('Warning', 'OvernightWindow', overnight)
  for (const condition of status.conditions) {
    const before = state.plan.status.conditions.find((other) => other.type === condition.type)
    const changed = before?.status !== condition.status || (before.reason ?? '') !== (condition.reason ?? '')
    const message = condition.message ?? ''
    if (condition.type === 'Validated' && changed) {
      if (condition.status === 'True') say('Normal', 'Validated', 'Plan is valid')
      else say('Warning', 'ValidateFailed', message)
    }
    if (condition.type === 'LatestResolved') {
      if (condition.status === 'True' && state.plan.status.latestVersion !== state.version)
        say('Normal', 'Resolved', `Resolved latest version from Spec.${condition.reason}: ${state.version}`)
      if (message.startsWith('cannot resolve') && before?.message !== condition.message) say('Warning', 'ResolveFailed', message)
    }
    if (condition.type === 'Complete' && changed) {
      if (condition.reason === 'Complete') say('Normal', 'Complete', `Jobs complete for version ${state.version}. Hash: ${state.hash}`)
      else if (condition.reason === 'NoMatchingNodes') say('Warning', 'NoMatchingNodes', message)
      else if (condition.reason === 'SyncJob') say('Normal', 'SyncJob', `Jobs synced for version ${state.version}. Hash: ${state.hash}`)
      else if (condition.reason !== 'NotReady' && condition.reason !== 'JobFailed')
        say('Normal', 'Waiting', `${condition.reason}: ${message}`)
    }
  }
  return events
}
