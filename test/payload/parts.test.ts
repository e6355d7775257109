import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { parsePayloadResult } from '../../src/api/payload-result.ts'
import { payloadOptions } from '../../src/cli/payload.ts'
import { architectureOf } from '../../src/payload/elf.ts'
import { DEFAULTS } from '../../src/payload/options.ts'
import { readAttempt } from '../../src/payload/pod-info.ts'
import { EXIT_CODES } from '../../src/payload/refusal.ts'
import { createMachine } from './machine.ts'
import { BINARY, carry, NEW, rke2Machine, run } from './kit.ts'

describe('options', () => {
  const parsed = (argv: readonly string[], env: Record<string, string> = {}) => payloadOptions(argv, env)

  test('defaults', () => {
    expect(parsed([])).toEqual({ options: DEFAULTS, host: '/host', positionals: [] })
  })

  test('by flag and by variable; the flag wins', () => {
    const { options, host } = parsed(['--rpm=replace', '--stable', '1m30s', '--no-rollback'], {
      DROVER_PAYLOAD_RPM: 'refuse',
      DROVER_PAYLOAD_ALLOW_SKIP: 'true',
      DROVER_PAYLOAD_SNAPSHOT: 'off',
      DROVER_PAYLOAD_MAX_CRASHES: '0',
      DROVER_PAYLOAD_HOST: '/',
      SYSTEM_UPGRADE_PLAN_LATEST_HASH: 'h',
      SYSTEM_UPGRADE_PLAN_LATEST_VERSION: 'v1.33.5-rke2r1',
    })
    expect(options).toMatchObject({
      rpm: 'replace',
      stableMs: 90_000,
      rollback: false,
      allowSkip: true,
      allowDowngrade: false,
      snapshot: false,
      maxCrashes: 0,
      planHash: 'h',
      planVersion: 'v1.33.5-rke2r1',
    })
    expect(host).toBe('/')
  })

  test.each([
    [['--rpm=keep'], /--rpm: "keep" is none of refuse, replace/],
    [['--timeout=8'], /--timeout: "8" is no time/],
    [['--timeout=-1s'], /--timeout: "-1s" is no time/],
    [['--timeout=25h'], /--timeout: "25h" is no time/],
    [['--max-crashes=x'], /--max-crashes: "x" is no number/],
    [['--snapshot=maybe'], /--snapshot: "maybe" is none of on, off/],
    [['--nonsense'], /nonsense/],
  ])('%j is refused', (argv, message) => {
    expect(() => parsed(argv)).toThrow(message)
  })

  test('a variable that is neither true nor false is refused', () => {
    expect(() => parsed([], { DROVER_PAYLOAD_FORCE: 'yes' })).toThrow(/--force: "yes" is none of true, false/)
  })
})

describe('ELF', () => {
  const head = (...bytes: number[]) => new Uint8Array([0x7f, 0x45, 0x4c, 0x46, ...bytes, ...Array.from({ length: 20 }, () => 0)])

  test('machines, in both byte orders', () => {
    const machine = (code: number, big = false) => {
      const bytes = head(2, big ? 2 : 1)
      bytes[big ? 19 : 18] = code
      return architectureOf(bytes)
    }
    expect([machine(62), machine(183), machine(40), machine(22, true), machine(7)]).toEqual(['amd64', 'arm64', 'arm', 's390x', 'machine 7'])
    expect(architectureOf(new Uint8Array(readFileSync(process.execPath).subarray(0, 64)))).toBe(
      process.arch === 'x64' ? 'amd64' : process.arch,
    )
  })

  test('what is none', () => {
    expect([
      architectureOf(undefined),
      architectureOf(new Uint8Array(3)),
      architectureOf(new TextEncoder().encode('#!/bin/sh and more of it')),
    ]).toEqual([undefined, undefined, undefined])
  })
})

describe('the attempt, from the pod info', () => {
  const read = (files: Record<string, string>) => {
    const machine = createMachine()
    for (const [name, text] of Object.entries(files)) machine.carried(`/info/${name}`, text)
    return readAttempt(machine.host.image, '/info')
  }

  test("Drover's mark", () => {
    expect(read({ annotations: 'other="x"\ndrover.io/attempt="uid/3/may/have \\"slashes\\""' })).toEqual({
      key: 'uid/may/have "slashes"',
      count: 3,
      marked: true,
    })
  })

  test('the Job, where there is no mark; nothing, outside a Job', () => {
    expect(
      read({ labels: 'controller-uid="old"\nbatch.kubernetes.io/controller-uid="new"', annotations: 'drover.io/attempt="nonsense"' }),
    ).toEqual({
      key: 'job:new',
      count: 1,
      marked: false,
    })
    expect(read({})).toEqual({ key: '', count: 1, marked: false })
  })
})

test('the line fits into a termination message, whatever the log holds', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW, behaviour: 'crash' })
  machine.state.programs.set('journalctl', { code: 0, stdout: `${'\x01é'.repeat(3000)}the end\n` })

  await run(machine)

  const line = machine.state.messages.at(-1) ?? ''
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096)
  expect(Buffer.byteLength(line)).toBeGreaterThan(1500)
  expect(parsePayloadResult(line)?.result).toBe('RolledBack')
})

test('an error that nobody expected is said, and worth a retry', async () => {
  const machine = rke2Machine()
  carry(machine, { version: NEW })
  machine.state.faultAt = 1
  machine.state.fault = 'EIO'
  expect((await run(machine)).result).toMatchObject({ result: 'Failed', message: 'EIO: as asked for', final: false })
  expect(machine.inodeAt(BINARY)?.data).toContain('v1.33.4')
})

test('exit codes are unique, and docs/payload.md lists them all', () => {
  const codes = Object.entries(EXIT_CODES)
  expect(new Set(codes.map(([, code]) => code)).size).toBe(codes.length)
  const listed = [...readFileSync('docs/payload.md', 'utf8').matchAll(/^\| (\d+) \| `(\w+)` \|/gm)].map(([, code, reason]) => [
    reason,
    Number(code),
  ])
  expect(listed).toEqual(codes)
})
