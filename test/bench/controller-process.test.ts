import { expect, test } from '@jest/globals'
import { parseCpuMs, parseKilobytes } from '../../bench/controller-process.ts'

test('CPU time is user and system time, whatever the command is called', () => {
  const stat = '4242 (a) b (c)) S 1 4242 4242 0 -1 4194304 100 0 0 0 37 5 0 0 20 0 11 0 123456 1000 2000'
  expect(parseCpuMs(stat)).toBe(420)
})

test('memory is read by its exact name', () => {
  const status = 'Name:\tnode\nVmHWM:\t  120000 kB\nVmRSS:\t   90000 kB\nThreads:\t11\n'
  expect([parseKilobytes(status, 'VmRSS'), parseKilobytes(status, 'VmHWM')]).toEqual([90_000, 120_000])
  expect(() => parseKilobytes(status, 'Rss')).toThrow('no Rss')
})
