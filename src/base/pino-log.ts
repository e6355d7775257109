import pino from 'pino'
import { DroverError } from './errors.ts'
import type { Fields, Log } from './log.ts'

export interface PinoLogOptions {
  /** Write debug lines too. Default false. */
  readonly debug?: boolean
  /** Where lines go. Default standard output, written synchronously so that nothing is lost when the process ends. */
  readonly write?: (line: string) => void
  /** File descriptor in place of standard output. */
  readonly fd?: number
}

/** A `Log` that writes one JSON object a line: `level`, `time`, `msg`, then the fields. */
export function pinoLog(options: PinoLogOptions = {}): Log {
  const write = options.write
  const destination = write === undefined ? output(options.fd ?? 1) : { write }
  return wrap(
    pino(
      {
        level: options.debug === true ? 'debug' : 'info',
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: serializeError },
      },
      destination,
    ),
  )
}

/** What a full disk has to keep for the time when there is room again; the rest is dropped. */
const MAX_KEPT_BYTES = 1024 * 1024

/** A disk that is full must not end a controller that is upgrading a node. */
function output(fd: number) {
  const destination = pino.destination({ fd, sync: true, maxLength: MAX_KEPT_BYTES })
  destination.on('error', () => {})
  return destination
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    with: (fields) => wrap(logger.child(fields)),
  }
}

/** How deep a chain of causes is followed. */
const MAX_CAUSES = 4

/** What a reader needs of an error: its stable code, whether it will be retried, and what caused it. Stacks only of errors that nobody raised on purpose. */
function serializeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const fields: Fields = {
    name: error.name,
    message: error.message,
    ...('code' in error && typeof error.code === 'string' ? { code: error.code } : {}),
    ...(error instanceof DroverError ? { retry: error.retry } : { stack: error.stack }),
  }
  if (error.cause === undefined || depth === MAX_CAUSES) return fields
  return { ...fields, cause: serializeError(error.cause, depth + 1) }
}
