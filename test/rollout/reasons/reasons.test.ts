/**
 * A Plan that waits always says for what, since when, which node, and who can end it. Each reason has a world in which it stands; a few
 * passes over it, and the status is read as anybody would read it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { HOLD_REASONS, type HoldReason } from '../../../src/api/reasons.ts'
import { formatTime } from '../../../src/base/clock.ts'
import { OF_NODES } from './of-nodes.ts'
import { OF_PLANS } from './of-plans.ts'
import { OF_TAKEN_NODES } from './of-taken-nodes.ts'
import { type Cases, stands, watch } from './run.ts'

const CASES: Cases = { ...OF_PLANS, ...OF_NODES, ...OF_TAKEN_NODES }

/** The decision only passes these on; what finds them out is tried here. */
const FOUND_WHEN_CARRIED_OUT: Readonly<Partial<Record<HoldReason, readonly [file: string, title: string]>>> = {
  ClaimWithdrawn: ['test/controller/act.test.ts', 'is withdrawn from what was read: what another leader claimed meanwhile stays'],
}

test('every reason has a world in which it stands', () => {
  const missing = Object.keys(HOLD_REASONS).filter((reason) => !(reason in CASES))
  const advice = `add a case to test/rollout/reasons/of-plans.ts, of-nodes.ts or of-taken-nodes.ts for each: a small world in which the decision gives this reason, the node it is about, and what the status must say. A reason that no world can give has no place in src/api/reasons.ts.`
  expect(missing.length === 0 ? '' : `${missing.join(', ')}: ${advice}`).toBe('')
})

test('no world is of a reason that is gone', () => {
  expect(Object.keys(CASES).filter((reason) => !(reason in HOLD_REASONS))).toEqual([])
})

describe.each(Object.entries(CASES) as [HoldReason, NonNullable<Cases[HoldReason]>][])('%s', (reason, found) => {
  test('what, since when, which node, and who ends it', () => {
    const { said, complete, stoodSince } = watch(found)
    expect([...stoodSince.keys()]).toContain(stands(reason, found.node))
    expect(complete).toMatch(/^False /)
    expect(said).toContainEqual({
      reason,
      message: expect.stringMatching(found.says),
      since: formatTime(stoodSince.get(stands(reason, found.node)) ?? 0),
      node: found.node,
      endedBy: found.endedBy ?? HOLD_REASONS[reason].endedBy,
    })
  })
})

test.each(Object.entries(FOUND_WHEN_CARRIED_OUT))('%s is found out by a test of the controller', (_reason, [file, title]) => {
  const path = new URL(`../../../${file}`, import.meta.url)
  expect(existsSync(path)).toBe(true)
  expect(readFileSync(path, 'utf8')).toContain(`test('${title}'`)
})
