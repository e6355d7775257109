/** `npm run vectors -- FOLDER [--only FILE…]`: replays golden vectors of system-upgrade-controller against Drover's strict mode. */
import { runCommand } from './command.ts'

process.exitCode = await runCommand(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
)
