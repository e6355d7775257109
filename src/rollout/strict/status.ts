/** The Plan's status as SUC keeps it, condition by condition and event by event (contract, Plan; corrections 3–7). Nothing is added to it. */
import type { PlanCondition, PlanStatus } from '../../api/plan.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { slotName } from '../slot-name.ts'
import { dated, KSTATUS } from '../status.ts'
import type { PlanEvent, Telling, Told } from '../tell.ts'
import type { World } from '../world.ts'

/** Undefined while an answer that it depends on is still to come. */
export function statusAsSUC(telling: Telling, pass: Pass): Told | undefined {
  const { state, failure, fault } = telling
  if (state.pending) return undefined
  const old = state.plan.status
  const book = conditionBook(old, pass)
  const events: PlanEvent[] = []
  const say = (type: PlanEvent['type'], reason: string, message: string) => events.push({ type, reason, message })
  const lasting: PlanEvent[] = []
  validated(state, book, say)
  resolved(state, book, say, (event) => lasting.push(event))
  let applying = inOrder(telling.applying, pass.world)
  if (!book.is('Validated', 'True') || !book.is('LatestResolved', 'True')) {
    book.set('Complete', 'False', 'NotReady', 'plan is not valid and resolved')
    applying = [...new Set([...old.applying, ...applying])]
  } else if (fault !== undefined) {
    lasting.push(fault)
    applying = [...new Set([...old.applying, ...applying])]
  } else if (applying.length > 0) {
    const changed = differ(applying, old.applying)
    const about = `Jobs synced for version ${state.version} on Nodes ${applying.join(',')}. Hash: ${state.hash}`
    if (changed) say('Normal', 'SyncJob', about)
    if (failure !== undefined) book.set('Complete', 'False', 'JobFailed', failure)
    else if (changed) book.set('Complete', 'False', 'SyncJob')
  } else if (!hasWork(state)) {
    if (!book.is('Complete', 'True')) say('Normal', 'Complete', `Jobs complete for version ${state.version}. Hash: ${state.hash}`)
    book.set('Complete', 'True', 'Complete')
  } else if (telling.report.holds.some((entry) => entry.reason === 'OutsideWindow')) {
    const about = `Waiting for start of Spec.Window to sync Jobs for version ${state.version}. Hash: ${state.hash}`
    if (book.reason('Complete') !== 'Waiting') say('Normal', 'Waiting', about)
    book.set('Complete', 'False', 'Waiting', 'current time is not within configured window')
  } else if (book.is('Complete', 'True')) {
    // Nodes are to be taken, and something that SUC does not know holds them.
    book.set('Complete', 'False', 'Resolved')
  }
  return {
    status: {
      conditions: book.all(),
      latestVersion: state.version === '' ? old.latestVersion : state.version,
      latestHash: state.hash,
      applying,
    },
    events,
    // SUC says it anew in each try; here once for as long as it lasts, and after what led to it.
    aside: events.length > 0 ? [] : lasting.filter(({ reason, message }) => pass.isNew(`told ${state.key} ${reason} ${message}`)),
    urgent: applying.length === old.applying.length && differ(applying, old.applying),
  }
}

const differ = (a: readonly string[], b: readonly string[]): boolean => a.join() !== b.join()

type Say = (type: PlanEvent['type'], reason: string, message: string) => void

function validated({ invalid }: PlanState, book: Book, say: Say): void {
  book.ensure('Complete')
  book.ensure('Validated')
  if (invalid === undefined) {
    if (!book.is('Validated', 'True')) say('Normal', 'Validated', 'Plan is valid')
    return book.set('Validated', 'True', 'PlanIsValid')
  }
  if (!book.is('Validated', 'False')) say('Warning', 'ValidateFailed', `Failed to validate plan: ${invalid}`)
  book.set('Validated', 'False', 'Error', invalid)
}

function resolved({ plan, sucs, version, versionProblem }: PlanState, book: Book, say: Say, last: (event: PlanEvent) => void): void {
  if (sucs === undefined) return
  book.ensure('LatestResolved')
  if (sucs.by === 'kept') return
  if (sucs.by === 'failed') {
    const message = `Failed to resolve latest version from Spec.Channel: ${sucs.error}`
    if (!book.is('LatestResolved', 'False')) last({ type: 'Warning', reason: 'ResolveFailed', message })
    return
  }
  if (sucs.by === 'nothing') {
    if (!book.is('LatestResolved', 'False')) say('Warning', 'ResolveFailed', versionProblem ?? '')
    return book.set('LatestResolved', 'False', 'Error', versionProblem)
  }
  if (!book.is('LatestResolved', 'True') || plan.status.latestVersion !== version) {
    say('Normal', 'Resolved', `Resolved latest version from Spec.${sucs.by}: ${version}`)
    book.set('Complete', 'False', 'Resolved')
  }
  book.set('LatestResolved', 'True', sucs.by)
}

/** SUC would choose at least one node. */
function hasWork({ plan, selected, label, hash }: PlanState): boolean {
  if ((plan.spec.concurrency ?? 0) <= 0) return false
  for (const node of selected.values()) if (node.hostname !== undefined && node.labels[label] !== hash) return true
  return false
}

/** Hostnames in the order of their nodes' names. */
function inOrder(hostnames: readonly string[], { nodes }: World): string[] {
  const wanted = new Set(hostnames)
  const known = nodes.filter((node) => wanted.has(slotName(node))).sort((a, b) => (a.name < b.name ? -1 : 1))
  return [...new Set([...known.map(slotName), ...hostnames])]
}

interface Book {
  is(type: string, status: PlanCondition['status']): boolean
  reason(type: string): string | undefined
  ensure(type: string): void
  set(type: string, status: PlanCondition['status'], reason: string, message?: string): void
  all(): readonly PlanCondition[]
}

/** Conditions in the order in which they are stored; new ones come last. Those that only native mode keeps up go with its counts. */
function conditionBook(old: PlanStatus, pass: Pass): Book {
  const list = old.conditions.filter(({ type }) => old.nodeCounts === undefined || !KSTATUS.has(type))
  const find = (type: string) => list.find((condition) => condition.type === type)
  const put = (condition: Omit<PlanCondition, 'lastUpdateTime' | 'lastTransitionTime'>) => {
    const at = list.findIndex(({ type }) => type === condition.type)
    list.splice(at < 0 ? list.length : at, at < 0 ? 0 : 1, dated(condition, old.conditions, pass.now))
  }
  return {
    is: (type, status) => find(type)?.status === status,
    reason: (type) => find(type)?.reason,
    ensure: (type) => (find(type) === undefined ? put({ type, status: 'Unknown' }) : undefined),
    set: (type, status, reason, message = '') => put({ type, status, reason, message }),
    all: () => list,
  }
}
