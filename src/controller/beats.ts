/**
 * Heartbeats as this controller saw them: a heartbeat is fresh when it was *seen* to advance, so no clocks of different machines are ever
 * compared (design §4.6). Two texts are watched for each node: its Ready condition's and its Lease's.
 */
import type { Beat } from '../rollout/world.ts'

interface Seen {
  node: string
  lease: string
  /** When the last read of the Lease began. */
  readAt: number
  advancedAt: number | undefined
  after: number | undefined
  refused: string | undefined
}

export interface Beats {
  /** A watch brought the Ready condition's text of the node at this monotonic time. */
  sawNode(name: string, text: string, mono: number): void
  /** A quorum read of the node's Lease that began and ended at these monotonic times. */
  sawLease(name: string, text: string, beganAt: number, endedAt: number): void
  /** The API server refuses to show the node's Lease; stands until it does. */
  refused(name: string, message: string): void
  forget(name: string): void
  readonly all: ReadonlyMap<string, Beat>
}

export function createBeats(): Beats {
  const seen = new Map<string, Seen>()
  const entryOf = (name: string): Seen => {
    let entry = seen.get(name)
    if (entry === undefined)
      seen.set(name, (entry = { node: '', lease: '', readAt: 0, advancedAt: undefined, after: undefined, refused: undefined }))
    return entry
  }
  return {
    all: seen,
    sawNode(name, text, mono) {
      if (text === '') return
      const entry = entryOf(name)
      // The same machine writes both texts in the same format, so later is greater; a late event cannot make an old beat look new.
      if (entry.node !== '' && text > entry.node) entry.advancedAt = mono
      if (text > entry.node) entry.node = text
    },
    sawLease(name, text, beganAt, endedAt) {
      if (text === '') return
      const entry = entryOf(name)
      entry.refused = undefined
      // Quorum reads come in order, so another text is a younger one, even when the machine's clock was set back.
      if (entry.lease !== '' && text !== entry.lease) {
        entry.advancedAt = endedAt
        // The read before still showed the older text, so this heartbeat is younger than that read's beginning.
        entry.after = entry.readAt
      }
      entry.lease = text
      entry.readAt = beganAt
    },
    refused(name, message) {
      entryOf(name).refused = message
    },
    forget: (name) => void seen.delete(name),
  }
}
