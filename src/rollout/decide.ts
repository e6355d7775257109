/**
 * What should happen next, over all Plans and nodes at once. Pure: the same world gives the same decision. A defect in one Plan's turn is
 * caught and holds that Plan alone (design §2, promise 8).
 */
import { LABEL_CONTROLLER, LABEL_NODE } from '../api/names.ts'
import type { PlanKey } from '../api/record.ts'
import { hold, type Hold } from '../api/reasons.ts'
import { messageOf } from '../base/errors.ts'
import type { Admission } from './admit.ts'
import { isComplete } from './complete.ts'
import { isClaimed } from './claim.ts'
import { conductOf } from './conduct.ts'
import { blockedOn, tooManyBlocked } from './drain/blocked.ts'
import { planEvent } from './events.ts'
import { type Context, surveyCluster } from './gates/gate.ts'
import { checkNode } from './gates/node-gates.ts'
import { checkPlan, isForeignAndActive } from './gates/plan-gates.ts'
import { watchSnapshots } from './gates/snapshot.ts'
import { tidyJobs, tidyNode, tidyPulls } from './janitor.ts'
import { tooManyFailures } from './failures.ts'
import { keepKured } from './kured.ts'
import { createLedger } from './ledger.ts'
import { createPass, type Pass } from './pass.ts'
import { rememberDuration } from './policy/lead.ts'
import { tellNews, type ToldNews } from './policy/news.ts'
import { failedGate, planStartHolds } from './policy/gates.ts'
import { rememberWaves } from './policy/waves.ts'
import { slotName } from './slot-name.ts'
import { tellPolicies } from './policy/status.ts'
import { type AnyPlan, type PlanState, readPlan } from './plan-state.ts'
import { driveOrphan, driveSlots, type Slots } from './slots.ts'
import { differs, significantlyDiffers, stoppedStatus, unreadableStatus } from './status.ts'
import { ADDED_STATUS, type PlanEvent, type Telling } from './tell.ts'
import { patchNode, recordOf } from './verdict.ts'
import type { PlanStatus } from '../api/plan.ts'
import type { Action, Decision, NodeView, PlanReport, World } from './world.ts'

/** From this concurrency on, slots that change gather: a tenth of them, or all after this long. */
const SLOTS_PER_BATCH = 10
const BATCH_MS = 2_000
/** So long a status waits for the note of what webhooks have been told. */
const TELLING_MS = 2_000

export function decide(world: World): Decision {
  const pass = createPass(world)
  const { context, broken } = createContext(world, pass)
  for (const [key, error] of broken) tellDefect(key, error, pass)
  const wanted = new Set<string>()
  const { conduct } = context
  for (const view of world.plans) {
    if (view.namespace !== world.settings.namespace) continue
    if (view.plan !== undefined) continue
    pass.planHold(view.key, hold('PlanUnreadable', view.error))
    const status = unreadableStatus(view, world.settings, world.now)
    const first = pass.isNew(`unreadable ${view.uid} ${view.error}`)
    if (status === undefined) continue
    const on = { namespace: view.namespace, name: view.name, uid: view.uid }
    pass.step(`plan ${view.key}`, [{ do: 'writeStatus', plan: on, resourceVersion: view.resourceVersion, status, confirm: [] }])
    // A step of its own: before Kubernetes 1.30 an API server refuses any status of an object that does not fit its schema.
    if (first) pass.step(`unreadable ${view.key}`, [planEvent(on, 'Warning', 'ValidateFailed', view.error)])
  }
  for (const state of context.states.values()) {
    try {
      for (const pull of turn(state, context, pass)) wanted.add(pull)
    } catch (error) {
      tellDefect(state.key, messageOf(error), pass)
    }
  }
  keepKured(context, pass)
  for (const { about, actions } of tellPolicies(world.policies ?? [], world.settings.namespace, context.states.values(), pass.now))
    pass.step(about, actions)
  for (const node of world.nodes) tend(node, context, pass)
  tidyJobs(context, pass)
  conduct.tidyJobs(context, pass)
  tidyPulls(wanted, pass)
  return pass.decision()
}

/** A defect of ours that a Plan's turn has met; the others go on. */
function tellDefect(plan: PlanKey, error: string, pass: Pass): void {
  const found = hold('InternalError', error)
  pass.planHold(plan, found)
  const view = pass.world.plans.find(({ key }) => key === plan)
  if (view?.plan === undefined || isComplete(view)) return
  const status = stoppedStatus({ ...view.plan.status, generation: view.plan.metadata.generation }, found, pass.world.settings, pass.now)
  const on = { namespace: view.namespace, name: view.name, uid: view.uid }
  if (status !== undefined)
    pass.step(`plan ${plan}`, [{ do: 'writeStatus', plan: on, resourceVersion: view.resourceVersion, status, confirm: [] }])
}

