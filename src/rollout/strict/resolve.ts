/** Version and hash as SUC takes them (contract, Resolution; corrections 3 and 5): no agreement of channels, and backwards too. */
import { withoutPassword } from '../go-url.ts'
import type { Pass } from '../pass.ts'
import type { Resolution, Unresolved } from '../plan-state.ts'
import { munge } from '../version.ts'

/** What Go's time.RFC3339 reads. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$/

export function resolveAsSUC({ plan, invalid }: Unresolved, pass: Pass): Resolution {
  const { spec, status } = plan
  const oldHash = status.latestHash
  const before = status.conditions.find((condition) => condition.type === 'LatestResolved')
  if (invalid !== undefined) {
    const stays = before?.reason === 'Error'
    return { version: '', problem: invalid, hashed: stays ? undefined : status.latestVersion, oldHash }
  }
  if (spec.version !== undefined && spec.version !== '') {
    const version = munge(spec.version)
    return { version, hashed: version, oldHash, sucs: { by: 'Version' } }
  }
  const url = spec.channel
  if (url === undefined || url === '')
    return { version: '', problem: 'cannot resolve plan: missing channel and version', hashed: undefined, oldHash, sucs: { by: 'nothing' } }
  const inForce = before?.status === 'True' ? status.latestVersion : ''
  const kept: Resolution = { version: inForce, hashed: undefined, oldHash, sucs: { by: 'kept' } }
  const { settings, now, observed } = pass.world
  const askedAt =
    before?.status === 'True' && RFC3339.test(before.lastUpdateTime ?? '') ? Date.parse(before.lastUpdateTime ?? '') : Number.NaN
  if (now.wall - askedAt < settings.planPollingIntervalMs) {
    pass.lookAtWall(askedAt + settings.planPollingIntervalMs)
    return kept
  }
  pass.need({ kind: 'channel', url, latestVersion: status.latestVersion, maxAgeMs: settings.planPollingIntervalMs })
  const seen = observed.channels.get(url)
  if (seen === undefined) return { ...kept, problem: 'the channel has not answered yet', pending: true }
  if (!seen.ok)
    return { ...kept, problem: `cannot resolve channel ${withoutPassword(url)}: ${seen.error}`, sucs: { by: 'failed', error: seen.error } }
  return { version: seen.value, hashed: seen.value, oldHash, sucs: { by: 'Channel' } }
}
