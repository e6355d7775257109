import type { Transport } from '../../../src/base/process.ts'

/** JSON that a test may walk without asking at each step. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Tree = any

export interface Watching {
  readonly status: number
  readonly body: Tree
  readonly events: readonly Tree[]
  readonly end: 'open' | 'closed' | Error
  /** Resolves when it has ended. */
  readonly done: Promise<void>
  /** `ADDED name` for each event. */
  said(): readonly string[]
  stop(): void
}

/** Opens a watch and collects what it says. */
export async function collect(
  transport: Transport,
  path: string,
  query: Readonly<Record<string, string>> = {},
  accept?: string,
): Promise<Watching> {
  const stop = new AbortController()
  const request = { method: 'GET', path, query: { watch: 'true', ...query }, ...(accept === undefined ? {} : { accept }) } as const
  const answer = await transport.watch(request, stop.signal)
  const events: Tree[] = []
  let end: Watching['end'] = 'open'
  const done = (async () => {
    try {
      for await (const event of answer.events) events.push(event)
      end = 'closed'
    } catch (error) {
      end = error as Error
    }
  })()
  return {
    status: answer.status,
    body: answer.body as Tree,
    events,
    get end() {
      return end
    },
    done,
    said: () => events.map((event) => `${event.type} ${event.object.metadata?.name ?? ''}`.trim()),
    stop: () => stop.abort(),
  }
}
