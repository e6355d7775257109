/** What an API server's audit log says: who asked for what, when, and what the answer was. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

export interface AuditEntry {
  /** When the request came in, in microseconds since 1970. */
  readonly received: number
  /** When the answer was complete; a client has it no sooner. */
  readonly answered: number
  readonly user: string
  readonly verb: string
  /** `plans`, or `plans/status`; an empty text when the request was for no resource. */
  readonly resource: string
  readonly uri: string
  readonly status: number
  /** Only of what the policy logs with answers. */
  readonly response: unknown
}

interface Line {
  readonly stage: string
  readonly verb: string
  readonly requestURI: string
  readonly user: { readonly username?: string }
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string }
  readonly responseStatus?: { readonly code?: number }
  readonly requestReceivedTimestamp: string
  readonly stageTimestamp: string
  readonly responseObject?: unknown
}

/** The entries of a log, in the order of their answers. Throws at a line that is no entry. */
export async function* auditEntries(file: string): AsyncGenerator<AuditEntry> {
  for await (const text of createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text === '') continue
    const line = JSON.parse(text) as Line
    // A watch has an entry for its beginning, too.
    if (line.stage !== 'ResponseComplete') continue
    const { resource = '', subresource } = line.objectRef ?? {}
    yield {
      received: micros(line.requestReceivedTimestamp),
      answered: micros(line.stageTimestamp),
      user: line.user.username ?? '',
      verb: line.verb,
      resource: subresource === undefined ? resource : `${resource}/${subresource}`,
      uri: line.requestURI,
      status: line.responseStatus?.code ?? 0,
      response: line.responseObject,
    }
  }
}

/** `2026-11-21T07:13:05.123456Z` in microseconds, which Date would cut to milliseconds. */
function micros(time: string): number {
  const [, whole = '', fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? []
  const value = Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
  if (Number.isNaN(value)) throw new Error(`the audit log has a time that cannot be read: ${time}`)
  return value
}
