import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import { skewed, virtualClock, withTimers } from '../../src/sandbox/clock.ts'

describe('virtualClock', () => {
  test('fires timers in order of time, whatever the order in which they were set', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 60 }), fc.integer(), async (times, seed) => {
        const clock = virtualClock({ random: seededRandom(seed) })
        const fired: number[] = []
        for (const at of times) clock.at(at, () => fired.push(clock.mono()))
        expect(await clock.run({ limitMs: 2000 })).toBe('idle')
        expect(fired).toEqual([...times].sort((a, b) => a - b))
      }),
    )
  })

  test('lets everything settle between two timers of the same instant', async () => {
    const clock = virtualClock()
    const order: string[] = []
    const run = async (name: string): Promise<void> => {
      await clock.sleep(10)
      order.push(`${name} woke`)
      for (let hop = 0; hop < 50; hop++) await Promise.resolve()
      order.push(`${name} settled`)
    }
    const both = Promise.all([run('a'), run('b')])
    await clock.run({ limitMs: 100 })
    await both
    expect(order).toEqual(['a woke', 'a settled', 'b woke', 'b settled'])
  })

  test('breaks ties by the seed: the same seed gives the same order, some other seed another', async () => {
    const orderOf = async (seed: number): Promise<string> => {
      const clock = virtualClock({ random: seededRandom(seed) })
      let order = ''
      for (const name of 'abcdefgh') clock.at(5, () => void (order += name))
      await clock.run({ limitMs: 10 })
      return order
    }
    expect(await orderOf(1)).toBe(await orderOf(1))
    expect(new Set(await Promise.all([1, 2, 3, 4].map(orderOf))).size).toBeGreaterThan(1)
  })

  test('stops at `until`, at the limit, or when nothing is left, and says which', async () => {
    const clock = virtualClock({ startWallMs: 1000 })
    let ticks = 0
    const tick = (): void => {
      ticks++
      clock.at(clock.mono() + 10, tick)
    }
    clock.at(10, tick)
    expect(await clock.run({ until: () => ticks === 3, limitMs: 1000 })).toBe('until')
    expect(clock.mono()).toBe(30)
    expect(await clock.run({ limitMs: 25 })).toBe('limit')
    expect([clock.mono(), clock.wall(), ticks]).toEqual([55, 1055, 5])
    expect(await virtualClock().run({ limitMs: 1000 })).toBe('idle')
  })

  test('a sleep that is aborted rejects with the reason and leaves no timer behind', async () => {
    const clock = virtualClock()
    const stop = new AbortController()
    const sleep = clock.sleep(1000, stop.signal)
    stop.abort(new Error('enough'))
    await expect(sleep).rejects.toThrow('enough')
    await expect(clock.sleep(1, stop.signal)).rejects.toThrow('enough')
    expect(clock.pending).toBe(0)
    expect(await clock.run({ limitMs: 5000 })).toBe('idle')
    expect(clock.mono()).toBe(0)
  })

  test('a hundred thousand timers, half of them cancelled, cost little', async () => {
    const clock = virtualClock({ random: seededRandom(3) })
    const random = seededRandom(4)
    let fired = 0
    for (let index = 0; index < 100_000; index++) {
      const cancel = clock.at(random() * 1000, () => fired++)
      if (index % 2 === 0) cancel()
    }
    const started = process.cpuUsage()
    await clock.run({ limitMs: 1000 })
    const { user } = process.cpuUsage(started)
    expect(fired).toBe(50_000)
    expect(user / 1e6).toBeLessThan(5)
  })
})

test('a skewed clock differs in wall time only', async () => {
  const clock = virtualClock({ startWallMs: 0 })
  const ahead = skewed(clock, { wallOffsetMs: 90_000 })
  const slept = ahead.sleep(500)
  await clock.run({ limitMs: 1000 })
  await slept
  expect([ahead.wall(), ahead.mono(), clock.wall()]).toEqual([90_500, 500, 500])
})

test('withTimers gives a plain clock callbacks that can be cancelled', async () => {
  const clock = virtualClock()
  const plain = withTimers(skewed(clock, { wallOffsetMs: 0 }))
  const fired: string[] = []
  plain.at(10, () => fired.push('kept'))
  plain.at(10, () => fired.push('cancelled'))()
  await clock.run({ limitMs: 100 })
  expect(fired).toEqual(['kept'])
})
