import { messageOf } from '../../src/base/errors.ts'
import { runFolder } from './run.ts'

const USAGE = 'usage: npm run vectors -- FOLDER [--only FILE…]'

/** Runs the command; returns its exit code: 1 = a case failed, 2 = nothing could be replayed. */
export async function runCommand(args: readonly string[], out: (text: string) => void, err: (text: string) => void): Promise<number> {
  const parsed = parseArgs(args)
  if (parsed === undefined) {
    err(`${USAGE}\n`)
    return 2
  }
  try {
    const report = await runFolder(parsed.folder, parsed.only)
    out(`${report.lines.join('\n')}\n`)
    return report.failed === 0 ? 0 : 1
  } catch (error) {
    err(`${messageOf(error)}\n${USAGE}\n`)
    return 2
  }
}

function parseArgs(args: readonly string[]): { folder: string; only: readonly string[] } | undefined {
  const at = args.indexOf('--only')
  const [folders, only] = at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)]
  const [folder, another] = folders
  const unknown = [...folders, ...only].some((arg) => arg.startsWith('-'))
  if (folder === undefined || another !== undefined || unknown || (at >= 0 && only.length === 0)) return undefined
  return { folder, only }
}
