import { expect, test } from '@jest/globals'
import { upToFive, upToThree } from '../../../src/rollout/drain/some-names.ts'

const names = (count: number) => ['a', 'b', 'c', 'd', 'e', 'f', 'g'].slice(0, count)

test.each([
  [0, ''],
  [3, 'a, b, c'],
  [4, 'a, b, c, …'],
])('of %s names three are told', (count, told) => {
  expect(upToThree(names(count))).toBe(told)
})

test.each([
  [0, ''],
  [5, 'a, b, c, d, e'],
  [6, 'a, b, c, d, e, and 1 more'],
  [7, 'a, b, c, d, e, and 2 more'],
])('of %s names five are told, with how many are left', (count, told) => {
  expect(upToFive(names(count))).toBe(told)
})
