import { getEventListeners } from 'node:events'
import { describe, expect, test } from '@jest/globals'
import { TransportError } from '../../src/base/errors.ts'
import type { Process } from '../../src/base/process.ts'
import { seededRandom } from '../../src/base/random.ts'
import { virtualClock } from '../../src/sandbox/clock.ts'
import { createFaults } from '../../src/sandbox/faults.ts'
import { createApiServer } from '../../src/sandbox/server/server.ts'
import { createSpawn } from '../../src/sandbox/spawn.ts'

function world(seed = 1) {
  const random = seededRandom(seed)
  const clock = virtualClock({ random: seededRandom(seed + 1) })
  const faults = createFaults({ random: seededRandom(seed + 2) })
  const server = createApiServer({ clock, random, faults, freeze: true })
  return { clock, faults, server, spawn: createSpawn({ clock, server, random }) }
}

function createNode(process: Process, name: string, signal: AbortSignal) {
  return process.transport.send({ method: 'POST', path: '/api/v1/nodes', body: { metadata: { name } } }, signal)
}

describe('spawn', () => {
  test('runs to its end, or reports how it failed', async () => {
    const { clock, spawn } = world()
    const good = spawn(async (process) => process.clock.sleep(10), { name: 'good' })
    const bad = spawn(() => Promise.reject(new Error('broken')), { name: 'bad' })
    await clock.run({ limitMs: 100 })
    expect(await good.done).toBe('finished')
    expect(await bad.done).toEqual({ error: new Error('broken') })
    expect([good.alive, bad.alive]).toEqual([false, false])
  })

  test('a crash leaves sleeps and requests unsettled for ever; a write already sent takes effect', async () => {
    const { clock, server, spawn } = world()
    const settled: string[] = []
    const victim = spawn(
      async (process, signal) => {
        void process.clock.sleep(50).then(() => settled.push('sleep'))
        void createNode(process, 'a', signal).then(() => settled.push('answer'))
        await process.clock.sleep(50)
        settled.push('run')
      },
      { name: 'victim' },
    )
    await clock.run({ limitMs: 0 })
    victim.crash()
    await clock.run({ limitMs: 60_000 })
    expect(await victim.done).toBe('crashed')
    expect(settled).toEqual([])
    expect(server.peek('nodes', 'a')).toBeDefined()
  })

  test.each([
    ['crashBefore', false],
    ['crashAfter', true],
  ] as const)('%s the second write: stored is %s, and no third comes', async (fate, stored) => {
    const { clock, server, spawn } = world()
    const victim = spawn(
      async (process, signal) => {
        for (const name of ['a', 'b', 'c']) await createNode(process, name, signal)
      },
      { name: 'victim', onWrite: (n) => (n === 2 ? fate : 'go') },
    )
    const livedAtEffect: boolean[] = []
    server.onWrite(() => livedAtEffect.push(victim.alive))
    await clock.run({ limitMs: 60_000 })
    expect(await victim.done).toBe('crashed')
    expect(victim.writes).toBe(2)
    expect(livedAtEffect).toEqual(stored ? [true, true] : [true])
    expect(server.peekAll('nodes').map((node) => node.metadata.name)).toEqual(stored ? ['a', 'b'] : ['a'])
  })

  test('a stalled process does nothing and hears nothing until the stall is over', async () => {
    const { clock, server, spawn } = world()
    const seen: [string, number][] = []
    const sleeper = spawn(
      async (process, signal) => {
        await process.clock.sleep(100)
        seen.push(['woke', clock.mono()])
        await createNode(process, 'a', signal)
      },
      { name: 'sleeper' },
    )
    const watcher = spawn(
      async (process, signal) => {
        const watch = await process.transport.watch({ method: 'GET', path: '/api/v1/nodes', query: { watch: 'true' } }, signal)
        for await (const _ of watch.events) seen.push(['event', clock.mono()])
      },
      { name: 'watcher' },
    )
    await clock.run({ limitMs: 50 })
    sleeper.stall(1000)
    watcher.stall(5000)
    await clock.run({ limitMs: 20_000 })
    const at = new Map(seen)
    expect(at.get('woke')).toBeCloseTo(1050, 0)
    expect(at.get('event')).toBeCloseTo(5050, 0)
    expect(server.history[0]?.mono).toBeGreaterThanOrEqual(1050)
    watcher.stop()
    await clock.run({ limitMs: 1000 })
    expect(await watcher.done).toEqual({ error: expect.any(TransportError) })
  })

  test('a crash closes its watches on the server', async () => {
    const { clock, spawn } = world()
    const events: unknown[] = []
    const watcher = spawn(
      async (process, signal) => {
        const watch = await process.transport.watch({ method: 'GET', path: '/api/v1/nodes', query: { watch: 'true' } }, signal)
        for await (const event of watch.events) events.push(event)
      },
      { name: 'watcher' },
    )
    await clock.run({ limitMs: 100 })
    watcher.crash()
    // Only the 30-minute end of the watch would be left to wait for.
    expect(await clock.run({ limitMs: 1_000_000 })).toBe('idle')
    expect(events).toEqual([])
  })

  test('a watch that is over, however it ended, leaves no listener on the signal it was opened with', async () => {
    const { clock, faults, spawn } = world()
    const left: Record<string, number> = {}
    const watcher = spawn(
      async (process, signal) => {
        const open = (query: Record<string, string> = {}) =>
          process.transport.watch({ method: 'GET', path: '/api/v1/nodes', query: { watch: 'true', ...query } }, signal)
        const count = (when: string) => (left[when] = getEventListeners(signal, 'abort').length)

        const closing = await open({ timeoutSeconds: '1' })
        count('open')
        for await (const _ of closing.events);
        count('closed by the server')
        faults.once('throttled')
        expect((await open()).status).toBe(429)
        count('refused')
        faults.once('resetBefore')
        await expect(open()).rejects.toThrow(TransportError)
        count('never opened')
        await createNode(process, 'a', signal)
        for await (const _ of (await open()).events) break
        count('left by its reader')
        const breaking = await open()
        faults.once('watchCut')
        await createNode(process, 'b', signal)
        const reading = async () => {
          for await (const _ of breaking.events);
        }
        await expect(reading()).rejects.toThrow(TransportError)
        count('broken')
      },
      { name: 'watcher' },
    )
    await clock.run({ limitMs: 600_000 })
    expect(await watcher.done).toBe('finished')
    expect(left).toEqual({ open: 1, 'closed by the server': 0, refused: 0, 'never opened': 0, 'left by its reader': 0, broken: 0 })
  })

  test('stop aborts the signal; the name is the user, and skew is of the wall clock', async () => {
    const { clock, server, spawn } = world()
    let wall = 0
    const polite = spawn(
      async (process, signal) => {
        wall = process.clock.wall() - clock.wall()
        await createNode(process, 'a', signal)
        await process.clock.sleep(1e9, signal).catch(() => undefined)
      },
      { name: 'polite', skewMs: -7000 },
    )
    await clock.run({ limitMs: 1000 })
    polite.stop()
    await clock.run({ limitMs: 1000 })
    expect(await polite.done).toBe('finished')
    expect(wall).toBe(-7000)
    expect(server.history[0]?.user).toBe('polite')
  })

  test('the same seed gives the same history, another seed another', async () => {
    const runOf = async (seed: number): Promise<string> => {
      const { clock, faults, server, spawn } = world(seed)
      faults.rates = { throttled: 0.1, answerLost: 0.1, resetBefore: 0.1 }
      for (const name of ['a', 'b', 'c'])
        spawn(
          async (process, signal) => {
            for (let index = 0; index < 20; index++) {
              await createNode(process, `${name}${index}`, signal).catch(() => undefined)
              await process.clock.sleep(process.random() * 20)
            }
          },
          { name },
        )
      await clock.run({ limitMs: 60_000 })
      return JSON.stringify([server.history, faults.counts])
    }
    expect(await runOf(5)).toBe(await runOf(5))
    expect(await runOf(5)).not.toBe(await runOf(6))
  })
})
