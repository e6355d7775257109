/** What the strict reading of policies is made of: every fault names its field, and what is not known is one. */
import * as z from 'zod'
import { parseDuration } from '../kube/objects/duration.ts'
import { parseIntOrPercent } from '../kube/objects/int-or-percent.ts'

export const text = z.string({ error: 'must be text' })
export const flag = z.boolean({ error: 'must be true or false' })
/** A field that is not known is a fault. */
export const object = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape)
/** Null stands for missing, as everywhere in the API. */
export const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined)
export const orDefault = <T extends z.ZodType, D>(schema: T, fallback: D) =>
  schema.nullish().transform((value): z.output<T> | D => (value as z.output<T>) ?? fallback)
/**
 * A group of fields says something. The API server removes a field that is not known where clients validate nothing, and a group that is
 * empty then must not pass for one without limits. Null is missing, here too.
 */
export const group = <T extends z.ZodType, D>(schema: T, fallback: D) =>
  orDefault(
    z.preprocess((value, context) => {
      if (value !== null && typeof value === 'object' && Object.values(value).every((field) => field === null || field === undefined))
        context.issues.push({ code: 'custom', message: SAYS_NOTHING, input: value })
      return value
    }, schema),
    fallback,
  )
const SAYS_NOTHING =
  'is empty: a field that is not known may have been removed from it by the API server, so check the spelling, or remove the group'

/** A value read by one of our own parsers, whose error text is the fault. */
export function parsed<I extends string | number, T>(
  input: z.ZodType<I>,
  read: (value: I) => { ok: true; value: T } | { ok: false; error: string },
) {
  return input.transform((value, context): T => {
    const result = read(value)
    if (result.ok) return result.value
    context.issues.push({ code: 'custom', message: result.error, input: value })
    return z.NEVER
  })
}

/** Milliseconds. */
export const duration = parsed(text, (value) => {
  const result = parseDuration(value)
  if (!result.ok) return { ok: false, error: `${result.error}; write e.g. 90s, 15m or 1h30m` }
  if (result.ns < 0n) return { ok: false, error: 'must not be negative' }
  return { ok: true, value: Number(result.ns / 1_000_000n) }
})

export const intOrPercent = parsed(z.union([z.string(), z.int()], { error: 'must be a whole number or a percentage' }), (value) =>
  parseIntOrPercent(value),
)

export const selector = z.strictObject({
  matchLabels: optional(z.record(z.string(), text)),
  matchExpressions: optional(z.array(z.strictObject({ key: text, operator: text, values: optional(z.array(text)) }))),
})
