/**
 * Which etcd a version of RKE2 brings. etcd 3.6 refuses to start where a member that was once removed is still written down, which 3.5.26 puts
 * right; so every member has to have run that first (release notes of RKE2, February 2026). Of K3s the releases are not known here, so nothing
 * is asked of it.
 */
import { compareVersions, parseVersion, type Version } from './version.ts'

const FIRST_36 = known('v1.33.11+rke2r1')
/** The first releases with etcd 3.5.26, by minor. */
const FIRST_3526 = [known('v1.32.11+rke2r3'), known('v1.33.7+rke2r3')]

function known(text: string): Version {
  const version = parseVersion(text)
  if (version === undefined) throw new Error(`no version: ${text}`)
  return version
}

/** etcd 3.6 or later. */
export function bringsEtcd36(version: Version): boolean {
  return version.distribution === 'rke2' && compareVersions(version, FIRST_36) >= 0
}

/** etcd 3.6 may follow: it is there already, or 3.5.26 or later. */
export function isReadyForEtcd36(version: Version): boolean {
  if (version.distribution !== 'rke2' || bringsEtcd36(version)) return true
  return FIRST_3526.some((first) => first.minor === version.minor && first.major === version.major && compareVersions(version, first) >= 0)
}

/** The releases to go to first, for people. */
export const READY_FOR_ETCD_36 = 'v1.32.11+rke2r3 or a later v1.32, or v1.33.7+rke2r3 to v1.33.10'
