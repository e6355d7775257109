import { expect, test } from '@jest/globals'
import { createTokenBucket } from '../../../src/kube/client/token-bucket.ts'
import { virtualClock } from './clocks.ts'

const forever = new AbortController().signal

test('lets a burst through, then one at a time, first come first served', async () => {
  const clock = virtualClock()
  const bucket = createTokenBucket(clock, 2, 3)
  const passed: [number, number][] = []
  for (let i = 0; i < 6; i += 1) void bucket.wait(forever).then(() => passed.push([i, clock.mono()]))
  await clock.advance(10_000)
  expect(passed).toEqual([
    [0, 0],
    [1, 0],
    [2, 0],
    [3, 500],
    [4, 1000],
    [5, 1500],
  ])
})

test('one who gives up waiting gives the token back', async () => {
  const clock = virtualClock()
  const bucket = createTokenBucket(clock, 1, 1)
  await bucket.wait(forever)
  const stop = new AbortController()
  const waiting = bucket.wait(stop.signal).catch(() => 'gave up')
  stop.abort()
  await expect(waiting).resolves.toBe('gave up')
  await clock.advance(1000)
  expect([bucket.take(), bucket.take()]).toEqual([true, false])
})

test('does not save up more than a burst', async () => {
  const clock = virtualClock()
  const bucket = createTokenBucket(clock, 100, 2)
  await clock.advance(60_000)
  expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false])
})
