import { describe, expect, test } from '@jest/globals'
import { createTokenSource } from '../../../src/kube/client/token-source.ts'
import { virtualClock } from './clocks.ts'

function setUp(): {
  state: { text: string | Error; reads: number }
  clock: ReturnType<typeof virtualClock>
  token: (refused?: string) => Promise<string>
} {
  const clock = virtualClock()
  const state: { text: string | Error; reads: number } = { text: 'one\n', reads: 0 }
  const token = createTokenSource(clock, '/token', async () => {
    state.reads += 1
    if (state.text instanceof Error) throw state.text
    return state.text
  })
  return { state, clock, token }
}

describe('token source', () => {
  test('reads once a minute, and at once when the token was refused', async () => {
    const { state, clock, token } = setUp()
    expect([await token(), await token(), state.reads]).toEqual(['one', 'one', 1])
    state.text = 'two'
    await clock.advance(59_999)
    expect(await token()).toBe('one')
    await clock.advance(1)
    expect(await token()).toBe('two')
    state.text = 'three'
    expect(await token('two')).toBe('three')
    expect(await token('two')).toBe('three')
    expect(state.reads).toBe(3)
  })

  test('shares one reading among concurrent callers', async () => {
    const { state, token } = setUp()
    expect(await Promise.all([token(), token('zero'), token()])).toEqual(['one', 'one', 'one'])
    expect(state.reads).toBe(1)
  })

  test('says what is missing, and tries again', async () => {
    const { state, token } = setUp()
    state.text = new Error('ENOENT')
    await expect(token()).rejects.toMatchObject({
      name: 'TransportError',
      code: 'ConnectionFailed',
      message: 'No bearer token from /token: ENOENT',
    })
    state.text = '  '
    await expect(token()).rejects.toThrow('it is empty')
    state.text = 'one'
    await expect(token()).resolves.toBe('one')
  })

  test('goes on with the last token while the file is gone, unless that one was refused', async () => {
    const { state, clock, token } = setUp()
    await token()
    state.text = new Error('ENOENT')
    await clock.advance(60_000)
    await expect(token()).resolves.toBe('one')
    await expect(token('one')).rejects.toThrow('ENOENT')
  })
})
