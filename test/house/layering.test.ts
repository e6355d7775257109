import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path/posix'
import { describe, expect, test } from '@jest/globals'
import { violations } from './layering.ts'

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map((path) => join('src', path))
  .filter((path) => path.endsWith('.ts'))

test('the house stands as designed', () => {
  expect(sources.length).toBeGreaterThan(10)
  expect(sources.flatMap((path) => violations(path, readFileSync(path, 'utf8')))).toEqual([])
})

describe('walls', () => {
  test.each([
    ['src/base/a.ts', '../api/plan.ts', 'base may not know api'],
    ['src/kube/objects/a.ts', '../client/client.ts', 'kube/objects may not know kube/client'],
    ['src/kube/client/a.ts', '../../api/plan.ts', 'kube/client may not know api'],
    ['src/api/a.ts', '../rollout/decide.ts', 'api may not know rollout'],
    ['src/rollout/gates/a.ts', '../../kube/client/client.ts', 'rollout may not know kube/client'],
    ['src/rollout/a.ts', '../controller/act.ts', 'rollout may not know controller'],
    ['src/rollout/a.ts', 'node:fs', 'rollout does no I/O'],
    ['src/observability/a.ts', '../api/plan.ts', 'observability may not know api'],
    ['src/observability/a.ts', '../kube/client/client.ts', 'observability may not know kube/client'],
    ['src/controller/a.ts', '../sandbox/sandbox.ts', 'controller may not know sandbox'],
    ['src/controller/a.ts', '../cli/demo.ts', 'controller may not know cli'],
    ['src/controller/a.ts', 'node:http', 'time and sockets are given, not taken'],
    ['src/sandbox/server/a.ts', '../../rollout/drain.ts', 'sandbox may not know rollout'],
    ['src/sandbox/a.ts', '../api/plan.ts', 'sandbox may not know api'],
    ['src/sandbox/a.ts', '../kube/client/client.ts', 'sandbox may not know kube/client'],
    ['src/sandbox/a.ts', 'node:http', 'time and sockets are given, not taken'],
    ['src/simulation/a.ts', 'node:timers/promises', 'time and sockets are given, not taken'],
    ['src/payload/a.ts', 'node:fs', 'payload does no I/O'],
    ['src/payload/a.ts', 'node:child_process', 'payload does no I/O'],
    ['src/payload/a.ts', 'node:net', 'time and sockets are given, not taken'],
    ['src/payload/linux-host.ts', 'node:http2', 'time and sockets are given, not taken'],
    ['src/payload/a.ts', '../kube/client/client.ts', 'payload may not know kube/client'],
    ['src/payload/a.ts', '../rollout/decide.ts', 'payload may know only src/rollout/attempt.ts and src/rollout/version.ts of rollout'],
    ['src/controller/a.ts', '../payload/upgrade.ts', 'controller may not know payload'],
    ['src/main.ts', './controller/run.ts', 'main may not know controller'],
    ['src/controller/a.ts', '@kubernetes/client-node', 'only kube/client may'],
    ['src/controller/a.ts', 'prom-client', 'only observability may'],
    ['src/kube/client/a.ts', '../../../test/house/layering.ts', 'kube/client may not know what is outside src'],
  ])('%s importing %s', (path, specifier, reason) => {
    const expected = [`${path} imports ${specifier}: ${reason}`]

    expect(violations(path, `import { x } from '${specifier}'\nx()\n`)).toEqual(expected)
    expect(violations(path, `import type { X } from '${specifier}'\nexport type Y = X\n`)).toEqual(expected)
    expect(violations(path, `export { x } from '${specifier}'\n`)).toEqual(expected)
    expect(violations(path, `export * from '${specifier}'\n`)).toEqual(expected)
    expect(violations(path, `export const x = await import('${specifier}')\n`)).toEqual(expected)
    expect(violations(path, `export type X = import('${specifier}').X\n`)).toEqual(expected)
  })

  test('a room that the house does not have', () => {
    expect(violations('src/helpers/a.ts', '')).toEqual([expect.stringContaining('stands in no room')])
  })
})

