import { expect, test } from '@jest/globals'
import { parseRetryAfter } from '../../../src/kube/client/retry-after.ts'

const now = Date.UTC(2026, 0, 1, 12)

test.each([
  ['7', 7000],
  ['0', 0],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ['soon', undefined],
  [undefined, undefined],
])('Retry-After %s is %s ms', (header, wanted) => {
  expect(parseRetryAfter(header, now)).toBe(wanted)
})