/** Everything the gates look at. Also used to check again, against fresh reads. */
export function createContext(world: World, pass: Pass): { context: Context; broken: ReadonlyMap<string, string> } {
  const states = new Map<string, PlanState>()
  const conduct = conductOf(world.settings)
  const broken = new Map<string, string>()
  for (const view of world.plans) {
    if (view.plan === undefined || view.namespace !== world.settings.namespace || view.plan.metadata.deletionTimestamp !== undefined)
      continue
    try {
      states.set(view.key, readPlan(view as AnyPlan, conduct, pass))
    } catch (error) {
      broken.set(view.key, messageOf(error))
    }
  }
  return { context: { world, conduct, ledger: createLedger(world), states, cluster: surveyCluster(world.nodes), pass }, broken }
}

/**
 * Checks claims, or a start, against a world of fresh reads: the holds that now stand in the way, by node. The node's own slot does not
 * count against it; the Plan's concurrency does.
 */
export function recheck(world: World, plan: string, nodes: readonly string[], hash: string): ReadonlyMap<string, Hold> {
  const pass = createPass(world)
  const { context } = createContext(world, pass)
  const found = new Map<string, Hold>()
  const state = context.states.get(plan)
  for (const name of nodes) {
    const stop =
      state === undefined ? hold('PlanUnreadable', `Plan ${plan} is gone or cannot be read`) : objection(state, name, hash, context)
    if (stop !== undefined) found.set(name, stop)
  }
  return found
}

function objection(state: PlanState, name: string, hash: string, context: Context): Hold | undefined {
  const { key: plan, conduct } = state
  const node = context.cluster.byName.get(name)
  if (state.hash !== hash) return hold('VersionUnresolved', `Plan ${plan} has changed meanwhile`)
  if (node === undefined) return hold('NodeDeleting', `node ${name} is gone`)
  if (!state.selected.has(name)) return hold('NodeHeld', `Plan ${plan} no longer selects node ${name}`)
  if (!state.plan.status.applying.includes(slotName(node)))
    return hold('ClaimWithdrawn', `node ${name} no longer stands in status.applying`)
  const { work, past } = recordOf(node)
  const wrong = work === undefined && past?.[plan] === undefined ? tooMuchWentWrong(state, node, context) : undefined
  if (wrong !== undefined) return wrong
  const { concurrency = 0 } = state.plan.spec
  if (work === undefined && countsAs(node, state, context) > concurrency)
    return hold('ConcurrencyReached', `Plan ${plan} has more nodes in flight than concurrency ${concurrency}`)
  return checkPlan(conduct.startPlanGates, state, context)[0] ?? checkNode(conduct.nodeGates, state, node, context)
}

/** Why no node is taken that nothing has gone wrong on before. */
function tooMuchWentWrong(state: PlanState, node: NodeView, context: Context): Hold | undefined {
  return tooManyFailures(state, context) ?? (blockedOn(state, node) === undefined ? tooManyBlocked(state) : undefined)
}

/**
 * How many nodes of the Plan would be at work with this one. Without a policy a new node finds every slot taken that a failure holds; a node
 * that failed before has its slot, so only those count beside it that work, or are about to.
 */
function countsAs(node: NodeView, { key: plan, rules }: PlanState, { ledger, cluster, world }: Context): number {
  const slots = ledger.slots(plan)
  if (recordOf(node).past?.[plan] === undefined && rules.policy === undefined) return slots.size
  const idle = [...slots].filter((hostname) => {
    const other = cluster.byHostname.get(hostname)?.[0]
    if (other === undefined || other.name === node.name || recordOf(other).past?.[plan] === undefined || recordOf(other).work !== undefined)
      return false
    return !isClaimed(other, world)
  })
  return slots.size - idle.length
}