describe('doors', () => {
  test.each([
    ['src/kube/objects/a.ts', '../../base/json.ts'],
    ['src/kube/client/a.ts', 'node:https'],
    ['src/kube/client/a.ts', '@kubernetes/client-node'],
    ['src/api/a.ts', '../kube/objects/selector.ts'],
    ['src/rollout/gates/a.ts', '../../api/plan.ts'],
    ['src/rollout/a.ts', 'node:crypto'],
    ['src/controller/a.ts', '../kube/client/client.ts'],
    ['src/sandbox/listen.ts', 'node:http'],
    ['src/observability/server.ts', 'node:http'],
    ['src/simulation/a.ts', '../sandbox/sandbox.ts'],
    ['src/cli/a.ts', '../rollout/decide.ts'],
    ['src/payload/a.ts', '../rollout/version.ts'],
    ['src/payload/linux-host.ts', 'node:fs'],
    ['src/payload/linux-host.ts', 'node:child_process'],
    ['src/main.ts', './cli/args.ts'],
  ])('%s importing %s', (path, specifier) => {
    expect(violations(path, `import { x } from '${specifier}'\nx()\n`)).toEqual([])
  })
})

describe('time, chance and sockets', () => {
  test.each([
    ['Date.now', 'export const a = Date.now()'],
    ['new Date()', 'export const a = new Date()'],
    ['Date()', 'export const a = Date()'],
    ['Math.random', 'export const a = { random: Math.random }'],
    ['setTimeout', 'export function a() { setTimeout(() => {}, 1) }'],
    ['setTimeout', 'export const a = globalThis.setTimeout'],
    ['setInterval', 'export const a = [setInterval]'],
    ['fetch', 'export const a = async () => fetch("x")'],
    ['performance', 'export const a = performance.now()'],
    ['AbortSignal.timeout', 'export const a = AbortSignal.timeout(5)'],
    ['crypto.randomUUID', 'export const a = crypto.randomUUID()'],
    ['process.hrtime', 'export const a = process.hrtime()'],
  ])('%s is not taken', (use, source) => {
    for (const path of ['src/rollout/a.ts', 'src/controller/a.ts', 'src/sandbox/a.ts', 'src/cli/a.ts']) {
      expect(violations(path, source)).toEqual([`${path} uses ${use}; time, chance and sockets are given, not taken`])
    }
    expect(violations('src/base/a.ts', source)).toEqual([])
    expect(violations('src/kube/client/a.ts', source)).toEqual([])
  })

  test('names and texts that only look like it are fine', () => {
    const source = [
      '/** Date.now() and setTimeout are not used. */',
      "export const text = 'new Date() Math.random()'",
      'export const parsed = (value: number) => [new Date(value), Date.parse("x"), Date.UTC(2026)]',
      'export interface Options { setTimeout(): void; fetch: string }',
      'export const own = (fetch: () => void) => fetch()',
      'export const member = (gather: { fetch(): void }) => gather.fetch()',
      'export const made = { performance: 1 }',
    ].join('\n')

    expect(violations('src/rollout/a.ts', source)).toEqual([])
  })

  test('zod as a whole', () => {
    expect(violations('src/api/a.ts', "import { z } from 'zod'\nz.string()")).toEqual([
      'src/api/a.ts imports zod: take it as a namespace: import * as z',
    ])
    expect(violations('src/api/a.ts', "import * as z from 'zod'\nz.string()")).toEqual([])
  })

  test('chance by import, and the system clock', () => {
    expect(violations('src/rollout/a.ts', "import { createHash } from 'node:crypto'\ncreateHash('sha1')")).toEqual([])
    expect(violations('src/rollout/a.ts', "import { randomUUID } from 'node:crypto'\nrandomUUID()")).toHaveLength(1)
    expect(violations('src/controller/a.ts', "import { systemClock } from '../base/clock.ts'\nsystemClock.wall()")).toHaveLength(1)
    expect(
      violations('src/controller/a.ts', "import { type Clock, formatTime } from '../base/clock.ts'\nexport const x: Clock = formatTime"),
    ).toEqual([])
    expect(violations('src/cli/a.ts', "import { systemClock } from '../base/clock.ts'\nsystemClock.wall()")).toEqual([])
  })
})

describe('form', () => {
  test.each([
    ['export default function a() {}', 'has a default export'],
    ['export default { a: 1 }', 'has a default export'],
    ['const a = 1\nexport { a as default }', 'has a default export'],
    ['export const a = (b: any) => b', 'says any'],
    ['export type A = Record<string, any[]>', 'says any'],
    ['//\n'.repeat(501), 'has 501 lines, 500 are allowed'],
  ])('%#', (source, reason) => {
    expect(violations('src/api/a.ts', source)).toEqual([`src/api/a.ts ${reason}`])
  })

  test('a file of 500 lines passes', () => {
    expect(violations('src/api/a.ts', '//\n'.repeat(500))).toEqual([])
  })
})
