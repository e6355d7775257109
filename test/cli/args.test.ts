import { describe, expect, test } from '@jest/globals'
import { DroverError } from '../../src/base/errors.ts'
import { type Command, dispatch } from '../../src/cli/args.ts'

const signal = new AbortController().signal

async function call(...argv: string[]) {
  const calls: { command: string; argv: readonly string[]; signal: AbortSignal }[] = []
  const loaded: string[] = []
  const command = (name: string, outcome: () => number = () => 0): Command => ({
    about: `does ${name}`,
    load: async () => {
      loaded.push(name)
      return {
        run: async (given, aborted) => {
          calls.push({ command: name, argv: given, signal: aborted })
          return outcome()
        },
      }
    },
  })
  const commands = new Map([
    ['demo', command('demo')],
    ['seven', command('seven', () => 7)],
    [
      'broken',
      command('broken', () => {
        throw new Error('it broke')
      }),
    ],
    [
      'confused',
      command('confused', () => {
        throw new DroverError('UnknownFlag', '--y is no flag', { retry: 'never' })
      }),
    ],
  ])
  const said = { out: '', err: '' }
  const output = { out: (text: string) => (said.out += text), err: (text: string) => (said.err += text) }
  const code = await dispatch(argv, commands, command('controller'), '1.2.3', output, signal)
  return { code, calls, loaded, ...said }
}

test('no arguments at all is the controller, and so are flags alone', async () => {
  expect(await call()).toMatchObject({
    code: 0,
    calls: [{ command: 'controller', argv: [], signal }],
    loaded: ['controller'],
    out: '',
    err: '',
  })
  expect((await call('--debug', '--name=a')).calls).toEqual([{ command: 'controller', argv: ['--debug', '--name=a'], signal }])
})

test('a command gets the rest, and its exit code is the exit code; no other command is loaded', async () => {
  expect(await call('demo', 'a', '--b')).toMatchObject({ code: 0, calls: [{ command: 'demo', argv: ['a', '--b'] }], loaded: ['demo'] })
  expect(await call('seven')).toMatchObject({ code: 7 })
})

test('an unknown command is refused with the known ones, exit code 2', async () => {
  for (const name of ['dmeo', 'constructor', '']) {
    expect(await call(name)).toMatchObject({
      code: 2,
      calls: [],
      out: '',
      err: `drover: there is no command "${name}"; there are demo, seven, broken, confused\n`,
    })
  }
})

describe('help', () => {
  test.each([['help'], ['--help'], ['-h']])('%s lists every command', async (word) => {
    const { code, out, err, calls } = await call(word)

    expect([code, err, calls]).toEqual([0, '', []])
    for (const line of [
      'usage: drover [flags]',
      'Without a command: does controller.',
      '  demo      does demo',
      '  confused  does confused',
    ])
      expect(out).toContain(`${line}\n`)
  })

  test('of a command is its own business', async () => {
    expect((await call('demo', '--help')).calls).toMatchObject([{ command: 'demo', argv: ['--help'] }])
  })
})

test('the version', async () => {
  expect(await call('--version')).toMatchObject({ code: 0, out: 'drover 1.2.3\n' })
  expect(await call('version')).toMatchObject({ code: 0, out: 'drover 1.2.3\n' })
})

test('an error is one line; exit code 2 when the command line is to blame, else 1', async () => {
  expect(await call('broken')).toMatchObject({ code: 1, out: '', err: 'drover: it broke\n' })
  expect(await call('confused')).toMatchObject({ code: 2, out: '', err: 'drover: --y is no flag\n' })
})
