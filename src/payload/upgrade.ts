/**
 * `drover payload upgrade`. Level-triggered: what is to be done follows from what is found, so a second try goes on where the first one
 * broke off; the journal remembers what cannot be seen any more.
 */
import { formatTime } from '../base/clock.ts'
import { checkArchitecture, checkTarget } from './check.ts'
import { datastoreMark, restoreCommand, touchedBy } from './datastore.ts'
import { ensureHome } from './home.ts'
import type { Host } from './host.ts'
import { placedPaths, placeImages, removeSuperseded } from './images.ts'
import { type Journal, lockMachine, readJournal, withTried, writeJournal } from './journal.ts'
import type { Run, Success } from './options.ts'
import { type PodAttempt, readAttempt } from './pod-info.ts'
import { identityOf } from './processes.ts'
import { type Proof, prove } from './prove.ts'
import { Refusal } from './refusal.ts'
import { readRelease, type Release } from './release.ts'
import { readPrevious, replaceBinary } from './replace.ts'
import { restartService } from './restart.ts'
import { rollBack } from './roll-back.ts'
import { runsFile } from './running.ts'
import { serviceLog } from './service-log.ts'
import { findTarget, refuseTried, type Target } from './target.ts'
import { checkPlanned, checkStep, nameOf, versionOf } from './versions.ts'

const LOCK_MS = 600_000
const UNKNOWN = { version: '', sha256: '' }

/** @throws Refusal; what the signal was aborted with */
export async function upgrade(host: Host, run: Run): Promise<Success> {
  const unlock = await lockMachine(host, LOCK_MS, run.signal)
  try {
    return await upgradeLocked(host, run)
  } finally {
    unlock()
  }
}

async function upgradeLocked(host: Host, run: Run): Promise<Success> {
  const { options, say } = run
  const attempt = readAttempt(host.image, options.podInfo)
  await finishRollBack(host, run, attempt)
  const journal = readJournal(host.machine)
  const release = await readRelease(host, options.folder)
  if (!options.force) refuseTried(journal, release, attempt)
  const underWay = journal !== undefined && journal.to.sha256 === release.sha256 && ['replace', 'restart'].includes(journal.phase)
  const target = await findTarget(host, run, underWay ? journal : undefined)
  say(`found ${target.distribution} ${target.role}, ${target.binary}${target.unit === undefined ? '' : `, ${target.unit}`}`)
  const plan = await planWork(host, run, release, target)
  const now = formatTime(host.clock.wall())
  const next: Journal = {
    v: 1,
    attempt: { key: attempt.key, count: attempt.count },
    planHash: options.planHash,
    phase: 'replace',
    ...described(target),
    from: plan.from ?? (underWay ? journal.from : UNKNOWN),
    to: { version: plan.to, sha256: release.sha256 },
    ...(underWay && !plan.stale && journal.restartAt !== undefined ? { restartAt: journal.restartAt } : {}),
    datastore: underWay ? (journal.datastore ?? '') : datastoreMark(host.machine, target.dataDir),
    images: [...new Set([...(journal?.images ?? []), ...placedPaths(target.dataDir, release.images, plan.to)])],
    startedAt: underWay ? journal.startedAt : now,
    updatedAt: now,
    tried: journal?.tried ?? [],
  }
  if (plan.inPlace && !plan.stale && !underWay) return await confirm(host, run, next)
  return await work(host, run, release, target, plan, next)
}

/** An attempt that broke off while it rolled back is brought to its end first: as this pod's own, or before the one that this pod is for. */
async function finishRollBack(host: Host, run: Run, attempt: PodAttempt): Promise<void> {
  const journal = readJournal(host.machine)
  if (journal?.phase !== 'roll-back') return
  run.say(`an earlier attempt broke off while it rolled back: ${journal.why ?? ''}`)
  try {
    await rollBack(host, run, journal, '')
  } catch (error) {
    const own = journal.attempt.key === attempt.key && journal.attempt.count >= attempt.count
    if (own || !(error instanceof Refusal)) throw error
    run.say(error.message)
  }
}

function described({ distribution, role, supervisor, unit, binary, dataDir, externalDatastore, snapshots }: Target) {
  return { distribution, role, supervisor, ...(unit === undefined ? {} : { unit }), binary, dataDir, externalDatastore, snapshots }
}

interface WorkPlan {
  readonly to: string
  /** Undefined: the new file was in place already, and nobody wrote down what was there before. */
  readonly from: { readonly version: string; readonly sha256: string } | undefined
  /** The new file is in place. */
  readonly inPlace: boolean
  /** What runs is not the new file. */
  readonly stale: boolean
}

