/** What a Plan means right now: valid or not, its version, its hash, its nodes. Read anew in every pass; nothing of it is stored. */
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import { ANNOTATION_DIGEST, ANNOTATION_POLICY, planLabel } from '../api/names.ts'
import type { RolloutMemory } from '../api/memory.ts'
import type { Plan } from '../api/plan.ts'
import type { PlanKey } from '../api/record.ts'
import { imageBasename, parseImage } from '../kube/objects/image.ts'
import { considerSighting } from './channel.ts'
import type { Conduct } from './conduct.ts'
import { withoutPassword } from './go-url.ts'
import { latestHash } from './latest-hash.ts'
import type { Pass } from './pass.ts'
import type { Rules } from './policy/rules.ts'
import { selectedNodes } from './selected.ts'
import { type Goal, standStill, type Stepping, takeStep, withoutStep } from './step.ts'
import { validatePlan } from './validate.ts'
import { isKubernetesVersion, munge } from './version.ts'
import type { NodeView, PlanView, Ref } from './world.ts'

export interface PlanState {
  readonly key: PlanKey
  readonly conduct: Conduct
  readonly plan: Plan
  readonly ref: Ref
  readonly resourceVersion: string
  /** The Plan's label on nodes. */
  readonly label: string
  /** Text of the first validation error. */
  readonly invalid: string | undefined
  /** Munged version in force; empty while unresolved. */
  readonly version: string
  /** Why there is no version, or what is wrong with the channel although there is one. */
  readonly versionProblem: string | undefined
  /** latestHash; empty while unresolved. Strict: also of a Plan that is invalid or unresolved, as in its status. */
  readonly hash: string
  /** It goes to a farther version step by step, and `version` is a step; undefined = it does not. */
  readonly stepping: Stepping | undefined
  /** What SUC makes of `version` and `channel`; undefined in native mode, and for an invalid Plan. */
  readonly sucs: SucResolution | undefined
  /** An answer that the status depends on has not come yet. */
  readonly pending: boolean
  readonly memory: RolloutMemory
  readonly memoryError: string | undefined
  /** The memory should read so; undefined = as it is. */
  readonly newMemory: RolloutMemory | undefined
  /** Version rules apply: RKE2/K3s-shaped version and a known upgrade image (design §1). */
  readonly kubernetes: boolean
  /** Guards of quorum, readiness and foreign cordons apply (design §1). */
  readonly disruptive: boolean
  readonly cordons: boolean
  readonly rules: Rules
  /** Nodes that the selector matches and that are not switched off by the label value `disabled`; by name. */
  readonly selected: ReadonlyMap<string, NodeView>
}

export type AnyPlan = Extract<PlanView, { plan: Plan }>

/** Names of the images with Drover's own payload (docs/payload.md). */
export const OWN_IMAGES: readonly string[] = ['drover-rke2-upgrade', 'drover-k3s-upgrade']
const KNOWN_IMAGES = new Set(['rke2-upgrade', 'k3s-upgrade', ...OWN_IMAGES])

export function isKnownImage(image: string): boolean {
  return KNOWN_IMAGES.has(imageBasename(image))
}

/** Tag of a known upgrade image that differs from the version in force; undefined = all is well. */
export function mismatchedTag(state: Pick<PlanState, 'plan' | 'version'>): string | undefined {
  const image = state.plan.spec.upgrade.image
  if (!isKnownImage(image) || state.version === '') return undefined
  const tag = parseImage(image)?.tag
  return tag === undefined || tag === state.version ? undefined : tag
}

export function isDisruptive(plan: Plan): boolean {
  return plan.spec.cordon === true || plan.spec.drain !== undefined || isKnownImage(plan.spec.upgrade.image)
}

/** How the condition LatestResolved comes to read; `kept` = as it does. */
export type SucResolution = { readonly by: 'Version' | 'Channel' | 'kept' | 'nothing' } | { readonly by: 'failed'; readonly error: string }

export interface Resolution {
  /** Munged version in force; empty while unresolved. */
  readonly version: string
  readonly problem?: string | undefined
  readonly memory?: RolloutMemory | undefined
  /** The version that the hash is made with; undefined = none is made, and `oldHash` stands. */
  readonly hashed: string | undefined
  readonly oldHash: string
  readonly sucs?: SucResolution | undefined
  readonly pending?: boolean
  readonly stepping?: Stepping | undefined
}

