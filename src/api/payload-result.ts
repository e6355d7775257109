/** What the payload leaves in its container's termination message: one line of JSON. The controller reads it into the node's status. */
import * as z from 'zod'

const schema = z.object({
  drover: z.literal(1),
  /** `Upgraded`, `AlreadyThere`, `Prepared`, or why not: a reason of docs/payload.md. */
  result: z.string().max(64),
  message: z.string().max(2048),
  /** The same release, tried again by another pod, would end the same way. */
  final: z.boolean(),
  from: z.string().max(256).optional(),
  to: z.string().max(256).optional(),
  /** Name of the etcd snapshot that `prepare` took. */
  snapshot: z.string().max(256).optional(),
  seconds: z.number().optional(),
  /** Last lines of the service's log. */
  log: z.string().max(4096).optional(),
})

export type PayloadResult = Readonly<z.infer<typeof schema>>

/** Undefined for everything else that a container may leave there, such as the tail of a log. */
export function parsePayloadResult(text: string): PayloadResult | undefined {
  if (!text.startsWith('{"drover":')) return undefined
  try {
    return schema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
