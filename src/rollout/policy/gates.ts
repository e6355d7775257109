/**
 * Gates of a policy: what has to be so outside of Drover before a rollout goes on. What they check costs requests, so they are asked only
 * where nothing else holds; what cannot be evaluated, or was evaluated too long ago, holds.
 */
import type { RolloutMemory } from '../../api/memory.ts'
import type { GateCheck, GatePosition, GateSpec } from '../../api/gate.ts'
import { ANNOTATION_RETRY } from '../../api/names.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { PlanKey } from '../../api/record.ts'
import { formatTime } from '../../base/clock.ts'
import { formatMs } from '../../kube/objects/duration.ts'
import { planEvent } from '../events.ts'
import { isArmed } from '../failures.ts'
import type { PlanGate } from '../gates/gate.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import type { GateSeen, NodeView } from '../world.ts'
import type { Rules } from './rules.ts'

/** How often a gate is evaluated while something waits for it. */
const POLL_MS = 10_000
/** What was found longer ago says nothing any more. */
const MAX_AGE_MS = 30_000

/** Who asks, and where. */
export interface Asking {
  readonly at: GatePosition
  readonly plan: PlanKey
  readonly rules: Rules
  /** For NodeStart and NodeEnd. */
  readonly node?: NodeView
  /** Tells one wave, or one attempt, from another. */
  readonly about?: string
}

export interface Answer {
  readonly holds: readonly Hold[]
  /** Gates that were not met in time and say that this is a failure. */
  readonly failed: readonly { readonly name: string; readonly message: string }[]
}

type GateFailure = NonNullable<RolloutMemory['gate']>

/** All gates at the position; no holds and no failures = they are met. */
function askGates(asking: Asking, pass: Pass): Answer {
  const holds: Hold[] = []
  const failed: { name: string; message: string }[] = []
  for (const gate of asking.rules.gates) {
    if (!gate.at.includes(asking.at)) continue
    const found = askGate(gate, asking, pass)
    if (found === undefined) continue
    if ('reason' in found) holds.push(found)
    else failed.push(found)
  }
  return { holds, failed }
}

const hasGates = ({ gates }: Rules, at: GatePosition): boolean => gates.some((gate) => gate.at.includes(at))

function askGate(gate: GateSpec, asking: Asking, pass: Pass): Hold | { name: string; message: string } | undefined {
  const { now } = pass
  const who = `gate ${gate.name} of RolloutPolicy ${asking.rules.policy?.name}`
  const found = look(gate, asking, pass)
  if (found.met === true) return undefined
  const since = pass.fact(`gate blocks ${asking.plan} ${gate.name} ${asking.at} ${asking.about ?? ''} ${asking.node?.uid ?? ''}`).mono
  const pending = (more: { retryAt?: number } = {}) => hold('GatePending', `${who}: ${found.why}`, { ...more, ...blockedBy(gate.check) })
  // The first answer has a deadline of its own.
  if (gate.timeoutMs === undefined || found.met === 'unknown') return pending(found.more)
  const end = since + gate.timeoutMs
  if (now.mono < end) {
    pass.lookAt(end)
    return pending(found.more)
  }
  const message = `${who} was not met within ${formatMs(gate.timeoutMs)}: ${found.why}`
  switch (gate.onTimeout) {
    case 'Pause':
      return hold('GateFailed', message, blockedBy(gate.check))
    case 'Fail':
      return { name: gate.name, message }
    case 'Continue':
      tellPassedOver(asking, message, pass)
      return undefined
  }
}

interface Look {
  readonly met: boolean | 'unknown'
  readonly why: string
  readonly more?: { readonly retryAt: number }
}

function look(gate: GateSpec, asking: Asking, pass: Pass): Look {
  const { check } = gate
  const namespace = asking.plan.slice(0, asking.plan.indexOf('/'))
  const key = `${namespace} ${JSON.stringify(check)}`
  pass.need({ kind: 'gate', key, namespace, check, maxAgeMs: POLL_MS })
  const seen = pass.world.observed.gates.get(key)
  if (seen === undefined) return { met: 'unknown', why: 'it has not been evaluated yet' }
  if (!seen.ok) return { met: false, why: `it cannot be evaluated: ${seen.error}` }
  const age = pass.now.mono - seen.at
  if (age > MAX_AGE_MS) return { met: false, why: `it was last evaluated ${Math.round(age / 1000)} s ago` }
  const { met, message } = judge(check, seen.value, asking.node)
  if (!met) return { met, why: message }
  const stable = pass.fact(`gate met ${key} ${onNode(check) ? asking.node?.uid : ''}`).mono + gate.stableForMs
  if (pass.now.mono >= stable) return { met: true, why: '' }
  pass.lookAt(stable)
  const retryAt = pass.now.wall + stable - pass.now.mono
  return { met: false, why: `it is met, and must stay so until ${formatTime(retryAt)}`, more: { retryAt } }
}

