/** Fields of a log line. Values must be JSON. Errors go under `error`. */
export type Fields = Readonly<Record<string, unknown>>

/** Structured log: the message is constant, everything that varies is a field. */
export interface Log {
  debug(message: string, fields?: Fields): void
  info(message: string, fields?: Fields): void
  warn(message: string, fields?: Fields): void
  error(message: string, fields?: Fields): void
  with(fields: Fields): Log
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
}
