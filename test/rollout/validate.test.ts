import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { doneLabels } from '../../src/rollout/post-complete-labels.ts'
import { validatePlan } from '../../src/rollout/validate.ts'
import { decode, golden, planWith } from './sample.ts'

const names = (objects: unknown): ReadonlySet<string> =>
  new Set((objects as { metadata: { name: string } }[] | undefined)?.map(({ metadata }) => metadata.name))

describe('validatePlan', () => {
  test.each(golden('validate').map((vector) => [vector['id'], vector] as const))('says what SUC says: %s', (_, vector) => {
    const secrets = names(vector['secrets'])
    const said = validatePlan(decode(vector['plan'] ?? null), (name) => secrets.has(name)) ?? null
    expect(said).toEqual((vector['expect'] as JsonObject)['validateError'])
  })

  test('both delete fields are an error even as false', () => {
    const plan = planWith({ drain: { deleteEmptydirData: false, deleteLocalData: false } })
    expect(validatePlan(plan, () => true)).toBe('spec.drain cannot specify both deleteEmptydirData and deleteLocalData')
  })

  test('the first fault in the order of checks is told', () => {
    const spec = {
      drain: { podSelector: { matchLabels: { 'bad key': 'x' } } },
      window: { days: ['x'], startTime: '1', endTime: '2' },
      postCompleteDelay: '-1s',
      secrets: [{ name: 'a', path: '' }],
    }
    const said = (left: object): string | undefined => validatePlan(planWith({ ...spec, ...left } as JsonObject), () => false)
    expect(said({})).toMatch(/^key: Invalid value: "bad key"/)
    expect(said({ drain: {} })).toBe('spec.window is invalid, Invalid weekday: x')
    expect(said({ drain: {}, window: null })).toBe('spec.postCompleteDelay is negative')
    expect(said({ drain: {}, window: null, postCompleteDelay: '1s' })).toBe('secrets "a" not found')
  })

  test('a Secret whose updates are ignored may be missing', () => {
    const plan = planWith({ secrets: [{ name: 'a', path: '', ignoreUpdates: true }] })
    expect(validatePlan(plan, () => false)).toBeUndefined()
  })
})

describe('doneLabels', () => {
  // The case with a delay that is not over gets none yet: when to label is not this function's business.
  const over = golden('post-complete-labels').filter((vector) => vector['id'] !== 'delay-not-over-uncordons-but-no-labels')

  test.each(over.map((vector) => [vector['id'], vector] as const))('labels the node as SUC does: %s', (_, vector) => {
    const plan = decode(vector['plan'] ?? null)
    const before = (vector['node'] as { metadata: { labels?: Record<string, string> } }).metadata.labels
    const labels = { ...before, ...doneLabels(plan, plan.status.latestVersion, plan.status.latestHash) }
    expect(labels).toEqual((vector['expect'] as JsonObject)['labels'])
  })

  test("the Plan's own label wins", () => {
    const plan = planWith({ postCompleteLabels: { 'plan.upgrade.cattle.io/server-plan': 'mine', a: '$(LATEST_HASH)' } })
    expect(doneLabels(plan, 'v1', 'hash')).toEqual({ 'plan.upgrade.cattle.io/server-plan': 'hash', a: 'hash' })
  })
})
