/** Reading of `spec.notify`. */
import * as z from 'zod'
import { object, optional, orDefault, parsed, text } from './decode-parts.ts'
import { type Destination, MAX_WEBHOOKS, NOTIFY_EVENTS, type NotifyEvent } from './notify.ts'

const ALL = Object.keys(NOTIFY_EVENTS) as NotifyEvent[]

const url = parsed(text, (value) => (isWebURL(value) ? { ok: true, value } : { ok: false, error: 'must be an http or https URL' }))

const webhook = object({
  url: optional(url),
  secretRef: optional(
    object({ name: text.min(1, { error: 'must name a Secret' }), key: text.min(1, { error: 'must name a key of the Secret' }) }),
  ),
  events: orDefault(z.array(z.enum(ALL)), [] as NotifyEvent[]),
})
  .refine(({ url: inline, secretRef }) => (inline === undefined) !== (secretRef === undefined), {
    error: 'needs either a url or a secretRef',
  })
  .transform(({ url: inline, secretRef, events }) => ({
    to: destination(inline, secretRef),
    events: ALL.filter((event) => events.length === 0 || events.includes(event)),
  }))

export const webhooks = z.array(webhook).max(MAX_WEBHOOKS, { error: `at most ${MAX_WEBHOOKS} webhooks` })

function destination(inline: string | undefined, secretRef: { name: string; key: string } | undefined): Destination {
  return secretRef === undefined ? { kind: 'url', url: inline ?? '' } : { kind: 'secret', ...secretRef }
}

/** Also asked of a URL from a Secret. */
export function isWebURL(value: string): boolean {
  return URL.canParse(value) && ['http:', 'https:'].includes(new URL(value).protocol)
}
