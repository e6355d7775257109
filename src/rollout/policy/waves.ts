/**
 * Waves of a policy: who belongs to which is settled once for a hash and kept in the Plan's memory; each waits until the one before is done,
 * has soaked and, where asked for, is approved. What belongs to none comes last.
 */
import { ANNOTATION_APPROVE } from '../../api/names.ts'
import type { RolloutMemory } from '../../api/memory.ts'
import type { WaveSpec } from '../../api/policy.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import { formatTime } from '../../base/clock.ts'
import { scaleIntOrPercent } from '../../kube/objects/int-or-percent.ts'
import { compileLabelSelector, matchesSelector } from '../../kube/objects/selector.ts'
import { isQuarantined } from '../drain/blocked.ts'
import type { Context, NodeGate } from '../gates/gate.ts'
import { candidateOrder } from '../order.ts'
import type { PlanState } from '../plan-state.ts'
import type { NodeView } from '../world.ts'
import { hasWaveEnd, waveEndHolds } from './gates.ts'

type Waves = NonNullable<RolloutMemory['waves']>
type Wave = Waves['of'][number]

/** Annotations of an object share 256 KiB; names of nodes are up to 253 characters and mostly 20. */
const MAX_MEMBERS = 2000

/** What the memory should say of the waves; undefined = what it says. */
export function rememberWaves(state: PlanState, context: Context): Waves | undefined {
  const { now } = context.world
  if (state.rules.waves.length === 0 || state.hash === '') return undefined
  const known = wavesOf(state)
  if (known === undefined) return { hash: state.hash, of: layOut(state) }
  const gated = opens.get(context)?.get(state.key)?.gated ?? NONE
  const of = known.of.map((wave) => {
    if (wave.doneAt !== undefined) return gated.has(wave.name) ? { ...wave, gatedAt: formatTime(now.wall) } : wave
    return openMembers(state, wave).length > 0 ? wave : { ...wave, doneAt: formatTime(now.wall) }
  })
  return of.some((wave, index) => wave !== known.of[index]) ? { ...known, of } : undefined
}

/** Why the waves cannot be laid out; undefined = they can. */
export function tooManyMembers(state: PlanState): string | undefined {
  if (state.rules.waves.length === 0 || state.hash === '' || wavesOf(state) !== undefined) return undefined
  const count = layOut(state).reduce((sum, { members }) => sum + members.length, 0)
  return count <= MAX_MEMBERS ? undefined : `spec.waves: ${count} nodes belong to named waves; at most ${MAX_MEMBERS} can be kept`
}

function wavesOf({ memory, hash }: PlanState): Waves | undefined {
  return memory.waves?.hash === hash ? memory.waves : undefined
}

/** Each node to the first wave that takes it, in the order in which the Plan takes nodes. */
function layOut({ rules, selected, ref, hash }: PlanState): Wave[] {
  let rest: readonly NodeView[] = candidateOrder(ref.uid, hash, [...selected.values()])
  return rules.waves.map((wave) => {
    const matching = rest.filter((node) => isMeant(wave, node))
    const size = wave.size === undefined ? matching.length : Math.max(1, scaleIntOrPercent(wave.size, selected.size, 'down'))
    const members = new Set(matching.slice(0, size).map(({ name }) => name))
    rest = rest.filter(({ name }) => !members.has(name))
    return { name: wave.name, members: [...members] }
  })
}

function isMeant({ nodeSelector }: WaveSpec, node: NodeView): boolean {
  if (nodeSelector === undefined) return true
  const compiled = compileLabelSelector(nodeSelector)
  return compiled.ok && matchesSelector(compiled.selector, node.labels)
}

/** Members that are still to be done; one that is gone, no longer selected, or quarantined, is none. */
function openMembers(state: PlanState, wave: Wave): readonly string[] {
  return wave.members.filter((name) => {
    const node = state.selected.get(name)
    return node !== undefined && node.labels[state.label] !== state.hash && !isQuarantined(state, node)
  })
}

/** The wave that a node belongs to, as the policy has it now. */
export function waveOf(state: PlanState, node: NodeView): { readonly spec: WaveSpec; readonly members: ReadonlySet<string> } | undefined {
  const wave = wavesOf(state)?.of.find((one) => membersOf(one).has(node.name))
  const spec = wave === undefined ? undefined : state.rules.waves.find(({ name }) => name === wave.name)
  return wave === undefined || spec === undefined ? undefined : { spec, members: membersOf(wave) }
}

/** All waves before the node's own are done, have soaked and are approved. */
export const inWave: NodeGate = (state, node, context) => {
  if (state.rules.waves.length === 0) return undefined
  const waves = wavesOf(state)
  if (waves === undefined) return hold('WavePending', 'the waves are being laid out')
  const { index, found } = firstOpen(state, waves, context)
  if (found === undefined) return undefined
  const own = waves.of.findIndex((wave) => membersOf(wave).has(node.name))
  return own !== -1 && own <= index ? undefined : found
}

