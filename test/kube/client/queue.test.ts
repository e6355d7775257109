import { describe, expect, test } from '@jest/globals'
import { createQueue, type Queue } from '../../../src/kube/client/queue.ts'
import { type VirtualClock, virtualClock } from './clocks.ts'

const forever = new AbortController().signal

function setUp(): { queue: Queue; clock: VirtualClock } {
  const clock = virtualClock()
  return { queue: createQueue({ clock }), clock }
}

/** Asks for a key and says whether it came within `ms`. */
async function within(ms: number, queue: Queue, clock: VirtualClock): Promise<string | undefined> {
  const stop = new AbortController()
  const next = queue.next(stop.signal)
  await clock.advance(ms)
  stop.abort()
  return next
}

describe('queue', () => {
  test('gives each key once, in order of arrival', async () => {
    const { queue, clock } = setUp()
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key)
    expect([await queue.next(forever), await queue.next(forever), await queue.next(forever)]).toEqual(['a', 'b', 'c'])
    expect(await within(1000, queue, clock)).toBeUndefined()
  })

  test('never gives a key to two workers; added meanwhile it comes again, once', async () => {
    const { queue, clock } = setUp()
    queue.add('a')
    await queue.next(forever)
    queue.add('a')
    queue.add('a')
    expect(await within(1000, queue, clock)).toBeUndefined()
    queue.done('a')
    expect(await queue.next(forever)).toBe('a')
    queue.done('a')
    expect(await within(1000, queue, clock)).toBeUndefined()
  })

  test('wakes a waiting worker', async () => {
    const { queue, clock } = setUp()
    const next = queue.next(forever)
    await clock.advance(100)
    queue.add('a')
    await expect(next).resolves.toBe('a')
  })

  test('of several delays the earliest stands', async () => {
    const { queue, clock } = setUp()
    queue.addAfter('a', 5000)
    queue.addAfter('a', 2000)
    queue.addAfter('a', 9000)
    expect(queue.readyAt('a')).toBe(2000)
    expect(await within(1999, queue, clock)).toBeUndefined()
    expect(await within(1, queue, clock)).toBe('a')
    queue.done('a')
    expect(queue.readyAt('a')).toBeUndefined()
    expect(await within(20_000, queue, clock)).toBeUndefined()
  })

  test('a shorter delay wakes a worker that waits for a longer one', async () => {
    const { queue, clock } = setUp()
    queue.addAfter('late', 60_000)
    const next = queue.next(forever)
    await clock.advance(10)
    queue.addAfter('soon', 100)
    await clock.advance(100)
    await expect(next).resolves.toBe('soon')
  })

  test('failures of a key wait longer each time, until it is forgotten', async () => {
    const { queue, clock } = setUp()
    const waits: number[] = []
    for (let i = 0; i < 11; i += 1) {
      waits.push(queue.fail('a'))
      expect(await within(waits.at(-1) ?? 0, queue, clock)).toBe('a')
      queue.done('a')
    }
    expect(waits.slice(0, 4)).toEqual([1000, 2000, 4000, 8000])
    expect(waits.at(-1)).toBe(300_000)
    expect(queue.fail('b')).toBe(1000)
    queue.forget('a')
    expect(queue.fail('a', 7000)).toBe(7000)
  })

  test('a worker ends when its signal aborts, and leaves no timer behind', async () => {
    const { queue, clock } = setUp()
    queue.addAfter('a', 60_000)
    expect(await within(10, queue, clock)).toBeUndefined()
    expect(clock.sleepers).toBe(0)
  })

  test('shuts down when all that was queued is done', async () => {
    const { queue, clock } = setUp()
    queue.add('a')
    queue.add('b')
    queue.addAfter('later', 10)
    expect(await queue.next(forever)).toBe('a')
    let down = false
    const ended = queue.shutDown().then(() => {
      down = true
    })
    queue.add('c')
    expect(await queue.next(forever)).toBe('b')
    expect(await queue.next(forever)).toBeUndefined()
    queue.done('a')
    await clock.advance(100)
    expect(down).toBe(false)
    queue.done('b')
    await ended
    expect(down).toBe(true)
  })

  test('wakes idle workers when it shuts down', async () => {
    const { queue } = setUp()
    const workers = [queue.next(forever), queue.next(forever)]
    await queue.shutDown()
    await expect(Promise.all(workers)).resolves.toEqual([undefined, undefined])
  })

  test('measures as client-go does', async () => {
    const { queue, clock } = setUp()
    queue.add('a')
    queue.add('a')
    queue.add('b')
    await clock.advance(300)
    await queue.next(forever)
    await clock.advance(500)
    queue.fail('a')
    expect(queue.metrics()).toEqual({
      depth: 1,
      adds: 2,
      retries: 1,
      queueDurationMs: { sum: 300, count: 1 },
      workDurationMs: { sum: 0, count: 0 },
      unfinishedWorkMs: 500,
      longestRunningMs: 500,
    })
    queue.done('a')
    expect(queue.metrics()).toMatchObject({ workDurationMs: { sum: 500, count: 1 }, unfinishedWorkMs: 0, longestRunningMs: 0 })
  })
})
