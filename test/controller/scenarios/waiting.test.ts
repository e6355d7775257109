/** A Plan that waits says for what, since when, which node, and who can end it: at every moment of rollouts that get stuck in different ways. */
import { describe, expect } from '@jest/globals'
import { HOLD_REASONS } from '../../../src/api/reasons.ts'
import { agentPlan, serverPlan } from '../harness.ts'
import { agents, agentsOnly, blocked, HOUR, MINUTE, NEW, SECOND, story, type Story, type StoryOptions } from './story.ts'

/** No Plan is silent for longer: what is not acted upon may lag by DROVER_STATUS_DELAY. */
const SILENT_MS = 30 * SECOND

interface Told {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly leadingHold?: {
      readonly reason: string
      readonly message: string
      readonly since: string
      readonly endedBy: string
      readonly node?: string
      readonly blockedBy?: string
      readonly retryAt?: string
    }
  }
}

/** These wait for nothing that has a name or a time: what stands there is left over from another hold. */
const BARE = new Set(['Upgrading', 'Verifying', 'Draining', 'Paused'])

/** Looks at the Plans whenever something happens; returns what they left unanswered, and the reasons that they gave. */
function listener(s: Story, plans: readonly string[]) {
  const answered = new Map<string, number>()
  const silent: string[] = []
  const given = new Set<string>()
  const look = (): void => {
    for (const name of plans) {
      const plan = s.plan(name) as unknown as Told | undefined
      if (plan === undefined) continue
      const now = s.sandbox.clock.mono()
      if (!answered.has(name)) answered.set(name, now)
      const { conditions = [], leadingHold: told } = plan.status ?? {}
      if (told !== undefined) given.add(told.reason)
      if (told !== undefined && BARE.has(told.reason) && (told.blockedBy ?? told.retryAt) !== undefined)
        silent.push(`${name} waits for ${JSON.stringify(told)}`)
      if (conditions.some(({ type, status }) => type === 'Complete' && status === 'True')) {
        answered.set(name, now)
        if (told !== undefined) silent.push(`${name} is complete and waits for ${told.reason}`)
        continue
      }
      const answers =
        told !== undefined &&
        told.reason in HOLD_REASONS &&
        told.message !== '' &&
        Date.parse(told.since) <= s.sandbox.clock.wall() &&
        ['time', 'cluster', 'person'].includes(told.endedBy)
      if (answers) answered.set(name, now)
      else if (now - answered.get(name)! > SILENT_MS) silent.push(`${name}: ${JSON.stringify(plan.status)}`)
    }
  }
  return { look, silent, given }
}

function waiting(
  name: string,
  options: StoryOptions,
  plans: readonly object[],
  reasons: readonly string[],
  then: (s: Story) => Promise<void>,
) {
  story(name, options, async (s) => {
    const names = plans.map((plan) => (plan as { metadata: { name: string } }).metadata.name)
    const { look, silent, given } = listener(s, names)
    const watching = async (what: string, holds: () => boolean, limitMs: number) =>
      s.until(
        what,
        () => {
          look()
          return holds()
        },
        limitMs,
      )
    await s.begin()
    for (const plan of plans) await s.apply(plan)
    const end = s.sandbox.clock.mono() + 30 * MINUTE
    await watching('half an hour has passed', () => s.sandbox.clock.mono() >= end, HOUR)
    await then(s)
    await watching('all is done', () => names.every((plan) => s.complete(plan)), 2 * HOUR)
    expect(silent.slice(0, 3)).toEqual([])
    expect([...given]).toEqual(expect.arrayContaining([...reasons]))
  })
}

describe('while', () => {
  waiting('a budget forbids the drain', { cluster: blocked }, [agents({ drain: { force: true } })], ['DrainBlocked'], (s) =>
    s.remove('/apis/policy/v1/namespaces/default/poddisruptionbudgets/web'),
  )

  const image = `rancher/rke2-upgrade:${NEW.replace('+', '-')}`
  waiting(
    'an image is missing',
    { cluster: { ...agentsOnly, machine: (spec) => (spec.role === 'server' ? { ...spec, version: NEW } : spec) } },
    [agents({}, { 'drover.io/paused': 'until the image is there' })],
    ['Paused', 'ImageUnavailable'],
    async (s) => {
      s.sandbox.images.missing.add(image)
      await s.annotatePlan('agents', { 'drover.io/paused': null })
      await s.until('told', () => /ImageUnavailable/.test(s.condition('agents', 'Complete')), MINUTE)
      await s.wait(5 * MINUTE)
      expect(s.plan('agents')).toMatchObject({
        status: { leadingHold: { reason: 'ImageUnavailable', node: expect.stringMatching(/^agent-/), endedBy: 'cluster' } },
      })
      s.sandbox.images.missing.clear()
    },
  )

  waiting(
    'agents wait for servers, and nodes for each other',
    { cluster: { servers: 3, agents: 3 } },
    [serverPlan(), agentPlan()],
    ['WaitingForPlan'],
    () => Promise.resolve(),
  )
})

story('a hold does not look younger to a new leader', { cluster: blocked }, async (s) => {
  const told = () => (s.plan('agents') as unknown as Told | undefined)?.status?.leadingHold
  await s.begin()
  await s.apply(agents({ drain: { force: true } }))
  await s.until('told', () => told()?.reason === 'DrainBlocked', 10 * MINUTE)
  const { since, node } = told()!
  await s.wait(20 * MINUTE)
  s.crash()
  await s.begin('drover-2')
  // Something of it changes, so that the status is written anew.
  await s.patchPlan('agents', { jobActiveDeadlineSecs: 1234 })
  await s.wait(20 * MINUTE)
  expect((s.plan('agents') as unknown as { status: { observedGeneration: number } }).status.observedGeneration).toBe(2)
  expect(told()).toMatchObject({ reason: 'DrainBlocked', node, since, endedBy: 'cluster', blockedBy: 'PodDisruptionBudget/default/web' })
})
