import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { JsonObject } from '../../../src/base/json.ts'
import { createStore, keyOf, type Store } from '../../../src/kube/client/store.ts'
import { type VirtualClock, virtualClock } from './clocks.ts'
import { type Line, memoryLog } from './process.ts'

interface Thing {
  readonly name: string
  readonly uid: string
  readonly version: string
  readonly size: number
}

const raw = (name: string, version: string, size = 0, uid = `uid-${name}`): JsonObject => ({
  metadata: { name, uid, resourceVersion: version },
  size,
})

function setUp(): { store: Store<Thing>; clock: VirtualClock; seen: [Thing | undefined, Thing | undefined, string][]; lines: Line[] } {
  const clock = virtualClock()
  const lines: Line[] = []
  const store = createStore<Thing>({
    clock,
    log: memoryLog(lines),
    project: (object) => {
      const { name, uid, resourceVersion } = object['metadata'] as Record<string, string>
      if (object['size'] === -1) return undefined
      if (object['size'] === -2) throw new Error('odd object')
      return { name: name ?? '', uid: uid ?? '', version: resourceVersion ?? '', size: object['size'] as number }
    },
    same: (a, b) => a.size === b.size && a.uid === b.uid,
  })
  const seen: [Thing | undefined, Thing | undefined, string][] = []
  store.subscribe((old, now, key) => seen.push([old, now, key]))
  return { store, clock, seen, lines }
}

const fill = (store: Store<Thing>, objects: readonly JsonObject[], mark = store.mark()): void =>
  store.replaceAll(
    objects.map((object) => store.prepare(object)),
    mark,
  )
const sizes = (store: Store<Thing>): Record<string, number> => Object.fromEntries(store.list().map(({ name, size }) => [name, size]))

describe('cache', () => {
  test('is synced after the first list, also of nothing, and knows how fresh it is', async () => {
    const { store, clock } = setUp()
    expect([store.synced, store.freshness]).toEqual([false, undefined])
    await clock.advance(10)
    fill(store, [])
    expect([store.synced, store.freshness, store.size]).toEqual([true, 10, 0])
    await clock.advance(5)
    store.touch()
    expect(store.freshness).toBe(15)
    await clock.advance(5)
    store.apply({ type: 'ADDED', object: raw('a', '1') })
    expect(store.freshness).toBe(20)
  })

  test('tells subscribers what was and what is', () => {
    const { store, seen } = setUp()
    fill(store, [raw('a', '1', 1), raw('b', '2', 2)])
    store.apply({ type: 'MODIFIED', object: raw('a', '3', 5) })
    store.apply({ type: 'DELETED', object: raw('b', '4', 2) })
    fill(store, [raw('c', '9', 9)])
    expect(seen.map(([old, now, key]) => [key, old?.size, now?.size])).toEqual([
      ['a', undefined, 1],
      ['b', undefined, 2],
      ['a', 1, 5],
      ['b', 2, undefined],
      ['a', 5, undefined],
      ['c', undefined, 9],
    ])
  })

  test('says nothing when nothing that matters changed, and keeps the newer object', () => {
    const { store, seen } = setUp()
    fill(store, [raw('a', '1', 1)])
    store.apply({ type: 'MODIFIED', object: raw('a', '2', 1) })
    fill(store, [raw('a', '3', 1)])
    expect(seen).toHaveLength(1)
    expect(store.get('a')?.version).toBe('3')
  })

  test('gives the same list until something changes', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1)])
    const before = store.list()
    store.touch()
    expect(store.list()).toBe(before)
    store.apply({ type: 'MODIFIED', object: raw('a', '2', 1) })
    expect(store.list()).not.toBe(before)
  })

  test('drops an object that stops being of interest, and one that cannot be projected', () => {
    const { store, lines } = setUp()
    fill(store, [raw('a', '1', 1), raw('b', '1', 1), raw('c', '1', -2)])
    store.apply({ type: 'MODIFIED', object: raw('a', '2', -1) })
    store.apply({ type: 'MODIFIED', object: raw('b', '3', -2) })
    expect(store.list()).toEqual([])
    expect(store.counters.projectErrors).toBe(2)
    expect(lines.map(({ level, fields }) => [level, fields['key']])).toEqual([
      ['error', 'c'],
      ['error', 'b'],
    ])
  })

  test('shields itself and the others from a subscriber that throws', () => {
    const { store, lines } = setUp()
    const unsubscribe = store.subscribe(() => {
      throw new Error('bad subscriber')
    })
    const later: string[] = []
    store.subscribe((_old, _now, key) => later.push(key))
    fill(store, [raw('a', '1', 1), raw('b', '2', 1)])
    expect(later).toEqual(['a', 'b'])
    expect(store.counters.subscriberErrors).toBe(2)
    expect(lines[0]).toMatchObject({ level: 'error', fields: { error: 'bad subscriber' } })
    unsubscribe()
    store.apply({ type: 'DELETED', object: raw('a', '3') })
    expect(store.counters.subscriberErrors).toBe(2)
  })

  test('keys by namespace and name', () => {
    expect(keyOf({ metadata: { namespace: 'n', name: 'a' } })).toBe('n/a')
    expect(keyOf({ metadata: { name: 'a' } })).toBe('a')
  })
})