export interface Unresolved {
  readonly plan: Plan
  readonly rules: Rules
  readonly selected: ReadonlyMap<string, NodeView>
  readonly invalid: string | undefined
  readonly memory: RolloutMemory
  /** The memory can be written. */
  readonly writable: boolean
}

export type Resolve = (unresolved: Unresolved, pass: Pass) => Resolution

export function readPlan(view: AnyPlan, conduct: Conduct, pass: Pass): PlanState {
  const { plan } = view
  const { spec, metadata } = plan
  const rules = pass.rules(view.key)
  const memoryError = view.memory.ok ? undefined : view.memory.error
  const memory: RolloutMemory = (view.memory.ok ? view.memory.memory : undefined) ?? { v: 1 }
  const secrets = readSecrets(plan, pass)
  const unreadable = conduct.mode === 'strict' ? secrets.failed : undefined
  const invalid = validatePlan(plan, (name) => (secrets.missing.has(name) ? false : true)) ?? unreadable
  const selected = selectedNodes(plan, pass.world.nodes)
  const resolved = conduct.resolve({ plan, rules, selected, invalid, memory, writable: memoryError === undefined }, pass)
  let hash = resolved.oldHash
  if (resolved.hashed !== undefined && !secrets.waiting && secrets.missing.size === 0) {
    const computed = latestHash({
      plan: { ...plan, status: { ...plan.status, conditions: [] } },
      latestVersion: resolved.hashed,
      secrets: secrets.found,
    })
    if (computed.ok) hash = computed.hash
  }
  return {
    key: view.key,
    conduct,
    plan,
    ref: { namespace: view.namespace, name: view.name, uid: view.uid },
    resourceVersion: view.resourceVersion,
    label: planLabel(metadata.name),
    invalid,
    version: resolved.version,
    versionProblem: resolved.problem ?? secrets.problem,
    hash,
    stepping: resolved.stepping,
    sucs: resolved.sucs,
    pending: resolved.pending === true || secrets.unread,
    memory,
    memoryError,
    newMemory: rememberPolicy(resolved.memory ?? memory, rules, hash, memoryError === undefined) ?? resolved.memory,
    kubernetes: isKubernetesUpgrade(rules, resolved.version, spec.upgrade.image),
    disruptive: isDisruptive(plan),
    cordons: spec.cordon === true || spec.drain !== undefined,
    rules,
    selected,
  }
}

/** The policy in force for a hash is remembered when it is first seen with it; undefined = nothing new. */
function rememberPolicy(memory: RolloutMemory, rules: Rules, hash: string, writable: boolean): RolloutMemory | undefined {
  const { policy } = rules
  if (!writable || policy === undefined || hash === '') return undefined
  if (memory.policy?.uid === policy.uid && memory.policy.hash === hash) return undefined
  return { ...memory, policy: { ...policy, hash } }
}

/** Whether the kubelet's version proves the upgrade (design §1). */
function isKubernetesUpgrade(rules: Rules, version: string, image: string): boolean {
  return rules.version !== 'Off' && isKubernetesVersion(version) && (rules.version === 'Kubelet' || isKnownImage(image))
}

/** `version`, or what the channel says once it agrees with itself. */
export function resolveVersion(unresolved: Unresolved, pass: Pass): Resolution {
  const found = nextGoal(agreedVersion(unresolved, pass), unresolved, pass)
  return { ...found, hashed: found.version === '' ? undefined : found.version, oldHash: '' }
}

/** The version itself, or a step on the way to it. */
function nextGoal(goal: Goal, { plan, rules, selected, memory, writable }: Unresolved, pass: Pass): Goal {
  const way = { plan, nodes: [...selected.values()], others: () => othersThatStep(plan, pass), memory, writable }
  const steps = rules.stepThroughMinors && isKubernetesUpgrade(rules, goal.version, plan.spec.upgrade.image)
  if (steps) return takeStep(goal, way, pass)
  // What the policy asked for is not known any more: the step stands, and the Plan is held for that (PolicyUnreadable, PolicyGone).
  const unknown = rules.problem !== undefined || (rules.policy === undefined && plan.metadata.annotations[ANNOTATION_POLICY] !== 'none')
  return unknown ? standStill(goal, way) : withoutStep(goal, way)
}