/**
 * Why a node that has been taken, perhaps before the policy had waves, does not go on: one of an earlier wave is to go first, and may itself
 * wait until this one is not in flight any more.
 */
export function outOfTurn(state: PlanState, node: NodeView): string | undefined {
  const waves = state.rules.waves.length === 0 ? undefined : wavesOf(state)
  for (const wave of waves?.of ?? []) {
    if (membersOf(wave).has(node.name)) return undefined
    const [first] = openMembers(state, wave)
    if (first !== undefined) return `wave ${wave.name} comes before it, and ${first} is not done`
  }
  return undefined
}

/** Names of the waves whose last node is done. */
export function wavesDone(state: PlanState): readonly string[] {
  const of = state.rules.waves.length === 0 ? [] : (wavesOf(state)?.of ?? [])
  return of.filter(({ doneAt, members }) => doneAt !== undefined && members.length > 0).map(({ name }) => name)
}

/** The wave that waits for somebody's word, and how that is given. */
export function waveToApprove(state: PlanState, context: Context): { readonly wave: string; readonly message: string } | undefined {
  const waves = state.rules.waves.length === 0 ? undefined : wavesOf(state)
  if (waves === undefined) return undefined
  const { index, found } = firstOpen(state, waves, context)
  const wave = waves.of[index]?.name
  return found?.reason !== 'AwaitingApproval' || wave === undefined ? undefined : { wave, message: found.message }
}

/** The first wave that has not ended, and why; worked out once a pass. */
function firstOpen(state: PlanState, waves: Waves, context: Context): Open {
  let byPlan = opens.get(context)
  if (byPlan === undefined) opens.set(context, (byPlan = new Map()))
  let open = byPlan.get(state.key)
  if (open === undefined) {
    const gated = new Set<string>()
    open = { index: waves.of.length, found: undefined, gated }
    for (const [index, wave] of waves.of.entries()) {
      const found = endOf(state, wave, gated, context)
      if (found === undefined) continue
      open = { index, found, gated }
      break
    }
    byPlan.set(state.key, open)
  }
  return open
}

interface Open {
  readonly index: number
  readonly found: Hold | undefined
  /** Waves whose gates were met in this pass. */
  readonly gated: ReadonlySet<string>
}

const NONE: ReadonlySet<string> = new Set()

const opens = new WeakMap<Context, Map<string, Open>>()
const memberSets = new WeakMap<Wave, ReadonlySet<string>>()

function membersOf(wave: Wave): ReadonlySet<string> {
  let members = memberSets.get(wave)
  if (members === undefined) memberSets.set(wave, (members = new Set(wave.members)))
  return members
}

/** Why the wave has not ended yet. */
function endOf(state: PlanState, wave: Wave, gated: Set<string>, context: Context): Hold | undefined {
  const { now } = context.world
  const open = openMembers(state, wave)
  if (open.length > 0)
    return hold('WavePending', `wave ${wave.name}: ${open.length} of ${wave.members.length} nodes to go, next ${open[0]}`)
  if (wave.doneAt === undefined) return hold('WavePending', `wave ${wave.name} is about to end`)
  const spec = state.rules.waves.find(({ name }) => name === wave.name)
  const ends = Date.parse(wave.doneAt) + (spec?.soakMs ?? 0)
  if (now.wall < ends) return hold('WaveSoaking', `wave ${wave.name} is done and soaks until ${formatTime(ends)}`, { retryAt: ends })
  if (wave.gatedAt === undefined && hasWaveEnd(state) && somethingFollows(state, wave)) {
    const [first] = waveEndHolds(state, wave.name, context.pass)
    if (first !== undefined) return first
    gated.add(wave.name)
  }
  if (spec?.approval !== 'Manual' || isApproved(state, wave.name)) return undefined
  const wanted = `${state.hash.slice(0, 8)}/${wave.name}`
  return hold('AwaitingApproval', `wave ${wave.name} is done; set annotation drover.io/approve: ${wanted} on the Plan to go on`)
}

/** Behind the last wave nothing waits for gates. */
function somethingFollows(state: PlanState, wave: Wave): boolean {
  for (const node of state.selected.values()) if (node.labels[state.label] !== state.hash && !membersOf(wave).has(node.name)) return true
  return false
}

/** Values separated by commas: `<first 8 of the hash>/<wave>`, or without a wave for all of them. */
function isApproved({ plan, hash }: PlanState, wave: string): boolean {
  const short = hash.slice(0, 8)
  const values = (plan.metadata.annotations[ANNOTATION_APPROVE] ?? '').split(',').map((value) => value.trim())
  return values.includes(short) || values.includes(`${short}/${wave}`)
}
