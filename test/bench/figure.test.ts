import { expect, test } from '@jest/globals'
import { exceeded, line, median } from '../../bench/figure.ts'

const of = (measured: number, limit?: number) => ({ name: 'requests', measured, unit: ' MB', ...(limit === undefined ? {} : { limit }) })

test('a figure at its limit is kept, above it is not, and what was not measured is not kept', () => {
  expect([of(9, 9), of(9.001, 9), of(Number.NaN, 9), of(1e9)].map(exceeded)).toEqual([false, true, true, false])
})

test('a line names measurement, limit and verdict, and rounding never hides an excess', () => {
  expect(line(of(8.5, 9))).toBe('requests: 8.5 MB (9 MB) ok')
  expect(line(of(9.0001, 9))).toBe('requests: 9.01 MB (9 MB) EXCEEDED')
  expect(line(of(3))).toBe('requests: 3 MB')
})

test('median', () => {
  expect([median([3, 1, 2]), median([10, 9, 1, 100]), median([])]).toEqual([2, 10, Number.NaN])
})