/** Looks at everything, changes nothing. */
async function planWork(host: Host, { options }: Run, release: Release, target: Target): Promise<WorkPlan> {
  const { machine } = host
  const { binary, role, service } = target
  if (target.distribution !== release.distribution) {
    throw new Refusal('WrongDistribution', `the machine runs ${target.distribution}, the image carries ${release.distribution}`)
  }
  checkArchitecture(host, target, release)
  const to = await versionOf(host, 'image', release.path, nameOf(binary))
  if (to === undefined) throw new Refusal('BadPayload', `${release.path} does not say its version`)
  checkPlanned(options.planVersion, to)
  const fileSum = machine.stat(binary) === undefined ? '' : await machine.sha256(binary)
  const inPlace = fileSum === release.sha256
  const stale = service !== undefined && (!inPlace || !(await runsFile(host, service)))
  const onDisk = inPlace ? undefined : await versionOf(host, 'machine', binary, nameOf(binary))
  const running = stale ? await versionOf(host, 'machine', `/proc/${service.main.pid}/exe`, nameOf(binary)) : undefined
  for (const from of [onDisk, running]) if (from !== undefined) checkStep(from, to, role, options)
  if (inPlace) {
    const record = readPrevious(machine, binary)
    const from = record?.installed.sha256 === release.sha256 ? record.previous : undefined
    return { to: to.text, from, inPlace, stale }
  }
  const from = onDisk ?? running
  if (from === undefined) {
    throw new Refusal('Failed', `neither ${binary} nor what runs says its version, so nobody knows whether ${to.text} is a step forward`)
  }
  if (service !== undefined) await checkTarget(host, service, release, to, options)
  return { to: to.text, from: { version: from.text, sha256: fileSum }, inPlace, stale }
}

/** The file was there and runs before this attempt touched anything. */
async function confirm(host: Host, run: Run, journal: Journal): Promise<Success> {
  const proof = await proveNew(host, run, journal, undefined)
  if (!proof.ok) {
    const log = await serviceLog(host, journal.unit, journal.distribution)
    throw new Refusal('NotProven', `${journal.to.version} was in place and runs, but ${proof.missing}`, log)
  }
  return { result: 'AlreadyThere', message: `${journal.to.version} is in place and runs`, to: journal.to.version }
}

async function work(host: Host, run: Run, release: Release, target: Target, plan: WorkPlan, planned: Journal): Promise<Success> {
  const { machine } = host
  const { say } = run
  let journal = planned
  const note = (phase: Journal['phase']): void => {
    journal = { ...journal, phase, updatedAt: formatTime(host.clock.wall()) }
    writeJournal(machine, journal)
  }
  note(plan.inPlace ? 'restart' : 'replace')
  await placeImages(host, journal.dataDir, release.images, plan.to)
  if (!plan.inPlace) {
    say(`replacing ${journal.from.version} with ${plan.to}`)
    await replaceBinary(host, journal.binary, release.path, {
      v: 1,
      previous: journal.from,
      installed: journal.to,
      at: journal.updatedAt,
      planHash: journal.planHash,
    })
  }
  const before = plan.stale && target.service !== undefined ? identityOf(target.service.main) : undefined
  if (plan.stale || target.service === undefined) {
    const file = target.service === undefined ? undefined : await ensureHome(host, target.service).catch(() => undefined)
    if (file !== undefined) say(`${file}: HOME=/root added`)
    say(`restarting ${journal.unit ?? journal.distribution}`)
    journal = { ...journal, restartAt: formatTime(host.clock.wall()) }
    note('restart')
    await restartService(host, journal, run.signal)
  }
  const proof = await proveNew(host, run, journal, before)
  if (!proof.ok) {
    // On a second try the old process was gone before it was looked for.
    const goneAt = before === undefined && planned.restartAt !== undefined ? Date.parse(planned.restartAt) : proof.goneAt
    return await failed(host, run, journal, proof.missing, goneAt)
  }
  removeSuperseded(host, journal.dataDir, release.images, plan.to, planned.images)
  journal = { ...journal, images: [...placedPaths(journal.dataDir, release.images, plan.to)] }
  note('done')
  const from = journal.from.version
  return {
    result: 'Upgraded',
    message: from === '' ? `${plan.to} runs` : `from ${from} to ${plan.to}`,
    ...(from === '' ? {} : { from }),
    to: plan.to,
  }
}

function proveNew(host: Host, { options, say, signal }: Run, { binary }: Journal, before: string | undefined): Promise<Proof> {
  const { stableMs, timeoutMs, maxCrashes, downMs } = options
  return prove(host, { binary, before, stableMs, timeoutMs, maxCrashes, downMs }, say, signal)
}

async function failed(host: Host, run: Run, journal: Journal, missing: string, goneAt: number | undefined): Promise<never> {
  const { machine } = host
  const last = await serviceLog(host, journal.unit, journal.distribution)
  const why = `${journal.to.version} did not come up: ${missing}`
  run.say(why)
  const end = (reason: 'NotProven' | 'DatastoreTouched', message: string, more: { log?: string; wayBack?: string } = {}): never => {
    const { log = last, ...way } = more
    writeJournal(machine, { ...withTried(journal, reason, why), phase: 'failed', why, ...way, updatedAt: formatTime(host.clock.wall()) })
    throw new Refusal(reason, message, log)
  }
  if (journal.from.sha256 === '') return end('NotProven', `${why}; nothing is known of what was there before, so it was not rolled back`)
  if (!run.options.rollback) return end('NotProven', `${why}; --no-rollback`)
  const touched = touchedBy(machine, journal, goneAt)
  if (touched !== undefined) {
    const wayBack = restoreCommand(machine, journal)
    // Messages are cut where they are shown; the log's end is not.
    return end('DatastoreTouched', `${why}; ${touched}, so the old version cannot go on with it. To go back: ${wayBack}`, {
      log: `${last}\nto go back: ${wayBack}`,
      wayBack,
    })
  }
  return await rollBack(host, run, { ...journal, phase: 'roll-back', why }, last)
}
