/**
 * From the API server's JSON to a RolloutPolicy. Strict where a Plan is tolerant: a field that is not known, or not understood, might be
 * the one that was to keep a cluster safe, so such a policy holds its Plans instead of passing for less.
 */
import * as z from 'zod'
import type { Json, JsonObject } from '../base/json.ts'
import { duration, flag, group, intOrPercent, object, optional, orDefault, parsed, selector, text } from './decode-parts.ts'
import { gates, hooks } from './decode-gates.ts'
import { webhooks } from './decode-notify.ts'
import { explain } from '../base/explain-faults.ts'
import type { PolicyMetadata, PolicySpec, PolicyView } from './policy.ts'

const instant = parsed(text, (value) => {
  const time = Date.parse(value)
  const complete = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(value)
  return complete && !Number.isNaN(time)
    ? { ok: true, value: time }
    : { ok: false, error: `${JSON.stringify(value)} is no time such as 2026-12-18T00:00:00Z` }
})

/** As a kubelet reports it: one that is shorter never equals a node's. */
const FULL_VERSION = /^v\d+\.\d+\.\d+/

/** `v1.33.4+rke2r1>v1.32.9+rke2r1` */
const versionStep = parsed(text, (value) => {
  const [from, to, ...more] = value.split('>').map((part) => part.trim().replaceAll('+', '-'))
  if (from === undefined || to === undefined || !FULL_VERSION.test(from) || !FULL_VERSION.test(to) || more.length > 0)
    return { ok: false, error: `${JSON.stringify(value)} must name two versions, such as v1.33.4+rke2r1>v1.32.9+rke2r1` }
  return { ok: true, value: { from, to } }
})

const selects = { planNames: orDefault(z.array(text.min(1, { error: 'must not be empty' })), []), planSelector: optional(selector) }

const spread = object({
  topologyKey: text.min(1, { error: 'must name a node label' }),
  maxUnavailable: optional(intOrPercent),
  domains: orDefault(z.enum(['Any', 'Sequential']), 'Any' as const),
})

const budget = object({
  maxUnavailable: optional(intOrPercent),
  spread: orDefault(z.array(spread), []),
  alreadyUnavailable: optional(z.enum(['Skip', 'Last', 'Include'])),
})

const window = object({ start: text, duration, timeZone: orDefault(text, 'UTC') }).transform(({ duration: durationMs, ...rest }) => ({
  ...rest,
  durationMs,
}))

const exclusion = object({ from: instant, to: instant, reason: orDefault(text, '') })
  .refine(({ from, to }) => from < to, { error: 'from must be before to' })
  .transform(({ from, to, reason }) => ({ fromMs: from, toMs: to, reason }))

const lead = parsed(text, (value): { ok: true; value: number | undefined } | { ok: false; error: string } => {
  if (value === 'Auto') return { ok: true, value: undefined }
  const result = duration.safeParse(value)
  return result.success
    ? { ok: true, value: result.data }
    : { ok: false, error: `must be Auto or a duration: ${result.error.issues[0]?.message}` }
})

const verify = object({
  version: orDefault(z.enum(['Auto', 'Kubelet', 'Off']), 'Auto' as const),
  reboot: orDefault(z.enum(['Auto', 'Required', 'Off']), 'Auto' as const),
  minReadySeconds: optional(z.int().min(0).max(86_400)),
  timeout: optional(duration),
}).transform(({ minReadySeconds, timeout, ...rest }) => ({
  ...rest,
  ...(minReadySeconds === undefined ? {} : { minReadyMs: minReadySeconds * 1000 }),
  ...(timeout === undefined ? {} : { timeoutMs: timeout }),
}))

const backoff = object({ base: orDefault(duration, 300_000), cap: orDefault(duration, 86_400_000) })
  .refine(({ base, cap }) => base <= cap, { error: 'base must not be longer than cap' })
  .transform(({ base, cap }) => ({ baseMs: base, capMs: cap }))

const failure = object({
  retries: orDefault(z.int().min(0).max(100), 0),
  backoff: group(backoff, { baseMs: 300_000, capMs: 86_400_000 }),
  maxFailures: orDefault(intOrPercent, { kind: 'count', count: 1 } as const),
  uncordonOnFailure: orDefault(z.enum(['IfUnchanged', 'Never', 'Always']), 'IfUnchanged' as const),
})

const drainRule = object({
  podSelector: selector,
  behavior: orDefault(z.enum(['Evict', 'Skip', 'WaitCompleted']), 'Evict' as const),
  order: orDefault(z.int().min(-1000).max(1000), 0),
  timeout: optional(duration),
})
  .refine(({ behavior, timeout }) => timeout === undefined || behavior === 'WaitCompleted', {
    error: 'timeout is for behavior WaitCompleted only',
  })
  .transform(({ timeout, ...rest }) => ({ ...rest, ...(timeout === undefined ? {} : { timeoutMs: timeout }) }))

