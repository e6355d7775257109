import { expect, test } from '@jest/globals'
import { closeSync, openSync } from 'node:fs'
import { DroverError } from '../../src/base/errors.ts'
import { pinoLog } from '../../src/base/pino-log.ts'

function recorder(debug = false) {
  const lines: string[] = []
  const log = pinoLog({ debug, write: (line) => lines.push(line) })
  return { log, lines: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

test('a line is one JSON object with level, time, message and fields', () => {
  const { log, lines } = recorder()

  log.with({ plan: 'ns/server' }).warn('node is late', { node: 'a', seconds: 3 })

  expect(lines()).toEqual([
    { level: 'warn', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), plan: 'ns/server', node: 'a', seconds: 3, msg: 'node is late' },
  ])
})

test('debug lines appear only when asked for', () => {
  const quiet = recorder()
  const loud = recorder(true)

  for (const { log } of [quiet, loud]) {
    log.debug('detail')
    log.info('news')
  }

  expect(quiet.lines().map((line) => line['msg'])).toEqual(['news'])
  expect(loud.lines().map((line) => line['msg'])).toEqual(['detail', 'news'])
})

test('an error of ours keeps code and retry and has no stack; a foreign one has its stack; causes follow', () => {
  const { log, lines } = recorder()
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })

  log.error('write failed', { error: new DroverError('Conflict', 'somebody else wrote', { retry: 'backoff', cause }) })

  expect(lines()[0]?.['error']).toEqual({
    name: 'DroverError',
    message: 'somebody else wrote',
    code: 'Conflict',
    retry: 'backoff',
    cause: { name: 'Error', message: 'refused', code: 'ECONNREFUSED', stack: expect.stringContaining('refused') },
  })
})

test('whatever was thrown is logged, however odd', () => {
  const { log, lines } = recorder()
  const loop = new Error('loop')
  loop.cause = loop

  log.error('odd', { error: 'just text' })
  log.error('odd', { error: loop })
  log.info('integers beyond 2^53', { value: 9007199254740993n })

  expect(lines().map((line) => line['error'])).toEqual(['just text', expect.objectContaining({ message: 'loop' }), undefined])
})

test('a disk without room ends nobody', () => {
  // Linux answers every write to it with ENOSPC.
  const fd = openSync('/dev/full', 'w')
  const log = pinoLog({ fd })
  for (let line = 0; line < 3; line++) expect(() => log.info('news', { text: 'x'.repeat(100_000) })).not.toThrow()
  closeSync(fd)
})
