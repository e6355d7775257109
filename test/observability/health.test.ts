import { expect, test } from '@jest/globals'
import { createHealth } from '../../src/observability/health.ts'

test('a loop that beats is alive; one that is silent beyond its deadline is not, until it beats again', () => {
  let now = 0
  const health = createHealth(() => now, 30_000, [])

  now = 30_000
  expect(health.lifeless()).toBeUndefined()
  now = 31_000
  expect(health.lifeless()).toBe('no pass for 31 s, allowed are 30 s')
  health.beat()
  expect(health.lifeless()).toBeUndefined()
})

test('ready means that nothing is missing; what goes away is missing again', () => {
  const health = createHealth(() => 0, 1000, ['plans', 'nodes'])

  expect(health.missing()).toEqual(['nodes', 'plans'])
  health.ready('plans', true)
  health.ready('nodes', true)
  expect(health.missing()).toEqual([])
  health.ready('nodes', false)
  expect(health.missing()).toEqual(['nodes'])
})