/** Nodes of the namespace's other Plans that step, too. */
function othersThatStep({ metadata }: Plan, pass: Pass): readonly NodeView[] {
  return pass.world.plans.flatMap(({ plan, key }) => {
    if (plan === undefined || plan.metadata.namespace !== metadata.namespace || plan.metadata.name === metadata.name) return []
    if (!pass.rules(key).stepThroughMinors || !isKnownImage(plan.spec.upgrade.image)) return []
    return [...selectedNodes(plan, pass.world.nodes).values()]
  })
}

function agreedVersion({ plan, memory, writable }: Unresolved, pass: Pass): Pick<Resolution, 'version' | 'problem' | 'memory'> {
  const { spec, status } = plan
  if (spec.version !== undefined && spec.version !== '') return { version: munge(spec.version) }
  const url = spec.channel
  if (url === undefined || url === '') return { version: '', problem: 'cannot resolve plan: missing channel and version' }
  const remembered = memory.channel?.url === url ? memory.channel : undefined
  // What SUC resolved before us stands until the channel says otherwise for long enough.
  const inherited =
    memory.channel === undefined &&
    status.conditions.some((c) => c.type === 'LatestResolved' && c.status === 'True' && c.reason === 'Channel')
      ? status.latestVersion
      : undefined
  const accepted = remembered?.version ?? inherited
  const { settings, now, observed } = pass.world
  pass.need({
    kind: 'channel',
    url,
    latestVersion: accepted ?? '',
    maxAgeMs: remembered?.candidate === undefined ? settings.planPollingIntervalMs : Math.max(1000, settings.channelAgreementMs / 4),
  })
  const seen = observed.channels.get(url)
  if (seen === undefined)
    return accepted === undefined ? { version: '', problem: 'the channel has not answered yet' } : { version: accepted }
  if (!seen.ok) return { version: accepted ?? '', problem: `cannot resolve channel ${withoutPassword(url)}: ${seen.error}` }
  const before =
    accepted === undefined
      ? undefined
      : remembered?.candidate === undefined
        ? { version: accepted }
        : { version: accepted, pending: { version: remembered.candidate, sinceMs: remembered.candidateSince ?? 0 } }
  // A sighting counts for the moment it was made, however often it is looked at afterwards.
  const after = considerSighting(before, seen.value, now.wall - (now.mono - seen.at), settings.channelAgreementMs)
  const channel = {
    ...remembered,
    url,
    version: after.version,
    candidate: after.pending?.version,
    candidateSince: after.pending?.sinceMs,
  }
  const unchanged =
    remembered !== undefined &&
    remembered.version === channel.version &&
    remembered.candidate === channel.candidate &&
    remembered.candidateSince === channel.candidateSince
  if (unchanged || !writable) return { version: after.version }
  return { version: after.version, memory: { ...memory, channel } }
}

function readSecrets(
  plan: Plan,
  pass: Pass,
): {
  found: Map<string, Secret>
  missing: Set<string>
  waiting: boolean
  unread: boolean
  failed: string | undefined
  problem: string | undefined
} {
  const found = new Map<string, Secret>()
  const missing = new Set<string>()
  let unread = false
  let failed: string | undefined
  let problem: string | undefined
  for (const { name, ignoreUpdates } of plan.spec.secrets ?? []) {
    if (ignoreUpdates === true) continue
    // Re-read when its metadata changes; the caller forgets the old answer then.
    pass.need({ kind: 'secret', name, maxAgeMs: Number.POSITIVE_INFINITY })
    const seen = pass.world.observed.secrets.get(name)
    if (seen === undefined) {
      unread = true
      problem ??= `Secret ${name} has not been read yet`
    } else if (!seen.ok) {
      failed ??= `Secret ${name} cannot be read: ${seen.error}`
      problem ??= failed
    } else if (seen.value === null) missing.add(name)
    else found.set(name, seen.value)
  }
  return { found, missing, waiting: unread || failed !== undefined, unread, failed, problem }
}

/** The Plan may mark nodes that already are at the target as done without running (design §4.9). */
export function mayFindDone(state: PlanState): boolean {
  const { metadata, spec } = state.plan
  return state.kubernetes && (spec.secrets ?? []).length === 0 && (metadata.annotations[ANNOTATION_DIGEST] ?? '') === ''
}
