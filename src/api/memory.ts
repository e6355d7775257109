/**
 * The rollout memory: what Drover remembers about a Plan, as one JSON annotation on it and the only thing it writes there (design §3).
 * Tolerant like the node record: unknown keys survive, an unreadable text is never overwritten.
 */
import * as z from 'zod'

const memory = z.looseObject({
  v: z.literal(1),
  /** Hostnames found in `status.applying` before our first claim: SUC's, to be finished rather than withdrawn (design §4.9). */
  adopt: z.array(z.string()).optional(),
  /** The RolloutPolicy under which this hash is rolled out; should it disappear, the Plan waits. */
  policy: z.looseObject({ name: z.string(), uid: z.string(), hash: z.string() }).optional(),
  /** Who belongs to which wave of the policy, for one hash; `doneAt` is when the last of its nodes was seen done. */
  waves: z
    .looseObject({
      hash: z.string(),
      of: z.array(
        z.looseObject({
          name: z.string(),
          members: z.array(z.string()),
          doneAt: z.string().optional(),
          /** When the gates at its end were seen to be met; they are not asked again. */
          gatedAt: z.string().optional(),
        }),
      ),
    })
    .optional(),
  /** The longest that a node took from its claim until it was back in service, of the last hash for which one is known. */
  durations: z.looseObject({ hash: z.string(), longestSeconds: z.number().min(0) }).optional(),
  /** A gate with `onTimeout: Fail` that was not met in time: the Plan stops for this hash, until somebody re-arms it. */
  gate: z
    .looseObject({
      hash: z.string(),
      name: z.string(),
      message: z.string(),
      at: z.string(),
      retrySeen: z.string(),
      generation: z.number().int(),
    })
    .optional(),
  /** What the webhooks of the policy have been told of one hash, or could not be told; `stall` is the reason of the last stall, while it stands. */
  told: z.looseObject({ hash: z.string(), keys: z.array(z.string()), stalls: z.number(), stall: z.string().optional() }).optional(),
  /** The step on the way to a version that is more than one minor off; munged. */
  step: z.looseObject({ version: z.string() }).optional(),
  /** What the channel said: the version in force, and one that waits for agreement. Times are milliseconds since the epoch. */
  channel: z
    .looseObject({
      url: z.string(),
      version: z.string().optional(),
      candidate: z.string().optional(),
      candidateSince: z.number().optional(),
    })
    .optional(),
})

export type RolloutMemory = Readonly<z.infer<typeof memory>>

export type ParsedMemory =
  | { readonly ok: true; readonly memory: RolloutMemory | undefined }
  | { readonly ok: false; readonly error: string }

/** Reads the annotation's text; absent = nothing remembered yet. */
export function parseMemory(text: string | undefined): ParsedMemory {
  if (text === undefined) return { ok: true, memory: undefined }
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return { ok: false, error: 'not JSON' }
  }
  const parsed = memory.safeParse(raw)
  if (!parsed.success) return { ok: false, error: z.prettifyError(parsed.error).replaceAll('\n', ' ') }
  return { ok: true, memory: parsed.data }
}

export function formatMemory(value: RolloutMemory): string {
  return JSON.stringify(value)
}
