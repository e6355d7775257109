import { type Checker, whoIs } from './fact.ts'

const WINDOW_MS = 60_000
/** Far above what a rollout over fifty nodes needs, far below what a loop without a pause does. */
const MOST_WRITES = 900

/** Part of promise 8: whatever it meets, a controller does not write without end. Refused writes and writes that change nothing count; Leases do not. */
export function noHotLoop(): Checker {
  /** Times of the last writes, by user, oldest first. */
  const recent = new Map<string, number[]>()
  const told = new Set<string>()
  let checks = 0
  return {
    promise: '8 no hot loop',
    checks: () => checks,
    see(fact) {
      if (fact.kind !== 'write' || whoIs(fact.write.user) !== 'drover' || fact.write.ref.resource === 'leases') return []
      const { user, mono } = fact.write
      const times = recent.get(user) ?? []
      recent.set(user, times)
      times.push(mono)
      while ((times[0] ?? mono) < mono - WINDOW_MS) times.shift()
      checks += 1
      if (times.length <= MOST_WRITES || told.has(user)) return []
      told.add(user)
      return [`${user} wrote ${times.length} times within a minute, the last to ${fact.write.ref.resource} ${fact.write.ref.name}`]
    },
  }
}
