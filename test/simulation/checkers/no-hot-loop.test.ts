import { describe, expect, test } from '@jest/globals'
import { noHotLoop } from '../../../src/simulation/checkers/no-hot-loop.ts'
import { story } from './story.ts'

function writing(times: number, everyMs: number) {
  const s = story(noHotLoop)
  for (let i = 0; i < times; i += 1) {
    s.wait(everyMs - 10)
    s.write({ user: 'drover-1', verb: 'patch', resource: 'plans', name: 'p', status: i % 2 === 0 ? 200 : 409 })
  }
  return s
}

describe('promise 8, hot loops', () => {
  test('ten writes a second for a minute are fine', () => {
    expect(writing(600, 100).said).toEqual([])
  })
  test('forty a second are not, and are told once', () => {
    expect(writing(3000, 25).said).toEqual(['drover-1 wrote 901 times within a minute, the last to plans p'])
  })
})