describe('own writes', () => {
  test('show at once and hide what came before them', () => {
    const { store, seen } = setUp()
    fill(store, [raw('a', '1', 1)])
    store.wrote(raw('a', '5', 50), store.lists)
    expect(sizes(store)).toEqual({ a: 50 })
    store.apply({ type: 'MODIFIED', object: raw('a', '3', 30) })
    expect(sizes(store)).toEqual({ a: 50 })
    store.apply({ type: 'MODIFIED', object: raw('a', '5', 50) })
    store.apply({ type: 'MODIFIED', object: raw('a', '6', 60) })
    expect(sizes(store)).toEqual({ a: 60 })
    expect(seen.map(([, now]) => now?.size)).toEqual([1, 50, 60])
  })

  test('show objects that the watch has not seen, and the last of several', () => {
    const { store } = setUp()
    fill(store, [])
    store.wrote(raw('a', '5', 50), store.lists)
    store.wrote(raw('a', '7', 70), store.lists)
    store.apply({ type: 'ADDED', object: raw('a', '5', 50) })
    expect(sizes(store)).toEqual({ a: 70 })
    store.apply({ type: 'MODIFIED', object: raw('a', '7', 70) })
    store.apply({ type: 'MODIFIED', object: raw('a', '8', 80) })
    expect(sizes(store)).toEqual({ a: 80 })
  })

  test('hide nothing when the watch was faster than the answer', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1)])
    store.apply({ type: 'MODIFIED', object: raw('a', '5', 50) })
    store.apply({ type: 'MODIFIED', object: raw('a', '6', 60) })
    store.wrote(raw('a', '5', 50), store.lists)
    expect(sizes(store)).toEqual({ a: 60 })
    store.apply({ type: 'DELETED', object: raw('a', '7', 60) })
    store.wrote(raw('a', '6', 60), store.lists)
    expect(sizes(store)).toEqual({})
  })

  test('hide nothing when they changed nothing', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1)])
    store.wrote(raw('a', '1', 1), store.lists)
    store.apply({ type: 'MODIFIED', object: raw('a', '2', 2) })
    expect(sizes(store)).toEqual({ a: 2 })
  })

  test('end with the object, but not with an older one of that name', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1, 'old')])
    store.wrote(raw('a', '5', 50, 'new'), store.lists)
    store.apply({ type: 'DELETED', object: raw('a', '3', 1, 'old') })
    expect(sizes(store)).toEqual({ a: 50 })
    store.apply({ type: 'DELETED', object: raw('a', '6', 50, 'new') })
    expect(sizes(store)).toEqual({})
  })

  test('end with a list begun after them, not with one begun before', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1)])
    const before = store.mark()
    store.wrote(raw('a', '5', 50), store.lists)
    fill(store, [raw('a', '2', 2)], before)
    expect(sizes(store)).toEqual({ a: 50 })
    fill(store, [raw('a', '9', 9)], store.mark())
    expect(sizes(store)).toEqual({ a: 9 })
  })

  test('end after 10 min, and subscribers hear of it', async () => {
    const { store, clock, seen } = setUp()
    fill(store, [raw('a', '1', 1)])
    store.wrote(raw('a', '5', 50), store.lists)
    await clock.advance(599_999)
    expect(sizes(store)).toEqual({ a: 50 })
    await clock.advance(1)
    expect(sizes(store)).toEqual({ a: 1 })
    expect(seen.at(-1)?.[1]?.size).toBe(1)
  })

  test('whose answer comes after a list that may hold something newer give way after 30 s', async () => {
    const { store, clock } = setUp()
    fill(store, [raw('a', '1', 1)])
    const sent = store.lists
    fill(store, [raw('a', '6', 60)])
    store.wrote(raw('a', '5', 50), sent)
    await clock.advance(30_000)
    expect(sizes(store)).toEqual({ a: 60 })
    store.wrote(raw('a', '7', 70), store.lists)
    await clock.advance(60_000)
    expect(sizes(store)).toEqual({ a: 70 })
  })

  test('a delete hides the object until the watch says so, or another takes its name', () => {
    const { store } = setUp()
    fill(store, [raw('a', '1', 1, 'u1'), raw('b', '1', 1, 'u2')])
    store.wroteDelete('a', 'u1')
    store.wroteDelete('b', 'u2')
    store.apply({ type: 'MODIFIED', object: raw('a', '2', 2, 'u1') })
    expect(sizes(store)).toEqual({})
    store.apply({ type: 'DELETED', object: raw('a', '3', 2, 'u1') })
    store.apply({ type: 'ADDED', object: raw('a', '4', 4, 'u3') })
    store.apply({ type: 'ADDED', object: raw('b', '5', 5, 'u4') })
    expect(sizes(store)).toEqual({ a: 4, b: 5 })
  })

  test('a delete that never happened comes to light after 30 s', async () => {
    const { store, clock } = setUp()
    fill(store, [raw('a', '1', 1, 'u1')])
    store.wroteDelete('a', 'u1')
    await clock.advance(30_000)
    expect(sizes(store)).toEqual({ a: 1 })
  })

  /**
   * An object that changes as the versions go up, with some changes ours. The watch lags by any amount, and our answers come at any
   * time after the write. Whatever the order, what shows is never older than what showed before, and in the end it is the last.
   */
  test('never make the cache go back in time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ ours: fc.boolean(), answerAfter: fc.nat({ max: 3 }), lag: fc.nat({ max: 5 }) }), {
          minLength: 1,
          maxLength: 20,
        }),
        (changes) => {
          const { store } = setUp()
          fill(store, [raw('a', '0', 0)])
          const steps: { at: number; order: number; run: () => void }[] = []
          let watchAt = 0
          changes.forEach(({ ours, answerAfter, lag }, index) => {
            const object = raw('a', `v${index + 1}`, index + 1)
            // The watch keeps the order of writes; our own answers do too, as each write waits for the answer to the one before.
            watchAt = Math.max(watchAt, index + lag)
            const nextOurs = changes.findIndex((change, later) => later > index && change.ours)
            const answerAt = Math.min(index + answerAfter + 0.5, nextOurs === -1 ? Number.POSITIVE_INFINITY : nextOurs)
            steps.push({ at: watchAt, order: 1, run: () => store.apply({ type: 'MODIFIED', object }) })
            if (ours) steps.push({ at: answerAt, order: 0, run: () => store.wrote(object, store.lists) })
          })
          let last = 0
          for (const step of steps.sort((x, y) => x.at - y.at || x.order - y.order)) {
            step.run()
            const size = store.get('a')?.size ?? -1
            expect(size).toBeGreaterThanOrEqual(last)
            last = size
          }
          expect(last).toBe(changes.length)
        },
      ),
    )
  })
})
