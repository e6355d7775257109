import { expect, test } from '@jest/globals'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limitNow, YARDSTICK_MS, yardstick } from '../../bench/yardstick.ts'

test('a limit is wider by as much as the machine is slower, and never narrower', () => {
  expect(limitNow(500, YARDSTICK_MS)).toBe(500)
  expect(limitNow(500, YARDSTICK_MS * 1.2)).toBeCloseTo(600)
  expect(limitNow(500, YARDSTICK_MS / 2)).toBe(500)
  expect(limitNow(500, Number.NaN)).toBeNaN()
})

test('the yardstick reads what it was given, in CPU time of its own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'drover-yardstick-'))
  try {
    const small = yardstick({ flags: [], env: {} }, folder, 1).measure()
    const large = yardstick({ flags: [], env: {} }, folder, 3_000).measure()
    expect(small).toBeGreaterThan(0)
    expect(large).toBeGreaterThan(small)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
