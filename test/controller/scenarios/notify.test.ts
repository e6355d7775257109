/** Webhooks of a policy, told as stories: what they hear, and that nothing waits for them. */
import { expect } from '@jest/globals'
import { TransportError } from '../../../src/base/errors.ts'
import type { NotifyMessage } from '../../../src/api/notify.ts'
import { nowhere } from '../../../src/base/nowhere.ts'
import type { OutsideResponse } from '../../../src/base/process.ts'
import type { Clock } from '../../../src/base/clock.ts'
import type { Machine } from '../../../src/sandbox/machines/machine.ts'
import { agents, MINUTE, SECOND, story, type Story } from './story.ts'

const NODES = ['agent-1', 'agent-2', 'agent-3']
const HOOK = 'https://hooks.slack.example/services/T0/B0/secret-token'

const policy = (spec: object) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'told', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], ...spec },
})
const slack = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'slack', namespace: 'system-upgrade' },
  data: { url: Buffer.from(`${HOOK}\n`).toString('base64') },
}

/** To name it in a Plan makes another hash, and so another rollout. */
const otherAccount = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'other', namespace: 'system-upgrade' } }

interface Receiver {
  readonly got: { readonly url: string; readonly message: NotifyMessage; readonly at: number }[]
  /** What it answers; `hang` = nothing within the deadline. */
  answer: number | 'hang'
}

function told(name: string, tell: (s: Story, receiver: Receiver) => Promise<void>): void {
  const receiver: Receiver = { got: [], answer: 200 }
  const world: { clock?: Clock } = {}
  const outside = {
    ...nowhere,
    async post(url: string, body: unknown, timeoutMs: number, signal: AbortSignal): Promise<OutsideResponse> {
      receiver.got.push({ url, message: structuredClone(body) as NotifyMessage, at: world.clock?.mono() ?? 0 })
      if (receiver.answer === 'hang') {
        await world.clock?.sleep(timeoutMs, signal)
        throw new TransportError('Timeout', `POST ${url}: no answer within ${timeoutMs} ms`)
      }
      return { status: receiver.answer, statusLine: `HTTP/1.1 ${receiver.answer} X`, headers: {}, body: '' }
    },
  }
  story(name, { outside }, async (s) => {
    world.clock = s.sandbox.clock
    await tell(s, receiver)
  })
}

const heard = ({ got }: Receiver) => got.map(({ message }) => message.event)
const complete = (s: Story) => s.condition('agents', 'Complete').startsWith('True Complete')
/** The node's Jobs fail as long as this is more than 0. */
const breakNode = (s: Story, node: string, times: number) => {
  ;(s.sandbox.machines.get(node) as Machine).trouble.programFailures = times
}

told('a webhook hears of the begin and the end, once each, and the URL from the Secret is nowhere to be read', async (s, receiver) => {
  await s.begin()
  await s.apply(slack)
  await s.apply(policy({ notify: [{ secretRef: { name: 'slack', key: 'url' } }] }))
  await s.apply(agents({ concurrency: 2 }))
  await s.until('complete', () => complete(s))
  await s.wait(10 * MINUTE)
  expect(heard(receiver)).toEqual(['RolloutStarted', 'RolloutComplete'])
  expect(new Set(receiver.got.map(({ url }) => url))).toEqual(new Set([HOOK]))
  expect(receiver.got[1]?.message).toMatchObject({
    text: 'Plan system-upgrade/agents: complete at v1.33.4-rke2r1, 3 of 3 nodes done',
    plan: { namespace: 'system-upgrade', name: 'agents' },
    policy: 'told',
    hash: s.hash(),
    nodes: { selected: 3, done: 3, inFlight: 0, failed: 0 },
  })
  for (const kind of ['plans.upgrade.cattle.io', 'rolloutpolicies.drover.io', 'nodes', 'events', 'jobs'])
    expect(JSON.stringify(s.sandbox.server.peekAll(kind))).not.toContain('secret-token')
})

told('another leader does not tell it again, and one that dies before it was told leaves it to the next', async (s, receiver) => {
  await s.begin()
  await s.apply(policy({ notify: [{ url: HOOK }] }))
  receiver.answer = 503
  await s.apply(agents({ concurrency: 1 }))
  await s.until('the begin was tried', () => receiver.got.length > 0)
  s.crash()
  await s.wait(MINUTE)
  const before = receiver.got.length
  receiver.answer = 200
  await s.begin('drover-2')
  await s.until('the begin was told', () => receiver.got.length > before)
  await s.until('one node is done', () => NODES.some((node) => s.label(node) === s.hash()))
  await s.wait(MINUTE)
  s.crash()
  await s.begin('drover-3')
  await s.until('complete', () => complete(s))
  await s.wait(10 * MINUTE)
  const ids = receiver.got.slice(before).map(({ message }) => message.id)
  expect(ids.map((id) => id.split('/').at(-1))).toEqual(['RolloutStarted', 'RolloutComplete'])
  expect(receiver.got[0]?.message.id).toBe(ids[0])
})

