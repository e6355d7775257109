/** From the command to the exit code and the one line that the controller reads. */
import type { PayloadResult } from '../api/payload-result.ts'
import { messageOf } from '../base/errors.ts'
import type { Host } from './host.ts'
import type { Run, Success } from './options.ts'
import { prepare } from './prepare.ts'
import { EXIT_CODES, type Reason, Refusal, WORTH_A_RETRY } from './refusal.ts'
import { upgrade } from './upgrade.ts'

/** Bytes that Kubernetes keeps of a termination message. */
const MAX_BYTES = 4096
const MAX_MESSAGE = 1000

/** Returns the exit code. */
export async function runPayload(host: Host, command: 'upgrade' | 'prepare', run: Run): Promise<number> {
  const started = host.clock.mono()
  const { result, code } = await attempt(host, command, run)
  const line = fitting({ ...result, seconds: Math.round((host.clock.mono() - started) / 100) / 10 })
  host.leaveMessage(line)
  run.say(line)
  return code
}

type Ended = { readonly result: PayloadResult; readonly code: number }

async function attempt(host: Host, command: 'upgrade' | 'prepare', run: Run): Promise<Ended> {
  try {
    const success: Success = await (command === 'upgrade' ? upgrade : prepare)(host, run)
    return { result: { drover: 1, final: true, ...success }, code: 0 }
  } catch (error) {
    if (error instanceof Refusal) return ended(error.reason, error.message, error.log)
    if (run.signal.aborted) return ended('Interrupted', `stopped from outside; the next try goes on from here`)
    return ended('Failed', messageOf(error))
  }
}

function ended(reason: Reason, message: string, log?: string): Ended {
  const result = {
    drover: 1 as const,
    result: reason,
    message: message.slice(0, MAX_MESSAGE),
    final: !WORTH_A_RETRY.includes(reason),
    ...(log === undefined || log === '' ? {} : { log }),
  }
  return { result, code: EXIT_CODES[reason] }
}

/** Of what is too long, the log loses its beginning first. */
function fitting(result: PayloadResult): string {
  const line = JSON.stringify(result)
  const over = Buffer.byteLength(line) - MAX_BYTES
  if (over <= 0 || result.log === undefined) return line
  const { log, ...rest } = result
  // A character of the log may take several bytes of the line.
  const shorter = log.slice(Math.max(1, Math.ceil(over / 6)))
  return fitting(shorter === '' ? rest : { ...rest, log: shorter })
}
