/** How often a leader looks at everything. */

/** Changes that come in a burst are looked at together. */
const SETTLE_MS = 20
/** Where a pass takes long, because the cluster is large, more changes gather for the next: passes take a tenth of the time at most… */
const SHARE = 10
/** …but nothing waits longer than this for its next look. */
const SETTLE_MAX_MS = 200

/** How long to wait after a pass that took `passMs` milliseconds. */
export function settleAfter(passMs: number): number {
  return Math.min(SETTLE_MAX_MS, Math.max(SETTLE_MS, passMs * (SHARE - 1)))
}
