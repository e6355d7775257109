import { TransportError } from '../../base/errors.ts'
import type { Json } from '../../base/json.ts'
import type { Sink } from './watch.ts'

export interface EventQueue {
  readonly events: AsyncIterable<Json>
  readonly sink: Sink
  close(): void
  /** Called once, when the reader leaves or its signal aborts. */
  onEnd(close: () => void): void
}

/** Between a stream's server and its reader. Everything that was pushed before the end is read before the end. */
export function createEventQueue(signal: AbortSignal): EventQueue {
  const waiting: Json[] = []
  let head = 0
  let wake: (() => void) | undefined
  let ended: 'no' | 'closed' | Error = 'no'
  let closeServer: () => void = () => undefined

  function end(how: 'closed' | Error): void {
    if (ended !== 'no') return
    ended = how
    signal.removeEventListener('abort', onAbort)
    wake?.()
  }

  function onAbort(): void {
    waiting.length = 0
    head = 0
    end(new TransportError('Aborted', 'the watch was aborted', signal.reason))
    closeServer()
  }

  signal.addEventListener('abort', onAbort, { once: true })

  async function next(): Promise<IteratorResult<Json>> {
    for (;;) {
      const event = waiting[head]
      if (event !== undefined) {
        head++
        if (head === waiting.length) {
          waiting.length = 0
          head = 0
        }
        return { done: false, value: event }
      }
      if (ended === 'closed') return { done: true, value: undefined }
      if (ended !== 'no') throw ended
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      wake = undefined
    }
  }

  return {
    events: {
      [Symbol.asyncIterator]: () => ({
        next,
        return() {
          waiting.length = 0
          head = 0
          end('closed')
          closeServer()
          return Promise.resolve({ done: true, value: undefined })
        },
      }),
    },
    sink: {
      push(event) {
        if (ended !== 'no') return
        waiting.push(event)
        wake?.()
      },
      close: () => end('closed'),
      fail: (message) => end(new TransportError('ConnectionLost', message)),
    },
    close: () => end('closed'),
    onEnd(close) {
      closeServer = close
      if (signal.aborted) close()
    },
  }
}
