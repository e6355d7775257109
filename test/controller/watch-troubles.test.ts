/** What a watch that does not run stops, and for how long. */
import { expect, test } from '@jest/globals'
import { TransportError } from '../../src/base/errors.ts'
import { createWatchTroubles } from '../../src/controller/watch-troubles.ts'
import { ApiError } from '../../src/kube/client/api-error.ts'

const answered = (status: number) => new ApiError('WATCH', { status })
const reset = new TransportError('ConnectionLost', 'reset')
const silence = new TransportError('Timeout', 'no answer within 30000 ms')

function troubled() {
  let now = 0
  const troubles = createWatchTroubles({ mono: () => now } as never)
  /** Whether decisions stop, and why no node is taken, after so many milliseconds more. */
  const after = (ms: number): [boolean, string | undefined] => {
    now += ms
    return [troubles.interrupted(), troubles.refusal()?.message]
  }
  return { troubles, after }
}

test.each(['plans', 'nodes', 'jobs', 'pods'])(
  'nothing is decided while the watch of %s is broken, and that is told after a while',
  (resource) => {
    const { troubles, after } = troubled()
    expect(troubles.failed(resource, reset)).toBe(false)
    expect(after(0)).toEqual([true, undefined])
    expect(after(19_999)).toEqual([true, undefined])
    troubles.failed(resource, answered(500))
    expect(after(1)).toEqual([true, `the watch of ${resource} broke off: ${answered(500).message}`])
    expect(after(3_600_000)).toEqual([true, `the watch of ${resource} broke off: ${answered(500).message}`])
    expect(troubles.refusal()?.endedBy).toBe('cluster')
    troubles.accepted(resource)
    expect(after(499)).toEqual([true, `the watch of ${resource} broke off: ${answered(500).message}`])
    expect(after(1)).toEqual([false, undefined])
  },
)

test.each(['rolloutpolicies', 'namespaces'])(
  'a watch of %s that stays broken stops decisions for a while, then only admissions',
  (resource) => {
    const { troubles, after } = troubled()
    troubles.failed(resource, reset)
    expect(after(19_999)).toEqual([true, undefined])
    expect(after(1)).toEqual([false, `the watch of ${resource} broke off: reset`])
  },
)

test('a watch of which no answer comes at all stops nothing for long', () => {
  const { troubles, after } = troubled()
  troubles.failed('nodes', reset)
  expect(after(30_000)[0]).toBe(true)
  troubles.failed('nodes', silence)
  expect(after(0)).toEqual([false, undefined])
})

test('a watch of Secrets stops nothing', () => {
  const { troubles, after } = troubled()
  troubles.failed('secrets', reset)
  expect(after(0)).toEqual([false, undefined])
  expect(after(60_000)).toEqual([false, undefined])
})

test('what is refused holds admissions only, and is told; what is not there stops nothing', () => {
  const { troubles, after } = troubled()
  expect(troubles.failed('nodes', answered(403))).toBe(true)
  expect(troubles.failed('rolloutpolicies', answered(404))).toBe(false)
  expect(after(4_999)).toEqual([false, undefined])
  expect(after(1)).toEqual([false, answered(403).message])
  expect(troubles.refusal()?.endedBy).toBe('person')
  expect(troubles.accepted('nodes')).toBe(true)
  expect(troubles.accepted('nodes')).toBe(false)
  expect(after(0)).toEqual([false, undefined])
})

test('a watch that broke off and is then refused, or of a kind that is gone, is not broken any more', () => {
  const { troubles, after } = troubled()
  troubles.failed('nodes', reset)
  troubles.failed('rolloutpolicies', reset)
  expect(after(60_000)[0]).toBe(true)
  troubles.failed('nodes', answered(403))
  troubles.failed('rolloutpolicies', answered(404))
  expect(after(0)).toEqual([false, undefined])
  expect(after(5_000)).toEqual([false, answered(403).message])
})

test('a server that cannot be reached is not worth a word for five minutes: nobody could write it down, and then it is back', () => {
  const { troubles, after } = troubled()
  const gone = new TransportError('ConnectionFailed', 'connect ECONNREFUSED')
  troubles.failed('nodes', gone)
  troubles.failed('jobs', gone)
  after(299_999)
  expect(troubles.unreachable()).toBe(true)
  after(1)
  expect(troubles.unreachable()).toBe(false)
  troubles.failed('pods', gone)
  expect(troubles.unreachable()).toBe(true)
  // An answer is one.
  troubles.failed('pods', answered(500))
  expect(troubles.unreachable()).toBe(false)
})
