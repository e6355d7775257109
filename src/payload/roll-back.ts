/** The old program back in place, started and proven. Ends with a Refusal in any case: what was asked for was not done. */
import { formatTime } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import { findServices } from './find.ts'
import type { Host } from './host.ts'
import { placedName, removeImages } from './images.ts'
import { type Journal, withTried, writeJournal } from './journal.ts'
import type { Run } from './options.ts'
import { identityOf } from './processes.ts'
import { prove } from './prove.ts'
import { Refusal } from './refusal.ts'
import { previousOf, restorePrevious } from './replace.ts'
import { restartService } from './restart.ts'
import { runsFile } from './running.ts'
import { serviceLog } from './service-log.ts'

/** The moment in which somebody stops the pod is the one in which the kubelet comes back: there is time to finish. */
const UNSTOPPABLE = new AbortController().signal

/** @throws Refusal `RolledBack`, `RollbackFailed` */
export async function rollBack(host: Host, run: Run, journal: Journal, log: string): Promise<never> {
  const { machine, clock } = host
  const { options, say } = run
  const { binary, from, why = '' } = journal
  writeJournal(machine, { ...journal, updatedAt: formatTime(clock.wall()) })
  const end = (reason: 'RolledBack' | 'RollbackFailed', message: string, text: string): never => {
    writeJournal(machine, { ...withTried(journal, reason, why), phase: 'failed', updatedAt: formatTime(clock.wall()) })
    throw new Refusal(reason, message, text)
  }
  try {
    await putBack(host, journal)
  } catch (error) {
    return end('RollbackFailed', `${why}; ${from.version} could not be put back: ${messageOf(error)}`, log)
  }
  say(`${from.version} is back in place`)
  const service = findServices(host).services.find((found) => found.binary === binary)
  let before: string | undefined
  if (service === undefined || !(await runsFile(host, service))) {
    before = service === undefined ? undefined : identityOf(service.main)
    await restartService(host, journal, UNSTOPPABLE)
  }
  const { stableMs, rollbackTimeoutMs: timeoutMs, maxCrashes, downMs } = options
  const proof = await prove(host, { binary, before, stableMs, timeoutMs, maxCrashes, downMs }, say, UNSTOPPABLE)
  if (proof.ok) return end('RolledBack', `${why}; rolled back to ${from.version}, which runs`, log)
  const now = await serviceLog(host, journal.unit, journal.distribution)
  return end('RollbackFailed', `${why}; ${from.version} was put back, but ${proof.missing}`, now === '' ? log : now)
}

async function putBack(host: Host, { binary, from, to, images }: Journal): Promise<void> {
  const { machine } = host
  if (machine.stat(binary) === undefined || (await machine.sha256(binary)) !== from.sha256) {
    const kept = previousOf(binary)
    const sum = machine.stat(kept) === undefined ? undefined : await machine.sha256(kept)
    if (sum !== from.sha256) throw new Error(`${kept} ${sum === undefined ? 'is gone' : 'is not what was kept'}`)
    restorePrevious(host, binary)
  }
  const marked = `${placedName('', to.version)}.`
  removeImages(
    host,
    images.filter((path) => path.includes(marked)),
  )
}
