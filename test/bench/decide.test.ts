import { expect, test } from '@jest/globals'
import { heldWorld, IN_FLIGHT, inPhase, NODES, rollingWorld } from '../../bench/decide.ts'
import { decide } from '../../src/rollout/decide.ts'

test('the measured worlds are what they are called', () => {
  const rolling = decide(rollingWorld())
  expect(inPhase(rolling, 'Upgrading')).toBe(IN_FLIGHT)
  const world = heldWorld()
  expect(world.nodes.length).toBe(NODES)
  const held = decide(world)
  const holds = [...(held.reports.get('system-upgrade/agent-plan')?.nodes.values() ?? [])].flatMap((node) => node.holds)
  expect(new Set(holds.map((hold) => hold.reason))).toEqual(new Set(['UntoleratedTaint']))
  expect(held.steps.flatMap((step) => step.actions).some((action) => action.do === 'createPod')).toBe(false)
})