told('a dead webhook holds nothing up: the rollout takes as long as without it', async (s, receiver) => {
  const clock = s.sandbox.clock
  const takes = async () => {
    const began = clock.mono()
    await s.until('another rollout', () => !complete(s))
    await s.until('complete', () => complete(s))
    return clock.mono() - began
  }
  await s.begin()
  await s.apply(otherAccount)
  await s.apply(agents({ concurrency: 1 }))
  await s.until('complete', () => complete(s))
  await s.patchPlan('agents', { serviceAccountName: 'other' })
  const without = await takes()
  receiver.answer = 'hang'
  await s.apply(policy({ notify: [{ url: HOOK }, { secretRef: { name: 'gone', key: 'url' } }] }))
  await s.wait(MINUTE)
  await s.patchPlan('agents', { serviceAccountName: 'system-upgrade' })
  expect(await takes()).toBeLessThan(without + 10 * SECOND)
  expect(receiver.got.length).toBeGreaterThan(0)
  const given = () => s.events('NotifyFailed').filter(({ message }) => message.includes('is given up'))
  await s.until('both are given up', () => given().length >= 4, 90 * MINUTE)
  const events = s.events('NotifyFailed').map(({ on, message }) => `${on} ${message}`)
  expect(events).toContain('RolloutPolicy/told spec.notify[0]: RolloutStarted of Plan agents is tried again: Timeout')
  expect(events).toContainEqual(
    expect.stringContaining('spec.notify[1]: RolloutComplete of Plan agents is given up: Secret gone cannot be read'),
  )
  expect(JSON.stringify(s.sandbox.server.peekAll('events'))).not.toContain('secret-token')
  // Then there is peace: nothing more is sent or written.
  await s.wait(5 * MINUTE)
  const [quiet, sent] = [clock.mono(), receiver.got.length]
  await s.wait(60 * MINUTE)
  expect(s.writes({ since: quiet })).toEqual([])
  expect(receiver.got.length).toBe(sent)
})

told('a failure and the stall that follows are told, and so is the end, when somebody has put the node right', async (s, receiver) => {
  await s.begin()
  for (const node of NODES) breakNode(s, node, 100)
  await s.apply(policy({ notify: [{ url: HOOK, events: ['NodeFailed', 'RolloutStalled', 'RolloutComplete'] }] }))
  await s.apply(agents({ concurrency: 1 }))
  await s.until('the stall was told', () => heard(receiver).includes('RolloutStalled'), 120 * MINUTE)
  expect(heard(receiver)).toEqual(['NodeFailed', 'RolloutStalled'])
  const [failure, stall] = receiver.got.map(({ message }) => message)
  const failed = NODES.find((node) => s.record(node).past !== undefined)
  expect(failure).toMatchObject({ node: failed, reason: 'JobFailed', nodes: { failed: 1, done: 0 } })
  expect(stall?.reason).toBe(
    /^True (\w+):/.exec(s.condition('agents', 'Stalled'))?.[1] === 'NodeFailed' ? 'PreviousFailure' : 'MaxFailuresExceeded',
  )
  for (const node of NODES) breakNode(s, node, 0)
  await s.annotatePlan('agents', { 'drover.io/retry': 'again' })
  await s.until('complete', () => complete(s))
  await s.wait(MINUTE)
  expect(heard(receiver)).toEqual(['NodeFailed', 'RolloutStalled', 'RolloutComplete'])
})

told('waves and the approval that they need are told, and a wait for approval is no stall', async (s, receiver) => {
  await s.begin()
  await s.apply(policy({ notify: [{ url: HOOK }], waves: [{ name: 'canary', size: 1, approval: 'Manual' }] }))
  await s.apply(agents({ concurrency: 3 }))
  await s.until('the approval is asked for', () => heard(receiver).includes('ApprovalNeeded'))
  await s.wait(10 * MINUTE)
  const wanted = `${s.hash().slice(0, 8)}/canary`
  expect(receiver.got.at(-1)?.message).toMatchObject({ wave: 'canary', text: expect.stringContaining(`drover.io/approve: ${wanted}`) })
  await s.annotatePlan('agents', { 'drover.io/approve': wanted })
  await s.until('complete', () => complete(s))
  await s.wait(MINUTE)
  expect(heard(receiver)).toEqual(['RolloutStarted', 'WaveDone', 'ApprovalNeeded', 'RolloutComplete'])
})

told('webhooks that come when all is done, or go in between, hear nothing', async (s, receiver) => {
  await s.begin()
  await s.apply(otherAccount)
  await s.apply(agents({ concurrency: 3 }))
  await s.until('complete', () => complete(s))
  await s.apply(policy({ notify: [{ url: HOOK }] }))
  await s.wait(10 * MINUTE)
  expect(receiver.got).toEqual([])
  receiver.answer = 500
  await s.patchPlan('agents', { serviceAccountName: 'other' })
  await s.until('the begin was tried', () => receiver.got.length > 0)
  await s.patch('/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies/told', { spec: { notify: null } })
  await s.wait(30 * SECOND)
  const before = receiver.got.length
  await s.until('complete', () => complete(s))
  await s.wait(60 * MINUTE)
  expect(receiver.got.length).toBe(before)
})

told('two policies in conflict tell their webhooks so, once, and the one that is left goes on', async (s, receiver) => {
  const other = { ...policy({ notify: [{ url: 'https://other.example/' }] }), metadata: { name: 'other', namespace: 'system-upgrade' } }
  await s.begin()
  await s.apply(policy({ notify: [{ url: HOOK }] }))
  await s.apply(other)
  await s.apply(agents())
  await s.until('told', () => receiver.got.length === 2, 10 * MINUTE)
  await s.wait(MINUTE)
  s.crash()
  await s.begin('drover-2')
  await s.wait(30 * MINUTE)
  const lines = receiver.got.map(({ url, message }) => `${url} ${message.event} ${message.reason} ${message.policy}`)
  expect(lines.toSorted()).toEqual([
    `${HOOK} RolloutStalled PolicyConflict told`,
    'https://other.example/ RolloutStalled PolicyConflict other',
  ])
  await s.remove('/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies/other')
  await s.until('complete', () => complete(s))
  await s.wait(10 * MINUTE)
  expect(receiver.got.slice(2).map(({ url, message }) => [url, message.event])).toEqual([
    [HOOK, 'RolloutStarted'],
    [HOOK, 'RolloutComplete'],
  ])
})
