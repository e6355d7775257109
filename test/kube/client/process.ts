import type { Clock } from '../../../src/base/clock.ts'
import type { Fields, Log } from '../../../src/base/log.ts'
import type { Process, Request, Response, Transport, WatchResponse } from '../../../src/base/process.ts'
import { virtualClock } from './clocks.ts'
import { nowhere } from '../../../src/base/nowhere.ts'

export interface Line {
  readonly level: string
  readonly message: string
  readonly fields: Fields
}

export function memoryLog(lines: Line[]): Log {
  const at =
    (level: string) =>
    (message: string, fields: Fields = {}): void => {
      lines.push({ level, message, fields })
    }
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), with: () => log }
  return log
}

const unreachable: Transport = {
  send: () => Promise.reject(new Error('no transport in this test')),
  watch: () => Promise.reject(new Error('no transport in this test')),
}

/** A process with the parts a test gives, virtual time and a random that is always 0 otherwise. */
export function testProcess(parts: Partial<Process> & { readonly lines?: Line[] } = {}): Process {
  return {
    name: parts.name ?? 'drover-test',
    clock: parts.clock ?? (virtualClock() as Clock),
    random: parts.random ?? (() => 0),
    transport: parts.transport ?? unreachable,
    outside: parts.outside ?? nowhere,
    log: parts.log ?? memoryLog(parts.lines ?? []),
  }
}

/** A transport that answers from a function and keeps what it was asked. */
export function scriptedTransport(
  answer: (request: Request, n: number) => Response | Error | Promise<Response>,
): Transport & { readonly requests: Request[] } {
  const requests: Request[] = []
  return {
    requests,
    async send(request) {
      requests.push(request)
      const response = await answer(request, requests.length)
      if (response instanceof Error) throw response
      return response
    },
    watch: (): Promise<WatchResponse> => Promise.reject(new Error('this transport does not watch')),
  }
}

/** A `metav1.Status` answer. */
export function refusal(status: number, reason: string, message = 'no'): Response {
  return { status, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: status, reason, message } }
}