const drain = object({
  engine: orDefault(z.enum(['Controller', 'Job']), 'Controller' as const),
  forecast: orDefault(z.enum(['Enforce', 'Warn', 'Off']), 'Warn' as const),
  timeout: optional(duration),
  onTimeout: orDefault(z.enum(['Fail', 'Release', 'Quarantine', 'Proceed']), 'Fail' as const),
  maxBlockedNodes: orDefault(intOrPercent, { kind: 'count', count: 1 } as const),
  rules: orDefault(z.array(drainRule), []),
  volumeDetachTimeout: orDefault(duration, 0),
})
  .refine(
    ({ engine, timeout, onTimeout, rules, volumeDetachTimeout }) =>
      engine === 'Controller' || (timeout === undefined && onTimeout === 'Fail' && rules.length === 0 && volumeDetachTimeout === 0),
    { error: 'engine Job drains by kubectl, which knows no timeout, onTimeout, rules or volumeDetachTimeout of a policy' },
  )
  .refine(({ timeout, rules }) => !rules.some(({ timeoutMs }) => timeout !== undefined && timeout > 0 && (timeoutMs ?? 0) > timeout), {
    error: 'no rule may wait longer than drain.timeout',
  })
  .transform(({ timeout, volumeDetachTimeout, ...rest }) => ({
    ...rest,
    volumeDetachMs: volumeDetachTimeout,
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
  }))

const wave = object({
  name: text.regex(/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/, { error: 'must be letters, digits, dashes, dots and underscores' }),
  size: optional(intOrPercent),
  nodeSelector: optional(selector),
  maxUnavailable: optional(intOrPercent),
  soak: orDefault(duration, 0),
  approval: orDefault(z.enum(['Manual', 'None']), 'None' as const),
})
  .refine(({ size, nodeSelector }) => size !== undefined || nodeSelector !== undefined, { error: 'needs a size or a nodeSelector' })
  .transform(({ soak, ...rest }) => ({ ...rest, soakMs: soak }))

const waves = z
  .array(wave)
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, { error: 'two waves have the same name' })

const NO_HOOKS = hooks.parse({})
const DAY_MS = 86_400_000
const etcdSnapshot = object({
  maxAge: orDefault(duration, DAY_MS),
  policy: orDefault(z.enum(['Off', 'Warn', 'Require']), 'Off' as const),
})
  .refine(({ maxAge }) => maxAge > 0, { error: 'must be above 0', path: ['maxAge'] })
  .transform(({ maxAge, policy }) => ({ maxAgeMs: maxAge, policy }))

const NO_SNAPSHOT = { maxAgeMs: DAY_MS, policy: 'Off' } as const
const NO_PATH = { allow: [], stepThroughMinors: false } as const
const NO_BUDGET = { spread: [] } as const
const NO_VERIFY = { version: 'Auto', reboot: 'Auto' } as const
const NO_FAILURE = failure.parse({})
const NO_DRAIN = drain.parse({})

export const policySpecSchema = object({
  ...selects,
  paused: orDefault(flag, false),
  budget: group(budget, NO_BUDGET),
  after: orDefault(z.array(text.min(1)), []),
  windows: orDefault(z.array(window), []),
  exclusions: orDefault(z.array(exclusion), []),
  lead: optional(lead),
  versionPath: group(object({ allow: orDefault(z.array(versionStep), []), stepThroughMinors: orDefault(flag, false) }), NO_PATH),
  verify: group(verify, NO_VERIFY),
  soak: optional(duration),
  waves: orDefault(waves, []),
  failure: group(failure, NO_FAILURE),
  drain: group(drain, NO_DRAIN),
  etcdSnapshot: group(etcdSnapshot, NO_SNAPSHOT),
  coordinate: group(object({ kured: orDefault(flag, false) }), { kured: false }),
  managedElsewhere: orDefault(z.enum(['Hold', 'Ignore']), 'Hold' as const),
  notify: orDefault(webhooks, []),
  gates: orDefault(gates, []),
  hooks: group(hooks, NO_HOOKS),
}).transform(({ soak, lead: leadMs, ...rest }) => ({
  ...rest,
  ...(soak === undefined ? {} : { soakMs: soak }),
  ...(leadMs === undefined ? {} : { leadMs }),
}))

const metadataSchema = z.object({
  name: z.string(),
  namespace: z.string().default(''),
  uid: z.string().default(''),
  resourceVersion: z.string().default(''),
  generation: z.number().default(0),
})

/** What cannot be read of it is as good as missing, and is written anew. */
const statusSchema = z
  .object({
    observedGeneration: z.number().catch(-1),
    plans: z.array(z.string()).catch([]),
    conditions: z
      .array(z.object({ type: z.string(), status: z.string(), reason: z.string(), message: z.string(), lastTransitionTime: z.string() }))
      .catch([]),
  })
  .catch({ observedGeneration: -1, plans: [], conditions: [] })

/** Never throws. Undefined for what is no object with a name. */
export function decodePolicy(raw: Json): PolicyView | undefined {
  const { metadata: rawMetadata, spec: rawSpec, status: rawStatus } = (raw ?? {}) as JsonObject
  const metadata = metadataSchema.safeParse(rawMetadata)
  if (!metadata.success) return undefined
  const status = statusSchema.parse(rawStatus ?? {})
  const result = policySpecSchema.safeParse(rawSpec ?? {})
  const known: PolicyMetadata = metadata.data
  // What zod calls `undefined` members are missing ones; nothing looks at the difference.
  if (result.success) return { ok: true, policy: { metadata: known, spec: result.data as PolicySpec }, status }
  const whom = z.object(selects).safeParse(rawSpec ?? {})
  const error = explain(result.error, 'spec')
  return { ok: false, metadata: known, status, error, selects: whom.success ? (whom.data as Pick<PolicySpec, 'planNames'>) : undefined }
}
