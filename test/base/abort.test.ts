import { getEventListeners } from 'node:events'
import { describe, expect, test } from '@jest/globals'
import { linkedController, whenAborted } from '../../src/base/abort.ts'

const listeners = (...sources: readonly AbortController[]) => sources.map(({ signal }) => getEventListeners(signal, 'abort').length)

describe('linkedController', () => {
  test.each([0, 1])('aborts with the reason of signal %i, and listens to none any more', (which) => {
    const sources = [new AbortController(), new AbortController()] as const
    const { controller } = linkedController(sources[0].signal, sources[1].signal)
    expect(listeners(...sources)).toEqual([1, 1])
    expect(controller.signal.aborted).toBe(false)
    sources[which]?.abort(`reason ${which}`)
    expect(controller.signal.reason).toBe(`reason ${which}`)
    expect(listeners(...sources)).toEqual([0, 0])
  })

  test('is born aborted where one signal is, and listens to none', () => {
    const [live, dead] = [new AbortController(), new AbortController()]
    dead.abort('before')
    expect(linkedController(live.signal, dead.signal).controller.signal.reason).toBe('before')
    expect(listeners(live)).toEqual([0])
  })

  test('unlinked, it follows no more; aborting it aborts nothing else', () => {
    const [a, b] = [new AbortController(), new AbortController()]
    const { controller, unlink } = linkedController(a.signal, b.signal)
    unlink()
    expect(listeners(a, b)).toEqual([0, 0])
    a.abort()
    expect(controller.signal.aborted).toBe(false)
    controller.abort()
    expect(b.signal.aborted).toBe(false)
  })
})

test('whenAborted waits for the abort, and not at all when it has been', async () => {
  const source = new AbortController()
  let over = false
  const waiting = whenAborted(source.signal).then(() => (over = true))
  await Promise.resolve()
  expect(over).toBe(false)
  source.abort()
  await waiting
  await whenAborted(source.signal)
})
