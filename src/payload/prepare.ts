/** `drover payload prepare`: all that `upgrade` would refuse, before the node is cordoned, and an etcd snapshot of a server. Changes nothing else. */
import { posix } from 'node:path'
import { checkArchitecture, checkTarget } from './check.ts'
import { onlyService, findServices, type Service } from './find.ts'
import type { Host } from './host.ts'
import { readJournal } from './journal.ts'
import type { Run, Success } from './options.ts'
import { readAttempt } from './pod-info.ts'
import { readRelease } from './release.ts'
import { Refusal } from './refusal.ts'
import { runsFile } from './running.ts'
import { refuseTried } from './target.ts'
import { checkPlanned, checkStep, nameOf, versionOf } from './versions.ts'

const SNAPSHOT_MS = 300_000
/** A retry of the Job does not take another one. */
const FRESH_MS = 3_600_000

/** @throws Refusal */
export async function prepare(host: Host, { options, say }: Run): Promise<Success> {
  const { machine } = host
  const release = await readRelease(host, options.folder)
  const service = onlyService(findServices(host), options.unit)
  say(`found ${service.distribution} ${service.role}, ${service.binary}${service.unit === undefined ? '' : `, ${service.unit.name}`}`)
  if (service.distribution !== release.distribution) {
    throw new Refusal('WrongDistribution', `the machine runs ${service.distribution}, the image carries ${release.distribution}`)
  }
  if (!options.force) refuseTried(readJournal(machine), release, readAttempt(host.image, options.podInfo))
  checkArchitecture(host, service, release)
  const program = nameOf(service.binary)
  const to = await versionOf(host, 'image', release.path, program)
  if (to === undefined) throw new Refusal('BadPayload', `${release.path} does not say its version`)
  checkPlanned(options.planVersion, to)
  const running = await versionOf(host, 'machine', `/proc/${service.main.pid}/exe`, program)
  const onDisk = await versionOf(host, 'machine', service.binary, program)
  const inPlace = machine.stat(service.binary) !== undefined && (await machine.sha256(service.binary)) === release.sha256
  for (const from of inPlace ? [running] : [running, onDisk]) if (from !== undefined) checkStep(from, to, service.role, options)
  const from = (running ?? onDisk)?.text
  const versions = { ...(from === undefined ? {} : { from }), to: to.text }
  if (inPlace && (await runsFile(host, service)))
    return { result: 'Prepared', message: `${to.text} is in place and runs already`, ...versions }
  if (!inPlace) {
    if (from === undefined) throw new Refusal('Failed', `neither ${service.binary} nor what runs says its version`)
    await checkTarget(host, service, release, to, options)
  }
  const snapshot = options.snapshot ? await snapshotOf(host, service, options.planHash, say) : undefined
  return { result: 'Prepared', message: `ready for ${to.text}`, ...versions, ...(snapshot === undefined ? {} : { snapshot }) }
}

/** Its name; undefined for machines without an etcd of their own. @throws Refusal `SnapshotFailed` */
async function snapshotOf(host: Host, service: Service, planHash: string, say: (text: string) => void): Promise<string | undefined> {
  const { machine, clock } = host
  const { dataDir, snapshots: folder } = service.configuration
  if (service.role !== 'server' || machine.stat(`${dataDir}/server/db/etcd`) === undefined) return undefined
  const name = `drover-${planHash.slice(0, 8) || 'manual'}`
  const taken = () =>
    (machine.list(folder) ?? [])
      .filter((file) => file.startsWith(`${name}-`))
      .map((file) => ({ file, at: machine.stat(`${folder}/${file}`)?.modifiedAt ?? 0 }))
  const fresh = taken().find(({ at }) => clock.wall() - at < FRESH_MS)
  if (fresh !== undefined) {
    say(`etcd snapshot ${fresh.file} is there already`)
    return fresh.file
  }
  const command = [service.binary, 'etcd-snapshot', 'save', '--name', name]
  if (dataDir !== `/var/lib/rancher/${service.distribution}`) command.push('--data-dir', dataDir)
  const { code, stdout, stderr } = await host.runOnMachine(command, SNAPSHOT_MS)
  if (code !== 0) {
    const last = `${stdout}\n${stderr}`.trim().split('\n').slice(-5).join('\n')
    throw new Refusal(
      'SnapshotFailed',
      `${command.join(' ')} failed (${code ?? 'cannot be run'}); DROVER_PAYLOAD_SNAPSHOT=off goes on without`,
      last,
    )
  }
  const file = taken().toSorted((a, b) => b.at - a.at)[0]?.file ?? savedName(`${stdout}\n${stderr}`) ?? name
  say(`etcd snapshot ${file} saved`)
  return file
}

/** Where snapshots go to S3 or elsewhere, only the program's output names them. */
function savedName(output: string): string | undefined {
  const name = /[Ss]napshot (\S+) saved/.exec(output)?.[1]
  return name === undefined ? undefined : posix.basename(name)
}
