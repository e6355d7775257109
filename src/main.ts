#!/usr/bin/env node
import { dispatch } from './cli/args.ts'
import { COMMANDS, CONTROLLER } from './cli/commands.ts'

const stop = new AbortController()
let asked = 0
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Who asks a second time does not want to wait for a clean end.
    if (++asked > 1) process.exit(signal === 'SIGINT' ? 130 : 143)
    stop.abort(new Error(`${signal} received`))
  })
}

const output = { out: (text: string) => process.stdout.write(text), err: (text: string) => process.stderr.write(text) }
const code = await dispatch(
  process.argv.slice(2),
  COMMANDS,
  CONTROLLER,
  process.env['DROVER_VERSION'] ?? 'development',
  output,
  stop.signal,
)
// Sockets that are kept alive would hold the process; what was written to a pipe must get out first.
process.stdout.write('', () => process.exit(code))
