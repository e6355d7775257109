/**
 * May a server go back? Kubernetes and etcd read what older versions wrote, not what newer ones did. Within a minor version, with the same
 * minor version of etcd, yes; otherwise only if the new program did not get as far as its datastore.
 */
import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { minorsBetween, parseVersion } from '../rollout/version.ts'
import type { MachineFiles } from './host.ts'
import type { Journal } from './journal.ts'
import { previousOf } from './replace.ts'

const MANIFESTS = ['etcd.yaml', 'kube-apiserver.yaml'] as const

/** RKE2 runs etcd and the API server as static pods: new manifests are the first sign that the new version has taken them over. */
export function datastoreMark(machine: MachineFiles, dataDir: string): string {
  const manifests = MANIFESTS.map((name) => machine.text(`${dataDir}/agent/pod-manifests/${name}`) ?? '')
  const sum = createHash('sha256').update(manifests.join('\0')).digest('hex').slice(0, 16)
  return `${etcdMinor(manifests[0] ?? '')}/${sum}`
}

/**
 * Why there is no way back for the server's datastore; undefined when there is.
 * `goneAt`: when the old process was seen to be gone; undefined = it still runs.
 */
export function touchedBy(machine: MachineFiles, journal: Journal, goneAt: number | undefined): string | undefined {
  if (journal.role !== 'server') return undefined
  const { dataDir, from, to, datastore = '/' } = journal
  const [old, next] = [parseVersion(from.version), parseVersion(to.version)]
  const newMinor = old === undefined || next === undefined || minorsBetween(old, next) !== 0
  if (journal.distribution === 'rke2') {
    const now = datastoreMark(machine, dataDir)
    if (now === datastore) return undefined
    const [before = '', after = ''] = [datastore.split('/')[0], now.split('/')[0]]
    if (before !== after) return `etcd was taken from ${before || 'an unknown version'} to ${after || 'an unknown version'}`
    return newMinor ? `${to.version} has rewritten the manifests of etcd and the API server` : undefined
  }
  if (!newMinor || goneAt === undefined) return undefined
  if (journal.externalDatastore) return `${to.version} ran with an external datastore`
  if (!isHere(machine, dataDir)) return `${to.version} ran with a datastore that is not on this machine`
  const files = ['state.db', 'state.db-wal', 'etcd/member/snap/db'].map(
    (name) => machine.stat(`${dataDir}/server/db/${name}`)?.modifiedAt ?? 0,
  )
  const wals = (machine.list(`${dataDir}/server/db/etcd/member/wal`) ?? []).map(
    (name) => machine.stat(`${dataDir}/server/db/etcd/member/wal/${name}`)?.modifiedAt ?? 0,
  )
  const written = Math.max(0, ...files, ...wals)
  return written >= goneAt ? `${to.version} has written to the datastore` : undefined
}

/** Otherwise it is an external one, named where the payload cannot look (such as a script around the program), or other servers have it. */
function isHere(machine: MachineFiles, dataDir: string): boolean {
  return ['etcd', 'state.db'].some((name) => machine.stat(`${dataDir}/server/db/${name}`) !== undefined)
}

/** How a person takes the server back: commands, and in between what no command does. The snapshot is the newest one on this machine. */
export function restoreCommand(machine: MachineFiles, journal: Journal): string {
  const { binary, distribution, role, supervisor, unit } = journal
  const service = unit?.replace(/\.service$/, '') ?? (distribution === 'k3s' ? 'k3s' : `rke2-${role}`)
  const order = (verb: 'stop' | 'start') => (supervisor === 'openrc' ? `rc-service ${service} ${verb}` : `systemctl ${verb} ${service}`)
  const away = [order('stop'), `${posix.dirname(binary)}/${distribution}-killall.sh`, `mv ${previousOf(binary)} ${binary}`].join(' && ')
  return `${away}${restoring(machine, journal)}${order('start')}`
}

function restoring(machine: MachineFiles, { binary, dataDir, distribution, externalDatastore, snapshots }: Journal): string {
  const database = `${dataDir}/server/db`
  if (externalDatastore || (distribution === 'k3s' && !isHere(machine, dataDir))) return '; restore the backup of the external datastore; '
  if (machine.stat(`${database}/etcd`) === undefined && machine.stat(`${database}/state.db`) !== undefined)
    return `; put back the copy of ${database} from before; `
  const found = (machine.list(snapshots) ?? []).map((name) => ({
    path: `${snapshots}/${name}`,
    at: machine.stat(`${snapshots}/${name}`)?.modifiedAt ?? 0,
  }))
  const newest = found.toSorted((a, b) => b.at - a.at)[0]?.path ?? 'SNAPSHOT'
  return ` && ${binary} server --cluster-reset --cluster-reset-restore-path=${newest} && `
}

/** `v3.5` of the etcd image in the manifest. */
function etcdMinor(manifest: string): string {
  return /image:\s*\S*etcd\S*:(v\d+\.\d+)/.exec(manifest)?.[1] ?? ''
}
