/** What is to be upgraded on this machine: the service that runs or, where an attempt broke off and it is down at the moment, the journal's. */
import { findServices, onlyService, type Service } from './find.ts'
import type { Host } from './host.ts'
import type { Journal } from './journal.ts'
import type { Run } from './options.ts'
import { Refusal } from './refusal.ts'
import type { Release } from './release.ts'

export interface Target
  extends Pick<Journal, 'distribution' | 'role' | 'supervisor' | 'unit' | 'binary' | 'dataDir' | 'externalDatastore' | 'snapshots'> {
  readonly service: Service | undefined
}

/** A service that is being started again is not there for some seconds. */
const APPEARS_MS = 15_000
const POLL_MS = 500

/** @throws Refusal `NotRunning`, `Ambiguous`, `NoPrivilege` */
export async function findTarget(host: Host, { options, signal }: Run, journal: Journal | undefined): Promise<Target> {
  const { clock } = host
  const deadline = clock.mono() + APPEARS_MS
  for (;;) {
    const found = findServices(host)
    if (found.services.length > 0) return targetOf(onlyService(found, options.unit))
    if (clock.mono() >= deadline) {
      if (journal !== undefined) return { ...journal, service: undefined }
      return targetOf(onlyService(found, options.unit))
    }
    await clock.sleep(POLL_MS, signal)
  }
}

function targetOf(service: Service): Target {
  const { distribution, role, supervisor, unit, binary, configuration } = service
  return { service, distribution, role, supervisor, unit: unit?.name, binary, ...configuration }
}

/** @throws Refusal `AlreadyTried` */
export function refuseTried(
  journal: Journal | undefined,
  { sha256 }: Pick<Release, 'sha256'>,
  attempt: { key: string; count: number },
): void {
  if (attempt.key === '') return
  const tried = journal?.tried.findLast((entry) => entry.sha256 === sha256 && entry.key === attempt.key && entry.count >= attempt.count)
  if (tried === undefined) return
  throw new Refusal(
    'AlreadyTried',
    `this release was tried on this machine and ended with ${tried.reason} (${tried.why}); set drover.io/retry on the Plan to try it again, or use --force`,
  )
}
