/**
 * The node record: everything Drover remembers about a node, as one JSON annotation on it (design §3).
 * Read tolerantly: unknown keys survive a rewrite, a version we do not know or a broken text is `unreadable` and is never overwritten.
 */
import * as z from 'zod'

/** `namespace/name` of a Plan. */
export type PlanKey = string

/** As `metav1.Time` is written; a time that cannot be read makes the record unreadable, not every sum with it NaN. */
const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)), { error: 'not a time' })

const work = z.looseObject({
  plan: z.string(),
  planUID: z.string(),
  hash: z.string(),
  from: z.string(),
  target: z.string(),
  attempt: z.number().int().min(1),
  retry: z.string(),
  generation: z.number().int(),
  kubernetes: z.boolean(),
  disruptive: z.boolean(),
  claimedAt: time,
  startedAt: time.optional(),
  jobUID: z.string().optional(),
  preparedAt: time.optional(),
  /** From then on the policy waits for volumes to be detached. */
  drainedAt: time.optional(),
  /** Name of the etcd snapshot that `prepare` took. */
  snapshot: z.string().optional(),
  provenAt: time.optional(),
  adopted: z.boolean().optional(),
  deletions: z.number().int().optional(),
  /** Boot ID at the claim, where the policy requires a reboot. */
  bootID: z.string().optional(),
  delaySeconds: z.number().min(0).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** The hooks before the cordon have been acknowledged. */
  hookedAt: time.optional(),
  /** The policy asked for something between proof and done, at the claim. */
  gated: z.boolean().optional(),
  /** The Job's own kubectl cordons the node (strict compatibility); `cordonedBefore`: somebody else had done so already. */
  kubectl: z.looseObject({ cordonedBefore: z.boolean() }).optional(),
})

const outcome = z.looseObject({
  hash: z.string(),
  result: z.literal('Failed'),
  attempts: z.number().int().min(1),
  reason: z.string(),
  message: z.string(),
  log: z.string().optional(),
  /** Name of the etcd snapshot that was taken before. */
  snapshot: z.string().optional(),
  at: z.string(),
  target: z.string(),
  kubernetes: z.boolean(),
  disruptive: z.boolean(),
  retrySeen: z.string(),
  generation: z.number().int(),
})

const blocked = z.looseObject({
  hash: z.string(),
  how: z.enum(['Release', 'Quarantine']),
  attempts: z.number().int().min(1),
  message: z.string(),
  at: time,
  retrySeen: z.string(),
  generation: z.number().int(),
})

const cordon = z.looseObject({ at: time, plan: z.string(), adopted: z.string().optional() })

const record = z.looseObject({
  v: z.literal(1),
  nodeUID: z.string(),
  cordon: cordon.optional(),
  work: work.optional(),
  past: z.record(z.string(), outcome).optional(),
  blocked: z.record(z.string(), blocked).optional(),
})

/** Work under way on a node; one Plan at a time. After the claim only this counts, not the Plan as it reads now. */
export type Work = Readonly<z.infer<typeof work>>

/** A failure that is remembered. What ended well needs no memory: the node's label says so. */
export type Outcome = Readonly<z.infer<typeof outcome>>

/** A drain that did not end in time: the node was given back, uncordoned (Release) or cordoned still (Quarantine). */
export type Blocked = Readonly<z.infer<typeof blocked>>

/** Who cordoned the node, for whom and since when. `adopted`: the field manager found then, when it was not us (a SUC Job). */
export type Cordon = Readonly<z.infer<typeof cordon>>

export interface NodeRecord {
  readonly v: 1
  /** A record of another UID is not of this node. */
  readonly nodeUID: string
  readonly cordon?: Cordon | undefined
  readonly work?: Work | undefined
  readonly past?: Readonly<Record<PlanKey, Outcome>> | undefined
  readonly blocked?: Readonly<Record<PlanKey, Blocked>> | undefined
  /** What a later version wrote survives. */
  readonly [unknown: string]: unknown
}

export type ParsedRecord = { readonly ok: true; readonly record: NodeRecord } | { readonly ok: false; readonly error: string }

/** Reads the annotation's text. A record of another node (re-created under the same name) is not ours: undefined. */
export function parseRecord(text: string | undefined, nodeUID: string): ParsedRecord | undefined {
  if (text === undefined) return undefined
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return { ok: false, error: 'not JSON' }
  }
  const parsed = record.safeParse(raw)
  if (!parsed.success) return { ok: false, error: z.prettifyError(parsed.error).replaceAll('\n', ' ') }
  if (parsed.data.nodeUID !== nodeUID) return undefined
  return { ok: true, record: parsed.data as NodeRecord }
}

/** The annotation's text, or null when nothing is left to remember (the annotation then goes). */
export function formatRecord(value: NodeRecord): string | null {
  const { v, nodeUID, cordon, work: live, past: allPast, blocked: allBlocked, ...unknown } = value
  const past = unlessEmpty(allPast)
  const blocked = unlessEmpty(allBlocked)
  const nothing = cordon === undefined && live === undefined && past === undefined && blocked === undefined
  if (nothing && Object.keys(unknown).length === 0) return null
  return JSON.stringify({ v, nodeUID, cordon, work: live, past, blocked, ...unknown })
}

const unlessEmpty = <T extends object>(value: T | undefined): T | undefined =>
  value === undefined || Object.keys(value).length === 0 ? undefined : value
