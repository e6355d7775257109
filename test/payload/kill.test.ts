/** A real process on a real file system, killed with SIGKILL at each step of the replacement. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { build, stop } from 'esbuild'
import { sha256 } from './machine.ts'

const OLD = 'old program '.repeat(100_000)
const NEW = 'new program '.repeat(2_000_000)
let folder: string
let child: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'drover-kill-'))
  child = join(folder, 'child.mjs')
  await build({
    entryPoints: ['test/payload/kill/child.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: child,
    logLevel: 'error',
  })
  writeFileSync(join(folder, 'source'), NEW)
}, 60_000)
afterAll(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

function replace(root: string, step: number) {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [child, root, join(folder, 'source'), sha256(NEW), String(step)], {
    encoding: 'utf8',
  })
  return { status, signal, stdout, stderr }
}

function machine(name: string): string {
  const root = join(folder, name)
  mkdirSync(join(root, 'bin'), { recursive: true })
  writeFileSync(join(root, 'bin/rke2'), OLD)
  chmodSync(join(root, 'bin/rke2'), 0o751)
  return root
}

test('the file is whole every time, and the next try succeeds', () => {
  const whole = replace(machine('whole'), 0)
  expect(whole.stderr).toBe('')
  const steps = Number(whole.stdout)
  expect(steps).toBeGreaterThan(10)
  const seen = new Set<string>()
  for (let step = 1; step <= steps; step++) {
    const root = machine(`step-${step}`)
    expect([step, replace(root, step).signal]).toEqual([step, 'SIGKILL'])
    const text = readFileSync(join(root, 'bin/rke2'), 'utf8')
    expect([step, text === OLD || text === NEW]).toEqual([step, true])
    seen.add(text === OLD ? 'old' : 'new')
    if (text === OLD) expect([step, replace(root, 0).status]).toEqual([step, 0])
    expect(readFileSync(join(root, 'bin/rke2'), 'utf8') === NEW).toBe(true)
    expect(readFileSync(join(root, 'bin/rke2.drover-previous'), 'utf8') === OLD).toBe(true)
    expect(statSync(join(root, 'bin/rke2')).mode & 0o777).toBe(0o751)
    expect(readdirSync(join(root, 'bin')).toSorted()).toEqual(['rke2', 'rke2.drover-previous', 'rke2.drover-previous.json'])
    rmSync(root, { recursive: true })
  }
  expect([...seen].toSorted()).toEqual(['new', 'old'])
}, 240_000)
