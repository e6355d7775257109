/** docs/policy.md shows the body of a notification as it is sent, and names every event. */
import { expect, test } from '@jest/globals'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import { NOTIFY_EVENTS } from '../../src/api/notify.ts'
import type { Outcome } from '../../src/api/record.ts'
import { decide } from '../../src/rollout/decide.ts'
import { aNode, aPlan, aRecord, aWorld, hashOf } from '../rollout/build.ts'
import { read, snippets } from './snippets.ts'

const page = read('docs/policy.md')
const [body, ...more] = snippets('docs/policy.md', page).filter(({ language }) => language === 'json')
const documented = JSON.parse(body?.text ?? 'null') as Record<string, unknown>

/** NodeFailed, as the decision makes it of the record that the page's message speaks of. */
function sent(): Record<string, unknown> | undefined {
  const view = aPlan('agent-plan')
  const hash = hashOf(view)
  const { reason, message, node } = documented as { reason: string; message: string; node: string }
  const outcome: Outcome = {
    hash,
    result: 'Failed',
    attempts: 1,
    reason,
    message,
    at: '2026-03-02T11:00:00Z',
    target: '',
    kubernetes: true,
    disruptive: true,
    retrySeen: '',
    generation: 1,
  }
  const raw = {
    metadata: { name: 'told', namespace: 'system-upgrade', uid: 'u' },
    spec: { planNames: ['agent-plan'], notify: [{ url: 'http://x' }] },
  }
  const policy = decodePolicy(raw as never)
  if (policy?.ok !== true) throw new Error(policy?.error ?? 'no policy')
  const told = { hash, keys: [], stalls: 0 }
  const memory = { v: 1 as const, adopt: [], policy: { name: 'told', uid: 'u', hash }, told }
  const nodes = [aNode(node, { record: aRecord(node, { past: { [view.key]: outcome } }) })]
  const { notices } = decide(aWorld({ plans: [{ ...view, memory: { ok: true, memory } }], policies: [policy], nodes }))
  return notices.map(({ message: made }) => made).find(({ event }) => event === 'NodeFailed')
}

const shape = (value: unknown): unknown =>
  typeof value === 'object' && value !== null ? Object.entries(value).map(([key, child]) => [key, shape(child)]) : typeof value

test('one body is shown, with the fields of a message and no others, in their order', () => {
  expect(more).toEqual([])
  expect(shape(documented)).toEqual(shape(sent()))
})

test('its words are those of the message, where they do not depend on the cluster', () => {
  const made = sent()
  for (const field of ['event', 'text', 'policy', 'version', 'node', 'reason', 'message'])
    expect([field, documented[field]]).toEqual([field, made?.[field]])
  const rest = (id: unknown) => String(id).split('/').slice(2).join('/')
  expect(rest(documented['id'])).toBe(rest(made?.['id']))
})

test('the table names every event', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| [A-Z].+ \| (`\w+`, )*(`\w+`)? ?\|$/gm)].map(([, event]) => event)
  expect(rows).toEqual(Object.keys(NOTIFY_EVENTS))
})
