/**
 * Heartbeats as this controller saw them: a heartbeat is fresh when it was *seen* to advance, so no clocks of different machines are ever
 * compared (design §4.6). Two texts are watched for each node: its Ready condition's and its Lease's.
 */
import type { Beat } from '../rollout/world.ts'

interface Seen {
  node: string
  lease: string
  advancedAt: number | undefined
}

export interface Beats {
  /** A heartbeat text of the node was read at this monotonic time. */
  saw(name: string, source: 'node' | 'lease', text: string, mono: number): void
  forget(name: string): void
  readonly all: ReadonlyMap<string, Beat>
}

export function createBeats(): Beats {
  const seen = new Map<string, Seen>()
  return {
    all: seen,
    saw(name, source, text, mono) {
      if (text === '') return
      let entry = seen.get(name)
      if (entry === undefined) seen.set(name, (entry = { node: '', lease: '', advancedAt: undefined }))
      // The same machine writes both texts in the same format, so later is greater; a late event cannot make an old beat look new.
      if (entry[source] !== '' && text > entry[source]) entry.advancedAt = mono
      if (text > entry[source]) entry[source] = text
    },
    forget: (name) => void seen.delete(name),
  }
}
