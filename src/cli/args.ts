import { DroverError, messageOf } from '../base/errors.ts'

/** What a command's file exports: resolves with the exit code; `signal` aborts when the process is asked to end. */
export interface CommandModule {
  run(argv: readonly string[], signal: AbortSignal): Promise<number>
}

export interface Command {
  readonly about: string
  /** Loaded when it is called, so that the controller's start pays for nothing else. */
  load(): Promise<CommandModule>
}

export interface Output {
  out(text: string): void
  err(text: string): void
}

/** Errors about the command line itself: the exit code is 2. */
const USAGE_ERRORS = ['UnknownFlag', 'BadFlag', 'MissingSetting', 'Usage']

/**
 * Runs what the command line asks for: no command is the controller.
 * @returns the exit code: the command's own, 1 when it threw, 2 when the command line makes no sense
 */
export async function dispatch(
  argv: readonly string[],
  commands: ReadonlyMap<string, Command>,
  controller: Command,
  version: string,
  output: Output,
  signal: AbortSignal,
): Promise<number> {
  const [first, ...rest] = argv
  if (first === 'help' || first === '--help' || first === '-h') {
    output.out(help(commands, controller))
    return 0
  }
  if (first === 'version' || first === '--version') {
    output.out(`drover ${version}\n`)
    return 0
  }
  const named = first !== undefined && !first.startsWith('-')
  const command = named ? commands.get(first) : controller
  if (command === undefined) {
    output.err(`drover: there is no command ${JSON.stringify(first)}; there are ${[...commands.keys()].join(', ')}\n`)
    return 2
  }
  try {
    const module = await command.load()
    return await module.run(named ? rest : argv, signal)
  } catch (error) {
    output.err(`drover: ${messageOf(error)}\n`)
    return error instanceof DroverError && USAGE_ERRORS.includes(error.code) ? 2 : 1
  }
}

function help(commands: ReadonlyMap<string, Command>, controller: Command): string {
  const width = Math.max(...[...commands.keys()].map((name) => name.length))
  const lines = [...commands].map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`)
  return [
    'Drover upgrades RKE2 and K3s clusters as their Plans say.',
    '',
    'usage: drover [flags]',
    '       drover COMMAND [arguments]',
    '',
    `Without a command: ${controller.about}.`,
    '',
    'Commands:',
    ...lines,
    '',
    '`drover COMMAND --help` says what a command takes.',
    '',
  ].join('\n')
}
