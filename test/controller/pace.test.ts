import { expect, test } from '@jest/globals'
import { settleAfter } from '../../src/controller/pace.ts'

test.each([
  ['a short pass is followed by a short wait', 0, 20],
  ['passes take a tenth of the time', 10, 90],
  ['nothing waits long, however large the cluster', 1000, 200],
])('%s', (_what, passMs, waits) => {
  expect(settleAfter(passMs)).toBe(waits)
})
