import { expect, test } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { startOf } from '../../bench/shipped.ts'

test('the last stage says how Node is started', () => {
  const dockerfile = [
    'FROM node AS build',
    'ENV A=1',
    'FROM other',
    'ENV B=2 C=x',
    'ENV D=3',
    'ENTRYPOINT ["/node", "--flag=1", "/d/dist/main.js"]',
  ].join('\n')
  expect(startOf(dockerfile)).toEqual({ flags: ['--flag=1'], env: { B: '2', C: 'x', D: '3' } })
  expect(() => startOf('FROM a\n\nFROM b\nENTRYPOINT node dist/main.js\n')).toThrow('starts no dist/main.js')
})

test("the project's own Dockerfile can be read", () => {
  expect(startOf(readFileSync('Dockerfile', 'utf8')).env['NODE_ENV']).toBe('production')
})
