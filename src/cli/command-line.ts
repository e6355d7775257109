/** Reads a command's arguments; what makes no sense is told as an error that ends with exit code 2. */
import { parseArgs } from 'node:util'
import { DroverError, messageOf } from '../base/errors.ts'

export interface CommandLine {
  readonly positionals: readonly string[]
  /** By flag; undefined = not given. */
  readonly texts: Readonly<Record<string, string | undefined>>
  readonly flags: Readonly<Record<string, boolean | undefined>>
}

/**
 * @param texts flags that take a value
 * @param flags those that take none
 * @throws DroverError `Usage` that names the argument
 */
export function readCommandLine(argv: readonly string[], texts: readonly string[], flags: readonly string[]): CommandLine {
  const options = (names: readonly string[], type: 'string' | 'boolean') => names.map((name) => [name, { type }] as const)
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: Object.fromEntries([...options(texts, 'string'), ...options(flags, 'boolean')]),
    })
    const given = Object.entries(values)
    return {
      positionals,
      texts: Object.fromEntries(given.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
      flags: Object.fromEntries(given.filter((entry): entry is [string, boolean] => typeof entry[1] === 'boolean')),
    }
  } catch (error) {
    throw new DroverError('Usage', messageOf(error), { retry: 'never' })
  }
}
