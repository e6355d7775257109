import type { Clock } from '../../base/clock.ts'
import type { Write } from './types.ts'

/** How many requests there were. */
export interface RequestCounts {
  /** Of a user, verb (`get`, `list`, `watch`, `create`, …) and resource (`pods/eviction`); what is not named is summed up. */
  total(match?: { user?: string; verb?: string; resource?: string }): number
  rows(): readonly RequestRow[]
}

export interface RequestRow {
  readonly user: string
  readonly verb: string
  readonly resource: string
  readonly count: number
}

export interface History {
  readonly writes: readonly Write[]
  readonly requests: RequestCounts
  add(write: Omit<Write, 'n' | 'at' | 'mono'>): Write
  count(user: string, verb: string, resource: string): void
  listen(listener: (write: Write) => void): () => void
}

export function createHistory(clock: Clock): History {
  const writes: Write[] = []
  const counts = new Map<string, { user: string; verb: string; resource: string; count: number }>()
  const listeners = new Set<(write: Write) => void>()
  return {
    writes,
    requests: {
      total: (match = {}) => {
        let sum = 0
        for (const row of counts.values())
          if (
            (match.user ?? row.user) === row.user &&
            (match.verb ?? row.verb) === row.verb &&
            (match.resource ?? row.resource) === row.resource
          )
            sum += row.count
        return sum
      },
      rows: () => [...counts.values()],
    },
    add(write) {
      const added: Write = { ...write, n: writes.length + 1, at: clock.wall(), mono: clock.mono() }
      writes.push(added)
      for (const listener of listeners) listener(added)
      return added
    },
    count(user, verb, resource) {
      const key = `${user}\n${verb}\n${resource}`
      const row = counts.get(key)
      if (row === undefined) counts.set(key, { user, verb, resource, count: 1 })
      else row.count++
    },
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
