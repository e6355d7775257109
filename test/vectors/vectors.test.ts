import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { runCommand } from './command.ts'
import { REPLAYS } from './replay.ts'

const VECTORS = fileURLToPath(new URL('suc', import.meta.url))

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-vectors-'))
  await cp(VECTORS, folder, { recursive: true })
})
afterEach(() => rm(folder, { recursive: true }))

async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const code = await runCommand(
    args,
    (text) => (out += text),
    (text) => (err += text),
  )
  return { code, out, err }
}

type Falsify = (expected: Record<string, unknown>) => Record<string, unknown>

const first = (text: unknown): string => `${String(text).startsWith('0') ? '1' : '0'}${String(text).slice(1)}`

/** One expectation of each file, made wrong. */
const FALSE: Readonly<Record<string, { id: string; falsify: Falsify }>> = {
  channel: { id: '302-query', falsify: (expected) => ({ ...expected, version: 'v9' }) },
  job: { id: 'deadline-sixty', falsify: ({ job }) => ({ job: { ...(job as object), kind: 'CronJob' } }) },
  'latest-hash': { id: 'secret-missing', falsify: (expected) => ({ ...expected, error: 'no error' }) },
  name: { id: 'job-typical', falsify: ({ name }) => ({ name: first(name) }) },
  'select-nodes': { id: 'applying-unsorted', falsify: ({ nodes, hostnames }) => ({ hostnames, nodes: (nodes as string[]).toReversed() }) },
  'post-complete-labels': { id: 'version', falsify: (expected) => ({ ...expected, unschedulable: true }) },
  sync: { id: 'job-running', falsify: (expected) => ({ ...expected, deleted: [{ name: 'another' }] }) },
  validate: { id: 'channel', falsify: (expected) => ({ ...expected, channelAsked: false }) },
  window: { id: 'days-one', falsify: ({ inside }) => ({ inside: (inside as boolean[]).with(0, true) }) },
}

async function falsify(name: string): Promise<void> {
  const file = join(folder, `${name}.jsonl`)
  const wrong = FALSE[name]
  const lines = (await readFile(file, 'utf8')).split('\n').map((line) => {
    if (wrong === undefined || !line.startsWith(`{"id":"${wrong.id}",`)) return line
    const vector = JSON.parse(line) as { expect: Record<string, unknown> }
    return JSON.stringify({ ...vector, expect: wrong.falsify(vector.expect) })
  })
  await writeFile(file, lines.join('\n'))
}

describe('npm run vectors', () => {
  test('every golden case is reproduced', async () => {
    const { code, out } = await run(VECTORS)
    expect(out).toMatch(/\n358 passed, 0 failed\n$/)
    expect(out).not.toContain('not run')
    expect(code).toBe(0)
  })

  test('one falsified expectation in each file gives exactly that many failures', async () => {
    expect(Object.keys(FALSE).toSorted()).toEqual(Object.keys(REPLAYS).toSorted())
    for (const name of Object.keys(FALSE)) await falsify(name)
    const { code, out } = await run(folder)
    for (const [name, { id }] of Object.entries(FALSE)) {
      expect(out).toMatch(new RegExp(`^${name}: \\d+ passed, 1 failed\n  ${id}\n    .*\n      expected .*\n      got `, 'm'))
    }
    expect(out).toMatch(/\n349 passed, 9 failed\n$/)
    expect(code).toBe(1)
  })

  test('each difference names its place', async () => {
    await falsify('job')
    const { out } = await run(folder, '--only', 'job')
    expect(out).toContain('  deadline-sixty\n    job.kind\n      expected "CronJob"\n      got      "Job"\n')
  })

  test('--only takes names with or without the ending, and nothing else runs', async () => {
    const { code, out } = await run(folder, '--only', 'name', 'window.jsonl')
    expect(out).toBe('name: 26 passed, 0 failed\nwindow: 39 passed, 0 failed\n65 passed, 0 failed\n')
    expect(code).toBe(0)
  })

  test('a file that nothing replays counts neither as passed nor as failed, and is named', async () => {
    await writeFile(join(folder, 'other.jsonl'), '{"id":"x","expect":{}}\n')
    const { out } = await run(folder, '--only', 'other', 'name')
    expect(out).toBe('name: 26 passed, 0 failed\nother: 1 cases not run: nothing here knows such a file\n26 passed, 0 failed\n')
  })

  test('nothing to replay is an error, not a success', async () => {
    for (const name of await readdir(folder)) await rm(join(folder, name))
    expect(await run(folder)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('no .jsonl file') })
    await writeFile(join(folder, 'other.jsonl'), '')
    expect(await run(folder)).toMatchObject({ code: 2, out: '' })
    expect(await run(folder, '--only', 'job')).toMatchObject({ code: 2, err: expect.stringContaining('there is no job.jsonl') })
    expect(await run(join(folder, 'missing'))).toMatchObject({ code: 2, out: '' })
  })

  test.each([[[]], [['a', 'b']], [['a', '--only']], [['--all']]])('arguments %j are refused', async (args) => {
    expect(await run(...args)).toEqual({ code: 2, out: '', err: expect.stringContaining('usage:') })
  })

  test('a line that is no case stops the command and names its place', async () => {
    await writeFile(join(folder, 'name.jsonl'), '{"id":"a","parts":[],"expect":{"name":""}}\n{"parts":[]}\n')
    expect(await run(folder, '--only', 'name')).toMatchObject({
      code: 2,
      err: expect.stringContaining('name.jsonl, case 2: a case has no id'),
    })
  })

  test('a Plan that SUC cannot decode is read, or its fault is named', async () => {
    const plan = (spec: object) => ({ metadata: { name: 'p', namespace: 'n' }, spec: { upgrade: { image: 'x' }, ...spec } })
    const vector = (id: string, spec: object, decodeError: string) =>
      JSON.stringify({ id, plan: plan(spec), secrets: [], expect: { decodeError } })
    const lines = [
      vector(
        'wide',
        { drain: { timeout: 60_000_000_000 } },
        'json: cannot unmarshal number 60000000000 into Go struct field of type int32',
      ),
      vector('wrong', { concurrency: 'one' }, 'json: cannot unmarshal string into Go struct field PlanSpec.spec.concurrency of type int64'),
      vector('pretended', { concurrency: 'one' }, 'json: cannot unmarshal number into Go struct field of type int32'),
    ]
    await writeFile(join(folder, 'latest-hash.jsonl'), lines.join('\n'))
    const { out } = await run(folder, '--only', 'latest-hash')
    expect(out).toContain('latest-hash: 2 passed, 1 failed\n  pretended\n')
  })
})
