import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'

const MAIN = 'dist/main.js'
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }

/** Runs the bundled command with nothing of the environment but what is given. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing; \`npm test\` builds it, and so does \`npm run build\``)
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { out: '', err: '' }
  child.stdout.on('data', (data: Buffer) => (said.out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (said.err += data.toString()))
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...said })),
  )
  return { child, said, ended }
}

test('the bundle runs by itself and knows its version', async () => {
  expect(await start(['--version']).ended).toEqual({ code: 0, out: `drover ${version}\n`, err: '' })
})

test('help lists the commands', async () => {
  const { code, out } = await start(['--help']).ended

  expect(code).toBe(0)
  for (const command of ['explain', 'release', 'demo', 'sandbox', 'simulate']) expect(out).toContain(`\n  ${command} `)
})

test('every command listed can be loaded', async () => {
  for (const command of ['explain', 'release', 'sandbox', 'simulate']) {
    expect([command, await start([command, '--help']).ended]).toEqual([
      command,
      { code: 0, out: expect.stringMatching(/^usage: drover/i), err: '' },
    ])
  }
})

test.each([
  [['nonsense'], 'drover: there is no command "nonsense"'],
  [['--nonsense'], 'drover: "--nonsense" is no flag'],
  [[], 'drover: which namespace?'],
])('%j is refused with exit code 2', async (args, reason) => {
  expect(await start(args).ended).toEqual({ code: 2, out: '', err: expect.stringContaining(reason) })
})

test('the controller waits for an API server that is not there, and stops cleanly on SIGTERM', async () => {
  const { child, said, ended } = start(['--namespace=ns', '--master=http://127.0.0.1:1', '--threads=many'], {
    DROVER_METRICS_ADDRESS: '127.0.0.1:0',
  })
  const deadline = Date.now() + 10_000
  while (!said.out.includes('controller starts') && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  child.kill('SIGTERM')
  const { code, out, err } = await ended
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string; msg: string })

  expect([code, err]).toEqual([0, ''])
  expect(lines.map(({ level, msg }) => `${level} ${msg}`)).toEqual(
    expect.arrayContaining(['warn setting refused, its default is used', 'info controller starts', 'info controller stopped']),
  )
})
