/** Maintenance windows told as stories: what fits is begun, what does not waits for the next opening. */
import { expect } from '@jest/globals'
import { formatTime } from '../../../src/base/clock.ts'
import { agents, calm, HOUR, MINUTE, SECOND, story, type Story } from './story.ts'

const NODES = ['agent-1', 'agent-2', 'agent-3']

const policy = (spec: object) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], ...spec },
})

const done = (s: Story) => NODES.filter((node) => s.label(node) === s.hash()).length
const memory = (s: Story) =>
  JSON.parse(
    (s.plan('agents') as unknown as { metadata: { annotations: Record<string, string> } }).metadata.annotations['drover.io/rollout'] ??
      '{}',
  ) as {
    durations?: { longestSeconds: number }
  }

/** Lets time pass until so many seconds of an hour have gone. */
async function untilHour(s: Story, secondsPast: number): Promise<void> {
  const past = s.sandbox.clock.wall() % HOUR
  await s.wait(((secondsPast * SECOND - past + HOUR - 1) % HOUR) + 1)
}

story(
  'lead Auto: what a node took is remembered, and none is begun that would not fit, also after a crash',
  { sandbox: calm },
  async (s) => {
    await s.begin()
    await s.apply(policy({ windows: [{ start: '0 * * * *', duration: '75s' }] }))
    await untilHour(s, 50 * 60)
    await s.apply(agents({ concurrency: 1 }))
    await s.until('told', () => s.condition('agents', 'Complete').includes('no window of RolloutPolicy careful is open'), MINUTE)
    await s.until('one is done', () => done(s) === 1, 20 * MINUTE)
    await s.until('remembered', () => (memory(s).durations?.longestSeconds ?? 0) >= 60, 10 * SECOND)
    await s.until('too short', () => s.condition('agents', 'Complete').startsWith('False WindowTooShort'), 2 * MINUTE)
    const next = formatTime(Math.ceil(s.sandbox.clock.wall() / HOUR) * HOUR)
    expect(s.condition('agents', 'Complete')).toMatch(new RegExp(`, and a node took .*; the next opening is at ${next}$`))
    expect(s.condition('agents', 'Reconciling')).toMatch(/^True/)
    const before = s.writes({ resource: 'plans' }).length
    await s.wait(20 * SECOND)
    expect(s.writes({ resource: 'plans' }).length).toBe(before)
    s.crash()
    await s.begin('drover-2')
    await untilHour(s, 60 * 60 - 10)
    expect(done(s)).toBe(1)
    // A window has room for one, since it is known how long one takes.
    await untilHour(s, 59 * 60)
    expect(done(s)).toBe(2)
    await s.until('complete', () => s.complete('agents'), HOUR)
    expect(NODES.map((node) => s.cordons(node))).toEqual([1, 1, 1])
  },
)

const NEVER: readonly (readonly [what: string, plan: object, rules: object | undefined, says: string])[] = [
  ['a window without days', { window: { startTime: '01:00', endTime: '05:00' } }, undefined, 'spec.window never opens: it has no days'],
  [
    'a day that no month has',
    {},
    { windows: [{ start: '0 0 31 2 *', duration: '6h' }] },
    'no window of RolloutPolicy careful is open; and nothing opens after it',
  ],
]

for (const [what, plan, rules, says] of NEVER)
  story(`${what}: it takes a person, and the Plan is stalled`, {}, async (s) => {
    await s.begin()
    if (rules !== undefined) await s.apply(policy(rules))
    await s.apply(agents(plan))
    await s.wait(MINUTE)
    expect(s.condition('agents', 'Complete')).toBe(`False Waiting: ${says}`)
    expect(s.condition('agents', 'Stalled')).toBe(`True OutsideWindow: ${says}`)
    expect(s.plan('agents')).toMatchObject({ status: { leadingHold: { reason: 'OutsideWindow', endedBy: 'person' } } })
  })

story('without a window no duration is written down', {}, async (s) => {
  await s.begin()
  await s.apply(policy({}))
  await s.apply(agents({ concurrency: 3 }))
  await s.until('complete', () => s.complete('agents'))
  expect(memory(s).durations).toBeUndefined()
})

story('a lead that is longer than every window is told as a fault of the policy', {}, async (s) => {
  await s.begin()
  await s.apply(policy({ windows: [{ start: '0 * * * *', duration: '30m' }], lead: '1h' }))
  await s.apply(agents())
  await s.until('told', () => s.condition('agents', 'Stalled').startsWith('True PolicyUnreadable'), MINUTE)
  expect(s.condition('agents', 'Stalled')).toMatch(/spec\.lead: longer than any of spec\.windows stays open$/)
  expect(s.sandbox.server.peek('rolloutpolicies.drover.io', 'careful', 'system-upgrade')).toMatchObject({
    status: { conditions: [{ type: 'Ready', status: 'False', message: 'spec.lead: longer than any of spec.windows stays open' }] },
  })
})

story("SUC's reading of an overnight window is explained once, and again only for a changed Plan", {}, async (s) => {
  await s.begin()
  await s.apply(agents({ window: { days: ['sat'], startTime: '22:00', endTime: '06:00' } }))
  await s.until('told', () => s.events('OvernightWindow').length > 0, MINUTE)
  await s.wait(10 * MINUTE)
  expect(s.events('OvernightWindow')).toEqual([
    {
      on: 'Plan/agents',
      type: 'Warning',
      reason: 'OvernightWindow',
      message:
        'spec.window passes midnight: as with SUC, on saturday it is open from midnight to 06:00 and from 22:00 to midnight, and it closes at midnight unless the next day is listed too',
      count: 1,
    },
  ])
  await s.patchPlan('agents', { window: { days: ['sat', 'sun'] } })
  await s.until('told again', () => s.events('OvernightWindow').length > 1, MINUTE)
  expect(s.events('OvernightWindow')[1]?.message).toContain('on sunday, saturday it is open')
})
