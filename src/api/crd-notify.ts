/** The schema of `spec.notify`. */
import { list, object, text } from './crd-parts.ts'
import { MAX_WEBHOOKS, NOTIFY_EVENTS } from './notify.ts'

const webhook = object(
  '',
  {
    url: text('Where to send it: an http or https URL. Whoever may read the policy reads it.', { pattern: '^https?://.+' }),
    secretRef: object(
      "A Secret of the policy's namespace that holds the whole URL, and nothing else, under a key.",
      { name: text('Name of the Secret.', { minLength: 1 }), key: text('Key of its data.', { minLength: 1 }) },
      { required: ['name', 'key'] },
    ),
    events: list('What is told; missing or empty: all.', text('', { enum: Object.keys(NOTIFY_EVENTS) })),
  },
  { 'x-kubernetes-validations': [{ rule: 'has(self.url) != has(self.secretRef)', message: 'needs either a url or a secretRef' }] },
)

export const notify = list(
  'Webhooks that are told how rollouts go, as JSON with a text that Slack shows. They never hold anything up.',
  webhook,
  { maxItems: MAX_WEBHOOKS },
)