/** One Plan's turn. Returns the names of the pull pods it wants. */
function turn(state: PlanState, context: Context, pass: Pass): ReadonlySet<string> {
  const firstHolds = checkPlan(state.conduct.planGates, state, context)
  const planHolds = firstHolds.length > 0 ? firstHolds : planStartHolds(state, pass)
  for (const found of planHolds) {
    pass.planHold(state.key, found)
    if (found.retryAt !== undefined) pass.lookAtWall(found.retryAt)
  }
  watchSnapshots(state, context, pass)
  const slots = driveSlots(state, context, pass)
  const noted = state.memoryError === undefined && state.memory.adopt !== undefined
  const admission: Admission = noted
    ? state.conduct.admit(state, slots, planHolds, context, pass)
    : { claims: [], pulls: new Set(), held: 0 }
  const telling = tellingOf(state, slots, admission, pass)
  if (!remember(state, slots, tellNews(telling, context, pass), context, pass)) write(telling, admission, pass)
  return admission.pulls
}

/** Writes the rollout memory where it should read otherwise; true = the status has to wait for it. Before the first claim it notes whom we found in `applying` (design §4.9). */
function remember(state: PlanState, slots: Slots, told: ToldNews | undefined, context: Context, pass: Pass): boolean {
  if (state.memoryError !== undefined) return false
  const base = state.newMemory ?? state.memory
  const adopt = state.memory.adopt ?? [...new Set([...state.plan.status.applying, ...foreignHostnames(state, context)])]
  const still = adopt.filter((hostname) => {
    const node = context.cluster.byHostname.get(hostname)?.[0]
    if (!slots.kept.includes(hostname) || node === undefined) return false
    const record = recordOf(node)
    return record.work?.plan !== state.key && record.past?.[state.key] === undefined
  })
  const waves = rememberWaves(state, context)
  const durations = rememberDuration(state, pass)
  const gate = failedGate(state, pass)
  const same = waves === undefined && durations === undefined && gate === undefined && still.length === adopt.length
  const vital = state.newMemory !== undefined || state.memory.adopt === undefined || !same
  if (!vital && told === undefined) return false
  const next = state.memory.adopt === undefined ? [...adopt] : still
  const about = `memory ${state.key}`
  pass.step(about, [
    {
      do: 'annotatePlan',
      plan: state.ref,
      resourceVersion: state.resourceVersion,
      memory: {
        ...base,
        adopt: next,
        ...(waves === undefined ? {} : { waves }),
        ...(durations === undefined ? {} : { durations }),
        ...(gate === undefined ? {} : { gate }),
        ...(told === undefined ? {} : { told }),
      },
    },
  ])
  // Both write the Plan, so one waits for the other; but a refusal has to be told in the status.
  if (context.world.observed.setbacks.has(about)) return false
  // Nothing is held up by what is told to others.
  return vital || pass.now.mono - pass.fact(`telling ${state.key}`).mono < TELLING_MS
}

/** Hostnames of nodes on which another controller's Job of this Plan is active: adopted with any Plan (design §4.9). */
function foreignHostnames(state: PlanState, { world, cluster }: Context): string[] {
  if (!state.conduct.sortsLeftovers) return []
  return world.jobs
    .filter((job) => isForeignAndActive(job, state) && job.labels[LABEL_CONTROLLER] === world.settings.name)
    .flatMap((job) => cluster.byName.get(job.labels[LABEL_NODE] ?? '')?.hostname ?? [])
}

/** How the Plan stands now. */
function tellingOf(state: PlanState, slots: Slots, admission: Admission, pass: Pass): Telling {
  const claims = admission.claims.map(slotName)
  const applying = [...new Set([...slots.kept, ...claims])]
  const report = pass.report(state.key)
  let done = 0
  for (const node of state.selected.values()) if (node.labels[state.label] === state.hash && state.hash !== '') done++
  const failures = slots.failed.map((node) => failureText(node.name, recordOf(node).past?.[state.key]))
  const tally = {
    selected: state.selected.size,
    done,
    inFlight: applying.length - slots.failed.length,
    failed: slots.failed.length,
    held: Math.max(0, admission.held),
  }
  const goesOn = goesOnDespiteFailures(state, report, tally.inFlight)
  const stalled = stalledBy(report, goesOn, pass)
  const failure = goesOn ? undefined : failures[0]
  return { state, applying, report, tally, failure, stalled, fault: admission.fault }
}