function judge(check: GateCheck, seen: GateSeen, node: NodeView | undefined): { met: boolean; message: string } {
  if (seen.kind === 'verdict') return seen
  const there = onNode(check) ? seen.pods.filter((pod) => pod.node === node?.name) : seen.pods
  const [first] = there
  if (first === undefined) return { met: true, message: '' }
  const more = there.length > 1 ? ` and ${there.length - 1} more` : ''
  const where = first.node === '' ? '' : ` on node ${first.node}`
  return { met: false, message: `pod ${first.namespace}/${first.name}${more} should be absent, and is there${where}` }
}

const onNode = (check: GateCheck): boolean => check.kind === 'podsAbsent' && check.onNode

function blockedBy(check: GateCheck): { blockedBy?: string } {
  return check.kind === 'object' && check.name !== undefined ? { blockedBy: `${check.of}/${check.namespace ?? ''}/${check.name}` } : {}
}

/** Once, when it happens. */
function tellPassedOver({ at, plan, node, about }: Asking, message: string, pass: Pass): void {
  const first = pass.isNew(`gate passed over ${plan} ${at} ${about ?? ''} ${node?.uid ?? ''} ${message.slice(0, 80)}`)
  const view = pass.world.plans.find(({ key }) => key === plan)
  if (!first || view === undefined) return
  const where = node === undefined ? '' : `Node ${node.name}: `
  const on = { namespace: view.namespace, name: view.name, uid: view.uid }
  pass.step(`gate ${plan}`, [planEvent(on, 'Warning', 'GatePassedOver', `${where}${message}; the policy says to go on`)])
}

/** Before the first node of a hash is taken, and only then. */
export function planStartHolds(state: PlanState, pass: Pass): readonly Hold[] {
  if (!hasGates(state.rules, 'PlanStart') || state.hash === '' || hasBegun(state)) return []
  if ([...state.selected.values()].every((node) => node.labels[state.label] === state.hash)) return []
  return stopping(state, { at: 'PlanStart', plan: state.key, rules: state.rules, about: state.hash }, pass)
}

/** A node has been taken for the hash (those that failed keep their place), or was found done. */
function hasBegun({ plan, selected, label, hash }: PlanState): boolean {
  return plan.status.applying.length > 0 || [...selected.values()].some((node) => node.labels[label] === hash)
}

/** Before a node is taken. */
export function nodeStartHolds(state: PlanState, node: NodeView, pass: Pass): readonly Hold[] {
  if (!hasGates(state.rules, 'NodeStart')) return []
  return stopping(state, { at: 'NodeStart', plan: state.key, rules: state.rules, node, about: state.hash }, pass)
}

/** At the end of a wave. */
export function waveEndHolds(state: PlanState, wave: string, pass: Pass): readonly Hold[] {
  if (!hasGates(state.rules, 'WaveEnd')) return []
  return stopping(state, { at: 'WaveEnd', plan: state.key, rules: state.rules, about: `${state.hash}/${wave}` }, pass)
}

export const hasWaveEnd = (state: PlanState): boolean => hasGates(state.rules, 'WaveEnd')

/** There is no node yet that could fail, so the Plan stops. */
function stopping(state: PlanState, asking: Asking, pass: Pass): readonly Hold[] {
  const { holds, failed } = askGates(asking, pass)
  const [first] = failed
  if (first === undefined) return holds
  noteFailure(state, first, pass)
  return [hold('GateFailed', first.message), ...holds]
}

const failures = new WeakMap<Pass, Map<PlanKey, GateFailure>>()

function noteFailure(state: PlanState, { name, message }: { name: string; message: string }, pass: Pass): void {
  let byPlan = failures.get(pass)
  if (byPlan === undefined) failures.set(pass, (byPlan = new Map()))
  const retrySeen = state.plan.metadata.annotations[ANNOTATION_RETRY] ?? ''
  const { generation } = state.plan.metadata
  byPlan.set(state.key, { hash: state.hash, name, message: message.slice(0, 512), at: formatTime(pass.now.wall), retrySeen, generation })
}

/** What the Plan's memory is to say of a gate that failed in this pass; undefined = nothing new. */
export const failedGate = (state: PlanState, pass: Pass): GateFailure | undefined => failures.get(pass)?.get(state.key)

/** A gate with `onTimeout: Fail` has stopped the Plan; for as long as the policy has this gate. */
export const notStoppedByGate: PlanGate = (state) => {
  const { gate } = state.memory
  if (gate === undefined || gate.hash !== state.hash || isArmed(state, gate)) return undefined
  if (!state.rules.gates.some(({ name }) => name === gate.name)) return undefined
  return hold('GateFailed', `${gate.message} (at ${gate.at}); set drover.io/retry on the Plan to a new value to go on`)
}

/** Between a node's proof and its end. `attempt`: what tells this one from others. */
export function nodeEndAnswer(plan: PlanKey, node: NodeView, attempt: string, pass: Pass): Answer {
  return askGates({ at: 'NodeEnd', plan, rules: pass.rules(plan), node, about: attempt }, pass)
}

/** Something of the policy stands between a node's proof and its end. */
export const hasNodeEnd = (rules: Rules): boolean => hasGates(rules, 'NodeEnd') || rules.hooks.after.length > 0