function write(telling: Telling, admission: Admission, pass: Pass): void {
  const { now } = pass
  const { state } = telling
  const claims = admission.claims.map(slotName)
  const told = state.conduct.tell(telling, pass)
  if (told === undefined) return
  const { plan, ref } = state
  const eventOn = ({ type, reason, message }: PlanEvent): Action => planEvent(ref, type, reason, message)
  const left = ADDED_STATUS.filter((field) => plan.status[field] !== undefined && told.status[field] === undefined)
  if (told.aside !== undefined) pass.step(`told ${state.key}`, told.aside.map(eventOn))
  const due = left.length > 0 || told.urgent === true ? now.mono : writeDue(state, told.status, claims, pass)
  if (due === undefined) return
  if (now.mono < due) return pass.lookAt(due)
  const actions: Action[] = [
    {
      do: 'writeStatus',
      plan: ref,
      resourceVersion: state.resourceVersion,
      status: { ...told.status, ...Object.fromEntries(left.map((field) => [field, null])) },
      confirm: admission.claims.map((node) => node.name),
    },
    ...told.events.map(eventOn),
  ]
  pass.step(`plan ${state.key}`, actions)
}

/**
 * Monotonic time at which the status is to be written; undefined = it says all already. What others act on is written at once, a mirror
 * after a while. With many slots, those that come free and are taken again gather for a moment, so that one write and one confirming read
 * serve several.
 */
function writeDue(state: PlanState, status: PlanStatus, claims: readonly string[], pass: Pass): number | undefined {
  const old = state.plan.status
  const { settings } = pass.world
  if (significantlyDiffers({ ...old, applying: [] }, { ...status, applying: [] })) return pass.now.mono
  const released = old.applying.filter((hostname) => !status.applying.includes(hostname)).length
  if (released > 0 || claims.length > 0) {
    const enough = Math.max(1, Math.floor((state.plan.spec.concurrency ?? 0) / SLOTS_PER_BATCH))
    return Math.max(released, claims.length) >= enough ? pass.now.mono : pass.fact(`batch ${state.key}`).mono + BATCH_MS
  }
  return significantlyDiffers(old, status)
    ? pass.now.mono
    : differs(old, status)
      ? pass.fact(`mirror ${state.key}`).mono + settings.statusDelayMs
      : undefined
}

function failureText(node: string, past: { reason: string; message: string } | undefined): string {
  return past === undefined
    ? `Node ${node} failed`
    : past.reason === 'JobFailed'
      ? past.message
      : `Node ${node}: ${past.reason}: ${past.message}`
}

/** The policy tolerates the failures that there are, and something is still to be done without a person. */
function goesOnDespiteFailures({ rules }: PlanState, report: PlanReport, inFlight: number): boolean {
  if (rules.policy === undefined || report.holds.some(({ reason }) => reason === 'MaxFailuresExceeded')) return false
  if (inFlight > 0) return true
  return [...report.nodes.values()].some(({ phase, holds }) => phase !== 'Done' && !holds.some(({ endedBy }) => endedBy === 'person'))
}

/**
 * What has the Plan stuck: a hold that only a person ends, of the Plan itself, of a node in flight, or of every node that is still to be
 * taken; or a drain that has lasted too long.
 */
function stalledBy(report: PlanReport, goesOn: boolean, pass: Pass): Hold | undefined {
  const isPersons = (entry: Hold) => entry.endedBy === 'person'
  const person = report.holds.find(isPersons)
  if (person !== undefined) return person
  const nodes = [...report.nodes.values()].filter(({ phase }) => phase !== 'Done')
  const { stalledAfterMs } = pass.world.settings.drain
  for (const { phase, holds } of nodes) {
    if (phase === 'Pending' || (goesOn && phase === 'Failed')) continue
    const stuck = holds.find(
      (entry) => isPersons(entry) || (DRAIN.has(entry.reason) && pass.now.wall - (entry.since ?? pass.now.wall) > stalledAfterMs),
    )
    if (stuck !== undefined) return stuck
  }
  if (goesOn) return undefined
  return nodes.length > 0 && nodes.every(({ holds }) => holds.some(isPersons)) ? nodes[0]?.holds.find(isPersons) : undefined
}

const DRAIN: ReadonlySet<string> = new Set(['DrainBlocked', 'Draining'])

/** A node outside any Plan's turn: work whose Plan is gone, and what is left behind. */
function tend(node: World['nodes'][number], context: Context, pass: Pass): void {
  // A request to hooks whose record somebody has taken away.
  if (node.record === undefined && node.hook !== undefined) pass.step(node.name, [patchNode(node, recordOf(node))])
  if (node.record?.ok !== true) return
  const { work } = node.record.record
  try {
    if (work === undefined) return tidyNode(node, context, pass)
    const namespace = work.plan.slice(0, work.plan.indexOf('/'))
    if (namespace !== pass.world.settings.namespace || context.states.has(work.plan)) return
    driveOrphan(node, work, pass)
  } catch (error) {
    pass.node(work?.plan ?? '', node.name, 'Pending', hold('InternalError', messageOf(error)))
  }
}
